"""Asking for a probe, carrying it out, and forgetting what is old.

Of each probe at most one is open: the database refuses a second, so probes never pile up, whatever hangs.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.forgetting import forget_analyses
from referee.core.errors import Conflict, NotFound, RefereeError
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.foundation.access import create_project, find_local_principal, get_project
from referee.foundation.jobs import JobEngine
from referee.foundation.store import Database
from referee.operations.probes import metrics
from referee.operations.probes.checks import CHECKS, Check, ProbeFailed, Stopwatch
from referee.operations.probes.queries import get_result, view_result
from referee.operations.probes.room import ProbesRoom
from referee.operations.probes.tables import ProbeResultRow
from referee.operations.probes.words import Probe, ProbeOutcome, ProbeResult
from referee.traces.retention import get_retention, set_retention

__all__ = [
    "KINDS",
    "ProbeRunner",
    "count_old_results",
    "end_result",
    "ensure_probe_project",
    "forget_probes",
    "is_due",
    "start_probe",
]

KINDS: Final = {probe: f"schedule.probe_{probe.value}" for probe in Probe}
"""Kinds of jobs; of schedules, so that lists of work leave them out and they are kept as briefly."""
START_GRACE_S: Final = 60.0
"""Time a worker may take to take a probe up, on top of the probe's own."""
_END_GRACE_S: Final = 1.0
"""A check that sees for itself that its time is up says more than the one who waits for it."""
_MAX_ERROR_CHARS: Final = 500
_FORGET_AT_ONCE: Final = 200

log = structlog.get_logger(__name__)


