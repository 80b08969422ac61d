"""The job that computes a batch of evaluations, and what happens when it does not come to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.experiments.evaluators.queries import list_waiting
from referee.experiments.evaluators.room import EvaluatorsRoom
from referee.experiments.evaluators.scoring import score_events
from referee.experiments.evaluators.selecting import select_evaluations
from referee.experiments.evaluators.service import (
    RUN_BATCH,
    record_verdict,
    submit_evaluations,
)
from referee.experiments.evaluators.tables import EvaluationRow
from referee.experiments.evaluators.verdicts import Verdict
from referee.experiments.runs.definitions import MetricDefinition
from referee.experiments.runs.definitions_store import find_version, list_definitions
from referee.foundation.jobs import Job, JobContext, JobEngine
from referee.traces import Event, list_events_by_id

__all__ = ["register_evaluator_workflows"]

QUEUE: Final = "evaluations"
POLL_S: Final = 0.5
"""Scores appear within seconds, and looking twice a second costs next to nothing."""
BATCH_TIMEOUT_S: Final = 3_600.0
_GROUP_COUNT: Final = 10
"""Events of one metric that are scored between two writes: what a crash repeats at most."""


def register_evaluator_workflows(room: EvaluatorsRoom, engine: JobEngine) -> None:
    """Register the queue and the job of evaluations. Before the engine starts."""
    engine.register_queue(QUEUE, worker_concurrency=room.settings.evaluator_slots_count, poll_s=POLL_S)

    async def evaluate(context: JobContext, _: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return await _evaluate_batch(room, engine, context)

    async def end(session: AsyncSession, job: Job) -> None:
        await _close_batch(session, job)

    engine.register(RUN_BATCH, evaluate, queue=QUEUE, timeout_s=BATCH_TIMEOUT_S, on_end=end)


async def _evaluate_batch(
    room: EvaluatorsRoom, engine: JobEngine, context: JobContext
) -> dict[str, JsonValue]:
    """Score what of the batch still waits. A crash leaves the rest waiting, and the next attempt goes on."""
    async with room.database.reading() as session:
        waiting = await list_waiting(session, context.project_id, context.job_id)
    groups: dict[tuple[UUID, str], list[str]] = {}
    for metric_id, version, event_id in waiting:
        groups.setdefault((metric_id, version), []).append(event_id)
    done_count = 0
    for (metric_id, version), event_ids in groups.items():
        async with room.database.reading() as session:
            definition = await find_version(session, context.project_id, metric_id, version)
        for start in range(0, len(event_ids), _GROUP_COUNT):
            chunk = event_ids[start : start + _GROUP_COUNT]
            await _score(room, context.project_id, definition, metric_id, version, chunk)
            done_count += len(chunk)
            await context.report_progress("Scored", done_count, len(waiting))
    touched = list(dict.fromkeys(event_id for _, _, event_id in waiting))
    composites_count = await _submit_composites(room, engine, context.project_id, touched)
    return {"evaluations_count": done_count, "composites_count": composites_count}


async def _score(
    room: EvaluatorsRoom,
    project_id: UUID,
    definition: MetricDefinition | None,
    metric_id: UUID,
    version: str,
    event_ids: Sequence[str],
) -> None:
    events = {
        event.event_id: event for event in await list_events_by_id(room.database, project_id, event_ids)
    }
    known: list[Event] = list(events.values())
    if definition is None:
        await _close_gone(room, project_id, (metric_id, version), event_ids, "The metric is gone.")
        return
    verdicts = await score_events(room, project_id, definition, known) if known else []
    for event, verdict in zip(known, verdicts, strict=True):
        await record_verdict(room, project_id, definition, event.event_id, verdict)
    missing = [event_id for event_id in event_ids if event_id not in events]
    await _close_gone(room, project_id, (metric_id, version), missing, "The event is gone.")


async def _close_gone(
    room: EvaluatorsRoom,
    project_id: UUID,
    metric: tuple[UUID, str],
    event_ids: Sequence[str],
    reason: str,
) -> None:
    if not event_ids:
        return
    async with room.database.transaction() as session:
        await session.execute(
            update(EvaluationRow)
            .where(
                EvaluationRow.project_id == project_id,
                EvaluationRow.metric_id == metric[0],
                EvaluationRow.metric_version == metric[1],
                EvaluationRow.event_id.in_(event_ids),
                EvaluationRow.state == "waiting",
            )
            .values(state="unscored", explanation=reason, finished_at=func.clock_timestamp())
        )


async def _submit_composites(
    room: EvaluatorsRoom, engine: JobEngine, project_id: UUID, event_ids: Sequence[str]
) -> int:
    """Have the composite metrics computed whose parts are all there now."""
    async with room.database.reading() as session:
        definitions = await list_definitions(session, project_id, is_enabled=True)
    composites = [one for one in definitions if one.type == "COMPOSITE"]
    if not composites:
        return 0
    events = await list_events_by_id(room.database, project_id, event_ids)
    return await submit_evaluations(room, engine, project_id, select_evaluations(events, composites))


async def _close_batch(session: AsyncSession, job: Job) -> None:
    """Say of every evaluation that a failed or cancelled job left why it has no score."""
    if job.state == "succeeded":
        return
    reason = job.error.message if job.error is not None else f"Its job was {job.state}."
    await session.execute(
        update(EvaluationRow)
        .where(
            EvaluationRow.project_id == job.project_id,
            EvaluationRow.job_id == job.job_id,
            EvaluationRow.state == "waiting",
        )
        .values(
            state="unscored",
            explanation=Verdict.unscored(reason).explanation,
            finished_at=func.clock_timestamp(),
        )
    )
