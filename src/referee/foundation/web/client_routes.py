"""Routes that telemetry clients speak to: what they cannot be given answers 400, and old addresses stay open.

Clients of this interface read ``message`` and ``errorCode`` of an error and take
its status literally, so one kind of route answers 400 where the rest answers 422.
Older clients leave ``/v1`` out; every route added with ``ClientRouter.both`` is
there both ways, and the address without it is described as deprecated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi import APIRouter
from fastapi.routing import APIRoute

__all__ = ["OLD_ADDRESS_SUFFIX", "ClientRoute", "ClientRouter", "is_old_address"]

OLD_ADDRESS_SUFFIX: Final = "_without_v1"
"""Ends the operation id of an address that older clients use."""

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
            old = {**arguments, "deprecated": True}
            if "operation_id" in old:
                old["operation_id"] += OLD_ADDRESS_SUFFIX
            self.add_api_route(path, handler, methods=[method], **old)
            return handler

        return add


def is_old_address(route: APIRoute) -> bool:
    """Whether a route is the one without ``/v1`` of two."""
    return bool(route.deprecated) and not route.path.startswith("/v1/")
