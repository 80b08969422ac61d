"""Run vulture over the files named on stdin and print what it finds as JSON lines.

Reads one JSON object: ``files``, ``min_confidence``, ``ignore_names``,
``ignore_decorators``. Prints one object per unused item or unreadable file and a
last one ``{"kind": "end"}``. vulture's own command line has no machine format and
reads the configuration of the analysed project; its API does neither.
"""

# mypy: ignore-errors
# The packages it imports are in the tool's environment, not in ours.

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections import defaultdict
from pathlib import Path

import vulture.core
from vulture.utils import ExitCode

_NOQA = re.compile(rb"#\s*noqa", re.IGNORECASE)


class _Recorder(vulture.core.Vulture):
    """vulture that remembers which files it could not read."""

    def __init__(self, **options):
        super().__init__(**options)
        self.unreadable = {}

    def scan(self, code, filename=""):
        self.exit_code = ExitCode.NoDeadCode
        super().scan(code, filename)
        if self.exit_code == ExitCode.InvalidInput:
            self.unreadable[os.path.relpath(filename)] = "it has a syntax error"


def _find_items(job, files):
    recorder = _Recorder(ignore_names=job["ignore_names"], ignore_decorators=job["ignore_decorators"])
    with contextlib.redirect_stdout(sys.stderr):
        recorder.scavenge(files)
    items = recorder.get_unused_code(min_confidence=job["min_confidence"])
    return recorder, [_describe(item) for item in items]


def _describe(item):
    return {
        "kind": "item",
        "path": os.path.relpath(item.filename),
        "type": item.typ,
        "name": item.name,
        "line": item.first_lineno,
        "last_line": item.last_lineno,
        "confidence": item.confidence,
        "message": item.message,
    }


def _readable(files):
    """Leave out files that cannot be decoded: vulture would stop at the first."""
    good, bad = [], {}
    for name in files:
        try:
            vulture.core.utils.read_file(name)
        except Exception as error:  # the reason is told, the other files go on
            bad[name] = str(error) or type(error).__name__
        else:
            good.append(name)
    return good, bad


def main():
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    files, unreadable = _readable(job["files"])
    recorder, items = _find_items(job, files)
    suppressed = []
    if any(_NOQA.search(Path(name).read_bytes()) for name in files):
        vulture.core.noqa.parse_noqa = lambda code: defaultdict(set)
        _, everything = _find_items(job, files)
        suppressed = [{**item, "suppressed": True} for item in everything if item not in items]
    unreadable.update(recorder.unreadable)
    for name in sorted(unreadable):
        print(json.dumps({"kind": "unreadable", "path": name, "reason": unreadable[name]}))
    for item in sorted(
        items + suppressed, key=lambda item: (item["path"], item["line"], item["type"], item["name"])
    ):
        print(json.dumps(item))
    print(json.dumps({"kind": "end", "files": len(job["files"])}))


main()
