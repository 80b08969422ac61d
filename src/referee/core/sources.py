"""The source of a subject as tools see it: a read-only snapshot with its listing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["ExcludedPath", "ExclusionReason", "Language", "SourceFile", "SourceSnapshot"]

Language = Literal[
    "python", "javascript", "jsx", "typescript", "tsx", "html", "css", "json", "yaml", "toml", "markdown", "shell",
    "sql", "docker", "text", "other",
]  # fmt: skip

ExclusionReason = Literal[
    "vendored", "minified", "generated", "version_control", "too_large", "symlink", "unreadable", "special_file",
    "binary",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a snapshot."""

    path: str
    """POSIX path relative to the snapshot's root. Bytes that are not UTF-8 and control
    characters are percent-encoded, so it is printable and safe to pass on."""
    size_bytes: int
    sha256: str
    language: Language


@dataclass(frozen=True, slots=True)
class ExcludedPath:
    """A file or folder that tools do not see, and why."""

    path: str
    reason: ExclusionReason
    files_count: int
    """Files left out by this entry: 1 for a file, all below it for a folder where they were counted, else 0."""


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """A read-only copy of a subject's source, taken before any tool sees it."""

    root: Path
    """Folder that holds the copy. Nothing in it is writable by a tool."""
    source_digest: str
    """SHA-256 over the sorted (path, sha256) pairs: equal digests mean equal source."""
    files: tuple[SourceFile, ...]
    """Sorted by path."""
    excluded: tuple[ExcludedPath, ...] = ()
    name: str = ""
    """How people call the subject."""
    by_path: Mapping[str, SourceFile] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_path", {file.path: file for file in self.files})

    def files_in(self, *languages: Language) -> tuple[SourceFile, ...]:
        """Return the files of these languages, sorted by path."""
        return tuple(file for file in self.files if file.language in languages)

    def files_named(self, *names: str) -> tuple[SourceFile, ...]:
        """Return the files whose last path part is one of ``names``, sorted by path."""
        return tuple(file for file in self.files if file.path.rsplit("/", 1)[-1] in names)
