"""Run the server or a worker until a signal says to stop."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvicorn
from fastapi import FastAPI

from referee import __version__
from referee.core.errors import Conflict, InvalidInput
from referee.foundation.settings import Settings
from referee.operations.http_protocol import HttpProtocol
from referee.operations.processes import ServerState, hold_server_lock

__all__ = ["bind", "serve", "wait_for_stop"]

DRAIN_S = 3.0
"""Running tools get this long to end at a stop; the rest is handed back and taken up by the next start."""

log = structlog.get_logger("referee.operations")


def bind(settings: Settings) -> socket.socket:
    """Return a listening socket of the server's address.

    Raises:
        Conflict: The port is taken.
        InvalidInput: The address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named as TCP, as the loop sends small answers at once only over sockets that say so; else the second half of an
    # answer waits for the client to acknowledge the first, which it does 40 ms later.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(512)
    except PermissionError as error:
        listener.close()
        raise InvalidInput(
            "server.port_forbidden",
            f"This user may not listen on port {settings.port}.",
            "Choose a port above 1023 with --port.",
        ) from error
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                "server.port_taken",
                f"Port {settings.port} of {settings.host} is taken by another program.",
                "Choose another one with --port, or stop that program.",
            ) from error
        raise InvalidInput(
            "server.address_invalid",
            f"The server cannot listen on {settings.host}: {error.strerror or error}.",
            "Choose an address of this machine with --host.",
        ) from error
    return listener


def serve(settings: Settings, app: FastAPI) -> None:
    """Serve the application until SIGINT or SIGTERM, as the one server of its home. Blocking."""
    with bind(settings) as listener:
        host, port = listener.getsockname()[:2]
        state = ServerState(pid=os.getpid(), host=host, port=port, version=__version__)
        with hold_server_lock(settings, state):
            config = uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="on",
                timeout_graceful_shutdown=2,
                server_header=False,
                limit_concurrency=1_000,
                timeout_keep_alive=15,
                h11_max_incomplete_event_size=64 * 1024,
                http=HttpProtocol,
            )
            log.info("server.starting", url=state.url, home=str(settings.home))
            server = uvicorn.Server(config)
            server.run(sockets=[listener])
    if not server.started:
        raise SystemExit(6)


@asynccontextmanager
async def wait_for_stop() -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
