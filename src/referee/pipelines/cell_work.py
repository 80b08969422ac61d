"""Carry one cell to its end: have the app written, have it analysed, judge the results.

Runs again after a crash; each effect is tied to the cell's try, so it happens once. A cell whose fault
may pass goes back to ``waiting`` with an instant before which it is not tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import cancel_analysis, create_analysis, get_analysis, list_tool_runs
from referee.apps import (
    App,
    can_app_run,
    compute_generation_cost_usd,
    create_generation,
    get_app,
    get_generation,
    locate_source,
    look_into_folder,
    note_placeholder,
)
from referee.audit import DecisionDraft, DecisionKind, record_decision
from referee.core.errors import Conflict, InvalidInput, RefereeError, TooManyRequests, Unavailable
from referee.core.findings import JsonValue
from referee.foundation.jobs import ChildJob, Job, JobContext
from referee.foundation.web.live import publish
from referee.pipelines.deciding import record_cell_given_up
from referee.pipelines.definition import LimitsPart, PipelineDefinition, read_limits
from referee.pipelines.judging import CellVerdict, judge_cell
from referee.pipelines.planning import CELL_KEY_PREFIX
from referee.pipelines.room import PipelinesRoom
from referee.pipelines.service import note_event
from referee.pipelines.states import ACTIVE_CELL_STATES, CellState
from referee.pipelines.tables import CellRow, PipelineRow

__all__ = ["CELL", "end_cell_job", "run_cell"]

CELL: Final = "pipelines.cell"
"""Kind of the job that carries one cell to its end."""
_GENERATE: Final = "apps.generate"
_LOOK_S: Final = 0.3
_TRANSIENT_FAILURES: Final = frozenset({"unreachable", "rate_limited", "timeout", "interrupted"})
"""Ways a generation fails that may pass by themselves."""

log = structlog.get_logger("referee.pipelines")


async def run_cell(
    room: PipelinesRoom, context: JobContext, arguments: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """Carry a cell to its end. The function of a job."""
    work = _CellWork(room, context, UUID(str(arguments["cell_id"])), int(str(arguments["try"])))
    generation_id = await context.step("begin", work.begin)
    if generation_id is not None:
        child = ChildJob(
            name="generate", kind=_GENERATE, arguments={"generation_id": generation_id}, title="write the app"
        )
        await context.run_children([child])
        if not await context.step("note_generation", work.note_generation):
            return {"state": await context.step("state", work.read_state)}
    if await context.step("analyse", work.analyse):
        await context.step("wait", work.wait)
        await context.step("judge", work.judge)
    return {"state": await context.step("state", work.read_state)}


class _CellWork:
    """One try of one cell."""

    def __init__(self, room: PipelinesRoom, context: JobContext, cell_id: UUID, number: int) -> None:
        self._room = room
        self._context = context
        self._cell_id = cell_id
        self._number = number

    async def begin(self) -> str | None:
        """Return the generation that has to come first; None when the app is there."""
        async with self._room.database.transaction() as session:
            cell, pipeline, definition = await self._load(session)
            if cell.app_id is not None or definition.generate is None:
                return None
            number: int | None = None  # the model's next one
            if cell.generation_id is not None:
                earlier = await get_generation(session, pipeline.project_id, cell.generation_id)
                if not earlier.is_ended or earlier.state == "succeeded":
                    return str(cell.generation_id)
                number = (await get_app(session, pipeline.project_id, earlier.app_id)).number
            generation = await create_generation(
                session,
                project_id=pipeline.project_id,
                model=cell.model,
                template=cell.template,
                number=number,
                seed=definition.generate.seed + cell.number - 1,
                temperature=definition.generate.temperature,
            )
            cell.generation_id = generation.generation_id
            await session.flush()
            return str(cell.generation_id)

    async def note_generation(self) -> bool:
        """Take the written app over. Returns whether there is one; the cell has ended or waits when not."""
        async with self._room.database.transaction() as session:
            cell, pipeline, definition = await self._load(session)
            if cell.generation_id is None or CellState(cell.state) not in ACTIVE_CELL_STATES:
                return False
            generation = await get_generation(session, pipeline.project_id, cell.generation_id)
            cost_usd = await compute_generation_cost_usd(session, generation.app_id)
            cell.cost_usd = None if cost_usd is None else Decimal(str(cost_usd))
            if generation.state == "succeeded":
                cell.app_id, cell.state = generation.app_id, CellState.analysing.value
                await session.flush()
                await publish(session, f"pipeline:{cell.pipeline_id}", {"cell_id": str(cell.cell_id)})
                return True
            is_transient = generation.failure in _TRANSIENT_FAILURES or generation.state != "failed"
            reason = generation.reason or "The app could not be written."
            await give_up(session, cell, pipeline, definition.limits, reason, is_transient=is_transient)
            return False

    async def analyse(self) -> bool:
        """Have the app analysed. Returns whether an analysis was accepted."""
        async with self._room.database.reading() as session:
            cell, pipeline, definition = await self._load(session, is_locked=False)
            if CellState(cell.state) not in ACTIVE_CELL_STATES or cell.app_id is None:
                return False
            app = await get_app(session, pipeline.project_id, cell.app_id)
        if await self._is_placeholder(app):
            return False
        request = definition.analysis.build_request(
            app.path,
            template=cell.template or None,
            model=app.model,
            number=app.number,
            idempotency_key=f"{CELL_KEY_PREFIX}{self._cell_id}:{self._number}",
        )
        try:
            analysis = await create_analysis(
                self._room.analysis, self._context.engine, pipeline.project_id, request
            )
        except RefereeError as error:
            await self._refuse(error)
            return False
        async with self._room.database.transaction() as session:
            is_wanted = await session.scalar(
                update(CellRow)
                .where(
                    CellRow.cell_id == self._cell_id,
                    CellRow.tries_count == self._number,
                    CellRow.state.in_([state.value for state in ACTIVE_CELL_STATES]),
                )
                .values(analysis_id=analysis.analysis_id)
                .returning(CellRow.cell_id)
            )
        if is_wanted is None:  # cancelled meanwhile: nobody else knows of the analysis yet
            with suppress(Conflict):
                await cancel_analysis(
                    self._room.analysis, self._context.engine, pipeline.project_id, analysis.analysis_id
                )
        return is_wanted is not None

    async def _is_placeholder(self, app: App) -> bool:
        """End the cell of what is no app yet: without code there are no flaws, and that would count as good.

        A folder that may not be read is not looked into; the analysis is refused with the reason.
        """
        try:
            locate_source(app.path, allowed_roots=self._room.settings.source_roots)
        except InvalidInput:
            return False
        look = await asyncio.to_thread(look_into_folder, app.path)
        async with self._room.database.transaction() as session:
            await note_placeholder(session, app.app_id, look)
            found = look.placeholder
            if found is None:
                return False
            cell, _ = await self._load_rows(session, is_locked=True)
            if CellState(cell.state) in ACTIVE_CELL_STATES:
                reason = f"The app is a placeholder ({found.kind.value}): {found.reason}"
                await end_cell(session, cell, CellState.skipped, reason, is_valid=False)
            return True

    async def wait(self) -> str:
        """Wait until the analysis has ended."""
        while True:
            async with self._room.database.reading() as session:
                cell, pipeline = await self._load_rows(session, is_locked=False)
                assert cell.analysis_id is not None  # noqa: S101 - set by the step before
                analysis = await get_analysis(session, pipeline.project_id, cell.analysis_id)
            if analysis.state.is_final or CellState(cell.state) not in ACTIVE_CELL_STATES:
                return analysis.state.value
            await self._context.engine.wait_for_bell(_LOOK_S)
            await asyncio.sleep(0.05)  # the bell rings for every job of this process

    async def judge(self) -> None:
        """Say what became of the cell."""
        async with self._room.database.transaction() as session:
            cell, pipeline, definition = await self._load(session)
            if CellState(cell.state) not in ACTIVE_CELL_STATES or cell.analysis_id is None:
                return
            analysis = await get_analysis(session, pipeline.project_id, cell.analysis_id)
            verdict = judge_cell(
                analysis,
                await list_tool_runs(session, cell.analysis_id),
                unavailable=_list_unavailable(pipeline),
                can_app_run=await can_app_run(session, pipeline.project_id, analysis.source_digest),
            )
            if verdict.is_worth_another_try and cell.attempts_count < definition.limits.attempts:
                await postpone(session, cell, pipeline, definition.limits, verdict.reason, verdict)
                return
            await end_cell(session, cell, verdict.state, verdict.reason, is_valid=verdict.is_valid)

    async def read_state(self) -> str:
        """Return the cell's state."""
        async with self._room.database.reading() as session:
            cell, _ = await self._load_rows(session, is_locked=False)
            return cell.state

    async def _refuse(self, error: RefereeError) -> None:
        """End or postpone a cell whose analysis was not accepted."""
        async with self._room.database.transaction() as session:
            cell, pipeline, definition = await self._load(session)
            if CellState(cell.state) in ACTIVE_CELL_STATES:
                await give_up(
                    session,
                    cell,
                    pipeline,
                    definition.limits,
                    str(error),
                    is_transient=isinstance(error, Unavailable | TooManyRequests),
                )

    async def _load(
        self, session: AsyncSession, *, is_locked: bool = True
    ) -> tuple[CellRow, PipelineRow, PipelineDefinition]:
        cell, pipeline = await self._load_rows(session, is_locked=is_locked)
        return cell, pipeline, PipelineDefinition.model_validate(pipeline.definition_json)

    async def _load_rows(self, session: AsyncSession, *, is_locked: bool) -> tuple[CellRow, PipelineRow]:
        statement = select(CellRow).where(CellRow.cell_id == self._cell_id)
        if is_locked:
            statement = statement.with_for_update()
        cell = (await session.execute(statement.execution_options(populate_existing=True))).scalar_one()
        return cell, await session.get_one(PipelineRow, cell.pipeline_id)


