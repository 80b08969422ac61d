"""Expected × present × valid: what each ended analysis should have, has, and has in a usable form.

One query over rows answers it at any time; ``referee verify`` reads the bytes behind them as well.

Expected are the tool runs that were planned and the entries that the manifest promises. Present is a tool run with an
outcome, and an entry with its row. Valid is a tool run that judged all there was (or found nothing of its kind) with
its findings sealed, and an entry whose artifact is on record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.tables import AnalysisRow, ManifestEntryRow, ManifestRow, SubjectRow, ToolRunRow
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.core.vocabulary import AnalysisState
from referee.foundation.store import ArtifactRow, decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "COMPLETENESS_FIELDS",
    "Completeness",
    "CompletenessTotals",
    "count_completeness",
    "list_completeness",
]

_runs = (
    select(
        ToolRunRow.analysis_id,
        func.count().label("expected_count"),
        func.count(ToolRunRow.outcome).label("present_count"),
        func.count(
            case(
                (
                    or_(
                        and_(ToolRunRow.outcome == "succeeded", ToolRunRow.findings_digest.is_not(None)),
                        ToolRunRow.outcome == "not_applicable",
                    ),
                    1,
                )
            )
        ).label("valid_count"),
        func.string_agg(
            case(
                (
                    or_(
                        ToolRunRow.outcome.is_(None),
                        ToolRunRow.outcome.not_in(("succeeded", "not_applicable")),
                    ),
                    ToolRunRow.tool
                    + " "
                    + func.coalesce(func.replace(ToolRunRow.outcome, "_", " "), "missing"),
                )
            ),
            ", ",
        ).label("holes"),
    )
    .group_by(ToolRunRow.analysis_id)
    .subquery("runs")
)
_entries = (
    select(
        ManifestEntryRow.analysis_id,
        func.count().label("entries_present_count"),
        func.count(ArtifactRow.sha256).label("entries_valid_count"),
    )
    .outerjoin(ArtifactRow, ArtifactRow.sha256 == ManifestEntryRow.sha256)
    .group_by(ManifestEntryRow.analysis_id)
    .subquery("entries")
)
_ENDED: Final = AnalysisRow.state.not_in((AnalysisState.queued.value, AnalysisState.running.value))
_EXPECTED: Final = func.coalesce(_runs.c.expected_count, 0)
_PRESENT: Final = func.coalesce(_runs.c.present_count, 0)
_VALID: Final = func.coalesce(_runs.c.valid_count, 0)
_ENTRIES_EXPECTED: Final = func.coalesce(ManifestRow.entries_count, 0)
_ENTRIES_PRESENT: Final = func.coalesce(_entries.c.entries_present_count, 0)
_ENTRIES_VALID: Final = func.coalesce(_entries.c.entries_valid_count, 0)
_IS_WHOLE: Final = and_(
    _EXPECTED > 0,
    _EXPECTED == _VALID,
    ManifestRow.analysis_id.is_not(None),
    _ENTRIES_EXPECTED == _ENTRIES_PRESENT,
    _ENTRIES_EXPECTED == _ENTRIES_VALID,
)

COMPLETENESS_FIELDS: Final[Mapping[str, FilterField]] = {
    "whole": FilterField("flag", "Whether nothing is missing.", example="-is:whole"),
    "state": FilterField.of_enum(AnalysisState, "State of the analysis."),
    "subject": FilterField("text", "Part of the subject's name.", is_searched=True),
    "profile": FilterField("keyword", "quick, standard, deep or imported."),
    "created": FilterField("time", "When it was accepted.", example="created:>=-7d"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "whole": _IS_WHOLE,
    "state": AnalysisRow.__table__.c.state,
    "subject": SubjectRow.__table__.c.name,
    "profile": AnalysisRow.__table__.c.profile,
    "created": AnalysisRow.__table__.c.created_at,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """What one ended analysis should have and has."""

    analysis_id: UUID
    sequence: int
    subject: str
    state: AnalysisState
    profile: str
    expected_count: int
    """Tool runs that were planned."""
    present_count: int
    valid_count: int
    entries_expected_count: int
    """Entries that the manifest promises; 0 without a manifest."""
    entries_present_count: int
    entries_valid_count: int
    is_whole: bool
    holes: str
    """Tools without a usable result, each with its outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletenessTotals:
    """The same over all ended analyses that a filter lets through."""

    analyses_count: int
    whole_count: int
    expected_count: int
    present_count: int
    valid_count: int
    entries_expected_count: int
    entries_present_count: int
    entries_valid_count: int


async def list_completeness(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Completeness]:
    """Return what ended analyses should have and have, newest first."""
    conditions = _conditions(project_id, where)
    total_count = (await count_completeness(session, project_id, where=where)).analyses_count
    statement = (
        _join(
            select(
                AnalysisRow.analysis_id, AnalysisRow.sequence, SubjectRow.name, AnalysisRow.state, AnalysisRow.profile,
                _EXPECTED, _PRESENT, _VALID, _ENTRIES_EXPECTED, _ENTRIES_PRESENT, _ENTRIES_VALID,
                func.coalesce(_IS_WHOLE, False), func.coalesce(_runs.c.holes, ""),
            )
        )
        .where(*conditions)
        .order_by(AnalysisRow.sequence.desc())
        .limit(limit + 1)
    )  # fmt: skip
    if cursor is not None:
        (before,) = decode_cursor(cursor, "completeness")
        statement = statement.where(AnalysisRow.sequence < int(str(before)))
    rows = (await session.execute(statement)).all()
    items = tuple(_view(tuple(row)) for row in rows[:limit])
    next_cursor = encode_cursor("completeness", [items[-1].sequence]) if len(rows) > limit else None
    return Page(items, total_count, limit, next_cursor)


async def count_completeness(
    session: AsyncSession, project_id: UUID, *, where: Filter | None = None
) -> CompletenessTotals:
    """Return the sums over all ended analyses that a filter lets through."""
    sums = [
        func.coalesce(func.sum(column), 0)
        for column in (_EXPECTED, _PRESENT, _VALID, _ENTRIES_EXPECTED, _ENTRIES_PRESENT, _ENTRIES_VALID)
    ]
    statement = _join(select(func.count(), func.count(case((_IS_WHOLE, 1))), *sums)).where(
        *_conditions(project_id, where)
    )
    counts = [int(value) for value in (await session.execute(statement)).one()]
    names = CompletenessTotals.__dataclass_fields__
    return CompletenessTotals(**dict(zip(names, counts, strict=True)))


def _conditions(project_id: UUID, where: Filter | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [AnalysisRow.project_id == project_id, _ENDED]
    if where is not None:
        conditions.append(to_where(where, _COLUMNS))
    return conditions


def _join(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return (
        statement.select_from(AnalysisRow)
        .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
        .outerjoin(_runs, _runs.c.analysis_id == AnalysisRow.analysis_id)
        .outerjoin(ManifestRow, ManifestRow.analysis_id == AnalysisRow.analysis_id)
        .outerjoin(_entries, _entries.c.analysis_id == AnalysisRow.analysis_id)
    )


def _view(row: tuple[Any, ...]) -> Completeness:
    return Completeness(
        analysis_id=row[0],
        sequence=row[1],
        subject=row[2],
        state=AnalysisState(row[3]),
        profile=row[4],
        expected_count=row[5],
        present_count=row[6],
        valid_count=row[7],
        entries_expected_count=row[8],
        entries_present_count=row[9],
        entries_valid_count=row[10],
        is_whole=row[11],
        holes=row[12],
    )
