"""Every read of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.experiments.evaluators.tables import EvaluationRow

__all__ = ["Evaluation", "list_evaluations", "list_waiting", "sum_tokens"]

MAX_EVALUATIONS_COUNT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One metric in one version on one event."""

    event_id: str
    metric_id: UUID
    metric_version: str
    metric_name: str
    state: str
    score: JsonValue
    explanation: str
    prompt_tokens: int
    completion_tokens: int
    created_at: datetime
    finished_at: datetime | None


async def sum_tokens(session: AsyncSession, project_id: UUID, *, since: datetime) -> int:
    """Return the tokens that a project's evaluations spent since an instant."""
    spent = await session.scalar(
        select(func.sum(EvaluationRow.prompt_tokens + EvaluationRow.completion_tokens)).where(
            EvaluationRow.project_id == project_id, EvaluationRow.finished_at >= since
        )
    )
    return int(spent or 0)


async def list_waiting(session: AsyncSession, project_id: UUID, job_id: UUID) -> list[tuple[UUID, str, str]]:
    """Return metric, version and event of what a job has still to do."""
    rows = await session.execute(
        select(EvaluationRow.metric_id, EvaluationRow.metric_version, EvaluationRow.event_id)
        .where(
            EvaluationRow.project_id == project_id,
            EvaluationRow.job_id == job_id,
            EvaluationRow.state == "waiting",
        )
        .order_by(EvaluationRow.metric_id, EvaluationRow.event_id)
    )
    return [(metric_id, version, event_id) for metric_id, version, event_id in rows]


async def list_evaluations(
    session: AsyncSession, project_id: UUID, event_ids: Sequence[str]
) -> list[Evaluation]:
    """Return what metrics said of events, by event and metric."""
    rows = await session.scalars(
        select(EvaluationRow)
        .where(EvaluationRow.project_id == project_id, EvaluationRow.event_id.in_(event_ids))
        .order_by(EvaluationRow.event_id, EvaluationRow.metric_name, EvaluationRow.metric_version)
        .limit(MAX_EVALUATIONS_COUNT)
    )
    return [
        Evaluation(
            event_id=row.event_id,
            metric_id=row.metric_id,
            metric_version=row.metric_version,
            metric_name=row.metric_name,
            state=row.state,
            score=row.score_json,
            explanation=row.explanation,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            created_at=row.created_at,
            finished_at=row.finished_at,
        )
        for row in rows
    ]
