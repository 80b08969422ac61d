"""A subject's source on its way to an analyzer: a tar stream made by the server, unpacked with suspicion there.

Both sides trust the digest, not each other: the analyzer copies what it unpacked once more, by the
same code that made the server's copy, and takes it only when the digest of the bytes is the one it
was asked for.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes
from uuid import UUID

from sqlalchemy import select

from referee.analysis.running import AnalysisRoom
from referee.analysis.tables import AnalysisRow
from referee.apps import SourceLimits, load_snapshot, take_snapshot
from referee.core.errors import IntegrityError, InvalidInput, NotFound, PayloadTooLarge
from referee.core.sources import SourceSnapshot

__all__ = ["find_snapshot", "stream_snapshot", "unpack_snapshot"]

_PIECE_BYTES: Final = 1 << 18
_BLOCK_BYTES: Final = tarfile.BLOCKSIZE
_LONGEST_NAME_BYTES: Final = 1_024


async def find_snapshot(room: AnalysisRoom, project_id: UUID, source_digest: str) -> SourceSnapshot:
    """Return the server's copy of a source that an unfinished analysis of the project judges.

    Raises:
        NotFound: No such analysis, or the copy is gone.
    """
    async with room.database.reading() as session:
        listing_sha256 = await session.scalar(
            select(AnalysisRow.listing_sha256)
            .where(
                AnalysisRow.project_id == project_id,
                AnalysisRow.source_digest == source_digest,
                AnalysisRow.state.in_(("queued", "running")),
            )
            .limit(1)
        )
    if listing_sha256 is None:
        raise NotFound(
            "analyzer.source_unknown",
            "No unfinished analysis of this project judges that source.",
            "There is nothing to do any more.",
        )
    listing = await room.artifacts.read_bytes(listing_sha256)
    return await asyncio.to_thread(load_snapshot, listing, room.settings.snapshots_dir)


async def stream_snapshot(snapshot: SourceSnapshot) -> AsyncIterator[bytes]:
    """Yield an uncompressed tar file of a snapshot's files, in the order of its listing."""
    for source in snapshot.files:
        entry = tarfile.TarInfo(source.path)
        entry.size = source.size_bytes
        entry.mode = 0o444
        yield entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
        sent_bytes = 0
        descriptor = await asyncio.to_thread(
            os.open, snapshot.root / source.path, os.O_RDONLY | os.O_NOFOLLOW
        )
        try:
            while sent_bytes < source.size_bytes:
                wanted = min(_PIECE_BYTES, source.size_bytes - sent_bytes)
                piece = await asyncio.to_thread(os.read, descriptor, wanted)
                if not piece:
                    raise IntegrityError(
                        "source.snapshot_altered", "The copy of a source is shorter than its listing says."
                    )
                sent_bytes += len(piece)
                yield piece
        finally:
            os.close(descriptor)
        yield bytes(-source.size_bytes % _BLOCK_BYTES)
    yield bytes(2 * _BLOCK_BYTES)


def unpack_snapshot(
    archive: Path, folder: Path, snapshots_dir: Path, limits: SourceLimits, *, source_digest: str, name: str
) -> SourceSnapshot:
    """Unpack what the server sent and keep it as a snapshot. Blocking.

    Args:
        archive: The tar file.
        folder: An empty folder to unpack into; removed by the caller.
        snapshots_dir: Where snapshots lie.
        limits: What a source may hold here.
        source_digest: What it must be.
        name: How people call the subject.

    Raises:
        InvalidInput: The archive holds anything but plain files under plain names.
        PayloadTooLarge: More than the limits.
        IntegrityError: It is another source.
    """
    total_bytes = files_count = 0
    try:
        with tarfile.open(archive, "r:") as entries:
            for entry in entries:
                files_count += 1
                total_bytes += entry.size
                if files_count > limits.files_count or total_bytes > limits.total_bytes:
                    raise PayloadTooLarge(
                        "analyzer.source_too_large",
                        f"The source has more than {limits.files_count:,} files or {limits.total_bytes:,} bytes.",
                        "Raise REFEREE_MAX_SUBJECT_FILES_COUNT or REFEREE_MAX_SUBJECT_BYTES on the analyzer.",
                    )
                _unpack_file(entries, entry, folder)
    except (tarfile.TarError, UnicodeError, EOFError) as error:
        raise InvalidInput("analyzer.source_invalid", "The source that arrived is no archive.", "") from error
    snapshot = take_snapshot(folder, snapshots_dir, limits, name=name)
    if snapshot.source_digest != source_digest:
        raise IntegrityError(
            "analyzer.source_altered",
            "The source that arrived is not the one that was to be analysed.",
            "Run the same version of Referee on both sides.",
        )
    return snapshot


def _unpack_file(entries: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    reader = entries.extractfile(entry) if entry.isreg() else None
    if reader is None or entry.issparse():
        raise _odd(entry.name)
    target = os.fsencode(folder)
    *parents, last = _split(entry.name)
    for part in parents:
        target = os.path.join(target, part)  # noqa: PTH118 - names are bytes, checked one by one
        if not os.path.isdir(target):  # noqa: PTH112 - as above
            os.mkdir(target, 0o700)  # noqa: PTH102 - as above
    path = os.path.join(target, last)  # noqa: PTH118 - as above
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as writer:  # noqa: PTH123 - opened by descriptor
        while piece := reader.read(_PIECE_BYTES):
            writer.write(piece)


def _split(name: str) -> list[bytes]:
    """Return the parts of a listed path as the file's own names: a percent sign stands for encoded bytes.

    Raises:
        InvalidInput: A part is empty, leads elsewhere, or holds a slash or NUL.
    """
    if len(name.encode("utf-8", "surrogateescape")) > _LONGEST_NAME_BYTES:
        raise _odd(name)
    parts = [unquote_to_bytes(part) for part in name.split("/")]
    if any(part in (b"", b".", b"..") or b"/" in part or b"\0" in part for part in parts):
        raise _odd(name)
    return parts


def _odd(name: str) -> InvalidInput:
    return InvalidInput(
        "analyzer.source_invalid",
        f"The source that arrived holds {name[:80]!r}, which is no plain file.",
        "Run the same version of Referee on both sides.",
    )
