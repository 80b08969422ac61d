"""The analyzer's side of a source that comes over the connection: asked for by its digest, written to a file.

A cut in between is waited out, and the source asked for again from its beginning. What arrives is
checked by whoever unpacks it; here only its size is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from websockets.exceptions import ConnectionClosed

from referee.analysis.analyzers.protocol import (
    Envelope,
    ErrorReport,
    SourceChunk,
    SourceEnd,
    SourceRequest,
    read_data,
    render_envelope,
)
from referee.core.errors import PayloadTooLarge, Unavailable

__all__ = ["SourceReceiver"]

_PIECES_COUNT: Final = 8
"""Pieces that wait for the disk before the connection is read no further."""
_SILENCE_S: Final = 60.0
"""Between two pieces, and for a connection to come back."""


class _Cut(Exception):
    """The connection has ended in the middle."""


_Item: TypeAlias = "bytes | SourceEnd | ErrorReport | None"
"""None: a cut."""


@dataclass(slots=True)
class _Incoming:
    source_digest: str
    items: asyncio.Queue[_Item] = field(default_factory=lambda: asyncio.Queue(_PIECES_COUNT))


class SourceReceiver:
    """Gets sources from the server that has called, one after another.

    Args:
        max_bytes: Of one archive.
        silence_s: Time without a piece, or without a connection, after which a source is given up.
    """

    def __init__(self, max_bytes: int, *, silence_s: float = _SILENCE_S) -> None:
        self._max_bytes = max_bytes
        self._silence_s = silence_s
        self._turn = asyncio.Lock()
        self._send: Callable[[str], Awaitable[None]] | None = None
        self._is_connected = asyncio.Event()
        self._incoming: _Incoming | None = None

    def connect(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Use a connection from now on."""
        self._send = send
        self._is_connected.set()

    def disconnect(self) -> None:
        """Wait for another connection. Called when nobody reads the old one any more."""
        self._send = None
        self._is_connected.clear()
        if self._incoming is not None:
            items = self._incoming.items
            while not items.empty():
                items.get_nowait()
            items.put_nowait(None)

    async def take(self, envelope: Envelope) -> None:
        """Take ``source_end``, or an ``error`` that may be about a source."""
        if envelope.type == "source_end":
            end = read_data(envelope, SourceEnd)
            await self._put(end.source_digest, end)
        elif envelope.type == "error" and envelope.correlation_id is not None:
            await self._put(envelope.correlation_id, read_data(envelope, ErrorReport))

    async def take_piece(self, chunk: SourceChunk, data: bytes) -> None:
        """Take the next piece; waits while many are still to be written."""
        await self._put(chunk.source_digest, data)

    async def _put(self, source_digest: str, item: _Item) -> None:
        incoming = self._incoming
        if incoming is not None and incoming.source_digest == source_digest:
            await incoming.items.put(item)

    async def fetch(self, source_digest: str, archive: Path) -> None:
        """Write the tar file of a source.

        Raises:
            Unavailable: The server does not have it, or is away for too long.
            PayloadTooLarge: It is larger than allowed here.
        """
        async with self._turn:
            while True:
                try:
                    async with asyncio.timeout(self._silence_s):
                        await self._is_connected.wait()
                except TimeoutError as error:
                    raise Unavailable(
                        "analyzer.server_away",
                        f"No server was connected for {self._silence_s:g} s while its source was needed.",
                        "Nothing is to be done: the server gives the work out again.",
                    ) from error
                self._incoming = _Incoming(source_digest)
                try:
                    await self._receive(self._incoming, archive)
                except _Cut:
                    continue
                else:
                    return
                finally:
                    self._incoming = None

    async def _receive(self, incoming: _Incoming, archive: Path) -> None:
        await self._ask(incoming.source_digest)
        received_bytes = 0
        with archive.open("wb") as file:
            while True:
                item = await self._next(incoming)
                if isinstance(item, SourceEnd):
                    if item.total_bytes != received_bytes:
                        raise _Cut
                    return
                received_bytes += len(item)
                if received_bytes > self._max_bytes:
                    raise PayloadTooLarge(
                        "analyzer.source_too_large",
                        f"The source has more than the {self._max_bytes:,} bytes that are taken here.",
                        "Raise REFEREE_MAX_SUBJECT_BYTES on the analyzer.",
                    )
                await asyncio.to_thread(file.write, item)

    async def _ask(self, source_digest: str) -> None:
        send = self._send
        if send is None:
            raise _Cut
        try:
            await send(render_envelope("source_request", SourceRequest(source_digest=source_digest)))
        except (ConnectionClosed, OSError) as error:
            if self._send is send:
                self._is_connected.clear()
            raise _Cut from error

    async def _next(self, incoming: _Incoming) -> bytes | SourceEnd:
        try:
            async with asyncio.timeout(self._silence_s):
                item = await incoming.items.get()
        except TimeoutError as error:
            raise Unavailable(
                "analyzer.server_silent",
                f"The server sent nothing of the source for {self._silence_s:g} s.",
                "",
            ) from error
        if item is None:
            raise _Cut
        if isinstance(item, ErrorReport):
            raise Unavailable(
                "analyzer.source_not_sent",
                f"The server did not send the source: {item.message}",
                "Look into the server's log.",
            )
        return item
