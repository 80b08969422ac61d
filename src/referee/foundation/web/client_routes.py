"""Routes that telemetry clients speak to: what they cannot be given answers 400, and old addresses stay open.

Clients of this interface read ``message`` and ``errorCode`` of an error and take
its status literally, so one kind of route answers 400 where the rest answers 422.
Older clients leave ``/v1`` out; every route of ``ClientRouter`` is there both
ways, and only the one with ``/v1`` is described.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter
from fastapi.routing import APIRoute

__all__ = ["ClientRoute", "ClientRouter"]

Handler = TypeVar("Handler", bound=Callable[..., Any])


class ClientRoute(APIRoute):
    """A route whose refusal of input has the status 400."""


class ClientRouter(APIRouter):
    """A router of ``ClientRoute``."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(route_class=ClientRoute, **arguments)

    def both(self, method: str, path: str, **arguments: Any) -> Callable[[Handler], Handler]:
        """Return a decorator that serves a handler at ``/v1`` + path, and at path alone for older clients.

        Args:
            method: Such as ``GET``.
            path: Without ``/v1``.
            arguments: Of ``add_api_route``.
        """

        def add(handler: Handler) -> Handler:
            self.add_api_route("/v1" + path, handler, methods=[method], **arguments)
            self.add_api_route(path, handler, methods=[method], **{**arguments, "include_in_schema": False})
            return handler

        return add
