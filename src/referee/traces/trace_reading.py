"""The verbs of reading that pages, JSON and the command line share."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement

from referee.core.errors import NotFound
from referee.core.findings import JsonValue
from referee.core.pages import Page
from referee.foundation.store import Database
from referee.traces import outline_queries, queries
from referee.traces.critical_paths import CriticalPath, compute_critical_path
from referee.traces.identity import compute_uid
from referee.traces.outlines import Fold, Outline, build_outline
from referee.traces.raw_spans import find_raw_span
from referee.traces.views import Session, SpanDetail

__all__ = [
    "SessionTree",
    "get_span",
    "list_trace_spans",
    "parse_trace_id",
    "read_critical_path",
    "read_session_tree",
    "read_trace_outline",
]

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class SessionTree:
    """A session with its events as rows."""

    session: Session
    outline: Outline


def parse_trace_id(text: str) -> UUID:
    """Return a W3C trace id.

    Raises:
        NotFound: No trace can have that id.
    """
    digits = text.strip().lower().replace("-", "")
    if not _TRACE_ID.fullmatch(digits):
        raise queries.make_trace_not_found()
    return UUID(digits)


async def read_trace_outline(
    database: Database,
    project_id: UUID,
    trace_id: UUID,
    fold: Fold | None = None,
    *,
    is_first_only: bool = False,
) -> Outline:
    """Return a trace as rows.

    Args:
        database: Where from.
        project_id: Whose.
        trace_id: Of the trace.
        fold: What is hidden.
        is_first_only: Whether the first row is enough.

    Raises:
        NotFound: The project has no span of it.
    """
    async with database.reading() as session:
        spans = await outline_queries.list_outline_spans(
            session, *outline_queries.of_trace(project_id, trace_id), is_first_only=is_first_only
        )
    if not spans:
        raise queries.make_trace_not_found()
    return await asyncio.to_thread(build_outline, spans, fold)


async def read_critical_path(database: Database, project_id: UUID, trace_id: UUID) -> CriticalPath:
    """Return the spans that bound a trace.

    Raises:
        NotFound: The project has no span of it.
    """
    async with database.reading() as session:
        spans = await outline_queries.list_outline_spans(
            session, *outline_queries.of_trace(project_id, trace_id)
        )
    if not spans:
        raise queries.make_trace_not_found()
    return await asyncio.to_thread(compute_critical_path, spans)


async def read_session_tree(
    database: Database,
    project_id: UUID,
    session_id: str,
    fold: Fold | None = None,
    *,
    is_first_only: bool = False,
) -> SessionTree:
    """Return a session as rows, or with the first of them.

    Raises:
        NotFound: Nothing names it.
    """
    uid = UUID(compute_uid(session_id))
    async with database.reading() as session:
        found = await queries.get_session(session, project_id, uid)
        spans = await outline_queries.list_outline_spans(
            session, *outline_queries.of_session(project_id, uid), is_first_only=is_first_only
        )
    return SessionTree(found, await asyncio.to_thread(build_outline, spans, fold))


async def list_trace_spans(
    database: Database, project_id: UUID, trace_id: UUID, *, cursor: str | None, limit: int
) -> Page[SpanDetail]:
    """Return a page of the spans of a trace, by their start.

    Raises:
        NotFound: The project has no span of it.
    """
    async with database.reading() as session:
        return await queries.list_trace_spans(session, project_id, trace_id, cursor=cursor, limit=limit)


async def get_span(
    database: Database,
    project_id: UUID,
    span: str,
    *conditions: ColumnElement[bool],
    has_raw: bool = False,
) -> tuple[SpanDetail, dict[str, JsonValue] | None]:
    """Return a span by the id people use for it, with its sender's own words if they are asked for.

    Raises:
        NotFound: None of the spans that meet the conditions has that id.
    """
    async with database.reading() as session:
        uid = await outline_queries.find_span_uid(session, span, *conditions)
        if uid is None:
            raise NotFound("spans.not_found", "There is no such span.", "Open its trace and select one.")
        detail = await queries.get_span_detail(session, project_id, uid)
        raw = await find_raw_span(session, project_id, detail) if has_raw else None
    return detail, raw
