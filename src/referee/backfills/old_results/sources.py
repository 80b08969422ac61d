"""Where old results lie: a folder, a zip file, one file. Nothing in it is believed.

Links are not followed, special files not opened; depth, number and size are bounded, and a zip file is looked at as a
whole before anything of it is unpacked. What is left out is named with its reason.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from referee.core.errors import InvalidInput, NotFound, PayloadTooLarge

__all__ = ["FileSource", "FoundFile", "Problem", "TaskFiles", "open_source"]

MAX_FILES_COUNT: Final = 500_000
MAX_DEPTH: Final = 20
MAX_FILE_BYTES: Final = 64 << 20
MAX_TASK_BYTES: Final = 512 << 20
MAX_UNPACKED_BYTES: Final = 16 << 30
MAX_RATIO: Final = 100
_SMALL_BYTES: Final = 64 << 20
_PARTS: Final = frozenset(("services", "sarif", "outputs", "raw", "raw_outputs", "tool_outputs"))
"""Folders that belong to the task that they lie in."""
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file, not read yet."""

    path: str
    """Below the source, POSIX."""
    size_bytes: int
    read: Callable[[], bytes]
    """Blocking; raises OSError."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not taken in."""

    place: str
    reason: str
    data: Callable[[], bytes] | None = None
    """Its bytes, where they can be kept."""


@dataclass(slots=True)
class TaskFiles:
    """Files that belong together, with what is known of them from elsewhere."""

    root: str
    files: list[FoundFile] = field(default_factory=list)
    task_id: str | None = None
    model: str | None = None
    number: int | None = None
    status: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(slots=True)
class FileSource:
    """The files of a source, by the folder of their task."""

    kind: str
    """``folder``, ``zip`` or ``file``."""
    groups: dict[str, TaskFiles] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    files_count: int = 0
    app_files_count: int = 0
    """Files of apps' sources, which are no results."""
    close: Callable[[], None] = lambda: None

    def add(self, found: FoundFile) -> None:
        """Take in one file.

        Raises:
            PayloadTooLarge: There are too many.
        """
        self.files_count += 1
        if self.files_count > MAX_FILES_COUNT:
            raise PayloadTooLarge(
                "import.too_many_files",
                f"The source has more than {MAX_FILES_COUNT:,} files.",
                "Import its folders one after another.",
            )
        parts = PurePosixPath(found.path).parts
        if "generated" in parts[:-1] and "apps" in parts[:-1] and "results" not in parts:
            self.app_files_count += 1
        elif found.size_bytes > MAX_FILE_BYTES:
            self.problems.append(
                Problem(
                    found.path, f"It has {found.size_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are read."
                )
            )
        else:
            folder = list(parts[:-1])
            while folder and folder[-1].lower() in _PARTS:
                folder.pop()
            root = "/".join(folder)
            self.groups.setdefault(root, TaskFiles(root)).files.append(found)


def open_source(path: Path) -> FileSource:
    """Look at everything that a source has, without reading it. Blocking.

    Raises:
        NotFound: There is nothing there.
        InvalidInput: It is neither a folder nor a file, or a zip file that breaks a rule.
        PayloadTooLarge: It has too many files, or unpacks to too much.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise NotFound(
            "import.no_source",
            f"There is no file or folder {str(path)!r}.",
            "Name the folder of the results.",
        ) from error
    if stat.S_ISDIR(mode):
        source = FileSource("folder")
        _walk_folder(source, path, (), 0)
        return source
    if not stat.S_ISREG(mode):
        raise InvalidInput(
            "import.no_file", f"{str(path)!r} is neither a file nor a folder.", "Name a folder or a file."
        )
    with path.open("rb") as file:
        head = file.read(4)
    if head in (b"PK\x03\x04", b"PK\x05\x06"):
        return _open_zip(path)
    source = FileSource("file")
    source.add(FoundFile(path.name, path.stat().st_size, partial(_read_file, path)))
    return source


def _walk_folder(source: FileSource, folder: Path, parts: tuple[str, ...], depth: int) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        source.problems.append(Problem("/".join(parts), f"The folder cannot be read: {error.strerror}."))
        return
    for entry in entries:
        place = "/".join((*parts, _show(entry.name)))
        if entry.is_symlink():
            source.problems.append(Problem(place, "It is a link, and links are not followed."))
        elif entry.is_dir(follow_symlinks=False):
            if depth >= MAX_DEPTH:
                source.problems.append(Problem(place, f"It lies deeper than {MAX_DEPTH} folders."))
            else:
                _walk_folder(source, Path(entry.path), (*parts, _show(entry.name)), depth + 1)
        elif entry.is_file(follow_symlinks=False):
            size_bytes = entry.stat(follow_symlinks=False).st_size
            source.add(FoundFile(place, size_bytes, partial(_read_file, Path(entry.path))))
        else:
            source.problems.append(Problem(place, "It is no file: a device, a socket or a pipe."))


def _read_file(path: Path) -> bytes:
    """Return a file's bytes, unless it has become a link, no file or too large since it was found."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("It is no file any more.")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise OSError("It has grown too large.")
    return data


def _open_zip(path: Path) -> FileSource:
    source = FileSource("zip")
    with _explained():
        archive = zipfile.ZipFile(path)
    source.close = archive.close
    try:
        infos = archive.infolist()
        unpacked_bytes = sum(info.file_size for info in infos)
        packed_bytes = path.stat().st_size
        if unpacked_bytes > min(MAX_UNPACKED_BYTES, max(_SMALL_BYTES, MAX_RATIO * packed_bytes)):
            raise PayloadTooLarge(
                "import.unpacked_too_large",
                f"The archive has {packed_bytes:,} bytes and would unpack to {unpacked_bytes:,}.",
                "Unpack it yourself and import the folder, if you trust it.",
            )
        seen: set[str] = set()
        for info in sorted(infos, key=lambda info: info.filename):
            if not info.is_dir():
                _check_entry(info, seen)
                source.add(FoundFile(info.filename, info.file_size, partial(_read_entry, archive, info)))
    except BaseException:
        archive.close()
        raise
    return source


def _check_entry(info: zipfile.ZipInfo, seen: set[str]) -> None:
    name, mode = info.filename, info.external_attr >> 16
    parts = name.split("/")
    is_outside = name.startswith("/") or "\\" in name or "\0" in name or ":" in parts[0]
    if (
        is_outside
        or any(part in ("", ".", "..") for part in parts)
        or len(parts) > MAX_DEPTH
        or len(name) > 1_000
    ):
        raise InvalidInput(
            "import.entry_refused",
            f"{name[:200]!r} would lie outside of the folder it is unpacked in, or too deep.",
            "Pack the results again with relative names.",
        )
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or info.flag_bits & 0x1 or name in seen:
        raise InvalidInput(
            "import.entry_refused",
            f"{name[:200]!r} is a link, encrypted, or there twice.",
            "Pack the results again, without links and without a password.",
        )
    seen.add(name)


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with _explained(), archive.open(info) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:  # its table of contents lied
        raise OSError("It unpacks to more than it says.")
    return data


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise InvalidInput(
            "import.damaged",
            f"The archive is damaged: {str(error)[:200] or type(error).__name__}.",
            "Copy or pack it again.",
        ) from error


def _show(name: str) -> str:
    """Return a file's name as text that can be stored and shown."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(sign if sign.isprintable() else f"%{ord(sign):02X}" for sign in text)[:255]
