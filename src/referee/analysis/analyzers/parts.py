"""A result on the server's disk while it arrives: its large streams lie in files of their own.

::

    ID.part       the result as it is sent, with holes where its large streams belong
    ID.part.0 …   one large stream each

A large stream becomes an artifact by a second name for its file, so its bytes are written once and hashed
as they come. Where a byte lies follows from the result's own header; a header that cannot be understood
leaves everything in one file. All functions are blocking.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from referee.analysis.analyzers.bundles import HEAD_BYTES, count_header_bytes, locate_streams
from referee.tools.contract import StreamFile

if TYPE_CHECKING:
    from hashlib import _Hash
    from typing import Any

__all__ = ["Digests", "PartFiles", "remove_part"]

_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 of what is there, of the whole and of each stream that has a file."""

    whole: _Hash = field(default_factory=hashlib.sha256)
    streams: dict[int, _Hash] = field(default_factory=dict)

    def copy(self) -> Digests:
        """Return digests that go on apart."""
        return Digests(self.whole.copy(), {number: one.copy() for number, one in self.streams.items()})

    def update(self, number: int | None, data: memoryview | bytes) -> None:
        """Take the next bytes, of a stream that has a file or of what lies between."""
        self.whole.update(data)
        if number is not None:
            self.streams.setdefault(number, hashlib.sha256()).update(data)


@dataclass(frozen=True, slots=True)
class _Range:
    """Bytes of the whole that lie in one file."""

    number: int | None
    """Of the stream; None for what lies between."""
    start: int
    end: int


