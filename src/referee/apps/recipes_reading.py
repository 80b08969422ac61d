"""Reading an app's source to find out how it starts: bounded, and nothing of it is executed.

A snapshot is a copy without links whose names are safe to join, but its contents are
hostile: files may be huge, binary, or text that is expensive to look through.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from referee.core.sources import SourceFile, SourceSnapshot

__all__ = [
    "MAX_FOLDER_DEPTH",
    "SourceReader",
    "folder_of",
    "join_path",
    "name_of",
    "strip_script_comments",
]

MAX_FILE_BYTES: Final = 512 * 1024
"""Longest file read: far above any entry file or configuration written by a person or a model."""
MAX_TOTAL_BYTES: Final = 32 * 1024 * 1024
"""Read of one app in all."""
MAX_FOLDER_DEPTH: Final = 3
"""Folders below the root in which a component may start, as in ``packages/api/src``."""

# Each branch ends at the end of the text too, so that what is never closed is looked through once.
_SCRIPT_PIECES: Final = re.compile(
    r""""(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|`(?:\\[\s\S]|[^`\\])*`?"""
    r"""|(?P<comment>//[^\n]*|/\*(?:[\s\S]*?\*/|[\s\S]*\Z))"""
)


@dataclass(slots=True)
class SourceReader:
    """Reads files of one snapshot until its budget is used up."""

    snapshot: SourceSnapshot
    read_bytes: int = 0
    _texts: dict[str, str | None] = field(default_factory=dict)
    _trees: dict[str, ast.Module | None] = field(default_factory=dict)

    def has_file(self, path: str) -> bool:
        """Return whether the snapshot has a file of this path."""
        return path in self.snapshot.by_path

    def has_folder(self, folder: str) -> bool:
        """Return whether a file lies in this folder or below it."""
        return not folder or any(file.path.startswith(f"{folder}/") for file in self.snapshot.files)

    def find_text(self, path: str) -> str | None:
        """Return a file's text; None when it is absent, too long, or the budget is used up."""
        if path not in self._texts:
            self._texts[path] = self._read(self.snapshot.by_path.get(path))
        return self._texts[path]

    def find_tree(self, path: str) -> ast.Module | None:
        """Return a Python file as a syntax tree; None when it is unread or cannot be parsed."""
        if path not in self._trees:
            text = self.find_text(path)
            self._trees[path] = None if text is None else _parse(text)
        return self._trees[path]

    def find_object(self, path: str) -> Mapping[str, object] | None:
        """Return a JSON file's object; None when it is absent or is none."""
        text = self.find_text(path)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def list_files(self, folder: str, *suffixes: str) -> list[SourceFile]:
        """Return the files in a folder and below it whose names end so, nearest the folder first."""
        prefix = f"{folder}/" if folder else ""
        found = [
            file
            for file in self.snapshot.files
            if file.path.startswith(prefix) and file.path.endswith(suffixes)
        ]
        return sorted(found, key=lambda file: (file.path.count("/"), file.path))

    def _read(self, file: SourceFile | None) -> str | None:
        if file is None or file.size_bytes > MAX_FILE_BYTES:
            return None
        if self.read_bytes + file.size_bytes > MAX_TOTAL_BYTES:
            return None
        self.read_bytes += file.size_bytes
        try:
            with (self.snapshot.root / file.path).open("rb") as opened:
                data = opened.read(MAX_FILE_BYTES)
        except OSError:
            return None
        return data.decode("utf-8-sig", errors="replace")


def strip_script_comments(text: str) -> str:
    """Return JavaScript or TypeScript without comments; what looks like one inside a string stays."""
    return _SCRIPT_PIECES.sub(lambda found: " " if found["comment"] else found[0], text)


def folder_of(path: str) -> str:
    """Return the folder of a path, empty for the root."""
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def join_path(folder: str, name: str) -> str:
    """Return the path of a name in a folder, where an empty folder is the root."""
    return f"{folder}/{name}" if folder else name


def _parse(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
