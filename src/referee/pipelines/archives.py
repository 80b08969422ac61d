"""A zip file that is sent while it is made: nothing is held but one piece, and no copy lies on disk.

Names are relative POSIX paths that stay below the folder they are unpacked in. Bytes are the same each time the
same things are packed: entries have one fixed instant.
"""

from __future__ import annotations

import asyncio
import hashlib
import zipfile
from collections.abc import AsyncIterator
from io import RawIOBase
from pathlib import PurePosixPath
from typing import Final

from referee.core.errors import IntegrityError

__all__ = ["ZipStream", "check_entry_name"]

_AT: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest instant that the format knows."""
_MODE: Final = 0o644 << 16
_COMPRESS_LEVEL: Final = 3
"""Text shrinks to a fifth; higher levels take three times as long for a twentieth more."""


class _Outbox(RawIOBase):
    """What was written and not yet taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # zipfile writes bytes
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class ZipStream:
    """Packs one entry after another; every method yields bytes of the zip file."""

    def __init__(self) -> None:
        self._outbox = _Outbox()
        self._zip = zipfile.ZipFile(self._outbox, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESS_LEVEL)
        self.digests: dict[str, str] = {}
        """SHA-256 of each entry by its name, in their order."""
        self.total_bytes = 0
        """Of all entries, unpacked."""

    async def add(self, name: str, data: bytes) -> AsyncIterator[bytes]:
        """Pack bytes."""

        async def whole() -> AsyncIterator[bytes]:
            yield data

        async for piece in self.add_stream(name, whole(), hashlib.sha256(data).hexdigest()):
            yield piece

    async def add_stream(self, name: str, pieces: AsyncIterator[bytes], sha256: str) -> AsyncIterator[bytes]:
        """Pack pieces whose digest is known. Compressing goes on in a thread.

        Raises:
            IntegrityError: They have another digest.
        """
        digest, size_bytes = hashlib.sha256(), 0
        with self._zip.open(self._describe(name), "w", force_zip64=True) as entry:
            async for piece in pieces:
                await asyncio.to_thread(entry.write, piece)
                digest.update(piece)
                size_bytes += len(piece)
                yield self._outbox.take()
        if digest.hexdigest() != sha256:
            raise IntegrityError("export.altered", f"What is stored for {name} is not what was recorded.")
        self.digests[name] = sha256
        self.total_bytes += size_bytes
        yield self._outbox.take()

    def close(self) -> bytes:
        """Return the table of contents, which is the end of the file."""
        self._zip.close()
        return self._outbox.take()

    def _describe(self, name: str) -> zipfile.ZipInfo:
        check_entry_name(name)
        if name in self.digests:
            raise IntegrityError("export.name_taken", f"Two files would be packed as {name}.")
        described = zipfile.ZipInfo(name, date_time=_AT)
        described.compress_type, described.external_attr = zipfile.ZIP_DEFLATED, _MODE
        return described


def check_entry_name(name: str) -> None:
    """Refuse a name that would lead out of the folder it is unpacked in.

    Raises:
        IntegrityError: It is absolute, empty, goes up, or has a character that some system reads as a separator.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or any(char in name for char in "\\\0\r\n"):
        raise IntegrityError("export.name_unsafe", f"{name[:200]!r} is no name of a file in an archive.")
