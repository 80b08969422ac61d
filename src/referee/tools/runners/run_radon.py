"""Measure the files named on stdin with radon and print one JSON line per file.

Reads one JSON object with ``files``. Each line has the blocks with their
complexity, the raw counts and the maintainability index of a file; the last is
``{"kind": "end"}``. radon's own command line reads the configuration of the
analysed project; its API does not, and one pass gives all three.
"""

# mypy: ignore-errors
# The packages it imports are in the tool's environment, not in ours.

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

from radon.complexity import cc_rank, cc_visit
from radon.metrics import mi_visit
from radon.raw import analyze

warnings.simplefilter("ignore")


def _measure(name):
    code = Path(name).read_bytes().decode("utf-8-sig")
    raw = analyze(code)
    return {
        "kind": "file",
        "path": name,
        "blocks": [
            {
                "letter": block.letter,
                "name": block.fullname,
                "line": block.lineno,
                "last_line": block.endline,
                "column": block.col_offset,
                "complexity": block.complexity,
                "rank": cc_rank(block.complexity),
            }
            for block in _flatten(cc_visit(code))
        ],
        "lines": raw.loc,
        "source_lines": raw.sloc,
        "comment_lines": raw.comments + raw.multi,
        "maintainability": round(mi_visit(code, multi=True), 4),
    }


def _flatten(blocks):
    """Blocks as ``radon cc`` lists them: functions, methods and classes, each once."""
    seen = set()
    for block in blocks:
        key = (block.letter, block.fullname, block.lineno, block.col_offset)
        if key not in seen:
            seen.add(key)
            yield block


def main():
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    sys.setrecursionlimit(10_000)
    for name in job["files"]:
        try:
            record = _measure(name)
        except Exception as error:  # the reason is told, the other files go on
            record = {"kind": "unreadable", "path": name, "reason": f"{type(error).__name__}: {error}"}
        print(json.dumps(record))
    print(json.dumps({"kind": "end", "files": len(job["files"])}))


main()
