"""The files of an app as folders in folders, for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from referee.apps.versions import ListedFile

__all__ = ["Folder", "build_folder"]

_MAX_DEPTH: Final = 12
"""Below that, the rest of a path stands as one name: no app needs more, and a hostile one must not make a page
that no browser can fold."""


@dataclass(slots=True)
class Folder:
    """One folder with all that is below it."""

    name: str
    folders: dict[str, Folder] = field(default_factory=dict)
    files: list[tuple[str, ListedFile]] = field(default_factory=list)
    """(name inside this folder, file), by name."""
    files_count: int = 0
    """Files in it and below."""
    total_bytes: int = 0


def build_folder(files: Sequence[ListedFile]) -> Folder:
    """Return the root of a tree of these files."""
    root = Folder("")
    for file in files:
        parts = file.path.split("/", _MAX_DEPTH)
        folder = root
        _count(folder, file)
        for part in parts[:-1]:
            folder = folder.folders.setdefault(part, Folder(part))
            _count(folder, file)
        folder.files.append((parts[-1], file))
    return root


def _count(folder: Folder, file: ListedFile) -> None:
    folder.files_count += 1
    folder.total_bytes += file.size_bytes
