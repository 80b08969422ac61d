"""The server's socket."""

from __future__ import annotations

import asyncio
import socket

from referee.foundation.settings import Settings
from referee.operations.serving import bind


async def test_answers_do_not_wait_for_each_others_acknowledgement(settings: Settings) -> None:
    delays: list[int] = []
    is_met = asyncio.Event()

    def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        delays.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        is_met.set()

    with bind(settings.model_copy(update={"host": "127.0.0.1", "port": 0})) as listener:
        server = await asyncio.start_server(greet, sock=listener)
        async with server:
            _, writer = await asyncio.open_connection(*listener.getsockname())
            await asyncio.wait_for(is_met.wait(), 10)
            writer.close()
    assert delays == [1]
