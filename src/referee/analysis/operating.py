"""How the work of analyses goes, as numbers of a window: durations, what was asked or done twice, hand-overs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Interval, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.analyzers.tables import AnalyzerRequestRow, AnalyzerTransferRow
from referee.analysis.tables import AnalysisRow, ToolRunAttemptRow, ToolRunRow
from referee.analysis.watching import DOUBLED_WITHIN_S
from referee.core.vocabulary import AnalysisState

__all__ = [
    "DurationPart",
    "HandOverCounts",
    "RepeatCounts",
    "count_hand_overs",
    "count_repeats",
    "read_durations",
]

_ENDED_HAND_OVERS: Final = ("committed", "superseded", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationPart:
    """The analyses that ended in one part of a window."""

    at: datetime
    """Where the part begins."""
    count: int
    """Those that came to an end of their own, not cancelled."""
    failed_count: int
    p50_s: float
    """From start to end, without the wait for a worker."""
    p95_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatCounts:
    """What was asked for or done twice in a window."""

    analyses_count: int
    """Analyses that were asked for."""
    doubled_count: int
    """Those of them whose like had been asked for within the minute before."""
    attempts_count: int
    """Attempts at tool runs of these analyses that ended."""
    refused_attempts_count: int
    """Those of them whose result came second, and was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverCounts:
    """Results that remote analyzers handed over in a window."""

    ended_count: int
    refused_count: int
    superseded_count: int
    """They came after another result of the same tool run."""


def _is_in(column: ColumnElement[datetime], from_at: datetime, to_at: datetime) -> ColumnElement[bool]:
    return (column >= from_at) & (column < to_at)


async def read_durations(
    session: AsyncSession, project_id: UUID, *, from_at: datetime, to_at: datetime, bucket_s: int
) -> Sequence[DurationPart]:
    """Return how long analyses took by when they ended; parts in which none did are left out."""
    length = bindparam("length", timedelta(seconds=bucket_s), Interval, unique=True)
    part = func.date_bin(length, AnalysisRow.finished_at, from_at).label("part")
    duration_s = func.extract("epoch", AnalysisRow.finished_at - AnalysisRow.started_at)
    rows = await session.execute(
        select(
            part,
            func.count(),
            func.count().filter(AnalysisRow.state == AnalysisState.failed.value),
            func.percentile_cont(0.5).within_group(duration_s),
            func.percentile_cont(0.95).within_group(duration_s),
        )
        .where(
            AnalysisRow.project_id == project_id,
            _is_in(AnalysisRow.__table__.c.finished_at, from_at, to_at),
            AnalysisRow.started_at.is_not(None),
            AnalysisRow.state != AnalysisState.cancelled.value,
        )
        .group_by("part")
        .order_by("part")
    )
    return [
        DurationPart(at=at, count=count, failed_count=failed, p50_s=float(p50), p95_s=float(p95))
        for at, count, failed, p50, p95 in rows
    ]


async def count_repeats(
    session: AsyncSession, project_id: UUID, *, from_at: datetime, to_at: datetime
) -> RepeatCounts:
    """Return what was asked for or done twice, by when the analyses were asked for."""
    within = timedelta(seconds=DOUBLED_WITHIN_S)
    # The one before in the order of acceptance is the latest of those before: looking at it is enough.
    each = (
        select(
            AnalysisRow.created_at,
            func.lag(AnalysisRow.created_at)
            .over(
                partition_by=(
                    AnalysisRow.subject_id,
                    AnalysisRow.source_digest,
                    AnalysisRow.request_digest,
                ),
                order_by=AnalysisRow.sequence,
            )
            .label("earlier_at"),
        )
        .where(
            AnalysisRow.project_id == project_id,
            _is_in(AnalysisRow.__table__.c.created_at, from_at - within, to_at),
        )
        .subquery()
    )
    analyses_count, doubled_count = (
        await session.execute(
            select(func.count(), func.count().filter(each.c.earlier_at >= each.c.created_at - within)).where(
                each.c.created_at >= from_at
            )
        )
    ).one()
    attempts_count, refused_count = (
        await session.execute(
            select(func.count(), func.count().filter(~ToolRunAttemptRow.is_accepted))
            .select_from(ToolRunAttemptRow)
            .join(ToolRunRow, ToolRunRow.tool_run_id == ToolRunAttemptRow.tool_run_id)
            .join(AnalysisRow, AnalysisRow.analysis_id == ToolRunRow.analysis_id)
            .where(
                AnalysisRow.project_id == project_id,
                _is_in(AnalysisRow.__table__.c.created_at, from_at, to_at),
                ToolRunAttemptRow.finished_at.is_not(None),
            )
        )
    ).one()
    return RepeatCounts(
        analyses_count=analyses_count,
        doubled_count=doubled_count,
        attempts_count=attempts_count,
        refused_attempts_count=refused_count,
    )


async def count_hand_overs(
    session: AsyncSession, project_id: UUID, *, from_at: datetime, to_at: datetime
) -> HandOverCounts:
    """Return what became of the hand-overs that ended in a window."""
    state = AnalyzerTransferRow.state
    ended, refused, superseded = (
        await session.execute(
            select(
                func.count(),
                func.count().filter(state == "refused"),
                func.count().filter(state == "superseded"),
            )
            .select_from(AnalyzerTransferRow)
            .join(AnalyzerRequestRow, AnalyzerRequestRow.request_id == AnalyzerTransferRow.request_id)
            .where(
                AnalyzerRequestRow.project_id == project_id,
                state.in_(_ENDED_HAND_OVERS),
                _is_in(AnalyzerTransferRow.__table__.c.finished_at, from_at, to_at),
            )
        )
    ).one()
    return HandOverCounts(ended_count=ended, refused_count=refused, superseded_count=superseded)