def is_due(interval_s: int, at: datetime) -> bool:
    """Return whether a probe is due in the minute of an instant: the same for all workers, and without a memory."""
    if interval_s <= 0:
        return False
    minutes = -(-interval_s // 60)
    return int(at.timestamp()) // 60 % minutes == 0


async def ensure_probe_project(room: ProbesRoom) -> UUID:
    """Return the project that probes work in, made if it is not there."""
    slug = room.settings.probe_project
    try:
        project = await get_project(room.database, slug)
    except NotFound:
        principal = await find_local_principal(room.database)
        try:
            project = await create_project(
                room.database, principal, slug, "Probes", description="What Referee's own probes made."
            )
        except Conflict:  # another process was quicker
            project = await get_project(room.database, slug)
    kept = await get_retention(room.database, project.project_id)
    if kept.keep_days != room.settings.probe_keep_days:
        await set_retention(room.database, project.project_id, room.settings.probe_keep_days)
    return project.project_id


async def start_probe(
    room: ProbesRoom, engine: JobEngine, probe: Probe, *, is_scheduled: bool = False
) -> ProbeResult:
    """Ask for a try of a probe; the one that is open is returned if there is one.

    One that is open for longer than it may be is ended first: nobody took it up, or whoever did died.

    Raises:
        TooManyRequests: The queue is full.
    """
    project_id = await ensure_probe_project(room)
    async with room.database.transaction() as session:
        await _end_overdue(session, room, probe)
        probe_result_id = await session.scalar(
            insert(ProbeResultRow)
            .values(probe_result_id=new_id(), probe=probe.value, is_scheduled=is_scheduled)
            .on_conflict_do_nothing()
            .returning(ProbeResultRow.probe_result_id)
        )
        if probe_result_id is None:
            found = await session.scalar(
                select(ProbeResultRow).where(
                    ProbeResultRow.probe == probe.value, ProbeResultRow.outcome.is_(None)
                )
            )
            if found is not None:
                return view_result(found)
            raise Conflict(
                "probe.just_ended", f"The probe {probe.value} has ended in this moment.", "Ask for it again."
            )
        job = await engine.submit(
            session,
            kind=KINDS[probe],
            arguments={"probe_result_id": str(probe_result_id)},
            project_id=project_id,
            key=f"probe:{probe_result_id}",
            title=f"Probe {probe.value}",
        )
        await session.execute(
            update(ProbeResultRow)
            .where(ProbeResultRow.probe_result_id == probe_result_id)
            .values(job_id=job.job_id)
        )
        return await get_result(session, probe_result_id)


async def _end_overdue(session: AsyncSession, room: ProbesRoom, probe: Probe) -> None:
    timeout_s = room.get_timeout_s(probe)
    overdue = await session.scalar(
        select(ProbeResultRow).where(
            ProbeResultRow.probe == probe.value,
            ProbeResultRow.outcome.is_(None),
            ProbeResultRow.requested_at
            < func.clock_timestamp() - timedelta(seconds=timeout_s + START_GRACE_S),
        )
    )
    if overdue is None:
        return
    reason = "No worker took the probe up" if overdue.started_at is None else "The worker of the probe died"
    await end_result(
        session,
        overdue.probe_result_id,
        ProbeOutcome.timed_out,
        error=f"{reason}: it was not through {timeout_s + START_GRACE_S:g} s after it was asked for.",
    )


async def end_result(
    session: AsyncSession,
    probe_result_id: UUID,
    outcome: ProbeOutcome,
    *,
    error: str = "",
    watch: Stopwatch | None = None,
) -> bool:
    """Write down what became of a try, unless that is done already. Returns whether it was done now."""
    steps: list[JsonValue] = (
        [] if watch is None else [{"name": step.name, "latency_ms": step.latency_ms} for step in watch.steps]
    )
    row = await session.scalar(
        update(ProbeResultRow)
        .where(ProbeResultRow.probe_result_id == probe_result_id, ProbeResultRow.outcome.is_(None))
        .values(
            outcome=outcome.value,
            error=error[:_MAX_ERROR_CHARS],
            steps_json=steps,
            latency_ms=None if watch is None else watch.latency_ms,
            finished_at=func.clock_timestamp(),
        )
        .returning(ProbeResultRow.probe)
    )
    if row is None:
        return False
    metrics.PROBES.labels(row, outcome.value).inc()
    if watch is not None and outcome is ProbeOutcome.succeeded:
        for step in watch.steps:
            metrics.PROBE_SECONDS.labels(row, step.name).observe(step.latency_ms / 1_000)
        metrics.PROBE_SECONDS.labels(row, "whole").observe(watch.latency_ms / 1_000)
    return True


class ProbeRunner:
    """Carries probes out in one process.

    A check whose time is up is left to itself: it may hang in a thread that nobody can end. It is remembered, and as
    long as it hangs the same probe fails at once in this process, so that threads never pile up either.

    Args:
        room: What is tried out.
        checks: By probe.
    """

    def __init__(self, room: ProbesRoom, checks: dict[Probe, Check] | None = None) -> None:
        self._room = room
        self._checks: dict[Probe, Check] = checks or dict(CHECKS)
        self._hanging: dict[Probe, asyncio.Task[None]] = {}

    async def run(self, probe: Probe, probe_result_id: UUID) -> ProbeOutcome | None:
        """Carry one out and write down what became of it. None when it has ended before."""
        async with self._room.database.transaction() as session:
            is_first = await session.scalar(
                update(ProbeResultRow)
                .where(
                    ProbeResultRow.probe_result_id == probe_result_id,
                    ProbeResultRow.outcome.is_(None),
                    ProbeResultRow.started_at.is_(None),
                )
                .values(started_at=func.clock_timestamp())
                .returning(ProbeResultRow.probe_result_id)
            )
        watch = Stopwatch(self._room.get_timeout_s(probe))
        if is_first is None:
            outcome, error = ProbeOutcome.failed, "The worker that carried the probe out died in it."
        else:
            outcome, error = await self._try(probe, watch)
        async with self._room.database.transaction() as session:
            is_ended_now = await end_result(session, probe_result_id, outcome, error=error, watch=watch)
        if outcome is not ProbeOutcome.succeeded and is_ended_now:
            log.warning("probe.failed", probe=probe.value, outcome=outcome.value, error=error)
        return outcome if is_ended_now else None

    async def _try(self, probe: Probe, watch: Stopwatch) -> tuple[ProbeOutcome, str]:
        before = self._hanging.pop(probe, None)
        if before is not None and not before.done():
            self._hanging[probe] = before
            return ProbeOutcome.failed, "The check of an earlier probe still hangs in this process."
        task = asyncio.create_task(self._check(probe, watch))
        timeout_s = self._room.get_timeout_s(probe)
        done, _ = await asyncio.wait({task}, timeout=timeout_s + _END_GRACE_S)
        if not done:
            self._hanging[probe] = task
            at = f" at the step {watch.steps[-1].name}" if watch.steps else ""
            return ProbeOutcome.timed_out, f"The probe was not through after {timeout_s:g} s; it hangs{at}."
        error = task.exception()
        if error is None:
            if watch.latency_ms > timeout_s * 1_000:
                return ProbeOutcome.timed_out, f"The probe took longer than {timeout_s:g} s."
            return ProbeOutcome.succeeded, ""
        if isinstance(error, ProbeFailed):
            return error.outcome, str(error)
        if isinstance(error, RefereeError):
            return ProbeOutcome.failed, error.message
        log.error("probe.crashed", probe=probe.value, exc_info=error)
        return ProbeOutcome.failed, f"The probe crashed: {type(error).__name__}."

    async def _check(self, probe: Probe, watch: Stopwatch) -> None:
        project_id = await ensure_probe_project(self._room)
        await self._checks[probe](self._room, project_id, watch)


async def count_old_results(database: Database, keep_days: float) -> tuple[int, datetime | None]:
    """Return how many results of probes would go, and from when the oldest is."""
    statement = select(func.count(), func.min(ProbeResultRow.requested_at)).where(_is_old(keep_days))
    async with database.reading() as session:
        count, oldest_at = (await session.execute(statement)).one()
    return count, oldest_at


def _is_old(keep_days: float) -> ColumnElement[bool]:
    oldest = func.now() - timedelta(days=keep_days)
    return and_(ProbeResultRow.requested_at < oldest, ProbeResultRow.outcome.is_not(None))


async def forget_probes(room: ProbesRoom) -> int:
    """Delete results that are too old, and the analyses of probes with them. Returns how many results went.

    Traces go with the retention of the project.
    """
    oldest = timedelta(days=room.settings.probe_keep_days)
    async with room.database.transaction() as session:
        gone = await session.scalars(
            delete(ProbeResultRow)
            .where(_is_old(room.settings.probe_keep_days))
            .returning(ProbeResultRow.probe_result_id)
        )
        count = len(gone.all())
    try:
        project = await get_project(room.database, room.settings.probe_project)
    except NotFound:
        return count
    while (
        await forget_analyses(room.analysis, project.project_id, older_than=oldest, limit=_FORGET_AT_ONCE)
        == _FORGET_AT_ONCE
    ):
        continue
    return count
