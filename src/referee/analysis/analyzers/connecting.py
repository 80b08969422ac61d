"""How an analyzer reaches its server: addresses, pauses between attempts, and what a refusal means."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from referee import __version__
from referee.analysis.analyzers.protocol import MAX_MESSAGE_BYTES
from referee.core.errors import Forbidden, InvalidInput, Unauthorized
from referee.core.hosts import is_loopback_host

__all__ = [
    "CONNECTION_ERRORS",
    "OPEN_S",
    "Backoff",
    "ServerAddress",
    "check_server",
    "connect_to",
    "raise_refusal",
]

_CONNECT_PATH: Final = "/v1/analyzers/connect"
OPEN_S: Final = 15.0
"""For opening a connection, and for the first answer on it."""

CONNECTION_ERRORS: Final = (OSError, ConnectionClosed, InvalidHandshake, TimeoutError, InvalidInput)
"""After these another try may succeed."""

log = structlog.get_logger("referee.analyzers")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where the server is, and the key for it."""

    websocket_url: str
    http_url: str
    key: str | None = None

    @classmethod
    def parse(cls, text: str, key: str | None) -> ServerAddress:
        """Return the addresses of a server named by one of them: ``wss://host``, ``https://host``.

        Raises:
            InvalidInput: It is no such address, or a key would go over the network in the clear.
        """
        parts = urlsplit(text.strip())
        schemes = {
            "ws": ("ws", "http"),
            "http": ("ws", "http"),
            "wss": ("wss", "https"),
            "https": ("wss", "https"),
        }
        if (
            parts.scheme not in schemes
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise InvalidInput(
                "analyzer.server_invalid",
                f"{text[:200]!r} is not the address of a server.",
                "Write it as wss://referee.example.",
            )
        websocket_scheme, http_scheme = schemes[parts.scheme]
        if key and http_scheme == "http" and not is_loopback_host(parts.hostname):
            raise InvalidInput(
                "analyzer.key_in_the_clear",
                f"The key would go to {parts.hostname} in the clear.",
                "Write the address as wss://, or reach the server through a tunnel on 127.0.0.1.",
            )
        path = parts.path.rstrip("/").removesuffix(_CONNECT_PATH)
        return cls(
            websocket_url=f"{websocket_scheme}://{parts.netloc}{path}{_CONNECT_PATH}",
            http_url=f"{http_scheme}://{parts.netloc}{path}",
            key=key or None,
        )

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses between attempts to connect: doubled each time, with chance in them, so that many do not come at once."""

    first_s: float = 0.5
    longest_s: float = 30.0

    def pause_s(self, failures_count: int) -> float:
        """Return the pause after so many failures in a row, from 1."""
        longest: float = min(self.first_s * 2 ** min(failures_count - 1, 20), self.longest_s)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


async def check_server(server: ServerAddress) -> None:
    """Ask the server whether it accepts the key; one that cannot be reached now may do so later.

    Raises:
        Unauthorized: The server does not know the key.
        Forbidden: The key may not do this.
    """
    try:
        async with connect_to(server):
            pass
    except CONNECTION_ERRORS as error:
        raise_refusal(error)
        log.warning("analyzer.server_unreachable", server=server.http_url, reason=str(error)[:300])


@asynccontextmanager
async def connect_to(server: ServerAddress) -> AsyncIterator[ClientConnection]:
    """Have a connection to a server as long as the block lasts."""
    async with connect(
        server.websocket_url,
        additional_headers=server.headers,
        user_agent_header=f"referee-analyzer/{__version__}",
        compression=None,
        max_size=MAX_MESSAGE_BYTES,
        open_timeout=OPEN_S,
        close_timeout=2.0,
    ) as connection:
        yield connection


def raise_refusal(error: Exception) -> None:
    """Give up where trying again cannot help: the server does not accept the key."""
    if not isinstance(error, InvalidStatus):
        return
    if error.response.status_code == httpx.codes.UNAUTHORIZED:
        raise Unauthorized(
            "analyzer.key_refused",
            "The server does not know the key.",
            "Make one there with `referee key create NAME --scope write`, and set REFEREE_ANALYZER_KEY to it.",
        ) from error
    if error.response.status_code == httpx.codes.FORBIDDEN:
        raise Forbidden(
            "analyzer.key_insufficient",
            "The server does not let this key run an analyzer.",
            "Make one there with `referee key create NAME --scope write`.",
        ) from error
