"""Run mypy over groups of files and print its messages as JSON lines.

Reads one JSON object: ``arguments`` (as on mypy's command line), ``work_dir`` and
``groups``, each with ``bases`` (folders that imports start from) and ``paths`` (file by
module name), all below the working folder. Prints mypy's own JSON messages, with paths
from the working folder, records about files that could not be checked, and a last
``{"kind": "end"}``.

mypy stops a whole run at the first file it cannot read, so such files are taken
out and the run is repeated. One process keeps mypy's stubs loaded for all groups.
"""

# mypy: ignore-errors
# The packages it imports are in the tool's environment, not in ours.

from __future__ import annotations

import ast
import io
import json
import os
import sys
from pathlib import Path

from mypy import build
from mypy.errors import CompileError
from mypy.fscache import FileSystemCache
from mypy.main import process_options
from mypy.modulefinder import BuildSource

MAX_ATTEMPTS = 25


class _Group:
    def __init__(self, job, number, group, root):
        self._job, self._number, self._root = job, number, root
        self._bases = [f"{root}/{base}" if base else root for base in group["bases"]]
        self._paths = [base for base in self._bases if not _has_foundations(base)]
        self._modules = {_free_name(module): f"{root}/{path}" for module, path in group["paths"].items()}
        self._left_out, self._names_left_out = {}, set()
        self.messages = []
        self.suppressed = []

    def check(self):
        for _ in range(MAX_ATTEMPTS):
            if not self._modules or self._try_once():
                return
        self._leave_out(
            dict.fromkeys(self._modules, "mypy stopped at other files of this group again and again")
        )

    def unreadable(self):
        return {self._short(path): reason for path, reason in self._left_out.items()}

    def _try_once(self):
        """Check the group; False when files had to be taken out and another try makes sense."""
        sources, options = self._make_options()
        lines, errors = [], io.StringIO()
        try:
            result = build.build(
                sources,
                options,
                None,
                lambda name, new, is_serious: lines.extend(new),
                FileSystemCache(),
                errors,
                errors,
            )
        except CompileError as error:
            self._explain(lines or error.messages)
            return False
        except (SystemExit, Exception) as error:  # a crash of mypy on this group is told, the others go on
            self._leave_out(dict.fromkeys(self._modules, f"mypy crashed: {type(error).__name__}: {error}"))
            return True
        result.manager.metastore.close()
        self.messages += [self._read(line) for line in lines]
        self._note_suppressed(result.manager.errors.used_ignored_lines)
        return True

    def _make_options(self):
        config = Path(self._job["work_dir"]) / f"mypy-{self._number}.ini"
        # Taken out files stay out when another file imports them.
        skipped = "".join(
            f"[mypy-{module}]\nfollow_imports = skip\n" for module in sorted(self._names_left_out)
        )
        config.write_text(f"[mypy]\n{skipped}", encoding="utf-8")
        arguments = [*self._job["arguments"], f"--config-file={config}", "-c", "pass"]
        _, options = process_options(arguments, stdout=sys.stderr, stderr=sys.stderr)
        options.mypy_path = list(self._paths)
        options.export_types = False
        return [BuildSource(path, module) for module, path in sorted(self._modules.items())], options

    def _explain(self, lines):
        """Take out the files that made mypy stop: those it names, or those Python cannot parse either."""
        messages = [self._read(line) for line in lines]
        named = {}
        for message in messages:
            path = f"{self._root}/{message.get('file', '')}"
            if path in self._modules.values() and message.get("severity") == "error":
                named.setdefault(path, message.get("message", ""))
                if message.get("code") == "syntax":
                    self.messages.append(message)
        if not named:
            named = _find_broken(self._modules.values())
        if not named:
            reason = messages[0].get("message", "") if messages else "mypy stopped without a word"
            named = dict.fromkeys(self._modules.values(), f"mypy stopped: {reason}")
        self._leave_out({module: named[path] for module, path in self._modules.items() if path in named})

    def _leave_out(self, reasons):
        for module, reason in reasons.items():
            self._left_out[self._modules.pop(module)] = reason
        self._names_left_out |= set(reasons)

    def _note_suppressed(self, used):
        for path, lines in used.items():
            name = self._short(path)
            for line, codes in lines.items():
                self.suppressed += [
                    {"kind": "suppressed", "file": name, "line": line, "code": code} for code in sorted(codes)
                ]

    def _read(self, line):
        try:
            message = json.loads(line)
        except ValueError:
            message = {"file": "", "line": 0, "column": 0, "message": line, "code": None, "severity": "error"}
        return {**message, "file": self._short(message.get("file", ""))}

    def _short(self, path):
        return os.path.relpath(path, self._root) if path else ""


def _free_name(module):
    """Mypy accepts no module of the project by the name of one of its own foundations, such as ``types``."""
    first, dot, rest = module.partition(".")
    return f"{first}_of_subject{dot}{rest}" if first in build.CORE_BUILTIN_MODULES else module


def _has_foundations(base):
    """Whether a folder has a module that mypy would take for one of its foundations, and then stop.

    Without such a folder on its path mypy still knows the modules of the group, since each is named to it.
    """
    names = {path.name.partition(".")[0] for path in Path(base).iterdir()}
    return not names.isdisjoint(build.CORE_BUILTIN_MODULES)


def _find_broken(paths):
    broken = {}
    for path in paths:
        try:
            ast.parse(Path(path).read_bytes())
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            broken[path] = f"{type(error).__name__}: {error}"
    return broken


def main():
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    root = str(Path.cwd())
    sys.setrecursionlimit(2**14)
    # mypy looks for imports in the working folder first; an empty one keeps groups apart.
    empty = Path(job["work_dir"]) / "empty"
    empty.mkdir(exist_ok=True)
    os.chdir(empty)
    seen = set()
    for number, group in enumerate(job["groups"]):
        one = _Group(job, number, group, root)
        one.check()
        for record in [*one.messages, *one.suppressed]:
            text = json.dumps(record, sort_keys=True)
            if text not in seen:  # an import may lead into a file of another group
                seen.add(text)
                print(text)
        for path, reason in sorted(one.unreadable().items()):
            print(json.dumps({"kind": "unreadable", "path": path, "reason": reason}))
        sys.stdout.flush()
    print(json.dumps({"kind": "end", "groups": len(job["groups"])}))


main()
