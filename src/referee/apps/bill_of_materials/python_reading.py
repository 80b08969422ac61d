"""Python packages of an app: from uv.lock and poetry.lock, requirements files and pyproject.toml.

A lock stands for the pyproject.toml beside it. What the other dependency files pin (Pipfile,
Pipfile.lock, setup.cfg) is taken from the reader of the Python tools.

Source:
    PEP 508, 621, 735; pip documentation, "Requirements File Format"; the lock files of uv 1 and Poetry 1.0 to 2.1.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from referee.apps.bill_of_materials.contract import Archive, Bill, Use, get_table, make_printable, read_digest
from referee.apps.bill_of_materials.python_locks import read_poetry_lock, read_uv_lock
from referee.core.sources import SourceSnapshot
from referee.tools.dependencies import find_python_dependencies
from referee.tools.dependencies.model import ManifestUnreadable, read_manifest

__all__ = ["read_python_packages"]

_MAX_LOCK_BYTES: Final = 8_000_000
_MAX_LINE_CHARACTERS: Final = 16_384
"""A requirement with the digests of all wheels of a large package stays below."""
_MAX_KEY_DOTS: Final = 64
"""Dots outside strings on one line of TOML; the reader's work grows with the cube of a key's parts."""
_STRING: Final = re.compile(r"\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+'")
_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_HASH: Final = re.compile(r"\s--hash[=\s](?P<algorithm>[a-z0-9]{1,10}):(?P<digest>[0-9A-Fa-f]{1,200})")
_OPTIONS: Final = re.compile(r"\s--[a-z].*$")
_INCLUDE: Final = re.compile(r"(?:-r|--requirement)[=\s]*(?P<path>\S.*)")
_DEVELOPMENT: Final = re.compile(r"(?:^|[/_.-])(?:dev|develop|development|test|tests|lint|docs)(?:[/_.-]|$)")
_LOCKS: Final = ("uv.lock", "poetry.lock")
_OTHERS: Final = ("Pipfile", "Pipfile.lock", "setup.cfg")
_GROUPS_AS_DEVELOPMENT: Final = ("dev-dependencies",)


def read_python_packages(snapshot: SourceSnapshot, bill: Bill) -> None:
    """Take over what the Python dependency files of an app name."""
    paths = list(dict.fromkeys(find_python_dependencies(snapshot).files))
    locked = {
        posixpath.dirname(path)
        for path in paths
        if posixpath.basename(path) in _LOCKS and _read(snapshot, path, bill, snapshot.by_path)
    }
    others = [path for path in paths if posixpath.basename(path) in _OTHERS]
    locked |= {posixpath.dirname(path) for path in others if path.endswith("Pipfile.lock")}
    for path in paths:
        if posixpath.basename(path) in (*_LOCKS, *_OTHERS):
            continue
        is_manifest = posixpath.basename(path) == "pyproject.toml"
        if is_manifest and posixpath.dirname(path) in locked:
            continue
        _read(snapshot, path, bill, set(paths))
    _read_others(snapshot, others, bill)


def _read_others(snapshot: SourceSnapshot, others: list[str], bill: Bill) -> None:
    """Take over what files pin that are read for the tools alone; ``setup.py`` is code and a gap."""
    files = [snapshot.by_path[path] for path in others] + list(snapshot.files_named("setup.py"))
    found = find_python_dependencies(
        replace(snapshot, files=tuple(sorted(files, key=lambda file: file.path)))
    )
    bill.files += others
    bill.loose_files += others
    for one in found.declarations:
        bill.add("pypi", one.name, one.version, one.path, is_direct=True)
    for hole in found.holes:
        bill.note_gap(hole.name, hole.reason)


def _read(snapshot: SourceSnapshot, path: str, bill: Bill, known: Collection[str]) -> bool:
    """Read one file. Returns whether it could be read."""
    bill.files.append(path)
    name = posixpath.basename(path)
    try:
        text = read_manifest(snapshot, snapshot.by_path[path], limit_bytes=_MAX_LOCK_BYTES)
        if name == "uv.lock":
            read_uv_lock(_load(text), path, bill)
        elif name == "poetry.lock":
            beside = snapshot.by_path.get(posixpath.join(posixpath.dirname(path), "pyproject.toml"))
            read_poetry_lock(
                _load(text), {} if beside is None else _load(read_manifest(snapshot, beside)), path, bill
            )
        else:
            bill.loose_files.append(path)
            if name == "pyproject.toml":
                _read_pyproject(_load(text), path, bill)
            else:
                _read_requirements(text, path, bill, known)
    except ManifestUnreadable as error:
        bill.note_gap(path, str(error))
        return False
    except RecursionError:
        bill.note_gap(path, "nested too deeply")
        return False
    return True


def _load(text: str) -> dict[str, Any]:
    for line in text.splitlines():
        if line.count(".") > _MAX_KEY_DOTS and _STRING.sub("", line).count(".") > _MAX_KEY_DOTS:
            raise ManifestUnreadable("nested too deeply")
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ManifestUnreadable("not TOML") from error


def _read_requirements(text: str, path: str, bill: Bill, known: Collection[str]) -> None:
    use = Use.development if _DEVELOPMENT.search(path.lower().rpartition(".")[0]) else Use.required
    for line in _join_lines(text):
        if len(line) > _MAX_LINE_CHARACTERS:
            bill.note_gap(path, f"a line has more than {_MAX_LINE_CHARACTERS:,} characters")
            continue
        included = _INCLUDE.fullmatch(line)
        if included:
            target = posixpath.normpath(
                posixpath.join(posixpath.dirname(path), included["path"].strip("\"'"))
            )
            if target not in known:
                bill.note_gap(path, "it includes a file that is not in the app")
        elif line.startswith(("-e", "--editable")):
            bill.note_gap(path, "a package is installed in place, it has no released version")
        elif line.startswith(("-c", "--constraint")):
            bill.note_gap(path, "constraints are not applied")
        elif not line.startswith("-"):
            archives = [
                Archive("", *read)
                for one in _HASH.finditer(line)
                if (read := read_digest(one["algorithm"], one["digest"])) is not None
            ]
            _add_requirement(_OPTIONS.sub("", line), path, bill, use, archives)


def _join_lines(text: str) -> Iterator[str]:
    """Yield the lines that say something, continued ones as one and without comments."""
    pending: list[str] = []
    for line in [*re.split(r"\r\n|\r|\n", text), ""]:
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            pending.append(line[:-1])
            continue
        joined = _COMMENT.sub("", " ".join([*pending, line])).strip()
        pending = []
        if joined:
            yield joined


def _add_requirement(
    text: str, path: str, bill: Bill, use: Use, archives: list[Archive] | None = None
) -> None:
    try:
        requirement = Requirement(text.strip())
    except (InvalidRequirement, RecursionError):
        if "://" in text or text.startswith((".", "/", "~")):
            bill.note_gap(path, "a package comes from an address or a path that does not name it")
        else:
            bill.note_gap(path, f"{make_printable(text[:80])!r} is no requirement")
        return
    pins = [
        one.version
        for one in requirement.specifier
        if one.operator in ("==", "===") and not one.version.endswith(".*")
    ]
    version = pins[0] if len(pins) == 1 else None
    bill.add(
        "pypi",
        str(canonicalize_name(requirement.name)),
        version,
        path,
        use=use,
        wanted="" if version else str(requirement.specifier),
        origin=_find_origin(requirement.url),
        archives=archives or (),
        is_direct=True,
    )


def _read_pyproject(document: Mapping[str, Any], path: str, bill: Bill) -> None:
    project = get_table(document, "project")
    groups = [(project.get("dependencies"), Use.required)]
    groups += [(one, Use.optional) for one in get_table(project, "optional-dependencies").values()]
    groups += [(one, Use.development) for one in get_table(document, "dependency-groups").values()]
    for group, use in groups:
        for entry in group if isinstance(group, list) else ():
            if isinstance(entry, str) and len(entry) <= _MAX_LINE_CHARACTERS:
                _add_requirement(entry, path, bill, use)
    poetry = get_table(get_table(document, "tool"), "poetry")
    tables = [(get_table(poetry, "dependencies"), Use.required)]
    tables += [(get_table(poetry, name), Use.development) for name in _GROUPS_AS_DEVELOPMENT]
    tables += [
        (get_table(group, "dependencies"), Use.required if name == "main" else Use.development)
        for name, group in get_table(poetry, "group").items()
    ]
    for table, use in tables:
        for name, wanted in table.items():
            if name.lower() != "python":
                _add_poetry_entry(name, wanted, path, bill, use)


def _add_poetry_entry(name: str, wanted: object, path: str, bill: Bill, use: Use) -> None:
    origin = ""
    if isinstance(wanted, Mapping):
        origin = (
            "git" if "git" in wanted else "address" if "url" in wanted else "path" if "path" in wanted else ""
        )
        use = Use.optional if wanted.get("optional") is True and use is Use.required else use
        wanted = wanted.get("version", "*")
    said = wanted.strip() if isinstance(wanted, str) else "*"
    version = (
        said.removeprefix("==").strip() if re.fullmatch(r"==\s*\d[0-9A-Za-z.!+-]{0,100}", said) else None
    )
    bill.add(
        "pypi",
        str(canonicalize_name(name)),
        version,
        path,
        use=use,
        wanted="" if version or origin else said,
        origin=origin,
        is_direct=True,
    )


def _find_origin(url: str | None) -> str:
    if url is None:
        return ""
    if url.startswith("git+") or url.startswith("git:"):
        return "git"
    return "path" if url.startswith(("file:", ".", "/")) else "address"
