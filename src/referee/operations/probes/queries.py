"""Every read of probe results: lists, sums of a window, and latency over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Interval, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where
from referee.operations.probes.tables import ProbeResultRow
from referee.operations.probes.words import Probe, ProbeOutcome, ProbeResult, ProbeStep
from referee.operations.windows import Window

__all__ = [
    "PROBE_FIELDS",
    "LatencyPoint",
    "ProbeSummary",
    "get_result",
    "list_results",
    "read_latencies",
    "summarize_probes",
    "view_result",
]

_ROW: Final = ProbeResultRow.__table__.c
PROBE_FIELDS: Final[Mapping[str, FilterField]] = {
    "probe": FilterField.of_enum(Probe, "What was tried."),
    "outcome": FilterField.of_enum(ProbeOutcome, "What became of it."),
    "error": FilterField("text", "Part of why it failed.", is_searched=True),
    "latency_ms": FilterField("number", "Milliseconds of the whole.", example="latency_ms:>1000"),
    "requested": FilterField("time", "When it was asked for.", example="requested:>=-24h"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "probe": _ROW.probe,
    "outcome": _ROW.outcome,
    "error": _ROW.error,
    "latency_ms": _ROW.latency_ms,
    "requested": _ROW.requested_at,
}
_FAILURES: Final = (ProbeOutcome.failed.value, ProbeOutcome.timed_out.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSummary:
    """What became of one probe in a window."""

    probe: Probe
    succeeded_count: int
    failed_count: int
    """Failed or timed out."""
    unavailable_count: int
    p50_ms: float | None
    """Of the whole, over those that succeeded; None without one."""
    p95_ms: float | None
    last: ProbeResult | None
    """Whenever that was."""
    last_failure: ProbeResult | None
    """In the window."""

    @property
    def judged_count(self) -> int:
        """Those that succeeded or failed."""
        return self.succeeded_count + self.failed_count

    @property
    def success_rate(self) -> float | None:
        """Share of those; None without one."""
        return self.succeeded_count / self.judged_count if self.judged_count else None


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """The latencies of one probe in one part of a window."""

    at: datetime
    """Where the part begins."""
    probe: Probe
    count: int
    """Those that succeeded."""
    p50_ms: float
    max_ms: float


def view_result(row: ProbeResultRow) -> ProbeResult:
    """Return a row as a value."""
    steps = [
        ProbeStep(str(step["name"]), float(str(step["latency_ms"])))
        for step in row.steps_json
        if isinstance(step, dict)
    ]
    return ProbeResult(
        probe_result_id=row.probe_result_id,
        probe=Probe(row.probe),
        outcome=None if row.outcome is None else ProbeOutcome(row.outcome),
        error=row.error,
        steps=steps,
        latency_ms=row.latency_ms,
        is_scheduled=row.is_scheduled,
        job_id=row.job_id,
        requested_at=row.requested_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


async def get_result(session: AsyncSession, probe_result_id: UUID) -> ProbeResult:
    """Return one result.

    Raises:
        NotFound: There is none of that id.
    """
    row = await session.get(ProbeResultRow, probe_result_id, populate_existing=True)
    if row is None:
        raise NotFound("probe.not_found", "There is no such result.", "List them with `referee probe list`.")
    return view_result(row)


async def list_results(
    session: AsyncSession,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ProbeResult]:
    """Return results, the latest first."""
    conditions = [] if where is None else [to_where(where, _COLUMNS)]
    total_count = (
        await session.scalar(select(func.count()).select_from(ProbeResultRow).where(*conditions)) or 0
    )
    statement = select(ProbeResultRow).where(*conditions).order_by(ProbeResultRow.probe_result_id.desc())
    if cursor is not None:
        (after,) = decode_cursor(cursor, "probe_results")
        statement = statement.where(ProbeResultRow.probe_result_id < UUID(str(after)))
    rows = (await session.scalars(statement.limit(limit + 1))).all()
    more = len(rows) > limit
    return Page(
        tuple(view_result(row) for row in rows[:limit]),
        total_count,
        limit,
        encode_cursor("probe_results", [str(rows[limit - 1].probe_result_id)]) if more else None,
    )


async def summarize_probes(session: AsyncSession, window: Window) -> Sequence[ProbeSummary]:
    """Return what became of each probe in a window."""
    is_good = ProbeResultRow.outcome == ProbeOutcome.succeeded.value
    percentile = [
        func.percentile_cont(share).within_group(ProbeResultRow.latency_ms).filter(is_good)
        for share in (0.5, 0.95)
    ]
    rows = await session.execute(
        select(
            ProbeResultRow.probe,
            func.count().filter(is_good),
            func.count().filter(ProbeResultRow.outcome.in_(_FAILURES)),
            func.count().filter(ProbeResultRow.outcome == ProbeOutcome.unavailable.value),
            *percentile,
        )
        .where(ProbeResultRow.requested_at >= window.from_at, ProbeResultRow.requested_at < window.to_at)
        .group_by(ProbeResultRow.probe)
    )
    sums = {row[0]: row for row in rows.all()}
    found = []
    for probe in Probe:
        _, good, bad, absent, p50, p95 = sums.get(probe.value, (probe.value, 0, 0, 0, None, None))
        found.append(
            ProbeSummary(
                probe=probe,
                succeeded_count=good,
                failed_count=bad,
                unavailable_count=absent,
                p50_ms=p50,
                p95_ms=p95,
                last=await _find_last(session, ProbeResultRow.probe == probe.value),
                last_failure=await _find_last(
                    session,
                    ProbeResultRow.probe == probe.value,
                    ProbeResultRow.outcome.in_(_FAILURES),
                    ProbeResultRow.requested_at >= window.from_at,
                ),
            )
        )
    return found


async def _find_last(session: AsyncSession, *conditions: ColumnElement[bool]) -> ProbeResult | None:
    row = await session.scalar(
        select(ProbeResultRow).where(*conditions).order_by(ProbeResultRow.requested_at.desc()).limit(1)
    )
    return None if row is None else view_result(row)


async def read_latencies(session: AsyncSession, window: Window) -> Sequence[LatencyPoint]:
    """Return the latencies of probes that succeeded, by part of the window; parts without one are left out."""
    length = bindparam("length", timedelta(seconds=window.bucket_s), Interval, unique=True)
    part = func.date_bin(length, ProbeResultRow.requested_at, window.from_at).label("part")
    rows = await session.execute(
        select(
            part,
            ProbeResultRow.probe,
            func.count(),
            func.percentile_cont(0.5).within_group(ProbeResultRow.latency_ms),
            func.max(ProbeResultRow.latency_ms),
        )
        .where(
            ProbeResultRow.requested_at >= window.from_at,
            ProbeResultRow.requested_at < window.to_at,
            ProbeResultRow.outcome == ProbeOutcome.succeeded.value,
        )
        .group_by("part", ProbeResultRow.probe)
        .order_by("part", ProbeResultRow.probe)
    )
    return [LatencyPoint(at, Probe(probe), count, p50, high) for at, probe, count, p50, high in rows]
