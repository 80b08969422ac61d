"""What an app declares to depend on: versions that can be judged, and declarations that cannot.

Reading is bounded and never fails: what cannot be read or has no single
version becomes a hole with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from referee.core.findings import CoverageHole, JsonValue
from referee.core.sources import SourceFile, SourceSnapshot

__all__ = ["Declaration", "Dependencies", "ManifestUnreadable", "decode_manifest", "read_manifest"]

MAX_MANIFEST_BYTES = 1_000_000
"""No hand-written manifest is near it; lock files have a limit of their own."""
MAX_DECLARATIONS = 20_000
"""A large npm lock file has some 3,000."""
MAX_HOLES = 5_000
MAX_HOLE_NAME_CHARACTERS = 200

_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class ManifestUnreadable(ValueError):
    """A file that cannot be read as what its name says; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One exact version of a package, and where it is declared."""

    name: str
    """Normalised package name."""
    version: str
    path: str
    line: int | None


@dataclass(slots=True)
class Dependencies:
    """All that was found in an app's dependency files."""

    files: list[str] = field(default_factory=list)
    """Dependency files that were looked at."""
    declarations: list[Declaration] = field(default_factory=list)
    holes: list[CoverageHole] = field(default_factory=list)
    skipped_count: int = 0
    unreadable_count: int = 0
    _seen: set[Declaration] = field(default_factory=set)

    def add(self, declaration: Declaration) -> None:
        """Record an exact version; the same line is recorded once."""
        if declaration in self._seen:
            return
        if len(self.declarations) >= MAX_DECLARATIONS:
            self.skip(
                f"{declaration.name}=={declaration.version}", f"more than {MAX_DECLARATIONS} dependencies"
            )
            return
        self._seen.add(declaration)
        self.declarations.append(declaration)

    def skip(self, name: str, reason: str) -> None:
        """Record a declaration that cannot be judged."""
        self.skipped_count += 1
        if len(self.holes) < MAX_HOLES:
            self.holes.append(CoverageHole(_printable(name), "skipped", reason))

    def fail(self, name: str, reason: str) -> None:
        """Record something that cannot be read."""
        self.unreadable_count += 1
        if len(self.holes) < MAX_HOLES:
            self.holes.append(CoverageHole(_printable(name), "unreadable", reason))

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as values that a plan remembers."""
        return {
            "declarations": [[one.name, one.version, one.path, one.line] for one in self.declarations],
            "holes": [[hole.name, hole.kind, hole.reason] for hole in self.holes],
            "skipped_count": self.skipped_count,
            "unreadable_count": self.unreadable_count,
        }

    @classmethod
    def from_json(cls, value: object) -> Dependencies:
        """Return what ``to_json`` gave."""
        made = cls()
        if not isinstance(value, dict):
            return made
        for name, version, path, line in _rows(value.get("declarations"), 4):
            made.declarations.append(
                Declaration(str(name), str(version), str(path), line if isinstance(line, int) else None)
            )
        for name, kind, reason in _rows(value.get("holes"), 3):
            is_skipped = kind == "skipped"
            made.holes.append(CoverageHole(str(name), "skipped" if is_skipped else "unreadable", str(reason)))
        made.skipped_count = int(value.get("skipped_count", 0))
        made.unreadable_count = int(value.get("unreadable_count", 0))
        return made


def _rows(value: object, width: int) -> Iterable[list[JsonValue]]:
    rows = value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, list) and len(row) == width]


def read_manifest(
    snapshot: SourceSnapshot, file: SourceFile, *, limit_bytes: int = MAX_MANIFEST_BYTES
) -> str:
    """Return the text of a dependency file.

    Raises:
        ManifestUnreadable: It is too large, binary, or cannot be opened.
    """
    if file.size_bytes > limit_bytes:
        raise ManifestUnreadable(f"larger than {limit_bytes} bytes")
    try:
        with Path(snapshot.root, file.path).open("rb") as stream:
            data = stream.read(limit_bytes + 1)
    except OSError as error:
        raise ManifestUnreadable(f"cannot be opened: {error.strerror}") from error
    return decode_manifest(data)


def decode_manifest(data: bytes) -> str:
    """Return the text of bytes that may start with a byte order mark or be Latin-1.

    Raises:
        ManifestUnreadable: They are not text.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise ManifestUnreadable("not text") from error
    if b"\x00" in data:
        raise ManifestUnreadable("binary, not text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _printable(text: str) -> str:
    cleaned = "".join(one if one.isprintable() else "�" for one in text[:MAX_HOLE_NAME_CHARACTERS])
    return cleaned if len(text) <= MAX_HOLE_NAME_CHARACTERS else cleaned + "…"
