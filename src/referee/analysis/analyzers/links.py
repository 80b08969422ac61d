"""One end of a WebSocket, whoever opened it: an analyzer that connected, or this server to one that listens."""

from __future__ import annotations

from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

__all__ = ["AcceptedLink", "DialledLink", "Link", "LinkClosed"]


class LinkClosed(Exception):
    """The connection has ended."""


class Link(Protocol):
    """What a conversation with an analyzer needs of its connection."""

    async def receive(self) -> str | bytes | None:
        """Return the next message; None when the connection is closed."""

    async def send(self, data: str | bytes) -> None:
        """Send one message.

        Raises:
            LinkClosed: The connection has ended.
        """

    async def close(self, code: int, reason: str) -> None:
        """End the connection; nothing happens when it has ended."""


class AcceptedLink:
    """A connection that an analyzer has opened."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes | None:
        """Return the next message; None when the connection is closed."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | bytes | None = message.get("text")
        return text if text is not None else message.get("bytes", b"")

    async def send(self, data: str | bytes) -> None:
        """Send one message.

        Raises:
            LinkClosed: The connection has ended.
        """
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            raise LinkClosed
        try:
            if isinstance(data, bytes):
                await self._websocket.send_bytes(data)
            else:
                await self._websocket.send_text(data)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise LinkClosed from error

    async def close(self, code: int, reason: str) -> None:
        """End the connection; nothing happens when it has ended."""
        try:
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError, OSError):
            return


class DialledLink:
    """A connection that this server has opened to a listening analyzer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes | None:
        """Return the next message; None when the connection is closed."""
        try:
            return await self._connection.recv()
        except ConnectionClosed:
            return None

    async def send(self, data: str | bytes) -> None:
        """Send one message.

        Raises:
            LinkClosed: The connection has ended.
        """
        try:
            await self._connection.send(data)
        except (ConnectionClosed, OSError) as error:
            raise LinkClosed from error

    async def close(self, code: int, reason: str) -> None:
        """End the connection; nothing happens when it has ended."""
        await self._connection.close(code, reason[:100])
