"""The jobs of the pipelines room.

``pipelines.drive`` sets one cell after another going, so many at once as the file says, and ends the
pipeline when no cell is left. ``pipelines.cell`` carries one cell to its end: have the app written,
have it analysed, judge the results. Everything they know is in rows, so both go on after any crash.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import ServiceGate
from referee.audit import DecisionDraft, DecisionKind, record_decision
from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobContext, JobEngine
from referee.foundation.web.live import publish
from referee.pipelines.cell_work import CELL, end_cell_job, run_cell
from referee.pipelines.definition import PipelineDefinition, read_limits
from referee.pipelines.preflight import Preflight, run_preflight
from referee.pipelines.queries import count_cells
from referee.pipelines.room import PipelinesRoom
from referee.pipelines.service import DRIVE, note_event, stop_cells
from referee.pipelines.states import CellState, PipelineState
from referee.pipelines.tables import CellRow, PipelineRow
from referee.pipelines.views import CellCounts

__all__ = ["register_pipeline_workflows", "sweep_pipelines"]

_DRIVES_AT_ONCE: Final = 64
"""Per worker: a drive only looks and waits."""
_CELLS_AT_ONCE: Final = 128
"""Per worker: a cell only waits for its generation and its analysis; its pipeline's limit is the real one."""
_LOOK_S: Final = 0.25
_DRIVE_TIMEOUT_S: Final = 30 * 86_400.0
_CELL_TIMEOUT_S: Final = 2 * 86_400.0
_MAX_ATTEMPTS: Final = 100
"""Both kinds only wait for other jobs: workers that are lost under them are hardly lost by their doing."""

log = structlog.get_logger("referee.pipelines")


