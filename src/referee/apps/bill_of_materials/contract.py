"""Packages that an app asks for, as its dependency files name them, and what of those files is not known.

Texts of these files are foreign: names and versions are taken only in the form that their registry
gives them, and everything is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, Literal, TypeAlias

__all__ = [
    "Archive",
    "Bill",
    "Ecosystem",
    "Package",
    "PackageKey",
    "Use",
    "get_table",
    "make_printable",
    "read_digest",
]

Ecosystem: TypeAlias = Literal["pypi", "npm"]
PackageKey: TypeAlias = tuple[Ecosystem, str, str]
"""Ecosystem, name and version; the version is empty where none is pinned."""

MAX_PACKAGES_COUNT: Final = 20_000
"""A large npm lock file has some 3,000."""
MAX_GAPS_COUNT: Final = 1_000
MAX_ARCHIVES_COUNT: Final = 100
"""Of one package: a release with a wheel for each system and interpreter has some 60."""
MAX_LINKS_COUNT: Final = 200_000
_MAX_TEXT_CHARACTERS: Final = 200

_NAMES: Final[dict[Ecosystem, re.Pattern[str]]] = {
    "pypi": re.compile(r"[a-z0-9](?:[a-z0-9-]{0,198}[a-z0-9])?"),
    "npm": re.compile(r"(?:@[a-zA-Z0-9._~-]{1,100}/)?[a-zA-Z0-9._~!'()*-]{1,200}"),
}
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.!+_-]{0,127}")
_DIGEST_CHARACTERS: Final = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}
_HEX: Final = re.compile(r"[0-9a-f]+")


class Use(IntEnum):
    """What a package is for; of several uses the greatest counts."""

    development = 0
    """Tests and tools; not there when the app runs."""
    optional = 1
    """Of an extra, or one that may fail to install."""
    required = 2


@dataclass(frozen=True, slots=True, order=True)
class Archive:
    """A file of a release, as a lock file names it."""

    name: str
    """Empty where only the digest is named."""
    algorithm: str
    """Such as ``sha256``."""
    digest: str
    """Hexadecimal, in lower case."""


@dataclass(slots=True)
class Package:
    """A package with all that the app's files say about it."""

    key: PackageKey
    use: Use
    origin: str = ""
    """``registry``'s is empty; else where it comes from: ``git``, ``address``, ``path``."""
    wanted: set[str] = field(default_factory=set)
    """What is asked for where no version is pinned."""
    paths: set[str] = field(default_factory=set)
    """Dependency files that name it."""
    archives: set[Archive] = field(default_factory=set)
    needs: set[PackageKey] = field(default_factory=set)


@dataclass(slots=True)
class Bill:
    """All packages of an app."""

    packages: dict[PackageKey, Package] = field(default_factory=dict)
    direct: set[PackageKey] = field(default_factory=set)
    """Those that the app itself asks for."""
    gaps: list[str] = field(default_factory=list)
    """What is not known, and why."""
    gaps_count: int = 0
    files: list[str] = field(default_factory=list)
    """Dependency files that were read."""
    loose_files: list[str] = field(default_factory=list)
    """Those among them that are no lock: what their packages need in turn is not known."""
    _links_count: int = 0

    def add(
        self,
        ecosystem: Ecosystem,
        name: object,
        version: object,
        path: str,
        *,
        use: Use = Use.required,
        wanted: str = "",
        origin: str = "",
        archives: Iterable[Archive] = (),
        is_direct: bool = False,
    ) -> PackageKey | None:
        """Take a package over, or note why not. Named again, it is one package with all that was said."""
        if not isinstance(name, str) or _NAMES[ecosystem].fullmatch(name) is None:
            self.note_gap(path, f"{make_printable(name)!r} is no name that {ecosystem} would accept")
            return None
        if version is None:
            version = ""
        elif not isinstance(version, str) or _VERSION.fullmatch(version) is None:
            self.note_gap(path, f"{name} has a version that cannot be read")
            version = ""
        key = (ecosystem, name, version)
        package = self.packages.get(key)
        if package is None:
            if len(self.packages) >= MAX_PACKAGES_COUNT:
                self.note_gap(path, f"there are more than {MAX_PACKAGES_COUNT:,} packages")
                return None
            package = self.packages[key] = Package(key, use, origin)
        package.use = max(package.use, use)
        package.origin = package.origin and origin
        package.paths.add(path)
        if wanted:
            package.wanted.add(make_printable(wanted))
        for archive in archives:
            if len(package.archives) < MAX_ARCHIVES_COUNT:
                package.archives.add(archive)
        if is_direct:
            self.direct.add(key)
        return key

    def link(self, key: PackageKey, needed: PackageKey, path: str) -> None:
        """Note that one package needs another."""
        if self._links_count >= MAX_LINKS_COUNT:
            self.note_gap(path, f"packages need one another more than {MAX_LINKS_COUNT:,} times")
            return
        if key != needed and needed not in self.packages[key].needs:
            self.packages[key].needs.add(needed)
            self._links_count += 1

    def note_gap(self, path: str, reason: str) -> None:
        """Note what is not known of a file; the same is noted once."""
        gap = f"{make_printable(path)}: {reason}"
        if gap in self.gaps[-20:]:
            return
        self.gaps_count += 1
        if len(self.gaps) < MAX_GAPS_COUNT:
            self.gaps.append(gap)


def read_digest(algorithm: str, digest: object) -> tuple[str, str] | None:
    """Return algorithm and hexadecimal digest in one spelling; None when it is none."""
    algorithm = algorithm.lower().replace("-", "")
    if not isinstance(digest, str) or len(digest) != _DIGEST_CHARACTERS.get(algorithm):
        return None
    digest = digest.lower()
    return (algorithm, digest) if _HEX.fullmatch(digest) else None


def make_printable(value: object) -> str:
    """Return a foreign value as short text without control characters."""
    text = str(value)[: _MAX_TEXT_CHARACTERS + 1]
    cleaned = "".join(letter if letter.isprintable() else "�" for letter in text[:_MAX_TEXT_CHARACTERS])
    return cleaned if len(text) <= _MAX_TEXT_CHARACTERS else f"{cleaned}…"


def get_table(value: object, key: str) -> Mapping[str, Any]:
    """Return the table under a key of what was read from a file; an empty one where there is none."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}
