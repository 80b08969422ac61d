"""Reports as JSON, and their files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

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
from referee.foundation.web.openapi_problems import answers_with
from referee.pipelines.reports import queries, service
from referee.pipelines.reports.models import ReportModel, ReportRequestModel
from referee.pipelines.reports.states import FILES
from referee.pipelines.room import PipelinesRoom

__all__ = ["GetEngine", "GetRoom", "ReportId", "create_api", "read_report_id"]

GetRoom: TypeAlias = Callable[[], PipelinesRoom]
GetEngine: TypeAlias = Callable[[], JobEngine]
ReportFilter = Annotated[Filter, Depends(filter_parameter(queries.REPORT_FIELDS))]


async def read_report_id(report_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(report_id, "report")


ReportId = Annotated[UUID, Depends(read_report_id)]


def create_api(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the routes of reports."""
    router = APIRouter(prefix="/v1")

    @router.get("/reports", tags=["reports"])
    async def list_reports(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: ReportFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[ReportModel]:
        """List reports, newest first."""
        async with room().database.reading() as session:
            page = await queries.list_reports(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, ReportModel.of)

    @router.post("/reports", tags=["reports"], status_code=202)
    async def create_report(
        body: ReportRequestModel,
        principal: PrincipalParameter,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> ReportModel:
        """Accept a report. The answer means that it is stored and will be made."""
        principal.require("write")
        request = service.ReportRequest(
            kind=body.kind,
            pipeline_id=None if body.pipeline_id is None else parse_id(body.pipeline_id, "pipeline"),
            analysis_ids=[parse_id(text, "analysis") for text in body.analysis_ids],
            model=body.model,
            template=body.template,
            baseline=body.baseline,
            title=body.title,
            idempotency_key=idempotency_key,
        )
        report = await service.create_report(room(), engine(), principal.project_id, request)
        response.headers["Location"] = f"/v1/reports/{report.report_id}"
        return ReportModel.of(report)

    @router.get("/reports/{report_id}", tags=["reports"])
    async def get_report(report_id: ReportId, principal: PrincipalParameter) -> ReportModel:
        """Return a report with the addresses of its files."""
        async with room().database.reading() as session:
            return ReportModel.of(await queries.get_report(session, principal.project_id, report_id))

    @router.get(
        "/reports/{report_id}/files/{file_name}",
        tags=["reports"],
        response_class=Response,
        responses={
            **answers_file(*{media_type: None for media_type, _ in FILES.values()}),
            **answers_with(409),
        },
    )
    async def get_report_file(
        report_id: ReportId,
        file_name: Annotated[str, Path(description="data, html, pdf, xlsx or csv.")],
        principal: PrincipalParameter,
    ) -> Response:
        """Return a file of a completed report: data, html, pdf, xlsx or csv (a zip)."""
        data, media_type, name = await service.read_file(room(), principal.project_id, report_id, file_name)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type=media_type, headers=headers)

    return router
