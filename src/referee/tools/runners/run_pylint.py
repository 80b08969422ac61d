"""Run pylint with the arguments on stdin, and write down what its messages mean.

Reads one JSON object: ``arguments`` (as on pylint's command line), ``files``, ``jobs``
and ``rules_file``. The list of files may be longer than a command line can be. pylint
itself writes its report; ``rules_file`` gets number and description by name.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path

from pylint.lint import Run


def _has_semaphores():
    """Several processes need shared memory, which not every sandbox grants."""
    try:
        multiprocessing.Lock()
    except OSError:
        return False
    return True


def main():
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    jobs = min(job["jobs"], len(job["files"])) if _has_semaphores() else 1
    run = Run([*job["arguments"], f"--jobs={jobs}", "--", *job["files"]], exit=False)
    rules = {
        message.symbol: [message.msgid, " ".join(message.description.split())]
        for message in run.linter.msgs_store.messages
    }
    Path(job["rules_file"]).write_text(json.dumps(rules, sort_keys=True), encoding="utf-8")
    sys.exit(run.linter.msg_status)


if __name__ == "__main__":
    main()
