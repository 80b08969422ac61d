"""The Python files of an app as syntax trees, with the names that lead from one to another.

Nothing is imported or run: a file is parsed, and a name is followed through
assignments and imports as far as that can be told from the text.
"""

from __future__ import annotations

import ast
import posixpath
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "MAX_PATH_CHARACTERS",
    "PythonFile",
    "PythonProject",
    "dotted_name",
    "get_argument",
    "join_paths",
    "normalise_parameters",
    "read_python_project",
]

MAX_FOLLOWED: Final = 12
"""Imports and concatenations followed for one name; a cycle ends here."""
MAX_PATH_CHARACTERS: Final = 500

_ANGLE: Final = re.compile(r"<(?:[^<>:]*:)?\s*([A-Za-z_]\w*)\s*>")
_BRACE: Final = re.compile(r"\{([A-Za-z_]\w*)(?::[^{}]*)?\}")


@dataclass(slots=True)
class PythonFile:
    """One parsed file."""

    path: str
    tree: ast.Module
    nodes: tuple[ast.AST, ...]
    """Every node, outer before inner."""
    imports: dict[str, tuple[str, int, str | None]] = field(default_factory=dict)
    """Local name → module, level of a relative import, and the name taken from it."""
    assigned: dict[str, ast.expr] = field(default_factory=dict)
    """Dotted name → the first value it is given, in any scope."""
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)


class PythonProject:
    """All Python files of an app, and how their names hang together."""

    def __init__(self, files: Mapping[str, PythonFile]) -> None:
        self.files = files
        self._named: dict[tuple[str, str], str | None] = {}
        self._constants: defaultdict[str, set[str]] = defaultdict(set)
        for file in files.values():
            for name, value in file.assigned.items():
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    self._constants[name.rpartition(".")[2]].add(value.value)

    def find_module(self, file: PythonFile, module: str, level: int) -> PythonFile | None:
        """Return the file that a module name means in ``file``: nearest folder first."""
        parts = [part for part in module.split(".") if part]
        folder = posixpath.dirname(file.path)
        if level:
            for _ in range(level - 1):
                folder = posixpath.dirname(folder)
            return self._find_below(folder, parts)
        while True:
            found = self._find_below(folder, parts)
            if found is not None or not folder:
                return found
            folder = posixpath.dirname(folder)

    def _find_below(self, folder: str, parts: list[str]) -> PythonFile | None:
        base = posixpath.join(folder, *parts)
        for candidate in (f"{base}.py", posixpath.join(base, "__init__.py")):
            if candidate in self.files:
                return self.files[candidate]
        return None

    def resolve(self, file: PythonFile, name: str) -> tuple[PythonFile, str] | None:
        """Return the file and the dotted name where ``name`` is given its value, None when that is not told."""
        for _ in range(MAX_FOLLOWED):
            if name in file.assigned or name in file.classes or name in file.functions:
                value = file.assigned.get(name)
                alias = dotted_name(value) if value is not None else None
                if alias is None or alias == name:
                    return file, name
                name = alias
                continue
            step = self._follow_import(file, name)
            if step is None:
                return None
            file, name = step
        return None

    def _follow_import(self, file: PythonFile, name: str) -> tuple[PythonFile, str] | None:
        head, _, rest = name.partition(".")
        if head not in file.imports:
            return None
        module, level, taken = file.imports[head]
        if taken is None:
            # ``import a.b`` binds ``a``; what follows may be further modules and then a name in one.
            parts = (
                name.split(".")
                if module.partition(".")[0] == head
                else [*module.split("."), *rest.split(".")]
            )
            for length in range(len(parts) - 1, 0, -1):
                found = self.find_module(file, ".".join(parts[:length]), 0)
                if found is not None:
                    return found, ".".join(parts[length:])
            return None
        as_module = self.find_module(file, f"{module}.{taken}" if module else taken, level)
        holder = self.find_module(file, module, level)
        if rest and as_module is not None:
            return as_module, rest
        if holder is not None and holder is not file:
            return holder, f"{taken}.{rest}" if rest else taken
        return None

    def find_imported_module(self, file: PythonFile, name: str) -> PythonFile | None:
        """Return the file that ``name`` stands for when it is a module."""
        if name not in file.imports:
            return None
        module, level, taken = file.imports[name]
        return self.find_module(file, f"{module}.{taken}" if taken else module, level)

    def read_string(self, file: PythonFile, node: ast.expr | None, *, depth: int = 0) -> str | None:
        """Return the text that an expression is, from literals and names with one value; else None."""
        if node is None or depth > MAX_FOLLOWED:
            return None
        if isinstance(node, ast.Constant):
            return node.value[:MAX_PATH_CHARACTERS] if isinstance(node.value, str) else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            sides = [self.read_string(file, side, depth=depth + 1) for side in (node.left, node.right)]
            return None if None in sides else "".join(map(str, sides))[:MAX_PATH_CHARACTERS]
        if isinstance(node, ast.JoinedStr):
            parts = [
                self.read_string(
                    file, part.value if isinstance(part, ast.FormattedValue) else part, depth=depth + 1
                )
                for part in node.values
            ]
            return None if None in parts else "".join(map(str, parts))[:MAX_PATH_CHARACTERS]
        name = dotted_name(node)
        return None if name is None else self._read_named(file, name, depth)

    def _read_named(self, file: PythonFile, name: str, depth: int) -> str | None:
        """Read each name once: texts made of names made of names would otherwise take for ever."""
        key = (file.path, name)
        if key not in self._named:
            self._named[key] = None  # what a name that leads to itself is worth
            self._named[key] = self._compute_named(file, name, depth)
        return self._named[key]

    def _compute_named(self, file: PythonFile, name: str, depth: int) -> str | None:
        place = self.resolve(file, name)
        if place is not None and place[1] in place[0].assigned:
            found = self.read_string(place[0], place[0].assigned[place[1]], depth=depth + 1)
            if found is not None:
                return found
        values = self._constants.get(name.rpartition(".")[2], set())
        return next(iter(values)) if "." in name and len(values) == 1 else None


