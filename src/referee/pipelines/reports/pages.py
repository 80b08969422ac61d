"""Pages of reports. Each shows what its JSON twin answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from referee.core.errors import InvalidInput, RefereeError
from referee.core.ids import format_id, parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import Column, EmptyState, ListView, Row, read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.pipelines.queries import list_pipelines
from referee.pipelines.reports import queries, service
from referee.pipelines.reports.api import GetEngine, GetRoom, ReportId, create_api
from referee.pipelines.reports.document import format_cell
from referee.pipelines.reports.drawing import draw_chart
from referee.pipelines.reports.states import ReportFile, ReportKind, ReportState
from referee.pipelines.reports.views import Report

__all__ = ["create_pages", "create_reports_routes"]

_CRUMB: Final = Crumb("Reports", "/ui/reports")
_PIPELINES_COUNT: Final = 50
_PAGE_ROWS_COUNT: Final = 40
"""Of one table on the page; the files have all."""
_FILE_WORDS: Final = {
    ReportFile.pdf: "PDF",
    ReportFile.html: "HTML",
    ReportFile.xlsx: "Workbook",
    ReportFile.csv: "CSV",
    ReportFile.data: "Data",
}
_COLUMNS: Final = (
    Column("title", "Title", is_title=True),
    Column("kind", "Kind"),
    Column("state", "State", "state"),
    Column("created", "Asked for", "time"),
    Column("note", "Note"),
)
_NO_REPORTS: Final = EmptyState(
    "No reports yet",
    "A report puts down what a pipeline shows: as a page, PDF, HTML file, workbook and CSV, with all that is needed to "
    "get the same numbers again.",
    "referee report create comprehensive --pipeline ID",
)
_NOTHING_ENTERED: Final = {
    "pipeline": "",
    "kind": ReportKind.comprehensive.value,
    "title": "",
    "model": "",
    "template": "",
    "baseline": "",
}


def create_reports_routes(room: GetRoom, engine: GetEngine) -> tuple[APIRouter, APIRouter]:
    """Return the routes and the pages of reports."""
    return create_api(room, engine), create_pages(room, engine)


def create_pages(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the pages of reports."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/reports")
    async def show_reports(
        request: Request,
        principal: PrincipalParameter,
        cursor: CursorParameter = None,
        pipeline: Annotated[str, Query(max_length=80)] = "",
    ) -> Response:
        return await _show_list(request, room, principal.project_id, cursor, {"pipeline": pipeline})

    @router.post("/ui/reports")
    async def make_report(
        request: Request,
        principal: PrincipalParameter,
        pipeline: Annotated[str, Form()] = "",
        kind: Annotated[str, Form()] = "",
        title: Annotated[str, Form()] = "",
        model: Annotated[str, Form()] = "",
        template: Annotated[str, Form()] = "",
        baseline: Annotated[str, Form()] = "",
    ) -> Response:
        principal.require("write")
        entered = {
            "pipeline": pipeline, "kind": kind, "title": title, "model": model, "template": template,
            "baseline": baseline,
        }  # fmt: skip
        try:
            report = await service.create_report(room(), engine(), principal.project_id, _read_form(entered))
        except RefereeError as error:
            return await _show_list(request, room, principal.project_id, None, entered, error)
        return RedirectResponse(f"/ui/reports/{report.report_id}", 303)

    @router.get("/ui/reports/{report_id}")
    async def show_report(request: Request, report_id: ReportId, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            report = await queries.get_report(session, principal.project_id, report_id)
        is_completed = report.state is ReportState.completed
        context: dict[str, Any] = {
            "report": report,
            "report_label": format_id("report", report.report_id),
            "document": await service.read_document(room(), report) if is_completed else None,
            "files": [(file.value, word) for file, word in _FILE_WORDS.items() if file in report.files],
            "source": _describe_source(report),
            "topic": f"report:{report.report_id}",
            "draw_chart": draw_chart,
            "format_cell": format_cell,
            "max_rows_count": _PAGE_ROWS_COUNT,
        }
        return await render_page(
            request,
            "reports/report.html",
            context,
            title=report.title,
            twin_url=f"/v1/reports/{report_id}",
            breadcrumb=(_CRUMB,),
        )

    return router


async def _show_list(
    request: Request,
    room: GetRoom,
    project_id: UUID,
    cursor: str | None,
    entered: dict[str, str],
    error: RefereeError | None = None,
) -> Response:
    query = read_list_query(request, queries.REPORT_FIELDS)
    async with room().database.reading() as session:
        page = await queries.list_reports(
            session, project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
        )
        pipelines = await list_pipelines(session, project_id, limit=_PIPELINES_COUNT)
    view = ListView(
        title="Reports",
        noun="reports",
        query=query,
        columns=_COLUMNS,
        rows=[
            Row(
                row_id=report.report_id.hex,
                url=f"/ui/reports/{report.report_id}",
                cells={
                    "title": report.title,
                    "kind": report.kind.value.replace("_", " "),
                    "state": report.state,
                    "created": report.created_at,
                    "note": report.reason,
                },
            )
            for report in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_REPORTS,
        twin_url=query.url(item=None, pipeline=None).replace("/ui/", "/v1/", 1),
        fields=queries.REPORT_FIELDS,
        live_topic="reports",
        caption="Reports, newest first",
    )
    context = {
        "view": view,
        "pipelines": pipelines.items,
        "kinds": [kind.value for kind in ReportKind],
        "entered": SimpleNamespace(**(_NOTHING_ENTERED | entered)),
        "error": error,
    }
    return await render_page(
        request,
        "reports/reports.html",
        context,
        title="Reports",
        twin_url=view.twin_url,
        status=200 if error is None else error.status,
    )


def _read_form(entered: dict[str, str]) -> service.ReportRequest:
    if entered["kind"] not in list(ReportKind):
        raise InvalidInput(
            "report.kind_unknown",
            f"There is no kind of report {entered['kind'][:80]!r}.",
            f"Choose one of: {', '.join(ReportKind)}.",
        )
    return service.ReportRequest(
        kind=ReportKind(entered["kind"]),
        pipeline_id=parse_id(entered["pipeline"], "pipeline"),
        model=entered["model"].strip() or None,
        template=entered["template"].strip() or None,
        baseline=entered["baseline"].strip() or None,
        title=entered["title"],
    )


def _describe_source(report: Report) -> str:
    pipeline_id = report.parameters.get("pipeline_id")
    if isinstance(pipeline_id, str):
        return f"pipeline {format_id('pipeline', UUID(pipeline_id))}"
    analyses = report.parameters.get("analysis_ids")
    return f"{len(analyses) if isinstance(analyses, list) else 0} analyses"
