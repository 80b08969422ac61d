"""Pipelines as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import StreamingResponse

from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.jobs import JobEngine
from referee.foundation.web.answers import (
    CursorParameter,
    IdempotencyKey,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    answers_file,
    filter_parameter,
)
from referee.foundation.web.filters import Filter
from referee.pipelines import queries, selftest, service
from referee.pipelines.exporting import name_export, stream_export
from referee.pipelines.models import (
    CellModel,
    ExtensionModel,
    PipelineEventModel,
    PipelineModel,
    PipelineRequestModel,
)
from referee.pipelines.room import PipelinesRoom
from referee.pipelines.views import Pipeline

__all__ = ["create_api", "read_pipeline_id"]

GetRoom: TypeAlias = Callable[[], PipelinesRoom]
GetEngine: TypeAlias = Callable[[], JobEngine]

PipelineFilter = Annotated[Filter, Depends(filter_parameter(queries.PIPELINE_FIELDS))]
EventFilter = Annotated[Filter, Depends(filter_parameter(queries.EVENT_FIELDS))]
CellFilter = Annotated[Filter, Depends(filter_parameter(queries.CELL_FIELDS))]


async def read_pipeline_id(pipeline_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(pipeline_id, "pipeline")


PipelineId = Annotated[UUID, Depends(read_pipeline_id)]


class _Accepted:
    """Writes the answer to those who had a pipeline accepted: many at once get the same one, written once."""

    def __init__(self) -> None:
        self._last: tuple[Pipeline, bytes] | None = None

    def write(self, pipeline: Pipeline) -> Response:
        """Return the answer 202 with a pipeline, as it stood when it was read."""
        if self._last is None or self._last[0] is not pipeline:
            self._last = (pipeline, PipelineModel.of(pipeline).model_dump_json().encode())
        return Response(
            self._last[1],
            status_code=202,
            media_type="application/json",
            headers={"Location": f"/v1/pipelines/{pipeline.pipeline_id}"},
        )


def create_api(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the routes of pipelines."""
    router = APIRouter(prefix="/v1")
    _add_reads(router, room)
    _add_verbs(router, room, engine)
    return router


def _add_reads(router: APIRouter, room: GetRoom) -> None:
    @router.get("/pipelines", tags=["pipelines"])
    async def list_pipelines(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: PipelineFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[PipelineModel]:
        """List pipelines, newest first."""
        async with room().database.reading() as session:
            page = await queries.list_pipelines(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, PipelineModel.of)

    @router.get("/pipelines/{pipeline_id}", tags=["pipelines"])
    async def get_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> PipelineModel:
        """Return a pipeline with the counts of its cells."""
        async with room().database.reading() as session:
            return PipelineModel.of(await queries.get_pipeline(session, principal.project_id, pipeline_id))

    @router.get("/pipelines/{pipeline_id}/cells", tags=["pipelines"])
    async def list_cells(
        request: Request,
        response: Response,
        pipeline_id: PipelineId,
        principal: PrincipalParameter,
        filter: CellFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[CellModel]:
        """List the cells of a pipeline in their order."""
        async with room().database.reading() as session:
            await queries.get_pipeline(session, principal.project_id, pipeline_id)
            page = await queries.list_cells(session, pipeline_id, where=filter, cursor=cursor, limit=limit)
        return answer_page(request, response, page, CellModel.of)

    @router.get(
        "/pipelines/{pipeline_id}/export",
        tags=["pipelines"],
        response_class=StreamingResponse,
        responses=answers_file("application/zip"),
    )
    async def export_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> StreamingResponse:
        """Send the pipeline with every result and app as a zip file."""
        async with room().database.reading() as session:
            pipeline = await queries.get_pipeline(session, principal.project_id, pipeline_id)
        return StreamingResponse(
            stream_export(room(), principal.project_id, principal.project_slug, pipeline_id),
            media_type="application/zip",
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": f'attachment; filename="{name_export(pipeline)}"',
                "Content-Encoding": "identity",
            },
        )

    @router.get("/pipelines/{pipeline_id}/events", tags=["pipelines"])
    async def list_events(
        request: Request,
        response: Response,
        pipeline_id: PipelineId,
        principal: PrincipalParameter,
        filter: EventFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[PipelineEventModel]:
        """List what happened to a pipeline, the latest first."""
        async with room().database.reading() as session:
            await queries.get_pipeline(session, principal.project_id, pipeline_id)
            page = await queries.list_events(session, pipeline_id, where=filter, cursor=cursor, limit=limit)
        return answer_page(request, response, page, PipelineEventModel.model_validate)


def _add_verbs(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    answers = _Accepted()

    @router.post("/pipelines", tags=["pipelines"], status_code=202, response_model=PipelineModel)
    async def create_pipeline(
        body: PipelineRequestModel,
        principal: PrincipalParameter,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Accept a pipeline. The answer means that it and every cell are stored and will be carried out."""
        principal.require("write")
        text = body.definition if isinstance(body.definition, str) else json.dumps(body.definition, indent=1)
        request = service.PipelineRequest(definition_text=text, idempotency_key=idempotency_key)
        return answers.write(await service.create_pipeline(room(), engine(), principal.project_id, request))

    @router.post("/selftest/pipelines", tags=["pipelines"], status_code=202, response_model=PipelineModel)
    async def create_selftest_pipeline(
        principal: PrincipalParameter,
        is_app_run: Annotated[bool, Query(description="Whether the apps are run and met by tools.")] = True,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Accept a pipeline over four tiny apps of this server's own. ``referee selftest`` asks for it."""
        principal.require("write")
        pipeline = await selftest.create_selftest_pipeline(
            room(),
            engine(),
            principal.project_id,
            is_app_run=is_app_run,
            idempotency_key=idempotency_key,
        )
        return answers.write(pipeline)

    @router.post("/pipelines/{pipeline_id}/pause", tags=["pipelines"])
    async def pause_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> PipelineModel:
        """Begin no further cell; those at work come to their end."""
        principal.require("write")
        return PipelineModel.of(await service.pause_pipeline(room(), principal.project_id, pipeline_id))

    @router.post("/pipelines/{pipeline_id}/resume", tags=["pipelines"])
    async def resume_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> PipelineModel:
        """Go on with a paused pipeline."""
        principal.require("write")
        return PipelineModel.of(
            await service.resume_pipeline(room(), engine(), principal.project_id, pipeline_id)
        )

    @router.post("/pipelines/{pipeline_id}/cancel", tags=["pipelines"])
    async def cancel_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> PipelineModel:
        """Stop a pipeline; cells that ended keep their results."""
        principal.require("write")
        return PipelineModel.of(
            await service.cancel_pipeline(room(), engine(), principal.project_id, pipeline_id)
        )

    @router.post("/pipelines/{pipeline_id}/retry", tags=["pipelines"], status_code=202)
    async def retry_pipeline(pipeline_id: PipelineId, principal: PrincipalParameter) -> PipelineModel:
        """Set every cell that ended without valid results going again."""
        principal.require("write")
        return PipelineModel.of(
            await service.retry_cells(room(), engine(), principal.project_id, pipeline_id)
        )

    @router.post("/pipelines/{pipeline_id}/extend", tags=["pipelines"], status_code=202)
    async def extend_pipeline(
        body: ExtensionModel, pipeline_id: PipelineId, principal: PrincipalParameter
    ) -> PipelineModel:
        """Add models or templates to a generating pipeline."""
        principal.require("write")
        return PipelineModel.of(
            await service.extend_pipeline(
                room(),
                engine(),
                principal.project_id,
                pipeline_id,
                models=body.models,
                templates=body.templates,
            )
        )