def read_python_project(texts: Mapping[str, str]) -> PythonProject:
    """Parse files by path; those with syntax errors are left out."""
    files: dict[str, PythonFile] = {}
    for path, text in texts.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        files[path] = _index(path, tree)
    return PythonProject(files)


def _index(path: str, tree: ast.Module) -> PythonFile:
    file = PythonFile(path, tree, tuple(ast.walk(tree)))
    for node in file.nodes:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                file.imports.setdefault(
                    alias.asname or alias.name, (node.module or "", node.level, alias.name)
                )
        elif isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                file.imports.setdefault(bound, (alias.name, 0, None))
        elif isinstance(node, ast.ClassDef):
            file.classes.setdefault(node.name, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            file.functions.setdefault(node.name, node)
        else:
            for name, value in _assignments(node):
                file.assigned.setdefault(name, value)
    return file


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            name = dotted_name(target)
            if name is not None:
                yield name, node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        name = dotted_name(node.target)
        if name is not None:
            yield name, node.value


def dotted_name(node: ast.AST | None) -> str | None:
    """Return ``a.b.c`` for a name or attributes of one, else None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < MAX_FOLLOWED:
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def get_argument(call: ast.Call, position: int | None, *names: str) -> ast.expr | None:
    """Return an argument of a call by position or by one of its names; None when it is not given."""
    if position is not None and position < len(call.args):
        value = call.args[position]
        return None if isinstance(value, ast.Starred) else value
    return next((keyword.value for keyword in call.keywords if keyword.arg in names), None)


def normalise_parameters(path: str) -> str:
    """Return a path with ``<int:id>`` and ``{id}`` written ``:id``."""
    return _BRACE.sub(r":\1", _ANGLE.sub(r":\1", path))


def join_paths(prefix: str, path: str) -> str:
    """Return a prefix and a path as one path that begins with a slash and has no double one."""
    joined = f"{prefix.rstrip('/')}/{path.lstrip('/')}" if path else prefix
    return re.sub(r"/{2,}", "/", f"/{joined.lstrip('/')}")[:MAX_PATH_CHARACTERS]
