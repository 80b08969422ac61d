"""Which versions come before which, for the two ecosystems whose advisories we match.

PyPI versions are ordered by PEP 440 through ``packaging``. npm versions are
ordered by Semantic Versioning 2.0.0, section 11; advisories sometimes write
fewer than three numbers (``1.0``), which are padded with zeros.

Both orders are turned into sort keys, so a range is decided with plain
comparisons and never with a specifier that hides pre-releases.

Not here: what an advisory says is affected (``records.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Literal, TypeAlias

from packaging.version import InvalidVersion, Version

__all__ = ["Ecosystem", "NpmVersion", "SortKey", "is_exact_npm_version", "parse_npm_version", "parse_version"]

Ecosystem = Literal["PyPI", "npm"]

MAX_VERSION_CHARACTERS = 256
"""npm's own limit; no real version of either ecosystem is longer."""

_NPM_VERSION = re.compile(
    r"[=v\s]*"
    r"(?P<major>\d{1,16})(?:\.(?P<minor>\d{1,16}))?(?:\.(?P<patch>\d{1,16}))?"
    r"(?:-(?P<prerelease>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_EXACT_NPM_VERSION = re.compile(r"=?v?\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class NpmVersion:
    """A semantic version without its build metadata, which has no precedence.

    Source:
        Semantic Versioning 2.0.0, sections 9 to 11.
    """

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()

    def _key(self) -> tuple[object, ...]:
        # A release comes after all its pre-releases: (1,) sorts after (0, …). Numeric identifiers
        # come before alphanumeric ones, and a shorter list before a longer one it begins.
        identifiers = tuple(
            (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in self.prerelease
        )
        return (self.major, self.minor, self.patch, (0, identifiers) if self.prerelease else (1, ()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NpmVersion) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __lt__(self, other: NpmVersion) -> bool:
        return self._key() < other._key()


SortKey: TypeAlias = "Version | NpmVersion"


def parse_npm_version(text: str) -> NpmVersion:
    """Return the semantic version that ``text`` spells.

    Raises:
        ValueError: It spells none, or is longer than npm allows.
    """
    if len(text) > MAX_VERSION_CHARACTERS:
        raise ValueError(f"a version of {len(text)} characters")
    match = _NPM_VERSION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a semantic version: {text!r}")
    prerelease = match["prerelease"]
    return NpmVersion(
        int(match["major"]),
        int(match["minor"] or 0),
        int(match["patch"] or 0),
        tuple(prerelease.split(".")) if prerelease else (),
    )


def is_exact_npm_version(text: str) -> bool:
    """Return whether a dependency written as ``text`` in package.json can only mean one version."""
    return len(text) <= MAX_VERSION_CHARACTERS and _EXACT_NPM_VERSION.fullmatch(text.strip()) is not None


def parse_version(ecosystem: Ecosystem, text: str) -> SortKey:
    """Return a key that orders ``text`` among the versions of its ecosystem.

    Raises:
        ValueError: It is not a version there.
    """
    if len(text) > MAX_VERSION_CHARACTERS:
        raise ValueError(f"a version of {len(text)} characters")
    if ecosystem == "npm":
        return parse_npm_version(text)
    try:
        return Version(text)
    except InvalidVersion as error:
        raise ValueError(str(error)) from error
