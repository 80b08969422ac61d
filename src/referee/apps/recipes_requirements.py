"""Which Python packages an app asks for, as plain requirements that an installer can be given.

An app's own files are never handed to a package client: they could name another
index, a path of this machine, or an address to fetch. Only names, versions, extras
and markers are taken over; everything else is refused or left out, and said.
"""

from __future__ import annotations

import configparser
import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from referee.apps.recipes_contract import Dependencies
from referee.apps.recipes_reading import SourceReader, folder_of, join_path, name_of

__all__ = ["PythonRequirements", "digest_files", "find_python_dependencies", "read_python_requirements"]

_FILE_NAMES: Final = ("requirements.txt", "pyproject.toml", "setup.cfg", "Pipfile")
"""In the order in which one is taken: the first that asks for a package."""
_MAX_INCLUDED: Final = 10
_MAX_REQUIREMENTS: Final = 1_000
_MAX_CHARACTERS: Final = 1_000
"""Longest requirement."""


@dataclass(slots=True)
class PythonRequirements:
    """What the dependency files of a component ask for."""

    lines: list[str] = field(default_factory=list)
    """Requirements as the packaging standard writes them, without addresses."""
    files: list[str] = field(default_factory=list)
    """Files that were read, relative to the snapshot's root."""
    refused: list[str] = field(default_factory=list)
    """What cannot be installed: addresses, paths, and what is no requirement."""
    notices: list[str] = field(default_factory=list)

    @property
    def names(self) -> frozenset[str]:
        """Normalised names of the packages, extras besides as ``name[extra]``."""
        found = set()
        for line in self.lines:
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            found |= {name, *(f"{name}[{extra.lower()}]" for extra in requirement.extras)}
        return frozenset(found)

    def add(self, text: str, source: str) -> None:
        """Take one requirement over, or say why not."""
        try:
            requirement = Requirement(text if len(text) <= _MAX_CHARACTERS else "")
        except InvalidRequirement:
            self.refused.append(f"{source} asks for {text[:200]!r}, which is no requirement.")
            return
        if requirement.url is not None:
            self.refused.append(f"{source} takes {requirement.name} from an address, not from the index.")
        elif len(self.lines) >= _MAX_REQUIREMENTS:
            self.refused.append(f"{source} asks for more than {_MAX_REQUIREMENTS} packages.")
        else:
            self.lines.append(str(requirement))


def find_python_dependencies(
    reader: SourceReader, folder: str, needed: Iterable[str]
) -> tuple[Dependencies, tuple[str, ...]]:
    """Return what a component in ``folder`` needs installed, and what was noticed.

    The files are looked for in the folder and then in those above it.

    Args:
        reader: Of the app's snapshot.
        folder: Where the component starts.
        needed: Packages that the start itself takes, such as ``uvicorn``.
    """
    place, found = folder, read_python_requirements(reader, folder)
    while not found.files and place:
        place = folder_of(place)
        found = read_python_requirements(reader, place)
    named = found.names
    missing = tuple(name for name in dict.fromkeys(needed) if not _is_named(name, named))
    notices = list(found.notices)
    if missing:
        where = f"Not named in {', '.join(found.files)}" if found.files else "Named in no dependency file"
        notices.append(f"{where} and installed all the same: {', '.join(missing)}.")
    return (
        Dependencies(
            manager="uv",
            folder=place if found.files else folder,
            files=tuple(found.files),
            digest=digest_files(reader, "uv", place, found.files),
            extra=missing,
        ),
        tuple(notices),
    )


def read_python_requirements(reader: SourceReader, folder: str) -> PythonRequirements:
    """Return what the first dependency file of a folder asks for; without one, nothing."""
    for name in _FILE_NAMES:
        path = join_path(folder, name)
        text = reader.find_text(path)
        if text is None:
            continue
        found = PythonRequirements()
        if name == "requirements.txt":
            _read_requirements_file(reader, path, found)
        elif name == "setup.cfg":
            _read_setup_file(path, text, found)
        else:
            _read_toml_file(path, text, found)
        if found.lines or found.refused or name == "requirements.txt":
            found.files = found.files or [path]
            return found
    return PythonRequirements()


def digest_files(reader: SourceReader, manager: str, folder: str, paths: Iterable[str]) -> str:
    """Return the SHA-256 over the names, relative to ``folder``, and contents of dependency files."""
    digest = hashlib.sha256(f"referee-dependencies-1\0{manager}\0".encode())
    for path in paths:
        name = path.removeprefix(f"{folder}/") if folder else path
        digest.update(f"{name}\0{reader.snapshot.by_path[path].sha256}\n".encode())
    return digest.hexdigest()


