"""A subject's source over the connection, for analyzers that cannot reach the server by themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from referee.analysis.analyzers.protocol import SourceChunk, SourceEnd
from referee.analysis.analyzers.snapshots import find_snapshot, stream_snapshot
from referee.analysis.running import AnalysisRoom

__all__ = ["send_source"]

_PIECE_BYTES: Final = 1 << 18
"""Heartbeats and orders pass between two pieces."""


async def send_source(
    room: AnalysisRoom,
    project_id: UUID,
    source_digest: str,
    send: Callable[[str, BaseModel], Awaitable[None]],
    send_piece: Callable[[BaseModel, bytes], Awaitable[None]],
) -> None:
    """Send the source of an unfinished analysis of a project, piece by piece.

    Raises:
        NotFound: No such analysis, or the copy is gone.
    """
    snapshot = await find_snapshot(room, project_id, source_digest)
    buffer, total_bytes = bytearray(), 0
    async for data in stream_snapshot(snapshot):
        buffer += data
        while len(buffer) >= _PIECE_BYTES:
            piece = bytes(buffer[:_PIECE_BYTES])
            del buffer[:_PIECE_BYTES]
            total_bytes += len(piece)
            await send_piece(SourceChunk(source_digest=source_digest, length=len(piece)), piece)
    if buffer:
        total_bytes += len(buffer)
        await send_piece(SourceChunk(source_digest=source_digest, length=len(buffer)), bytes(buffer))
    await send("source_end", SourceEnd(source_digest=source_digest, total_bytes=total_bytes))
