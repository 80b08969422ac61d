"""Decisions as lists show them: filters, pages, the trace of one subject, and what they are counted by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.audit.lags import Window
from referee.audit.recording import Decision, DecisionKind, view_decision
from referee.audit.tables import DecisionRow, ImportedAuditRow
from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "DECISION_COLUMNS",
    "DECISION_FIELDS",
    "CountedWord",
    "count_blocked_reasons",
    "count_decision_facets",
    "count_decision_types",
    "get_decision",
    "list_decisions",
    "list_trace",
    "read_original",
]

DECISION_FIELDS: Final[Mapping[str, FilterField]] = {
    "kind": FilterField("enum", "What was decided; is:blocked says the same.", tuple(DecisionKind)),
    "supervisor": FilterField("keyword", "Who decided.", example="supervisor:pipelines"),
    "policy": FilterField("keyword", "Rule that led to it.", example="policy:preflight"),
    "code": FilterField("keyword", "Code of the reason.", example="code:budget"),
    "subject": FilterField("keyword", "Id of what it is about.", is_searched=True),
    "reason": FilterField("text", "Part of the reason.", is_searched=True),
    "decision": FilterField("id", "Id of the decision.", noun="decision"),
    "event": FilterField("time", "When that happened which was decided on.", example="event:>=-24h"),
    "decided": FilterField("time", "When it was decided.", example="decided:>=-24h"),
}
_TABLE: Final = DecisionRow.__table__.c
DECISION_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "kind": _TABLE.kind,
    "supervisor": _TABLE.supervisor,
    "policy": _TABLE.policy,
    "code": _TABLE.reason_code,
    "subject": _TABLE.subject_id,
    "reason": _TABLE.reason,
    "decision": _TABLE.decision_id,
    "event": _TABLE.source_event_at,
    "decided": _TABLE.supervisor_processed_at,
}
_FACETS_COUNT: Final = 20
_REASONS_COUNT: Final = 100


@dataclass(frozen=True, slots=True)
class CountedWord:
    """So many decisions have this."""

    word: str
    count: int
    example_id: UUID
    """The latest of them."""


async def list_decisions(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Decision]:
    """Return decisions, the latest recorded first."""
    conditions = _build_conditions(project_id, where)
    total_count = await session.scalar(select(func.count()).select_from(DecisionRow).where(*conditions)) or 0
    statement = select(DecisionRow).where(*conditions).order_by(DecisionRow.sequence.desc()).limit(limit + 1)
    if cursor is not None:
        (sequence,) = decode_cursor(cursor, "decisions")
        statement = statement.where(DecisionRow.sequence < int(str(sequence)))
    rows = (await session.scalars(statement)).all()
    return _make_page(rows[:limit], total_count, limit, "decisions" if len(rows) > limit else None)


async def list_trace(
    session: AsyncSession,
    project_id: UUID,
    subject_id: str,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Decision]:
    """Return every decision about one task, cell or pipeline, the first recorded first."""
    conditions = (DecisionRow.project_id == project_id, DecisionRow.subject_id == subject_id)
    total_count = await session.scalar(select(func.count()).select_from(DecisionRow).where(*conditions)) or 0
    statement = select(DecisionRow).where(*conditions).order_by(DecisionRow.sequence).limit(limit + 1)
    if cursor is not None:
        (sequence,) = decode_cursor(cursor, "trace")
        statement = statement.where(DecisionRow.sequence > int(str(sequence)))
    rows = (await session.scalars(statement)).all()
    return _make_page(rows[:limit], total_count, limit, "trace" if len(rows) > limit else None)


async def get_decision(session: AsyncSession, project_id: UUID, decision_id: UUID) -> Decision:
    """Return one decision.

    Raises:
        NotFound: The project has none with that id.
    """
    row = await session.get(DecisionRow, decision_id)
    if row is None or row.project_id != project_id:
        raise NotFound(
            "decision.not_found", "There is no such decision.", "Look for it in the list of decisions."
        )
    return view_decision(row)


async def read_original(session: AsyncSession, project_id: UUID, decision_id: UUID) -> bytes | None:
    """Return the payload that a decision was imported from, byte for byte; None for one of our own."""
    return await session.scalar(
        select(ImportedAuditRow.original).where(
            ImportedAuditRow.project_id == project_id, ImportedAuditRow.decision_id == decision_id
        )
    )


async def count_decision_facets(
    session: AsyncSession, project_id: UUID, *, where: Filter
) -> dict[str, dict[str, int]]:
    """Return how many decisions have each kind, supervisor and policy, each counted without its own terms."""
    facets = {}
    for key in ("kind", "supervisor", "policy"):
        column = DECISION_COLUMNS[key]
        rows = await session.execute(
            select(column, func.count())
            .where(*_build_conditions(project_id, where.without(key)), column != "")
            .group_by(column)
            .order_by(func.count().desc(), column)
            .limit(_FACETS_COUNT)
        )
        facets[key] = {str(value): count for value, count in rows}
    return facets


async def count_blocked_reasons(
    session: AsyncSession, project_id: UUID, window: Window
) -> tuple[CountedWord, ...]:
    """Return why work was blocked in a window, the most frequent first; a hundred at most."""
    code = func.coalesce(
        func.nullif(DecisionRow.reason_code, ""), func.nullif(DecisionRow.policy, ""), "unnamed"
    )
    return await _count_words(
        session, project_id, window, code, DecisionRow.kind == DecisionKind.blocked.value
    )


async def count_decision_types(
    session: AsyncSession, project_id: UUID, window: Window
) -> tuple[CountedWord, ...]:
    """Return how many decisions of each kind a window has, the most frequent first."""
    return await _count_words(session, project_id, window, _TABLE.kind)


async def _count_words(
    session: AsyncSession,
    project_id: UUID,
    window: Window,
    word: ColumnElement[str],
    *conditions: ColumnElement[bool],
) -> tuple[CountedWord, ...]:
    example = func.max(cast(DecisionRow.decision_id, Text))
    rows = await session.execute(
        select(word, func.count(), example)
        .where(
            DecisionRow.project_id == project_id,
            DecisionRow.supervisor_processed_at >= window.from_at,
            DecisionRow.supervisor_processed_at < window.to_at,
            *conditions,
        )
        .group_by(word)
        .order_by(func.count().desc(), word)
        .limit(_REASONS_COUNT)
    )
    return tuple(CountedWord(str(found), count, UUID(str(latest))) for found, count, latest in rows)


def _build_conditions(project_id: UUID, where: Filter | None) -> tuple[ColumnElement[bool], ...]:
    conditions: tuple[ColumnElement[bool], ...] = (DecisionRow.project_id == project_id,)
    return conditions if where is None else (*conditions, to_where(where, DECISION_COLUMNS))


def _make_page(rows: Any, total_count: int, limit: int, sort: str | None) -> Page[Decision]:
    next_cursor = None if sort is None else encode_cursor(sort, [rows[-1].sequence])
    return Page(tuple(view_decision(row) for row in rows), total_count, limit, next_cursor)
