"""Run pylint with the arguments on stdin, and write down what its messages mean.

Reads one JSON object: ``arguments`` (as on pylint's command line), ``files``, ``jobs``
and ``rules_file``. The list of files may be longer than a command line can be. pylint
itself writes its report; ``rules_file`` gets number and description by name.

While it works, pylint puts the folders of the analysed project first on ``sys.path``, so a
late import of its own would run a file of the project that has the same name. Therefore
imports here look only where they looked at the start; pylint finds the project's modules
without importing them.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from importlib.metadata import DistributionFinder
from pathlib import Path

from pylint.lint import Run

_OWN_PATHS = list(sys.path)


class _OwnModulesOnly(MetaPathFinder):
    """Finds modules as Python does, on the paths of the start."""

    def find_spec(self, fullname, path, target=None):
        return PathFinder.find_spec(fullname, _OWN_PATHS if path is None else path, target)

    def find_distributions(self, context):
        return PathFinder.find_distributions(DistributionFinder.Context(name=context.name, path=_OWN_PATHS))


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
    sys.meta_path[:] = [_OwnModulesOnly() if finder is PathFinder else finder for finder in sys.meta_path]
    multiprocessing.set_start_method("fork")  # any other would start Python anew, with the project's folders
    jobs = min(job["jobs"], len(job["files"])) if _has_semaphores() else 1
    try:
        run = Run([*job["arguments"], f"--jobs={jobs}", *job["files"]], exit=False)
    except Exception:  # one process at work reports a crash as a message about one file, several stop
        if jobs == 1:
            raise
        run = Run([*job["arguments"], "--jobs=1", *job["files"]], exit=False)
    rules = {
        message.symbol: [message.msgid, " ".join(message.description.split())]
        for message in run.linter.msgs_store.messages
    }
    Path(job["rules_file"]).write_text(json.dumps(rules, sort_keys=True), encoding="utf-8")
    sys.exit(run.linter.msg_status)


if __name__ == "__main__":
    main()