class PartFiles:
    """The files of one transfer.

    Args:
        path: Of ``ID.part``; the others lie beside it.
        total_bytes: Of the whole.
        own_file_bytes: Size from which a stream has a file of its own.
    """

    def __init__(self, path: Path, total_bytes: int, *, own_file_bytes: int) -> None:
        self._path = path
        self._total_bytes = total_bytes
        self._own_file_bytes = own_file_bytes
        self._places: tuple[tuple[int, int], ...] | None = None
        """Offset and length of the streams with a file; None until the header is there."""
        self._unflushed: set[int | None] = set()
        self._noting = threading.Lock()  # what is unflushed: one thread writes while another flushes

    def open(self, known_bytes: int) -> tuple[int, Digests]:
        """Make the files, or cut them to what is known to be committed. Returns how much that is, and its digests."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        os.close(self._open(None, os.O_RDWR | os.O_CREAT))
        self._places = self._find_places(known_bytes)
        committed_bytes = self._count_there(known_bytes)
        self.cut(committed_bytes)
        digests = Digests()
        with self.open_whole() as file:
            for part in self._split(0, committed_bytes):
                left_bytes = part.end - part.start
                while left_bytes and (piece := file.read(min(_PIECE_BYTES, left_bytes))):
                    digests.update(part.number, piece)
                    left_bytes -= len(piece)
        return committed_bytes, digests

    def cut(self, length: int) -> None:
        """Forget what lies after an offset. A file that has become an artifact is left to it, never changed."""
        self._cut_file(self._path, length)
        places = self._places or ()
        for path in _list_streams(self._path):
            number = int(path.suffix[1:])
            start = places[number][0] if number < len(places) else length
            if length > start:
                self._cut_file(path, length - start)
            else:
                path.unlink()
                with self._noting:
                    self._unflushed.discard(number)
        if self._find_places(length) is None:  # the header comes again
            self._places = None
        self._make_streams()

    def write(self, offset: int, data: bytes, digests: Digests) -> Digests:
        """Write a piece. Returns the digests with it."""
        longer = digests.copy()
        if self._places is None:
            self._write_at(None, offset, memoryview(data))
            self._places = self._find_places(offset + len(data))
            self._make_streams()
        view = memoryview(data)
        for part in self._split(offset, offset + len(data)):
            piece = view[part.start - offset : part.end - offset]
            start = 0 if part.number is None else (self._places or ())[part.number][0]
            self._write_at(part.number, part.start - start, piece)
            longer.update(part.number, piece)
        return longer

    def flush(self) -> None:
        """Have everything on disk that was written before."""
        with self._noting:
            numbers, self._unflushed = self._unflushed, set()
        try:
            for number in numbers:
                descriptor = self._open(number, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except OSError:
            with self._noting:
                self._unflushed |= numbers
            raise

    def open_whole(self) -> BinaryIO:
        """Return the whole as one file to read."""
        return cast("BinaryIO", io.BufferedReader(_Whole(self)))  # which it is, for whoever reads

    def find_file(self, offset: int, length: int, digests: Digests) -> StreamFile | None:
        """Return the file that holds exactly these bytes of the whole, if there is one."""
        place = (offset, length)
        if place not in (self._places or ()):
            return None
        number = (self._places or ()).index(place)
        return StreamFile(self._path_of(number), digests.streams[number].hexdigest(), length)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes of the whole, fewer where the file ends or another begins."""
        part = next(self._split(offset, min(offset + length, self._total_bytes)), None)
        if part is None:
            return b""
        start = 0 if part.number is None else (self._places or ())[part.number][0]
        try:
            descriptor = self._open(part.number, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, part.end - part.start, part.start - start)
        finally:
            os.close(descriptor)

    def _find_places(self, known_bytes: int) -> tuple[tuple[int, int], ...] | None:
        """Return where the large streams lie; None while the header is not there."""
        if known_bytes < HEAD_BYTES:
            return None
        descriptor = self._open(None, os.O_RDONLY)
        try:
            header_bytes = count_header_bytes(os.pread(descriptor, HEAD_BYTES, 0))
            if header_bytes is None:
                return ()
            if known_bytes < HEAD_BYTES + header_bytes:
                return None
            header = os.pread(descriptor, header_bytes, HEAD_BYTES)
        finally:
            os.close(descriptor)
        places = locate_streams(header, self._total_bytes)
        return tuple(place for place in places if place[1] >= self._own_file_bytes)

    def _count_there(self, known_bytes: int) -> int:
        """Return how many of the first bytes the files really hold."""
        for part in self._split(0, known_bytes):
            start = 0 if part.number is None else (self._places or ())[part.number][0]
            try:
                found = self._path_of(part.number).stat()
            except FileNotFoundError:
                return part.start
            if part.number is not None and found.st_nlink > 1:
                return part.start  # it is an artifact, and what comes again must not be written into that
            if found.st_size < part.end - start:
                return max(part.start, start + found.st_size)
        return known_bytes

    def _split(self, start: int, end: int) -> Iterator[_Range]:
        """Yield these bytes of the whole by the files that they lie in."""
        for number, (offset, length) in enumerate(self._places or ()):
            if offset >= end:
                break
            if offset + length <= start:
                continue
            if start < offset:
                yield _Range(None, start, offset)
                start = offset
            yield _Range(number, start, min(end, offset + length))
            start = min(end, offset + length)
        if start < end:
            yield _Range(None, start, end)

    def _make_streams(self) -> None:
        for number in range(len(self._places or ())):
            os.close(self._open(number, os.O_RDWR | os.O_CREAT))
        _fsync_folder(self._path.parent)

    def _write_at(self, number: int | None, offset: int, view: memoryview) -> None:
        descriptor = self._open(number, os.O_WRONLY)
        try:
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(descriptor)
        with self._noting:
            self._unflushed.add(number)

    def _path_of(self, number: int | None) -> Path:
        return self._path if number is None else self._path.with_name(f"{self._path.name}.{number}")

    def _open(self, number: int | None, flags: int) -> int:
        return os.open(self._path_of(number), flags | os.O_NOFOLLOW, 0o600)

    def _cut_file(self, path: Path, length: int) -> None:
        found = path.stat()
        if found.st_size > length:
            os.truncate(path, length)


class _Whole(io.RawIOBase):
    """A result out of all its files."""

    def __init__(self, files: PartFiles) -> None:
        super().__init__()
        self._files = files
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._offset = offset + (self._offset if whence == os.SEEK_CUR else 0)
        return self._offset

    def readinto(self, buffer: Any) -> int:
        data = self._files.read_at(self._offset, len(buffer))
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)


def remove_part(path: Path) -> None:
    """Remove the files of a transfer; what has become an artifact stays one."""
    for stream in _list_streams(path):
        stream.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _list_streams(path: Path) -> list[Path]:
    return [one for one in path.parent.glob(f"{path.name}.*") if one.suffix[1:].isdecimal()]


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