async def give_up(
    session: AsyncSession,
    cell: CellRow,
    pipeline: PipelineRow,
    limits: LimitsPart,
    reason: str,
    *,
    is_transient: bool,
) -> None:
    """End a cell that came to nothing, or let it wait when the fault may pass and tries are left."""
    if is_transient and cell.attempts_count < limits.attempts:
        await postpone(session, cell, pipeline, limits, reason, None)
    else:
        await end_cell(session, cell, CellState.failed, reason, is_valid=False)


async def postpone(
    session: AsyncSession,
    cell: CellRow,
    pipeline: PipelineRow,
    limits: LimitsPart,
    reason: str,
    verdict: CellVerdict | None,
) -> None:
    """Let a cell wait for another try, and put the decision on record."""
    pauses = limits.retry_pauses_s
    pause_s = pauses[min(cell.attempts_count - 1, len(pauses) - 1)]
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    cell.state, cell.retry_at = CellState.waiting.value, now + timedelta(seconds=pause_s)
    cell.reason = f"It is tried again: {reason}"
    await session.flush()
    holes: Sequence[dict[str, JsonValue]] = [
        {"tool": hole.tool, "outcome": hole.outcome.value, "reason": hole.reason}
        for hole in (verdict.holes if verdict is not None else ())
    ]
    await record_decision(
        session,
        pipeline.project_id,
        DecisionDraft(
            supervisor="pipelines",
            kind=DecisionKind.retry_recommended,
            policy="transient_fault",
            reason=reason,
            subject_kind="cell",
            subject_id=str(cell.cell_id),
            source_event_at=now,
            source_key=f"retry:{cell.cell_id}:{cell.tries_count}",
            evidence=holes,
            actions=[{"action": "retry_cell", "pause_s": pause_s, "attempt": cell.attempts_count + 1}],
        ),
    )
    message = f"{describe_cell(cell)} is tried again in {pause_s:g} s: {reason}"
    await note_event(session, cell.pipeline_id, "cell.postponed", message, cell_id=cell.cell_id)


