"""Requirement lines, as pip reads them: one at a time, with the number of the line they start on.

Only the part of pip's format that names dependencies is understood; options
are left out, and whatever is neither becomes a hole.

Source:
    pip documentation, "Requirements File Format"; PEP 508.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from referee.tools.dependencies.model import Declaration, Dependencies

__all__ = ["add_requirement", "exact_version", "read_requirement_lines"]

MAX_LINE_CHARACTERS = 8_192
"""A requirement with the hashes of all wheels of a large package stays below."""

_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"(?:-r|--requirement)(?:\s+|=|(?<=-r))(?P<path>\S.*)")
_CONSTRAINT = re.compile(r"(?:-c|--constraint)\b")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s+|=)(?P<target>.*)")
_TRAILING_OPTIONS = re.compile(r"\s--(?:hash|global-option|config-settings?)\b.*$")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|git\+|hg\+|svn\+|bzr\+", re.IGNORECASE)


class Include(Protocol):
    """What happens with a file that another one includes."""

    def __call__(self, path: str, line: int) -> None:
        """Read ``path``, relative to the root of the app."""
        ...


def read_requirement_lines(text: str, path: str, found: Dependencies, include: Include) -> None:
    """Record every requirement of a requirements file.

    Args:
        text: The file's text.
        path: Its path below the root of the app.
        found: What is recorded into.
        include: Called for each file it includes that lies inside the app.
    """
    for number, line in _logical_lines(text):
        if len(line) > MAX_LINE_CHARACTERS:
            found.fail(f"{path}:{number}", f"a line of {len(line)} characters")
        elif not line.startswith("-"):
            add_requirement(line, path, number, found)
        elif match := _INCLUDE.fullmatch(line):
            _follow(match["path"].strip().strip("\"'"), path, number, found, include)
        elif match := _EDITABLE.fullmatch(line):
            found.skip(
                match["target"] or f"{path}:{number}",
                "skipped: installed in place, it has no released version",
            )
        elif _CONSTRAINT.match(line):
            found.skip(f"{path}:{number}", "skipped: constraints are not applied")


def add_requirement(text: str, path: str, line: int | None, found: Dependencies) -> None:
    """Record one requirement, such as ``flask[async]==2.2.2 ; python_version > "3.8"``."""
    stripped = _TRAILING_OPTIONS.sub("", text).strip()
    if not stripped:
        return
    if (
        _ADDRESS.match(stripped)
        or stripped.startswith((".", "/", "file:"))
        or stripped.endswith((".whl", ".tar.gz"))
    ):
        found.skip(stripped, "skipped: comes from an address or a path, not from a registry")
        return
    try:
        requirement = Requirement(stripped)
    except (InvalidRequirement, RecursionError):
        where = f"{path}:{line}" if line else path
        found.fail(f"{where} {stripped}", "not a requirement that pip would accept")
        return
    if requirement.url is not None:
        found.skip(requirement.name, "skipped: comes from an address or a path, not from a registry")
        return
    version = exact_version(requirement.specifier)
    if version is None:
        found.skip(f"{requirement.name}{requirement.specifier}", "skipped: not pinned to one version")
        return
    try:
        normal = str(Version(version))
    except ValueError:  # InvalidVersion, or a number of more digits than Python turns into one
        found.fail(f"{requirement.name}=={version}", "not a version that PEP 440 knows")
        return
    found.add(Declaration(str(canonicalize_name(requirement.name)), normal, path, line))


def exact_version(specifier: SpecifierSet) -> str | None:
    """Return the one version that a specifier allows, None when it is not pinned by ``==`` or ``===``."""
    pins = [
        one.version for one in specifier if one.operator in ("==", "===") and not one.version.endswith(".*")
    ]
    return pins[0] if len(pins) == 1 else None


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield non-empty lines with continuations joined and comments removed."""
    pending: list[str] = []
    start = 1
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not pending:
            start = number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            pending.append(line[:-1])
            continue
        joined = _COMMENT.sub("", " ".join([*pending, line])).strip()
        pending = []
        if joined:
            yield start, joined
    if joined := _COMMENT.sub("", " ".join(pending)).strip():
        yield start, joined


def _follow(target: str, path: str, line: int, found: Dependencies, include: Include) -> None:
    if _ADDRESS.match(target) or target.startswith("file:"):
        found.skip(f"-r {target}", "skipped: an address, and nothing is fetched")
        return
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if target.startswith(("/", "~")) or inside == ".." or inside.startswith("../"):
        found.skip(f"-r {target}", "skipped: leads outside of the app")
        return
    include(inside, line)
