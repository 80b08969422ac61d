"""How the Python files of a subject are laid out as modules.

A type checker needs a module name for each file, and no two files may have the
same. Apps are rarely one package: ``backend/app.py`` and ``worker/app.py`` are both
``app`` to their own code. So files are put into groups, each with a folder that its
imports start from, and every file is in exactly one group.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

__all__ = ["ModuleGroup", "group_modules"]

_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*+)[\w.]*+[ \t]+import\b|import[ \t]+([A-Za-z_][\w., \t]*))", re.M
)
MAX_GROUPS = 24
"""Groups checked one by one; what lies beyond shares groups, so that a folder of 500 small
scripts does not start the checker 500 times."""
MAX_SHARED_TRIED = 50
"""Shared runs that a further group is offered to: keeps the time for hostile layouts linear."""


@dataclass(slots=True)
class ModuleGroup:
    """Files that are checked together."""

    bases: list[str]
    """Folders that imports start from; "" is the subject's root."""
    paths: dict[str, str] = field(default_factory=dict)
    """Path by module name."""


def group_modules(paths: Sequence[str], read: Callable[[str], bytes]) -> list[ModuleGroup]:
    """Put every file into exactly one group with a module name of its own.

    Args:
        paths: Python files, relative to the subject's root.
        read: Gives the content of one; only looked through for imports.
    """
    folders = _Folders(paths, read)
    groups: list[ModuleGroup] = []
    by_base: defaultdict[str, list[ModuleGroup]] = defaultdict(list)
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for path in sorted(paths):
        base = folders.base_of(path)
        module = _module_of(path, base)
        index = counts[base, module]  # files of one name are in as many groups, from the first on
        counts[base, module] += 1
        if index == len(by_base[base]):
            by_base[base].append(ModuleGroup([base]))
            groups.append(by_base[base][-1])
        by_base[base][index].paths[module] = path
    return _merge_small(groups)


class _Folders:
    """Decides for each folder where its imports start."""

    def __init__(self, paths: Sequence[str], read: Callable[[str], bytes]) -> None:
        self._read = read
        self._files: defaultdict[str, list[str]] = defaultdict(list)
        for path in paths:
            self._files[_parent(path)].append(path)
        self._packages = {
            folder for folder, files in self._files.items() if any(_is_init(path) for path in files)
        }
        self._sorted_packages = sorted(self._packages)
        self._names = {folder: {_stem(path) for path in files} for folder, files in self._files.items()}
        for folder in self._packages:
            self._names.setdefault(_parent(folder), set()).add(_stem(folder))
        self._bases: dict[str, str] = {}
        self._imports: dict[str, set[str]] = {}

    def base_of(self, path: str) -> str:
        folder = _parent(path)
        if folder not in self._bases:
            self._bases[folder] = self._find_base(folder)
        return self._bases[folder]

    def _find_base(self, folder: str) -> str:
        base = folder
        while base in self._packages:
            base = _parent(base)
        outer = self._nearest_outer(base)
        if outer is None or self._imports_own_names(base, outer):
            return base
        outer_base = self.base_of(f"{outer}/x.py" if outer else "x.py")
        # Without a sign of its own, a folder of modules is a namespace package of the one around it.
        inner = base[len(outer_base) :].strip("/").split("/")
        return outer_base if all(part.isidentifier() for part in inner) else base

    def _nearest_outer(self, base: str) -> str | None:
        folder = base
        while folder:
            folder = _parent(folder)
            if folder in self._files:
                return folder
        return None

    def _imports_own_names(self, base: str, outer: str) -> bool:
        """Whether a file of ``base`` imports a module that lies beside it and not in ``outer``."""
        own = self._names.get(base, set()) - self._names.get(outer, set())
        wanted: set[str] = set()
        for folder in (base, *self._packages_below(base)):
            for path in self._files[folder]:
                wanted |= self._imports_of(path)
        return bool(own & wanted)

    def _packages_below(self, folder: str) -> Sequence[str]:
        first = bisect_left(self._sorted_packages, f"{folder}/")
        return self._sorted_packages[
            first : bisect_left(self._sorted_packages, f"{folder}0")
        ]  # "0" follows "/"

    def _imports_of(self, path: str) -> set[str]:
        if path not in self._imports:
            self._imports[path] = _imported_names(self._read(path))
        return self._imports[path]


def _imported_names(content: bytes) -> set[str]:
    names: set[str] = set()
    for source, listed in _IMPORT.findall(content):
        if source:
            names.add(source.decode("ascii"))
        for part in listed.split(b","):
            names.add(part.strip().split(b" ")[0].split(b".")[0].decode("ascii", errors="ignore"))
    return names


def _merge_small(groups: list[ModuleGroup]) -> list[ModuleGroup]:
    """Let the smallest groups share one another's run when there are too many."""
    ordered = sorted(groups, key=lambda group: (-len(group.paths), group.bases))
    kept, rest = ordered[:MAX_GROUPS], ordered[MAX_GROUPS:]
    shared: list[_SharedRun] = []
    for group in rest:
        target = next((one for one in shared[:MAX_SHARED_TRIED] if one.can_take(group)), None)
        if target is None:
            target = _SharedRun(ModuleGroup([]))
            shared.append(target)
        target.take(group)
    return sorted([*kept, *(one.group for one in shared)], key=lambda group: group.bases)


@dataclass(slots=True)
class _SharedRun:
    """Small groups that share one run: no base lies in another, and no name is there twice."""

    group: ModuleGroup
    _bases: set[str] = field(default_factory=set)
    _outer: set[str] = field(default_factory=set)
    """Every folder around a base."""
    _names: set[str] = field(default_factory=set)

    def can_take(self, group: ModuleGroup) -> bool:
        is_nested = any(
            base in self._bases or base in self._outer or not self._bases.isdisjoint(_folders_around(base))
            for base in group.bases
        )
        return not is_nested and self._names.isdisjoint(_top_names(group.paths))

    def take(self, group: ModuleGroup) -> None:
        self.group.bases += group.bases
        self.group.paths |= group.paths
        self._bases.update(group.bases)
        self._names |= _top_names(group.paths)
        for base in group.bases:
            self._outer |= _folders_around(base)


def _folders_around(folder: str) -> set[str]:
    around = set()
    while folder:
        folder = _parent(folder)
        around.add(folder)
    return around


def _top_names(modules: Iterable[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def _module_of(path: str, base: str) -> str:
    parts = list(PurePosixPath(path[len(base) :].lstrip("/")).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(re.sub(r"\W", "_", part) for part in parts)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _is_init(path: str) -> bool:
    return path.rpartition("/")[2] in ("__init__.py", "__init__.pyi")
