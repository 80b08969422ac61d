"""OTLP over gRPC, when a port is set for it: the same way in as over HTTP, on a port of its own.

The library is an extra, ``referee[grpc]``, and loaded only by a server that
opens the port.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TypeAlias

from referee.core.errors import InvalidInput, Unauthorized
from referee.core.hosts import is_loopback_host
from referee.foundation.access import Principal
from referee.foundation.settings import Settings
from referee.traces.room import TracesRoom

__all__ = ["Callers", "keep_otlp_grpc"]

DEFAULT_PROJECT = "default"
FindPrincipal: TypeAlias = Callable[[str], Awaitable[Principal]]


@dataclass(frozen=True, slots=True)
class Callers:
    """How a call's key becomes who is calling."""

    is_loopback: bool
    authenticate: FindPrincipal
    """Bearer key to principal."""
    find_local: FindPrincipal
    """Project slug to principal, for calls on this machine without a key."""

    async def identify(self, authorization: str) -> Principal:
        """Return who calls and may send spans.

        Raises:
            Unauthorized: There is no key where one is needed, or it does not hold.
            Forbidden: The key may not send telemetry.
        """
        scheme, _, bearer = authorization.partition(" ")
        if scheme:
            if scheme.lower() != "bearer" or not bearer.strip():
                raise Unauthorized(
                    "access.scheme_unknown",
                    "Only bearer keys are accepted.",
                    "Send the metadata 'authorization: Bearer <key>'.",
                )
            principal = await self.authenticate(bearer.strip())
        elif self.is_loopback:
            principal = await self.find_local(DEFAULT_PROJECT)
        else:
            raise Unauthorized(
                "access.key_missing",
                "A key is needed here.",
                "Send the metadata 'authorization: Bearer <key>'.",
            )
        principal.require("ingest")
        return principal


@asynccontextmanager
async def keep_otlp_grpc(
    settings: Settings, room: TracesRoom, *, authenticate: FindPrincipal, find_local: FindPrincipal
) -> AsyncIterator[int | None]:
    """Take spans over gRPC while the block runs. Gives the port; None when none is set.

    Raises:
        InvalidInput: A port is set, and the extra is not installed.
        Conflict: The port is taken.
    """
    if settings.otlp_grpc_port is None:
        yield None
        return
    try:
        serving = import_module("referee.traces.grpc_serving")
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "traces.grpc_missing",
            "A port for OTLP/gRPC is set, and the library for it is not installed.",
            "Install referee[grpc], or unset REFEREE_OTLP_GRPC_PORT and send OTLP over HTTP.",
        ) from error
    callers = Callers(is_loopback_host(settings.host), authenticate, find_local)
    server, port = await serving.start_server(settings.host, settings.otlp_grpc_port, room, callers)
    try:
        yield port
    finally:
        await serving.stop_server(server)
