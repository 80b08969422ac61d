"""Finished generations of apps as spans."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from referee.apps.tables import GenerationRow
from referee.core.own_work import OwnSpan, OwnWork
from referee.foundation.store import Database

__all__ = ["list_generation_work"]


async def list_generation_work(database: Database, after: datetime, limit: int) -> Sequence[OwnWork]:
    """Return generations that ended at or after an instant, the earliest first."""
    statement = (
        select(GenerationRow)
        .where(GenerationRow.finished_at >= after)
        .order_by(GenerationRow.finished_at, GenerationRow.generation_id)
        .limit(limit)
    )
    async with database.reading() as session:
        rows = (await session.scalars(statement)).all()
    return [_describe(row) for row in rows]


def _describe(row: GenerationRow) -> OwnWork:
    ended_at = row.finished_at or row.created_at
    whole = OwnSpan(
        key="",
        parent_key=None,
        name=f"generate version {row.version} by {row.model}",
        service="referee",
        started_at=row.created_at,
        finished_at=ended_at,
        error=None if row.state == "succeeded" else f"{row.failure or row.state}: {row.reason}",
        attributes={
            "referee.generation_id": str(row.generation_id),
            "referee.project_id": str(row.project_id),
            "referee.app_id": str(row.app_id),
            "referee.traceparent": row.traceparent,
        },
    )
    spans = [whole]
    if row.started_at is not None:
        spans.append(
            OwnSpan(
                key="queue", parent_key="", name="wait for a worker", service="jobs",
                started_at=row.created_at, finished_at=row.started_at,
            )
        )  # fmt: skip
        spans.append(
            OwnSpan(
                key="model",
                parent_key="",
                name=f"chat {row.model}",
                service="model",
                started_at=row.started_at,
                finished_at=ended_at,
                error=whole.error,
                attributes={
                    "honeyhive_event_type": "model",
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": row.model,
                    "gen_ai.request.temperature": row.temperature,
                    "gen_ai.usage.input_tokens": row.prompt_tokens,
                    "gen_ai.usage.output_tokens": row.completion_tokens,
                    "llm.cost.total": row.cost_usd,
                    "referee.calls_count": row.calls_count,
                    "referee.files_count": row.files_count,
                },
            )
        )
    return OwnWork(work_id=f"generation:{row.generation_id}", finished_at=ended_at, spans=spans)
