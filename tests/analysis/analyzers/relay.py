"""A TCP relay that understands just enough of WebSocket to cut a connection at a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["to_server", "to_analyzer"]


@dataclass(frozen=True, slots=True)
class Cut:
    """Where one connection ends."""

    direction: Direction
    frames_count: int
    """Whole messages that pass in this direction first."""
    is_midway: bool = False
    """Whether half of the next message passes too."""
    is_reset: bool = False
    """Whether both ends see a reset instead of an orderly end."""


class FrameCounter:
    """Splits a byte stream into the part before a cut and the rest."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._buffer = bytearray()
        self._is_upgraded = False
        self._frames_count = 0

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """Return what may pass, and whether the connection ends then."""
        self._buffer += data
        passed = bytearray()
        while (length := self._next_length()) is not None:
            if self._is_upgraded and self._frames_count == self._cut.frames_count:
                if self._cut.is_midway:
                    passed += self._buffer[: length // 2]
                return bytes(passed), True
            if len(self._buffer) < length:
                break
            passed += self._buffer[:length]
            del self._buffer[:length]
            if self._is_upgraded:
                self._frames_count += 1
            self._is_upgraded = True
        is_due = (
            self._is_upgraded and not self._cut.is_midway and self._frames_count == self._cut.frames_count
        )
        return bytes(passed), is_due

    def _next_length(self) -> int | None:
        """Length of the head of HTTP, then of each frame; None while it is not known."""
        if not self._is_upgraded:
            end = self._buffer.find(b"\r\n\r\n")
            return None if end < 0 else end + 4
        if len(self._buffer) < 2:
            return None
        length, head = self._buffer[1] & 0x7F, 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(self._buffer) < 2 + width:
                return None
            length, head = int.from_bytes(self._buffer[2 : 2 + width], "big"), 2 + width
        if self._buffer[1] & 0x80:
            head += 4
        return head + length


@dataclass(slots=True)
class Relay:
    """Passes connections on to a server, the first ones each up to its cut."""

    port: int
    """Of the server."""
    cuts: list[Cut] = field(default_factory=list)
    made: list[Cut] = field(default_factory=list)
    """Those that were made."""
    own_port: int = 0
    is_refusing: bool = False
    """Whether new connections are closed at once: the network is down."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def add(self, cuts: Iterable[Cut]) -> None:
        """Cut the next connections."""
        self.cuts.extend(cuts)

    @property
    def is_busy(self) -> bool:
        """Whether a connection stands."""
        return bool(self._writers)

    def break_all(self) -> None:
        """Cut every connection that stands."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        if self.is_refusing:
            writer.close()
            return
        cut = self.cuts.pop(0) if self.cuts else None
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers |= {writer, server_writer}
        ways = [
            asyncio.create_task(self._pass(reader, server_writer, cut, "to_server")),
            asyncio.create_task(self._pass(server_reader, writer, cut, "to_analyzer")),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if cut is not None and any(way.exception() is None and way.result() for way in done):
                self.made.append(cut)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, server_writer):
                self._writers.discard(end)
                if cut is not None and cut.is_reset:
                    end.transport.abort()
                else:
                    end.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        cut: Cut | None,
        direction: Direction,
    ) -> bool:
        """Pass one direction on until it ends; True when this was its cut."""
        counter = FrameCounter(cut) if cut is not None and cut.direction == direction else None
        while data := await reader.read(65_536):
            passed, is_due = (data, False) if counter is None else counter.take(data)
            writer.write(passed)
            await writer.drain()
            if is_due:
                return True
        return False


@asynccontextmanager
async def open_relay(port: int, own_port: int = 0) -> AsyncIterator[Relay]:
    """Have a relay to a server's port, on a free port or a given one."""
    relay = Relay(port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", own_port)
    relay.own_port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.break_all()