def _is_named(package: str, named: frozenset[str]) -> bool:
    if package == "uvicorn" and named & {"fastapi[standard]", "fastapi[all]"}:
        return True
    return canonicalize_name(package) in named


def _read_requirements_file(reader: SourceReader, path: str, found: PythonRequirements) -> None:
    text = reader.find_text(path)
    if text is None or path in found.files:
        return
    if len(found.files) > _MAX_INCLUDED:
        found.refused.append(f"{path} is one of more than {_MAX_INCLUDED} files that include one another.")
        return
    found.files.append(path)
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        wanted = re.sub(r"(^|\s)#.*$", "", line).strip()
        # Hashes are pinned per file of a release; the index' own are checked by the client.
        wanted = re.sub(r"\s--hash[=\s]\S+", "", wanted)
        if not wanted:
            continue
        if wanted.startswith("-"):
            _read_option(reader, path, wanted, found)
        else:
            found.add(wanted, name_of(path))


def _read_option(reader: SourceReader, path: str, line: str, found: PythonRequirements) -> None:
    included = re.match(r"(?:-r|--requirement)[=\s]*(?:\./)?([\w./-]+)$", line)
    if included and ".." not in included[1].split("/"):
        inner = join_path(folder_of(path), included[1])
        if reader.has_file(inner):
            _read_requirements_file(reader, inner, found)
            return
    option = re.split(r"[=\s]", line, maxsplit=1)[0]
    if option in ("-e", "--editable", "-r", "--requirement"):
        found.refused.append(
            f"{name_of(path)} has the line {line[:200]!r}, which names no package of the index."
        )
    else:
        found.notices.append(f"The option {option} in {name_of(path)} is not followed.")


def _read_setup_file(path: str, text: str, found: PythonRequirements) -> None:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    for line in parser.get("options", "install_requires", fallback="").splitlines():
        if line.strip() and not line.strip().startswith("#"):
            found.add(line.strip(), name_of(path))


def _read_toml_file(path: str, text: str, found: PythonRequirements) -> None:
    try:
        data: object = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        found.refused.append(f"{name_of(path)} is not valid TOML.")
        return
    listed = _get(data, "project", "dependencies")
    for entry in listed if isinstance(listed, list) else ():
        found.add(str(entry), name_of(path))
    for table in (_get(data, "tool", "poetry", "dependencies"), _get(data, "packages")):
        for name, wanted in table.items() if isinstance(table, dict) else ():
            if name != "python":
                _add_table_entry(str(name), wanted, name_of(path), found)


def _get(data: object, *keys: str) -> object:
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _add_table_entry(name: str, wanted: object, source: str, found: PythonRequirements) -> None:
    """Take over an entry of Poetry or Pipenv: a version, or a table with one."""
    extras = ""
    if isinstance(wanted, Mapping):
        if {"git", "path", "url", "file"} & wanted.keys():
            found.refused.append(f"{source} takes {name[:100]} from an address, not from the index.")
            return
        listed = wanted.get("extras")
        extras = f"[{','.join(map(str, listed))}]" if isinstance(listed, list) and listed else ""
        wanted = wanted.get("version", "*")
    found.add(f"{name}{extras}{_translate_version(str(wanted))}", source)


def _translate_version(text: str) -> str:
    """Return a version of Poetry's or Pipenv's spelling as the packaging standard writes it."""
    parts = []
    for part in (piece.strip() for piece in text.split(",")):
        caret = re.fullmatch(r"\^\s*(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(\S*)", part)
        tilde = re.fullmatch(r"~\s*(\d{1,9})(?:\.(\d{1,9}))?(?:\.\S+)?", part)
        if part in ("", "*"):
            continue
        if caret:
            parts.append(f">={part[1:].strip()},<{_next_release(caret)}")
        elif tilde:
            after = f"{tilde[1]}.{int(tilde[2]) + 1}" if tilde[2] else str(int(tilde[1]) + 1)
            parts.append(f">={part[1:].strip()},<{after}")
        else:
            parts.append(f"=={part}" if part[0].isdigit() else part)
    return ",".join(parts)


def _next_release(caret: re.Match[str]) -> str:
    """Return the first release that a caret leaves out: the left-most number that is not 0 goes up."""
    numbers = [int(number) for number in caret.groups()[:3] if number is not None]
    place = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
    return ".".join(map(str, [*numbers[:place], numbers[place] + 1]))
