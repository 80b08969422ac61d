"""Dependencies of Python code: requirements files, pyproject.toml, Pipfile, setup.cfg and lock files.

A lock file stands for the manifest beside it: its versions are exact, so the
manifest's ranges are then no holes. ``setup.py`` is code; it is never run.

Environment markers are ignored: which machine the app will run on is not
known, so a version that is needed anywhere is judged.
"""

from __future__ import annotations

import configparser
import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from packaging.utils import canonicalize_name

from referee.core.sources import SourceFile, SourceSnapshot
from referee.tools.dependencies.model import (
    MAX_MANIFEST_BYTES,
    Dependencies,
    ManifestUnreadable,
    read_manifest,
)
from referee.tools.dependencies.requirements import add_requirement, read_requirement_lines

__all__ = ["PYTHON_FILES", "find_python_dependencies"]

PYTHON_FILES = "requirements*.txt, pyproject.toml, Pipfile, setup.cfg, Pipfile.lock, poetry.lock, uv.lock"
"""What is looked for, for people."""

MAX_LOCK_BYTES = 8_000_000
_REQUIREMENTS = re.compile(
    r"(?:.*/)?(?:[^/]*requirements[^/]*\.(?:txt|in)|requirements/[^/]+\.(?:txt|in))", re.IGNORECASE
)
_POETRY_EXACT = re.compile(r"(?:==?)?\s*(\d[0-9A-Za-z.!+-]*)")
_QUOTED = re.compile(r"\"([^\"\\]*)\"|'([^']*)'")
_KEY = re.compile(r"\s*[\"']?([A-Za-z0-9._-]+)[\"']?\s*=")
_SPACES_INSIDE = re.compile(r"(?<=\S)[^\S\r\n]{2,}")
_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+'")
MAX_KEY_DOTS = 64
"""Dots outside strings on one line of TOML; the reader's work grows with the cube of a key's parts."""
_PACKAGE_NAME = re.compile(r"name\s*=\s*\"([^\"]+)\"\s*")

_ReadText = Callable[[str, str, Dependencies], None]


def find_python_dependencies(snapshot: SourceSnapshot) -> Dependencies:
    """Return what the Python dependency files of an app declare."""
    found = Dependencies()
    _read_requirements(snapshot, found)
    locked = _read_locks(snapshot, found)
    for file in snapshot.files_named("pyproject.toml"):
        is_locked = posixpath.dirname(file.path) in locked
        _read(snapshot, file, found, partial(_read_pyproject, is_locked=is_locked))
    for file in snapshot.files_named("Pipfile"):
        if posixpath.dirname(file.path) not in locked:
            _read(snapshot, file, found, _read_pipfile)
    for file in snapshot.files_named("setup.cfg"):
        _read(snapshot, file, found, _read_setup_cfg)
    for file in snapshot.files_named("setup.py"):
        found.skip(file.path, "skipped: setup.py is code and is not run")
    return found


def _read_requirements(snapshot: SourceSnapshot, found: Dependencies) -> None:
    waiting = [file for file in snapshot.files if _REQUIREMENTS.fullmatch(file.path)]
    # requirements.in is what requirements.txt is compiled from; the compiled one says what is installed.
    compiled = {file.path[:-4] for file in waiting if file.path.endswith(".txt")}
    waiting = [file for file in waiting if file.path.endswith(".txt") or file.path[:-3] not in compiled]
    known = {file.path for file in waiting}

    def include(path: str, line: int) -> None:
        file = snapshot.by_path.get(path)
        if file is None:
            found.fail(f"-r {path}", "not in the app")
        elif path not in known:
            known.add(path)
            waiting.append(file)

    def read(text: str, path: str, found: Dependencies) -> None:
        read_requirement_lines(text, path, found, include)

    for file in waiting:  # grows while files include others, each at most once
        _read(snapshot, file, found, read)


def _read_locks(snapshot: SourceSnapshot, found: Dependencies) -> set[str]:
    """Read lock files; return the folders whose manifests they stand for."""
    folders: set[str] = set()
    for file in snapshot.files_named("uv.lock", "poetry.lock", "Pipfile.lock"):
        before = found.unreadable_count
        reader = _read_pipfile_lock if file.path.endswith("Pipfile.lock") else _read_toml_lock
        _read(snapshot, file, found, reader, limit_bytes=MAX_LOCK_BYTES)
        if found.unreadable_count == before:
            folders.add(posixpath.dirname(file.path))
    return folders


def _read(
    snapshot: SourceSnapshot,
    file: SourceFile,
    found: Dependencies,
    read: _ReadText,
    *,
    limit_bytes: int = MAX_MANIFEST_BYTES,
) -> None:
    found.files.append(file.path)
    try:
        read(read_manifest(snapshot, file, limit_bytes=limit_bytes), file.path, found)
    except ManifestUnreadable as error:
        found.fail(file.path, str(error))
    except RecursionError:
        found.fail(file.path, "nested too deeply")


