"""The map of services as a page and as JSON, both from one read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response as PageResponse

from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query
from referee.traces.room import TracesRoom
from referee.traces.service_map_drawing import draw_service_map
from referee.traces.service_maps import MAP_WINDOWS, MAX_MAP_SPANS, ServiceCalls, read_service_map

__all__ = ["create_service_map_routes"]

Window: TypeAlias = Annotated[
    Literal["1h", "24h", "7d", "30d"], Query(description="How far back from now.", alias="window")
]


class ServiceCallsModel(BaseModel):
    """Calls of one service."""

    caller: str | None = Field(description="Null: from outside, or by all callers together.")
    service: str
    calls_count: int
    errors_count: int
    p95_ms: float | None = Field(description="Of those that ended.")

    @classmethod
    def of(cls, calls: ServiceCalls) -> ServiceCallsModel:
        """Return calls as JSON."""
        return cls(
            caller=calls.caller,
            service=calls.service,
            calls_count=calls.calls_count,
            errors_count=calls.errors_count,
            p95_ms=calls.p95_ms,
        )


class ServiceMapModel(BaseModel):
    """Services and the calls between them, those with most calls first."""

    services: list[ServiceCallsModel] = Field(description="By all callers together; at most 60.")
    edges: list[ServiceCallsModel] = Field(description="By one caller each; at most 200.")
    spans_count: int = Field(description=f"That were looked at: the latest {MAX_MAP_SPANS:,} at most.")
    left_out_count: int = Field(description="Services and edges that are not listed.")


def create_service_map_routes(room: Callable[[], TracesRoom]) -> APIRouter:
    """Return the page of the map and its JSON."""
    router = APIRouter(tags=["traces"])

    @router.get("/v1/service-map")
    async def get_service_map(principal: PrincipalParameter, window: Window = "24h") -> ServiceMapModel:
        """Return who calls whom, how often, how often it failed, and how long it took."""
        async with room().database.reading() as session:
            found = await read_service_map(session, principal.project_id, MAP_WINDOWS[window])
        return ServiceMapModel(
            services=[ServiceCallsModel.of(one) for one in found.services],
            edges=[ServiceCallsModel.of(one) for one in found.edges],
            spans_count=found.spans_count,
            left_out_count=found.left_out_count,
        )

    @router.get("/ui/traces/map", include_in_schema=False)
    async def show_service_map(
        request: Request, principal: PrincipalParameter, window: Window = "24h"
    ) -> PageResponse:
        async with room().database.reading() as session:
            found = await read_service_map(session, principal.project_id, MAP_WINDOWS[window])
        context = {
            "map": found,
            "drawing": draw_service_map(found) if found.services else "",
            "max_spans": MAX_MAP_SPANS,
            "windows": [
                {
                    "label": f"last {word}",
                    "url": f"/ui/traces/map?window={word}",
                    "is_current": word == window,
                }
                for word in MAP_WINDOWS
            ],
        }
        return await render_page(
            request, "traces/map.html", context, title="Service map",
            twin_url=with_query("/v1/service-map", window=window), breadcrumb=(Crumb("Traces", "/ui/traces"),),
        )  # fmt: skip

    return router
