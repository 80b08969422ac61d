"""Pages of pipelines. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from referee.analysis import ServiceGate
from referee.core.ids import format_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query
from referee.pipelines import queries, service
from referee.pipelines.api import GetEngine, GetRoom, PipelineId
from referee.pipelines.event_pages import add_event_page
from referee.pipelines.grids import add_details, read_grid
from referee.pipelines.page_lists import build_cards, build_cell_list, build_pipeline_list
from referee.pipelines.states import PipelineState
from referee.pipelines.wizard_pages import add_start_pages
from referee.tools.inspecting import ToolInspector

__all__ = ["create_pages"]

PIPELINES_CRUMB: Final = Crumb("Pipelines", "/ui/pipelines")
_EVENTS_COUNT: Final = 50
_MAX_SQUARES_COUNT: Final = 12_000
"""A grid beyond that is shown as the list alone."""


def create_pages(room: GetRoom, engine: GetEngine, inspector: ToolInspector, gate: ServiceGate) -> APIRouter:
    """Return the pages of pipelines. What tools and services can do here is asked once for all rooms' pages."""
    router = APIRouter(include_in_schema=False)
    add_start_pages(router, room, engine, inspector, gate)
    _add_reads(router, room)
    add_event_page(router, room, PIPELINES_CRUMB)
    _add_verbs(router, room, engine)
    return router


def _add_reads(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/pipelines")
    async def show_pipelines(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, queries.PIPELINE_FIELDS)
        async with room().database.reading() as session:
            page = await queries.list_pipelines(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
        view = build_pipeline_list(query, page)
        return await render_page(
            request, "pipelines/pipelines.html", {"view": view}, title="Pipelines", twin_url=view.twin_url
        )

    @router.get("/ui/pipelines/{pipeline_id}")
    async def show_pipeline(
        request: Request,
        pipeline_id: PipelineId,
        principal: PrincipalParameter,
        cursor: CursorParameter = None,
    ) -> Response:
        query = read_list_query(request, queries.CELL_FIELDS)
        async with room().database.reading() as session:
            pipeline = await queries.get_pipeline(session, principal.project_id, pipeline_id)
            cells = await queries.list_cells(
                session, pipeline_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
            events = await queries.list_events(session, pipeline_id, limit=_EVENTS_COUNT)
            grid = await read_grid(session, pipeline_id)
            if not grid.is_large:
                grid = await add_details(session, pipeline_id, grid)
        unavailable = (pipeline.preflight or {}).get("unavailable")
        context = {
            "pipeline": pipeline,
            "pipeline_label": format_id("pipeline", pipeline.pipeline_id),
            "view": build_cell_list(query, cells, pipeline),
            "grid": grid if len(grid.squares) <= _MAX_SQUARES_COUNT else None,
            "events": events,
            "number_cards": build_cards(pipeline),
            "unavailable": unavailable if isinstance(unavailable, dict) else {},
            "can_pause": pipeline.state in (PipelineState.queued, PipelineState.running),
            "topic": f"pipeline:{pipeline.pipeline_id}",
            "square_url": partial(_build_square_url, pipeline_id),
        }
        return await render_page(
            request,
            "pipelines/pipeline.html",
            context,
            title=pipeline.name,
            twin_url=f"/v1/pipelines/{pipeline_id}",
            breadcrumb=(PIPELINES_CRUMB,),
        )


def _add_verbs(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.post("/ui/pipelines/{pipeline_id}/pause")
    async def pause_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await service.pause_pipeline(room(), principal.project_id, pipeline_id)
        return _lead_back(pipeline_id)

    @router.post("/ui/pipelines/{pipeline_id}/resume")
    async def resume_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await service.resume_pipeline(room(), engine(), principal.project_id, pipeline_id)
        return _lead_back(pipeline_id)

    @router.post("/ui/pipelines/{pipeline_id}/cancel")
    async def cancel_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await service.cancel_pipeline(room(), engine(), principal.project_id, pipeline_id)
        return _lead_back(pipeline_id)

    @router.post("/ui/pipelines/{pipeline_id}/retry")
    async def retry_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await service.retry_cells(room(), engine(), principal.project_id, pipeline_id)
        return _lead_back(pipeline_id)


def _build_square_url(pipeline_id: UUID, model: str = "", template: str = "") -> str:
    """Return the address of the cells of a pair, of all of a model or of all of a template."""
    terms = [f'{key}:"{value}"' for key, value in (("model", model), ("template", template)) if value]
    return with_query(f"/ui/pipelines/{pipeline_id}", filter=" ".join(terms)) + "#cells"


def _lead_back(pipeline_id: UUID) -> Response:
    return RedirectResponse(f"/ui/pipelines/{pipeline_id}", 303)
