"""The lock files of uv and Poetry: exact versions, their archives' digests and who needs whom.

What a package is for follows from how it is reached from the app: from its own dependencies, from
an extra, or from a group for development.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from packaging.utils import canonicalize_name

from referee.apps.bill_of_materials.contract import Archive, Bill, PackageKey, Use, get_table, read_digest
from referee.tools.dependencies.model import ManifestUnreadable

__all__ = ["read_poetry_lock", "read_uv_lock"]

_NAME: Final = re.compile(r"[^/?#]{1,200}")
_MAIN_GROUPS: Final = ("main", "default")

_MAX_VERSIONS_COUNT: Final = 50
"""Of one package in one lock: more than one is for markers that exclude one another."""

_Roots = list[tuple[PackageKey, Use]]


def read_uv_lock(document: Mapping[str, Any], path: str, bill: Bill) -> None:
    """Take over the packages of a uv.lock; the app itself and its workspaces are among its entries."""
    entries = _list_entries(document)
    keys: dict[int, PackageKey] = {}
    for number, entry in enumerate(entries):
        source = get_table(entry, "source")
        if not _is_of_the_app(source):
            key = bill.add(
                "pypi",
                _read_name(entry),
                entry.get("version"),
                path,
                use=Use.development,
                origin=_find_uv_origin(source),
                archives=_read_uv_archives(entry),
            )
            if key is not None:
                keys[number] = key
    index = _index(keys)
    roots: _Roots = []
    for number, entry in enumerate(entries):
        own = keys.get(number)
        if own is not None:
            needs = [entry.get("dependencies"), *get_table(entry, "optional-dependencies").values()]
            for needed in _find_all(needs, index):
                bill.link(own, needed, path)
        elif _is_of_the_app(get_table(entry, "source")):
            groups = [(entry.get("dependencies"), Use.required)]
            groups += [(one, Use.optional) for one in get_table(entry, "optional-dependencies").values()]
            groups += [(one, Use.development) for one in get_table(entry, "dev-dependencies").values()]
            roots += [(needed, use) for group, use in groups for needed in _find_all([group], index)]
    _spread(bill, keys.values(), roots, path)


def read_poetry_lock(document: Mapping[str, Any], manifest: Mapping[str, Any], path: str, bill: Bill) -> None:
    """Take over the packages of a poetry.lock; which of them the app asks for says the manifest beside it."""
    entries = _list_entries(document)
    old_files = get_table(get_table(document, "metadata"), "files")
    keys: dict[int, PackageKey] = {}
    for number, entry in enumerate(entries):
        name = _read_name(entry)
        kind = get_table(entry, "source").get("type")
        files = entry.get("files") or old_files.get(str(entry.get("name")))
        key = bill.add(
            "pypi",
            name,
            entry.get("version"),
            path,
            use=_find_poetry_use(entry),
            origin={"git": "git", "url": "address", "file": "path", "directory": "path"}.get(str(kind), ""),
            archives=_read_files(files, "file"),
        )
        if key is not None:
            keys[number] = key
    index = _index(keys)
    for number, key in keys.items():
        needs = [{"name": name} for name in get_table(entries[number], "dependencies")]
        for needed in _find_all([needs], index):
            bill.link(key, needed, path)
    # Poetry 1.5 to 1.8 do not say what a package is for: it follows from how it is reached.
    _spread(bill, keys.values(), _list_poetry_roots(manifest, index), path)


def _list_poetry_roots(manifest: Mapping[str, Any], index: Mapping[str, list[PackageKey]]) -> _Roots:
    poetry = get_table(get_table(manifest, "tool"), "poetry")
    named: list[tuple[str, Use]] = [(name, Use.required) for name in get_table(poetry, "dependencies")]
    named += [(name, Use.development) for name in get_table(poetry, "dev-dependencies")]
    for group, value in get_table(poetry, "group").items():
        use = Use.required if group in _MAIN_GROUPS else Use.development
        named += [(name, use) for name in get_table(value, "dependencies")]
    project = get_table(manifest, "project")
    listed = [(project.get("dependencies"), Use.required)]
    listed += [(one, Use.optional) for one in get_table(project, "optional-dependencies").values()]
    listed += [(one, Use.development) for one in get_table(manifest, "dependency-groups").values()]
    for entries, use in listed:
        for entry in entries if isinstance(entries, list) else ():
            match = (
                re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,199})", entry) if isinstance(entry, str) else None
            )
            named += [(match[1], use)] if match else []
    return [(key, use) for name, use in named for key in index.get(str(canonicalize_name(name)), ())]


def _find_poetry_use(entry: Mapping[str, Any]) -> Use:
    groups = entry.get("groups")
    if isinstance(groups, list):
        is_main = any(group in _MAIN_GROUPS for group in groups)
    elif "category" in entry:
        is_main = entry["category"] == "main"
    else:
        return Use.development
    if not is_main:
        return Use.development
    return Use.optional if entry.get("optional") is True else Use.required


def _spread(bill: Bill, keys: Iterable[PackageKey], roots: _Roots, path: str) -> None:
    """Give every package the greatest use that it is reached by; all are required where nothing says more."""
    if not roots:
        bill.note_gap(path, "which of its packages the app itself asks for is not known")
        roots = [(key, Use.required) for key in keys]
    else:
        bill.direct |= {key for key, _ in roots}
    for use in (Use.required, Use.optional):
        waiting = [key for key, root_use in roots if root_use is use]
        seen: set[PackageKey] = set()
        while waiting:
            key = waiting.pop()
            if key in seen or key not in bill.packages:
                continue
            seen.add(key)
            package = bill.packages[key]
            package.use = max(package.use, use)
            waiting.extend(package.needs)


def _list_entries(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    packages = document.get("package", [])
    if not isinstance(packages, list):
        raise ManifestUnreadable("its packages are no list")
    return [entry for entry in packages if isinstance(entry, Mapping)]


def _read_name(entry: Mapping[str, Any]) -> object:
    name = entry.get("name")
    return str(canonicalize_name(name)) if isinstance(name, str) and len(name) <= 200 else name


def _index(keys: Mapping[int, PackageKey]) -> dict[str, list[PackageKey]]:
    index: dict[str, list[PackageKey]] = {}
    for key in keys.values():
        versions = index.setdefault(key[1], [])
        if len(versions) < _MAX_VERSIONS_COUNT:
            versions.append(key)
    return index


def _find_all(groups: Iterable[object], index: Mapping[str, list[PackageKey]]) -> list[PackageKey]:
    """Return the packages that lists of needs mean; one that names no version means every one that is locked."""
    found = []
    for group in groups:
        for entry in group if isinstance(group, list) else ():
            if not isinstance(entry, Mapping):
                continue
            named = index.get(str(_read_name(entry)), [])
            version = entry.get("version")
            exact = [key for key in named if key[2] == version]
            found += exact or named
    return found


def _is_of_the_app(source: Mapping[str, Any]) -> bool:
    return "virtual" in source or source.get("editable") is not None


def _find_uv_origin(source: Mapping[str, Any]) -> str:
    if "git" in source:
        return "git"
    if "path" in source or "directory" in source:
        return "path"
    return "address" if "url" in source else ""


def _read_uv_archives(entry: Mapping[str, Any]) -> list[Archive]:
    wheels = entry.get("wheels")
    files = [entry.get("sdist"), *(wheels if isinstance(wheels, list) else ())]
    return _read_files(files, "url")


def _read_files(files: object, name_key: str) -> list[Archive]:
    """Return the digests of files; of an address only the file's name is kept."""
    found = []
    for file in files if isinstance(files, list) else ():
        if not isinstance(file, Mapping):
            continue
        algorithm, _, digest = str(file.get("hash", ""))[:200].partition(":")
        read = read_digest(algorithm, digest)
        if read is not None:
            named = _NAME.fullmatch(str(file.get(name_key, "")).rsplit("/", 1)[-1])
            found.append(Archive(named[0] if named and named[0].isprintable() else "", *read))
    return found