def _load_toml(text: str) -> dict[str, Any]:
    for line in text.splitlines():
        if line.count(".") > MAX_KEY_DOTS and _STRING.sub("", line).count(".") > MAX_KEY_DOTS:
            raise ManifestUnreadable("nested too deeply")
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ManifestUnreadable("not TOML") from error


def _read_pyproject(text: str, path: str, found: Dependencies, *, is_locked: bool) -> None:
    document = _load_toml(text)
    if is_locked:
        return
    lines = _lines_of_strings(text)
    project = _table(document, "project")
    groups = [project.get("dependencies")]
    groups.extend(_table(project, "optional-dependencies").values())
    groups.extend(_table(document, "dependency-groups").values())
    for group in groups:
        for entry in group if isinstance(group, list) else []:
            if isinstance(entry, str):
                add_requirement(entry, path, lines.get(entry), found)
    poetry = _table(_table(document, "tool"), "poetry")
    tables = [_table(poetry, "dependencies"), _table(poetry, "dev-dependencies")]
    tables.extend(_table(group, "dependencies") for group in _table(poetry, "group").values())
    keys = _lines_of_keys(text)
    for table in tables:
        for name, value in table.items():
            if name.lower() != "python":
                _add_pinned(name, _poetry_version(value), path, keys.get(name), found)


def _poetry_version(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("version")
    match = _POETRY_EXACT.fullmatch(value.strip()) if isinstance(value, str) else None
    return match[1] if match and "*" not in match[1] else None


def _read_pipfile(text: str, path: str, found: Dependencies) -> None:
    document = _load_toml(text)
    keys = _lines_of_keys(text)
    for section in ("packages", "dev-packages"):
        for name, value in _table(document, section).items():
            version = value.get("version") if isinstance(value, dict) else value
            _add_pinned(name, _equal_version(version), path, keys.get(name), found)


def _read_pipfile_lock(text: str, path: str, found: Dependencies) -> None:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ManifestUnreadable("not JSON") from error
    lines = _lines_of_strings(text)
    for section in ("default", "develop"):
        for name, value in _table(document, section).items():
            _add_pinned(
                name, _equal_version(_table({"": value}, "").get("version")), path, lines.get(name), found
            )


def _read_toml_lock(text: str, path: str, found: Dependencies) -> None:
    document = _load_toml(text)
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _PACKAGE_NAME.fullmatch(line):
            lines.setdefault(match[1], number)
    packages = document.get("package")
    for package in packages if isinstance(packages, list) else []:
        if not isinstance(package, dict) or not isinstance(package.get("name"), str):
            continue
        source = _table(package, "source")
        if not {"virtual", "editable", "directory"}.isdisjoint(source):
            continue  # the app itself, or a part of it
        version = package.get("version")
        name = package["name"]
        _add_pinned(name, version if isinstance(version, str) else None, path, lines.get(name), found)


def _read_setup_cfg(text: str, path: str, found: Dependencies) -> None:
    # The reader's pattern for an option needs time that grows with the square of a run of spaces.
    text = _SPACES_INSIDE.sub(" ", text)
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ManifestUnreadable("not an INI file") from error
    lines = {line.strip(): number for number, line in enumerate(text.splitlines(), start=1)}
    values = [parser.get("options", "install_requires", fallback="")]
    if parser.has_section("options.extras_require"):
        values.extend(value for _, value in parser.items("options.extras_require"))
    for value in values:
        for entry in value.splitlines():
            requirement = entry.strip()
            if requirement and not requirement.startswith("#"):
                add_requirement(requirement, path, lines.get(requirement), found)


def _add_pinned(name: str, version: str | None, path: str, line: int | None, found: Dependencies) -> None:
    if version is None:
        found.skip(name, "skipped: not pinned to one version")
    else:
        add_requirement(f"{canonicalize_name(name)}=={version}", path, line, found)


def _equal_version(value: object) -> str | None:
    if not isinstance(value, str) or not value.startswith("=="):
        return None
    version = value.lstrip("=").strip()
    return None if "*" in version or "," in version else version


def _table(value: object, key: str) -> Mapping[str, Any]:
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _lines_of_strings(text: str) -> dict[str, int]:
    """Return the first line of every quoted string."""
    return _first_lines((match[1] or match[2] or "", number) for number, match in _matches(_QUOTED, text))


def _lines_of_keys(text: str) -> dict[str, int]:
    """Return the first line on which every key is given a value."""
    numbered = enumerate(text.splitlines(), start=1)
    return _first_lines((match[1], number) for number, line in numbered if (match := _KEY.match(line)))


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, re.Match[str]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        for match in pattern.finditer(line):
            yield number, match


def _first_lines(pairs: Iterator[tuple[str, int]]) -> dict[str, int]:
    lines: dict[str, int] = {}
    for name, number in pairs:
        lines.setdefault(name, number)
    return lines
