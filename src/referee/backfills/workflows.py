"""The job that carries a run out: the engine in a thread, its progress written down twice a second."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.backfills import local
from referee.backfills.backing_up import back_up
from referee.backfills.computing import Counts
from referee.backfills.ledger import Ledger, RunOptions
from referee.backfills.planning import Plan, make_plan
from referee.backfills.progress import Progress
from referee.backfills.queries import get_run
from referee.backfills.registry import create_backfill
from referee.backfills.room import BackfillsRoom
from referee.backfills.running import RunRequest, resume_run, run_backfill, start_run
from referee.backfills.service import WORK, address_of, tell
from referee.backfills.states import RESUMABLE_STATES, RunState
from referee.backfills.tables import BackfillRunRow
from referee.backfills.targets.opening import open_target
from referee.backfills.undoing import undo_run
from referee.backfills.views import BackfillRun
from referee.core.errors import RefereeError
from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobContext, JobEngine

__all__ = ["register_backfill_workflows"]

_QUEUE: Final = "backfills"
_TIMEOUT_S: Final = 7 * 86_400.0
_BEAT_S: Final = 0.5


def register_backfill_workflows(room: BackfillsRoom, engine: JobEngine) -> None:
    """Make the job known to the engine. Called before it starts."""

    async def work(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        run_id, action = UUID(str(arguments["backfill_run_id"])), str(arguments["action"])
        state = await context.step("work", partial(_work, room, context.project_id, run_id, action))
        return {"state": state}

    async def end(session: AsyncSession, job: Job) -> None:
        """Say of a run whose job failed or was cancelled what became of it. In the job's transaction."""
        if job.state in ("failed", "cancelled"):
            reason = job.error.message if job.error is not None else f"Its job was {job.state}."
            state = RunState.failed if job.state == "failed" else RunState.paused
            await _store(
                session,
                job.project_id,
                UUID(str(job.arguments["backfill_run_id"])),
                state,
                reason or "It failed.",
            )

    # One at a time for each worker: a backfill keeps a core busy.
    engine.register_queue(
        _QUEUE, concurrency=None, worker_concurrency=1, max_waiting_count=room.settings.queue_max_count
    )
    engine.register(WORK, work, queue=_QUEUE, timeout_s=_TIMEOUT_S, on_end=end)


async def _work(room: BackfillsRoom, project_id: UUID, run_id: UUID, action: str) -> str:
    async with room.database.transaction() as session:
        run = await get_run(session, project_id, run_id)
        if run.state is RunState.queued:
            await _store(session, project_id, run_id, RunState.running)
    stop, latest = threading.Event(), list[Progress]()
    do = _plan if run.is_dry else _undo if action == "undo" else partial(_run, is_forced=action == "force")
    thread = asyncio.create_task(
        asyncio.to_thread(lambda: do(address_of(room, run.database), run, stop.is_set, latest.append))
    )
    try:
        while not thread.done():
            await asyncio.wait([thread], timeout=_BEAT_S)
            if latest and not thread.done():
                await _write_progress(room, project_id, run_id, latest[-1])
                latest[:] = latest[-1:]
    except asyncio.CancelledError:
        # The engine ends its batch; what it has not committed is not there.
        stop.set()
        await asyncio.wait([thread])
        raise
    state, reason, dumped = await thread
    async with room.database.transaction() as session:
        await _store(session, project_id, run_id, state, reason, dumped)
    return state.value


def _run(
    address: str,
    wanted: BackfillRun,
    should_stop: Callable[[], bool],
    on_progress: Callable[[Progress], None],
    *,
    is_forced: bool,
) -> tuple[RunState, str, dict[str, Any]]:
    """Start it, or go on with it: in a thread, and again after a crash."""
    request, run_id = wanted.request, wanted.backfill_run_id.hex
    with open_target(address) as target:
        ledger = Ledger(target)
        run = ledger.find_by_id(run_id)
        if run is not None and run.state not in RESUMABLE_STATES:
            return run.state, run.reason, local.dump_run(run)
        if run is not None:
            run = resume_run(target, run, is_forced=is_forced)
        else:
            backfill = create_backfill(wanted.backfill, request["parameters"])
            if request["has_backup"]:
                back_up(target)
            run = start_run(
                target,
                backfill,
                RunRequest(
                    options=RunOptions(**request["options"]),
                    scope=request["scope"],
                    plan=_load(request["plan"]),
                    is_difference_accepted=request["is_difference_accepted"],
                    run_id=run_id,
                ),
            )
        done = run_backfill(target, run, on_progress=on_progress, should_stop=should_stop)
    return done.state, done.reason, local.dump_run(done)


def _plan(
    address: str,
    wanted: BackfillRun,
    should_stop: Callable[[], bool],
    on_progress: Callable[[Progress], None],
) -> tuple[RunState, str, dict[str, Any]]:
    backfill = create_backfill(wanted.backfill, wanted.request["parameters"])

    def told(done_count: int, total_count: int) -> None:
        if should_stop():
            raise RefereeError("backfill.plan_stopped", "The dry run was stopped.")
        share = done_count / total_count if total_count else 1.0
        on_progress(Progress("running", done_count, total_count, min(1.0, share), None, None, 0, 0))

    with open_target(address, is_read_only=True) as target:
        plan = make_plan(target, backfill, scope=wanted.request["scope"], on_progress=told)
    return RunState.finished, "", plan.dump()


def _undo(
    address: str, wanted: BackfillRun, _: Callable[[], bool], __: Callable[[Progress], None]
) -> tuple[RunState, str, dict[str, Any]]:
    with open_target(address) as target:
        run = Ledger(target).find_by_id(wanted.backfill_run_id.hex)
        if run is None:
            raise RefereeError(
                "backfill.run_not_found", "The target does not know the run.", "Nothing was undone."
            )
        if run.state is not RunState.undone:
            run = undo_run(target, run).run
    return run.state, run.reason, local.dump_run(run)


def _load(dumped: dict[str, Any] | None) -> Plan | None:
    if dumped is None:
        return None
    predicted = dumped["predicted"]
    return Plan(
        backfill=dumped["backfill"],
        parameters=dumped["parameters"],
        scope=dumped["scope"],
        target=dumped["target"],
        schema_version=dumped["target_schema_version"],
        until=dumped["until"],
        selected_count=dumped["selected_count"],
        table_count=dumped["table_count"],
        digest=dumped["digest"],
        predicted=None if predicted is None else Counts.load(predicted),
    )


async def _write_progress(room: BackfillsRoom, project_id: UUID, run_id: UUID, progress: Progress) -> None:
    async with room.database.transaction() as session:
        await session.execute(
            update(BackfillRunRow)
            .where(BackfillRunRow.backfill_run_id == run_id)
            .values(progress_json=asdict(progress))
        )
        await tell(session, project_id, run_id)


async def _store(
    session: AsyncSession,
    project_id: UUID,
    run_id: UUID,
    state: RunState,
    reason: str = "",
    dumped: dict[str, Any] | None = None,
) -> None:
    has_ended = state not in (RunState.queued, RunState.running, RunState.paused, RunState.undoing)
    values: dict[str, Any] = {
        "state": state.value,
        "reason": reason,
        "finished_at": func.clock_timestamp() if has_ended else None,
    }
    if dumped is not None:
        values |= {"run_json": dumped, "progress_json": None}
    await session.execute(
        update(BackfillRunRow).where(BackfillRunRow.backfill_run_id == run_id).values(**values)
    )
    await tell(session, project_id, run_id)
