"""The page of services: whether each gets work, whether it could work here, and the way to give it work again."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from referee.analysis.api import GetRoom
from referee.analysis.breakers import ServiceGate, reset_breaker
from referee.analysis.services import find_service, read_services
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.formats import format_period
from referee.foundation.web.rendering import render_page

__all__ = ["add_service_pages"]


def add_service_pages(router: APIRouter, room: GetRoom, gate: ServiceGate) -> None:
    """Add the page and its form."""

    @router.get("/ui/services")
    async def show_services(request: Request, principal: PrincipalParameter) -> Response:
        settings = room().settings
        context = {
            "statuses": await read_services(room(), gate),
            "may_reset": principal.can("admin"),
            "failures_count": settings.breaker_failures_count,
            "window": format_period(settings.breaker_window_s),
            "pause": format_period(settings.breaker_pause_s),
        }
        return await render_page(
            request, "analysis/services.html", context, title="Services", twin_url="/v1/services"
        )

    @router.post("/ui/services/{service}/reset")
    async def reset_service(service: str, principal: PrincipalParameter) -> Response:
        principal.require("admin")
        wanted = find_service(service)
        async with room().database.transaction() as session:
            await reset_breaker(session, wanted)
        return RedirectResponse("/ui/services", 303)