def register_pipeline_workflows(room: PipelinesRoom, engine: JobEngine) -> None:
    """Make the room's jobs known to the engine. Called before it starts."""
    gate = ServiceGate()
    maximum = room.settings.queue_max_count
    engine.register_queue(
        "pipelines", concurrency=None, worker_concurrency=_DRIVES_AT_ONCE, max_waiting_count=maximum
    )
    engine.register_queue(
        "cells", concurrency=None, worker_concurrency=_CELLS_AT_ONCE, max_waiting_count=maximum
    )

    async def drive(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return await _drive(room, gate, context, arguments)

    async def cell(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return await run_cell(room, context, arguments)

    engine.register(
        DRIVE,
        drive,
        queue="pipelines",
        timeout_s=_DRIVE_TIMEOUT_S,
        max_attempts=_MAX_ATTEMPTS,
        on_end=_end_drive,
    )
    engine.register(
        CELL, cell, queue="cells", timeout_s=_CELL_TIMEOUT_S, max_attempts=_MAX_ATTEMPTS, on_end=end_cell_job
    )


async def _drive(
    room: PipelinesRoom, gate: ServiceGate, context: JobContext, arguments: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    pipeline_id, drive = UUID(str(arguments["pipeline_id"])), int(str(arguments["drive"]))

    async def look_first() -> bool:
        return await _begin(room, gate, pipeline_id, drive)

    async def advance() -> str:
        while True:
            counts, state = await _advance(room, context.engine, pipeline_id, drive)
            await context.report_progress("cells", counts.ended_count, counts.total_count)
            if state is not None:
                return state
            await context.engine.wait_for_bell(_LOOK_S)

    if not await context.step("preflight", look_first):
        return {"state": PipelineState.paused.value}
    return {"state": await context.step("advance", advance)}


async def _begin(room: PipelinesRoom, gate: ServiceGate, pipeline_id: UUID, drive: int) -> bool:
    """Look before the first cell. Returns whether cells may begin."""
    async with room.database.reading() as session:
        row = await session.get_one(PipelineRow, pipeline_id)
        definition = PipelineDefinition.model_validate(row.definition_json)
    found = await run_preflight(room, definition, gate)
    async with room.database.transaction() as session:
        locked = await _lock_if_ours(session, pipeline_id, drive)
        if locked is None or locked.state not in (PipelineState.queued.value, PipelineState.running.value):
            return False
        now: datetime = (await session.execute(select(func.now()))).scalar_one()
        locked.preflight_json = found.as_json
        if locked.started_at is None:
            locked.started_at = now
        reason = found.stop_reason
        locked.state = (PipelineState.paused if reason else PipelineState.running).value
        locked.reason = f"{reason} Resume the pipeline when that is mended." if reason else ""
        await session.flush()
        asked_at = locked.created_at if drive == 1 else now
        await record_decision(session, locked.project_id, _decide_preflight(locked, drive, found, asked_at))
        message = _describe_preflight(found)
        await note_event(session, pipeline_id, f"pipeline.{locked.state}", reason or message)
        return not reason


def _decide_preflight(row: PipelineRow, drive: int, found: Preflight, asked_at: datetime) -> DecisionDraft:
    return DecisionDraft(
        supervisor="pipelines",
        kind=DecisionKind.paused if found.stop_reason else DecisionKind.allowed,
        policy="preflight",
        reason=found.stop_reason or _describe_preflight(found),
        subject_kind="pipeline",
        subject_id=str(row.pipeline_id),
        source_event_at=asked_at,
        source_key=f"preflight:{row.pipeline_id}:{drive}",
        evidence=[found.as_json],
    )


def _describe_preflight(found: Preflight) -> str:
    count = len(found.tools)
    if not found.unavailable:
        return f"All {count} tools can be had." if count > 1 else "The tool can be had."
    return f"{count - len(found.unavailable)} of {count} tools can be had; without {', '.join(found.unavailable)}."


async def _advance(
    room: PipelinesRoom, engine: JobEngine, pipeline_id: UUID, drive: int
) -> tuple[CellCounts, str | None]:
    """Set cells going as long as there is room; the state when this drive is over."""
    async with room.database.transaction() as session:
        row = await _lock_if_ours(session, pipeline_id, drive)
        counts = (await count_cells(session, [pipeline_id]))[pipeline_id]
        if row is None or row.state != PipelineState.running.value:
            return counts, "superseded" if row is None else row.state
        if counts.ended_count == counts.total_count:
            return counts, await _finish(session, row, counts)
        limits = read_limits(row.definition_json)
        if counts.of(CellState.waiting) and await _is_spent(session, row):
            await _skip_waiting(session, row, drive)
            return (await count_cells(session, [pipeline_id]))[pipeline_id], None
        free_count = limits.cells_at_once - counts.active_count
        if free_count > 0 and counts.of(CellState.waiting):
            await _start_cells(session, engine, row, free_count)
        return counts, None


async def _lock_if_ours(session: AsyncSession, pipeline_id: UUID, drive: int) -> PipelineRow | None:
    """Return the pipeline, locked, if this drive is its latest one."""
    return (
        await session.execute(
            select(PipelineRow)
            .where(PipelineRow.pipeline_id == pipeline_id, PipelineRow.drives_count == drive)
            .with_for_update()
        )
    ).scalar_one_or_none()


async def _start_cells(session: AsyncSession, engine: JobEngine, row: PipelineRow, free_count: int) -> None:
    is_generating = row.definition_json.get("generate") is not None
    cells = await session.scalars(
        select(CellRow)
        .where(
            CellRow.pipeline_id == row.pipeline_id,
            CellRow.state == CellState.waiting.value,
            or_(CellRow.retry_at.is_(None), CellRow.retry_at <= func.clock_timestamp()),
        )
        .order_by(CellRow.position)
        .limit(free_count)
        .with_for_update()
    )
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    for cell in cells.all():
        cell.tries_count += 1
        cell.attempts_count += 1
        needs_app = is_generating and cell.app_id is None
        cell.state = (CellState.generating if needs_app else CellState.analysing).value
        cell.started_at, cell.retry_at, cell.reason = now, None, ""
        job = await engine.submit(
            session,
            kind=CELL,
            arguments={"cell_id": str(cell.cell_id), "try": cell.tries_count},
            project_id=row.project_id,
            key=f"cell:{cell.cell_id}:{cell.tries_count}",
            title=f"{cell.model} × {cell.template or f'app{cell.number}'}",
        )
        cell.job_id = job.job_id
    await session.flush()
    await publish(session, f"pipeline:{row.pipeline_id}", {"state": "running"})


async def _is_spent(session: AsyncSession, row: PipelineRow) -> bool:
    if row.budget_usd is None:
        return False
    spent = await session.scalar(
        select(func.sum(CellRow.cost_usd)).where(CellRow.pipeline_id == row.pipeline_id)
    )
    return (spent or 0) >= row.budget_usd


async def _skip_waiting(session: AsyncSession, row: PipelineRow, drive: int) -> None:
    """Leave out what has not begun: the budget is spent."""
    reason = f"The budget of {row.budget_usd:.2f} USD is spent. Start another pipeline for these cells."
    skipped = await session.scalars(
        update(CellRow)
        .where(CellRow.pipeline_id == row.pipeline_id, CellRow.state == CellState.waiting.value)
        .values(state=CellState.skipped.value, reason=reason, finished_at=func.clock_timestamp())
        .returning(CellRow.cell_id)
    )
    count = len(skipped.all())
    await record_decision(
        session,
        row.project_id,
        DecisionDraft(
            supervisor="pipelines",
            kind=DecisionKind.blocked,
            policy="budget",
            reason=f"{count} cells were skipped: the budget is spent.",
            subject_kind="pipeline",
            subject_id=str(row.pipeline_id),
            source_event_at=(await session.execute(select(func.now()))).scalar_one(),
            source_key=f"budget:{row.pipeline_id}:{drive}",
            actions=[{"action": "skip_cells", "cells_count": count}],
        ),
    )
    await note_event(session, row.pipeline_id, "pipeline.budget_spent", f"{count} cells skipped: {reason}")


async def _finish(session: AsyncSession, row: PipelineRow, counts: CellCounts) -> str:
    """End a pipeline all of whose cells have ended."""
    missing_count = counts.total_count - counts.valid_count
    if missing_count == 0:
        state, reason = PipelineState.completed, f"All {counts.total_count:,} cells are valid."
    elif counts.valid_count:
        state = PipelineState.partially_completed
        reason = f"{counts.valid_count:,} of {counts.total_count:,} cells are valid; each of the others says why not."
    else:
        state, reason = PipelineState.failed, "No cell is valid; each says why not."
    finished_at: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    row.state, row.reason, row.finished_at = state.value, reason, finished_at
    await session.flush()
    await note_event(session, row.pipeline_id, f"pipeline.{state.value}", reason)
    await publish(session, "pipelines", {"pipeline_id": str(row.pipeline_id)}, project_id=row.project_id)
    log.info("pipeline.finished", pipeline_id=str(row.pipeline_id), state=state.value)
    return state.value


async def _end_drive(session: AsyncSession, job: Job) -> None:
    """Pause the pipeline of a drive that failed or was cancelled as a job: nothing else would go on with it."""
    if job.state not in ("failed", "cancelled"):
        return
    reason = job.error.message if job.error is not None else f"The job that drives it was {job.state}."
    pipeline_id = UUID(str(job.arguments["pipeline_id"]))
    paused = await session.scalar(
        update(PipelineRow)
        .where(
            PipelineRow.pipeline_id == pipeline_id,
            PipelineRow.drives_count == int(str(job.arguments["drive"])),
            PipelineRow.state.in_((PipelineState.queued.value, PipelineState.running.value)),
        )
        .values(state=PipelineState.paused.value, reason=f"{reason} Resume the pipeline to go on.")
        .returning(PipelineRow.pipeline_id)
    )
    if paused is not None:
        await note_event(session, pipeline_id, "pipeline.paused", reason)


async def sweep_pipelines(room: PipelinesRoom, engine: JobEngine) -> int:
    """End the cells of cancelled pipelines that a crash left open.

    Returns:
        Pipelines that had any. Count.
    """
    async with room.database.reading() as session:
        left = (
            await session.execute(
                select(PipelineRow.project_id, PipelineRow.pipeline_id)
                .join(CellRow, CellRow.pipeline_id == PipelineRow.pipeline_id)
                .where(
                    PipelineRow.state == PipelineState.cancelled.value,
                    CellRow.state.in_(("waiting", "generating", "analysing")),
                )
                .distinct()
                .limit(100)
            )
        ).all()
    for project_id, pipeline_id in left:
        await stop_cells(room, engine, project_id, pipeline_id)
    return len(left)
