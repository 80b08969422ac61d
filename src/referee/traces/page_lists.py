"""The lists of sessions and traces as pages show them: columns, rows, facets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from referee.core.pages import Page
from referee.foundation.web.filters import Comparison, Filter, Term, TimeValue
from referee.foundation.web.lists import (
    Card,
    Column,
    EmptyState,
    Facet,
    FacetChoice,
    ListQuery,
    ListView,
    Row,
    build_facet,
)
from referee.foundation.web.templating import with_query
from referee.traces.filter_fields import SESSION_FIELDS, TRACE_FIELDS
from referee.traces.outlines import Outline
from referee.traces.queries import MAX_SUMMED_SPANS
from referee.traces.views import STATUS_WORDS, Session, Trace

__all__ = [
    "START_URL",
    "build_flag_facet",
    "build_session_cards",
    "build_session_list",
    "build_trace_cards",
    "build_trace_list",
    "build_window_facet",
    "find_session_url",
    "show_cost",
]

START_URL: Final = "/ui/traces/start"
_SESSION_COLUMNS: Final = (
    Column("name", "Session", is_title=True),
    Column("started", "Started", "time"),
    Column("duration", "Took", "duration"),
    Column("events", "Events", "count"),
    Column("models", "Model events", "count", is_optional=True),
    Column("errors", "Errors", "count"),
    Column("tokens", "Tokens", "count"),
    Column("cost", "USD", "number"),
    Column("user", "User", "mono", is_optional=True),
    Column("feedback", "Feedback", "count", is_optional=True),
)
_TRACE_COLUMNS: Final = (
    Column("name", "Root", is_title=True),
    Column("type", "Type"),
    Column("started", "Started", "time"),
    Column("duration", "Took", "duration"),
    Column("status", "Status", "state"),
    Column("spans", "Spans", "number"),
    Column("errors", "Errors", "number"),
    Column("models", "Models", "mono", is_optional=True),
    Column("tokens", "Tokens", "number"),
    Column("cost", "USD", "number"),
)
_WINDOWS: Final = (
    ("last hour", timedelta(hours=1)),
    ("last 24 hours", timedelta(days=1)),
    ("last 7 days", timedelta(days=7)),
)
_TOO_MANY: Final = f"over {MAX_SUMMED_SPANS:,}"


def build_session_list(query: ListQuery, page: Page[Session], address: str) -> ListView:
    """Return the list page of sessions."""
    return ListView(
        title="Sessions",
        noun="sessions",
        query=query,
        columns=_SESSION_COLUMNS,
        rows=[_make_session_row(one) for one in page.items],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_make_empty(
            "No sessions yet",
            "A session groups what one conversation or one run of a program did. It is there as soon as a client"
            " starts one, or a span names it.",
            address,
        ),
        facets=[
            build_window_facet(query),
            build_flag_facet(query, "error", "Errors", "with errors"),
            build_flag_facet(query, "feedback", "Feedback", "with feedback"),
        ],
        twin_url=with_query("/v1/sessions", filter=query.text),
        fields=SESSION_FIELDS,
        live_topic="spans",
        is_compact=True,
        caption="Sessions, the latest first",
    )


def build_trace_list(query: ListQuery, page: Page[Trace], types: Mapping[str, int], address: str) -> ListView:
    """Return the list page of traces."""
    return ListView(
        title="Traces",
        noun="traces",
        query=query,
        columns=_TRACE_COLUMNS,
        rows=[_make_trace_row(one) for one in page.items],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_make_empty(
            "No traces yet",
            "A trace is one request through a program: spans for its model calls, its tools and what holds them"
            " together.",
            address,
        ),
        facets=[
            build_window_facet(query),
            build_facet(query, "type", "Type", types),
            build_flag_facet(query, "failed", "Errors", "with errors"),
        ],
        twin_url=with_query("/v1/traces", filter=query.text),
        export_url=with_query("/v1/traces/export", filter=query.text),
        fields=TRACE_FIELDS,
        live_topic="spans",
        is_compact=True,
        caption="Roots of traces, the latest first",
    )


def build_window_facet(query: ListQuery) -> Facet:
    """Return the chips that bound a list by time; one at a time is chosen."""
    others = query.filter.without("started")
    choices = []
    for label, length in _WINDOWS:
        term = Term("started", (TimeValue(length, Comparison.at_least),))
        is_selected = term in query.filter.terms
        wanted: Filter = others if is_selected else replace(others, terms=(*others.terms, term))
        choices.append(FacetChoice(label, None, query.filter_url(wanted), is_selected))
    return Facet("started", "Started", choices)


def build_flag_facet(query: ListQuery, key: str, label: str, word: str) -> Facet:
    """Return the one chip of a flag, without a count."""
    is_selected = query.filter.has_word(key, "yes")
    url = query.filter_url(query.filter.toggle_word(key, "yes"))
    return Facet(key, label, [FacetChoice(word, None, url, is_selected)])


def build_session_cards(session: Session) -> list[Card]:
    """Return what a session adds up to."""
    return [
        Card("Events", f"{session.events_count:,}", f"{session.model_events_count:,} of models"),
        Card(
            "Errors",
            f"{session.errors_count:,}",
            "events with an error" if session.errors_count else "none",
            tone="bad" if session.errors_count else "",
        ),
        Card(
            "Tokens",
            f"{session.total_tokens:,}",
            f"{session.prompt_tokens:,} in, {session.completion_tokens:,} out",
        ),
        Card(
            "Cost",
            f"{show_cost(session.cost_usd)} USD",
            f"feedback on {session.feedback_count:,}" if session.feedback_count else "no feedback",
        ),
    ]


def build_trace_cards(outline: Outline, took: str, sums: tuple[int | None, float | None]) -> list[Card]:
    """Return what a trace adds up to."""
    total_tokens, cost_usd = sums
    return [
        Card("Took", took, "from the first start to the last end"),
        Card(
            "Spans",
            f"{outline.spans_count:,}",
            f"{outline.depth:,} level{'' if outline.depth == 1 else 's'}",
        ),
        Card(
            "Errors",
            f"{outline.errors_count:,}",
            "spans with an error" if outline.errors_count else "none",
            tone="bad" if outline.errors_count else "",
        ),
        Card(
            "Tokens",
            "unknown" if total_tokens is None else f"{total_tokens:,}",
            "cost unknown" if cost_usd is None else f"{show_cost(cost_usd)} USD",
        ),
    ]


def find_session_url(session_uid: UUID) -> str:
    """Return the page of a session; its uid leads there whatever its id is."""
    return f"/ui/sessions/{session_uid}"


def show_cost(value: float | None) -> str:
    """Return US dollars with as many digits as small prices need; empty when unknown."""
    if value is None:
        return ""
    if 0 < value < 0.0001:
        return "<0.0001"
    return f"{value:,.4f}".rstrip("0").rstrip(".") if value < 1 else f"{value:,.2f}"


def _make_empty(title: str, text: str, address: str) -> EmptyState:
    command = (
        f"OTEL_EXPORTER_OTLP_ENDPOINT={address} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf "
        "opentelemetry-instrument python my_agent.py"
    )
    return EmptyState(title, text, command, START_URL)


def _make_session_row(session: Session) -> Row:
    return Row(
        row_id=session.session_uid.hex,
        url=find_session_url(session.session_uid),
        cells={
            "name": session.name or session.session_id,
            "started": session.started_at,
            "duration": None if session.duration_ms is None else session.duration_ms / 1e3,
            "events": session.events_count,
            "models": session.model_events_count,
            "errors": session.errors_count,
            "tokens": session.total_tokens,
            "cost": show_cost(session.cost_usd),
            "user": session.user_id or "",
            "feedback": session.feedback_count,
        },
    )


def _make_trace_row(trace: Trace) -> Row:
    sums = trace.sums
    url = f"/ui/traces/{trace.trace_id}"
    if trace.trace_id is None:
        url = with_query(find_session_url(trace.session_uid), span=str(trace.span_uid))
    return Row(
        row_id=trace.span_uid.hex,
        url=url,
        cells={
            "name": trace.name or "unnamed",
            "type": trace.event_type,
            "started": trace.started_at,
            "duration": None if trace.duration_ms is None else trace.duration_ms / 1e3,
            "status": "failed" if trace.is_failed else STATUS_WORDS[trace.status],
            "spans": _TOO_MANY if sums.spans_count is None else f"{sums.spans_count:,}",
            "errors": "" if sums.errors_count is None else f"{sums.errors_count:,}",
            "models": ", ".join(sums.models),
            "tokens": "" if sums.total_tokens is None else f"{sums.total_tokens:,}",
            "cost": show_cost(sums.cost_usd),
        },
    )