async def end_cell(
    session: AsyncSession, cell: CellRow, state: CellState, reason: str, *, is_valid: bool
) -> None:
    """Give a cell its end."""
    finished_at: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    cell.state, cell.reason, cell.is_valid = state.value, reason, is_valid
    cell.finished_at = finished_at
    await session.flush()
    word = state.value.replace("_", " ")
    message = f"{describe_cell(cell)} is {word}{f': {reason}' if reason else '.'}"
    await note_event(session, cell.pipeline_id, "cell.ended", message, cell_id=cell.cell_id)
    if not is_valid and state in (CellState.failed, CellState.partially_completed):
        await record_cell_given_up(session, cell, reason)
    log.info("cell.ended", cell_id=str(cell.cell_id), state=state.value, is_valid=is_valid)


async def end_cell_job(session: AsyncSession, job: Job) -> None:
    """Postpone or end the cell of a job that failed or was cancelled. In the job's transaction."""
    if job.state not in ("failed", "cancelled"):
        return
    cell = (
        await session.execute(
            select(CellRow)
            .where(
                CellRow.cell_id == UUID(str(job.arguments["cell_id"])),
                CellRow.tries_count == int(str(job.arguments["try"])),
                CellRow.state.in_([state.value for state in ACTIVE_CELL_STATES]),
            )
            .with_for_update()
        )
    ).scalar_one_or_none()
    if cell is None:
        return
    reason = job.error.message if job.error is not None else f"Its job was {job.state}."
    if job.state == "cancelled":
        await end_cell(session, cell, CellState.cancelled, reason, is_valid=False)
        return
    pipeline = await session.get_one(PipelineRow, cell.pipeline_id)
    limits = read_limits(pipeline.definition_json)
    await give_up(session, cell, pipeline, limits, reason, is_transient=True)


def describe_cell(cell: CellRow) -> str:
    """Return what people call a cell."""
    return (
        f"{cell.model} × {cell.template} #{cell.number}"
        if cell.template
        else f"{cell.model}/app{cell.number}"
    )


def _list_unavailable(pipeline: PipelineRow) -> frozenset[str]:
    named = (pipeline.preflight_json or {}).get("unavailable")
    return frozenset(named) if isinstance(named, dict) else frozenset()
