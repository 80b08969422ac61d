"""Lists of sessions and traces, and the spans of a trace, as JSON. Taking spans in is in ``otlp_routes``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import Depends, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    answers_file,
    filter_parameter,
)
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.filters import Filter
from referee.foundation.web.parquet import PARQUET_MEDIA_TYPE, FormatParameter, answer_rows
from referee.traces import queries, trace_reading
from referee.traces.filter_fields import SESSION_FIELDS, TRACE_FIELDS, parse_trace_filter
from referee.traces.outline_queries import of_trace
from referee.traces.room import TracesRoom
from referee.traces.trace_exports import SPAN_COLUMNS, iterate_trace_lines
from referee.traces.trace_models import CriticalPathModel, RawSpanModel, SessionSummary, SpanModel, TraceModel

__all__ = ["create_trace_api"]

TraceId: TypeAlias = Annotated[str, Path(max_length=64, description="W3C trace id.")]


async def read_trace_filter(
    filter: Annotated[
        str,
        Query(
            description="Filter text, such as 'key:value'. Keys: metadata.<name> for any name, "
            f"{', '.join(sorted(TRACE_FIELDS))}."
        ),
    ] = "",
) -> Filter:
    """Return what ``?filter=`` asks for."""
    return parse_trace_filter(filter)


def create_trace_api(room: Callable[[], TracesRoom]) -> ClientRouter:
    """Return the routes of lists of sessions and traces."""
    router = ClientRouter(tags=["traces"])

    @router.get("/v1/sessions")
    async def list_sessions(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: Annotated[Filter, Depends(filter_parameter(SESSION_FIELDS))],
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[SessionSummary]:
        """List sessions, the latest start first."""
        async with room().database.reading() as session:
            page = await queries.list_sessions(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, SessionSummary.of)

    @router.get("/v1/traces")
    async def list_traces(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: Annotated[Filter, Depends(read_trace_filter)],
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[TraceModel]:
        """List the roots of traces, the latest start first."""
        async with room().database.reading() as session:
            page = await queries.list_traces(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, TraceModel.of)

    @router.get(
        "/v1/traces/export",
        response_class=StreamingResponse,
        responses=answers_file("application/jsonl", PARQUET_MEDIA_TYPE),
    )
    async def export_traces(
        principal: PrincipalParameter,
        filter: Annotated[Filter, Depends(read_trace_filter)],
        format: FormatParameter = "jsonl",
    ) -> StreamingResponse:
        """Send every span of the traces that match, the traces with the latest start first."""
        lines = iterate_trace_lines(room().database, principal.project_id, filter)
        return await answer_rows(lines, SPAN_COLUMNS, format, "traces")

    @router.get("/v1/traces/{trace_id}")
    async def list_trace_spans(
        request: Request,
        response: Response,
        trace_id: TraceId,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[SpanModel]:
        """List the spans of a trace by their start, whole."""
        uid = trace_reading.parse_trace_id(trace_id)
        page = await trace_reading.list_trace_spans(
            room().database, principal.project_id, uid, cursor=cursor, limit=limit
        )
        return answer_page(request, response, page, SpanModel.of)

    @router.get("/v1/traces/{trace_id}/critical-path")
    async def get_critical_path(trace_id: TraceId, principal: PrincipalParameter) -> CriticalPathModel:
        """Return the spans that bound how long a trace took, and for how long each of them did."""
        uid = trace_reading.parse_trace_id(trace_id)
        path = await trace_reading.read_critical_path(room().database, principal.project_id, uid)
        return CriticalPathModel.of(uid.hex, path)

    @router.get("/v1/traces/{trace_id}/spans/{span_id}")
    async def get_span(
        trace_id: TraceId,
        span_id: Annotated[str, Path(max_length=512)],
        principal: PrincipalParameter,
    ) -> RawSpanModel:
        """Return one span, with its sender's own words."""
        conditions = of_trace(principal.project_id, trace_reading.parse_trace_id(trace_id))
        detail, raw = await trace_reading.get_span(
            room().database, principal.project_id, span_id, *conditions, has_raw=True
        )
        return RawSpanModel.of_raw(detail, raw)

    return router
