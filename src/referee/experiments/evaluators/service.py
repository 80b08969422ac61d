"""Accepting evaluations, each exactly once, and writing down what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import func, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput, NotFound
from referee.core.ids import new_id
from referee.experiments.evaluators.room import EvaluatorsRoom
from referee.experiments.evaluators.scoring import score_events
from referee.experiments.evaluators.selecting import Selected, select_evaluations
from referee.experiments.evaluators.tables import EvaluationRow
from referee.experiments.evaluators.verdicts import Verdict
from referee.experiments.runs.definitions import MetricDefinition
from referee.experiments.runs.definitions_store import list_definitions
from referee.foundation.jobs import JobEngine
from referee.traces import Event, list_events_by_id, update_event

__all__ = ["BATCH_COUNT", "enqueue_evaluations", "record_verdict", "run_metric", "submit_evaluations"]

BATCH_COUNT: Final = 50
"""Evaluations of one job: few enough to spread over workers, many enough that a job costs little beside them."""
RUN_BATCH: Final = "metric.evaluate"


async def enqueue_evaluations(
    room: EvaluatorsRoom, engine: JobEngine, project_id: UUID, event_ids: Sequence[str]
) -> int:
    """Have events judged by every enabled metric that they match. Call it when they are stored or changed.

    An event is judged by one version of a metric once, however often it is named here.

    Returns:
        The evaluations that were accepted now.

    Raises:
        TooManyRequests: Too many batches wait.
    """
    async with room.database.reading() as session:
        definitions = await list_definitions(session, project_id, is_enabled=True)
    if not definitions or not event_ids:
        return 0
    events = await list_events_by_id(room.database, project_id, event_ids)
    return await submit_evaluations(room, engine, project_id, select_evaluations(events, definitions))


async def submit_evaluations(
    room: EvaluatorsRoom, engine: JobEngine, project_id: UUID, selected: Sequence[Selected]
) -> int:
    """Accept evaluations that are not there yet, with the jobs that make them, in one transaction.

    Returns:
        How many are new.
    """
    ordered = sorted(selected, key=lambda one: (one.definition.metric_id, one.event.event_id))
    accepted_count = 0
    for start in range(0, len(ordered), BATCH_COUNT):
        batch = ordered[start : start + BATCH_COUNT]
        async with room.database.transaction() as session:
            accepted_count += await _submit_batch(session, engine, project_id, batch)
    return accepted_count


async def record_verdict(
    room: EvaluatorsRoom, project_id: UUID, definition: MetricDefinition, event_id: str, verdict: Verdict
) -> None:
    """Write a verdict into its event, then mark the evaluation as made. Doing so again changes nothing.

    The event comes first: an evaluation that counts as made is always visible on its event.
    """
    try:
        await update_event(
            room.database, project_id, event_id, {"metrics": verdict.to_metrics(definition.name)}
        )
    except NotFound:
        verdict = Verdict.unscored("The event is gone.")
    async with room.database.transaction() as session:
        await session.execute(
            update(EvaluationRow)
            .where(
                EvaluationRow.project_id == project_id,
                EvaluationRow.event_id == event_id,
                EvaluationRow.metric_id == UUID(definition.metric_id),
                EvaluationRow.metric_version == definition.version,
                EvaluationRow.state == "waiting",
            )
            .values(
                state="unscored" if verdict.score is None else "scored",
                score_json=verdict.score,
                explanation=verdict.explanation,
                prompt_tokens=verdict.prompt_tokens,
                completion_tokens=verdict.completion_tokens,
                finished_at=func.clock_timestamp(),
            )
        )


async def run_metric(
    room: EvaluatorsRoom, project_id: UUID, definition: MetricDefinition, event: Event
) -> Verdict:
    """Compute a metric of an event at once; nothing is kept but what a model spent.

    Raises:
        InvalidInput: People give this score.
    """
    if definition.type == "HUMAN":
        raise InvalidInput(
            "metric.not_computed", "A HUMAN metric is scored by people.", "Run a PYTHON or an LLM metric."
        )
    [verdict] = await score_events(room, project_id, definition, [event])
    if verdict.prompt_tokens or verdict.completion_tokens:
        await _note_spent(room, project_id, definition, verdict)
    return verdict


async def _submit_batch(
    session: AsyncSession, engine: JobEngine, project_id: UUID, batch: Sequence[Selected]
) -> int:
    made = (
        await session.execute(
            insert(EvaluationRow)
            .values(
                [
                    {
                        "project_id": project_id,
                        "event_id": one.event.event_id,
                        "metric_id": UUID(one.definition.metric_id),
                        "metric_version": one.definition.version,
                        "metric_name": one.definition.name,
                    }
                    for one in batch
                ]
            )
            .on_conflict_do_nothing(index_elements=["project_id", "event_id", "metric_id", "metric_version"])
            .returning(EvaluationRow.event_id, EvaluationRow.metric_id, EvaluationRow.metric_version)
        )
    ).all()
    if not made:
        return 0
    batch_id = str(new_id())
    job = await engine.submit(
        session,
        kind=RUN_BATCH,
        arguments={"batch_id": batch_id},
        project_id=project_id,
        key=f"evaluations:{batch_id}",
        title=f"Evaluate {len(made)} {'event' if len(made) == 1 else 'events'}",
    )
    await session.execute(
        update(EvaluationRow)
        .where(
            EvaluationRow.project_id == project_id,
            tuple_(EvaluationRow.event_id, EvaluationRow.metric_id, EvaluationRow.metric_version).in_(
                [tuple(row) for row in made]
            ),
        )
        .values(job_id=job.job_id)
    )
    return len(made)


async def _note_spent(
    room: EvaluatorsRoom, project_id: UUID, definition: MetricDefinition, verdict: Verdict
) -> None:
    """Put the tokens of a metric that was tried on the project's account."""
    async with room.database.transaction() as session:
        await session.execute(
            insert(EvaluationRow).values(
                project_id=project_id,
                event_id=f"trial:{new_id()}",
                metric_id=new_id(),
                metric_version="trial",
                metric_name=definition.name,
                state="unscored" if verdict.score is None else "scored",
                score_json=verdict.score,
                explanation=verdict.explanation,
                prompt_tokens=verdict.prompt_tokens,
                completion_tokens=verdict.completion_tokens,
                finished_at=func.clock_timestamp(),
            )
        )
