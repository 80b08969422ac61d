"""The live tail: the latest spans as they arrive, on a page that can be paused, and as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import Response as PageResponse

from referee.core.pages import Page
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter
from referee.foundation.web.lists import Column, EmptyState, ListQuery, ListView, Row, read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query
from referee.traces.page_lists import (
    START_URL,
    build_flag_facet,
    build_window_facet,
    find_session_url,
    show_cost,
)
from referee.traces.room import TracesRoom
from referee.traces.tailing import MAX_COUNTED_SPANS, SPAN_FIELDS, TailedSpan, list_latest_spans
from referee.traces.views import STATUS_WORDS

__all__ = ["create_tail_routes"]

TAIL_COUNT: Final = 100
"""Rows of the tail: what came before is in the lists."""
_COLUMNS: Final = (
    Column("started", "Started", "time"),
    Column("name", "Name", is_title=True),
    Column("type", "Type"),
    Column("status", "Status", "state"),
    Column("duration", "Took", "duration"),
    Column("model", "Model", "mono", is_optional=True),
    Column("tokens", "Tokens", "number"),
    Column("cost", "USD", "number", is_optional=True),
)


class TailedSpanModel(BaseModel):
    """One span of the tail."""

    span_uid: str
    session_uid: str
    trace_id: str | None
    span_id: str | None
    name: str
    event_type: str
    started_at: datetime
    duration_ms: float | None = Field(description="Null: it has not ended.")
    error: str | None
    model: str | None
    total_tokens: int | None
    cost_usd: float | None

    @classmethod
    def of(cls, span: TailedSpan) -> TailedSpanModel:
        """Return the model of a row."""
        return cls(
            span_uid=str(span.span_uid),
            session_uid=str(span.session_uid),
            trace_id=span.trace_id,
            span_id=span.span_id,
            name=span.name,
            event_type=span.event_type,
            started_at=span.started_at,
            duration_ms=span.duration_ms,
            error=span.error,
            model=span.model,
            total_tokens=span.total_tokens,
            cost_usd=span.cost_usd,
        )


def create_tail_routes(room: Callable[[], TracesRoom]) -> APIRouter:
    """Return the page of the live tail and its JSON."""
    router = APIRouter(tags=["traces"])

    @router.get("/v1/spans")
    async def list_spans(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: Annotated[Filter, Depends(filter_parameter(SPAN_FIELDS))],
        limit: LimitParameter = TAIL_COUNT,
        cursor: CursorParameter = None,
    ) -> PageModel[TailedSpanModel]:
        """List spans whatever their trace, the latest start first; they are counted up to 10,000."""
        async with room().database.reading() as session:
            page = await list_latest_spans(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, TailedSpanModel.of)

    @router.get("/ui/traces/live", include_in_schema=False)
    async def show_tail(
        request: Request,
        principal: PrincipalParameter,
        paused: Annotated[int | None, Query(ge=0, lt=2**63 // 1_000_000)] = None,
    ) -> PageResponse:
        query = read_list_query(request, SPAN_FIELDS)
        until_ns = None if paused is None else paused * 1_000_000
        async with room().database.reading() as session:
            page = await list_latest_spans(
                session, principal.project_id, where=query.filter, until_ns=until_ns, limit=TAIL_COUNT
            )
        view = _build_view(query, page)
        context = {
            "view": view,
            "is_paused": paused is not None,
            "pause_url": query.url(paused=str(time.time_ns() // 1_000_000)),
            "follow_url": query.url(paused=None),
            "is_over": page.total_count >= MAX_COUNTED_SPANS,
        }
        return await render_page(
            request, "traces/tail.html", context, title="Live tail", twin_url=view.twin_url,
            breadcrumb=(Crumb("Traces", "/ui/traces"),),
        )  # fmt: skip

    return router


def _build_view(query: ListQuery, page: Page[TailedSpan]) -> ListView:
    return ListView(
        title="Live tail",
        noun="spans",
        query=query,
        columns=_COLUMNS,
        rows=[_make_row(one) for one in page.items],
        total_count=page.total_count,
        empty=EmptyState(
            "No spans yet",
            "What programs send is here as it arrives. A key of referee key create my-agent lets them send.",
            "referee key create my-agent",
            START_URL,
        ),
        facets=[build_window_facet(query), build_flag_facet(query, "failed", "Errors", "with errors")],
        twin_url=with_query("/v1/spans", filter=query.text),
        fields=SPAN_FIELDS,
        is_compact=True,
        caption="The latest spans",
    )


def _make_row(span: TailedSpan) -> Row:
    url = with_query(find_session_url(span.session_uid), span=str(span.span_uid))
    if span.trace_id is not None:
        url = with_query(f"/ui/traces/{span.trace_id}", span=span.span_id or "")
    is_failed = span.status == 2 or span.error is not None
    return Row(
        row_id=span.span_uid.hex,
        url=url,
        cells={
            "started": span.started_at,
            "name": span.name or "unnamed",
            "type": span.event_type,
            "status": "failed" if is_failed else STATUS_WORDS[span.status],
            "duration": None if span.duration_ms is None else span.duration_ms / 1e3,
            "model": span.model or "",
            "tokens": "" if span.total_tokens is None else f"{span.total_tokens:,}",
            "cost": show_cost(span.cost_usd),
        },
    )
