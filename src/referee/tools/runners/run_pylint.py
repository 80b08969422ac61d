"""Run pylint with the arguments on stdin, and write down what its messages mean.

Reads one JSON object: ``arguments`` (as on pylint's command line), ``files``, ``jobs``,
``cross_file_messages`` and where to write. The list of files may be longer than a command
line can be. pylint itself writes ``report_file``, with several jobs ``cross_file_report_file``
too; ``rules_file`` gets number and description of messages by name, last of all.

While it works, pylint puts the folders of the analysed project first on ``sys.path``, so a
late import of its own would run a file of the project that has the same name. Therefore
imports here look only where they looked at the start; pylint finds the project's modules
without importing them.
"""

# mypy: ignore-errors
# The packages it imports are in the tool's environment, not in ours.

from __future__ import annotations

import json
import multiprocessing
import subprocess
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


def _check(job, jobs):
    """Return pylint's exit code and one of its linters."""
    whole = [*job["arguments"], f"--output-format=json2:{job['report_file']}"]
    if jobs > 1:
        try:
            return _check_in_parallel(job, jobs, whole)
        except Exception:  # one process at work reports a crash as a message about one file, several stop
            Path(job["cross_file_report_file"]).unlink(missing_ok=True)
    run = Run([*whole, "--jobs=1", *job["files"]], exit=False)
    return run.linter.msg_status, run.linter


def _check_in_parallel(job, jobs, whole):
    """Compare files with one another in one process: in several, the result depends on which gets which file."""
    messages = ",".join(job["cross_file_messages"])
    if not messages:
        run = Run([*whole, f"--jobs={jobs}", *job["files"]], exit=False)
        return run.linter.msg_status, run.linter
    only = [*job["arguments"], "--disable=all", f"--enable={messages},suppressed-message"]
    again = {**job, "jobs": 1, "arguments": only, "report_file": job["cross_file_report_file"]}
    # A process of its own: pylint keeps state, open reports among it, from one run to the next.
    second = subprocess.run([sys.executable, __file__], input=json.dumps(again), text=True, check=False)
    run = Run([*whole, f"--jobs={jobs}", f"--disable={messages}", *job["files"]], exit=False)
    return run.linter.msg_status | second.returncode, run.linter


def main():
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    sys.meta_path[:] = [_OwnModulesOnly() if finder is PathFinder else finder for finder in sys.meta_path]
    multiprocessing.set_start_method("fork")  # any other would start Python anew, with the project's folders
    jobs = min(job["jobs"], len(job["files"])) if _has_semaphores() else 1
    status, linter = _check(job, jobs)
    rules = {
        message.symbol: [message.msgid, " ".join(message.description.split())]
        for message in linter.msgs_store.messages
    }
    Path(job["rules_file"]).write_text(json.dumps(rules, sort_keys=True), encoding="utf-8")
    sys.exit(status)


if __name__ == "__main__":
    main()
