"""Completed experiment runs as spans. What their sessions did is in the project that sent them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import func, select

from referee.core.own_work import OwnSpan, OwnWork
from referee.experiments.runs.tables import ExperimentRunRow
from referee.foundation.store import Database

__all__ = ["list_run_work"]

_ENDED: Final = ("completed", "failed", "cancelled")


async def list_run_work(database: Database, after: datetime, limit: int) -> Sequence[OwnWork]:
    """Return runs that are over and were last changed at or after an instant, the earliest first."""
    changed_at = func.coalesce(ExperimentRunRow.updated_at, ExperimentRunRow.created_at)
    statement = (
        select(ExperimentRunRow)
        .where(changed_at >= after, ExperimentRunRow.status.in_(_ENDED))
        .order_by(changed_at, ExperimentRunRow.sequence)
        .limit(limit)
    )
    async with database.reading() as session:
        rows = (await session.scalars(statement)).all()
    return [_describe(row) for row in rows]


def _describe(row: ExperimentRunRow) -> OwnWork:
    ended_at = row.updated_at or row.created_at
    whole = OwnSpan(
        key="",
        parent_key=None,
        name=f"experiment run {row.name}",
        service="referee",
        started_at=row.created_at,
        finished_at=ended_at,
        error=None if row.status == "completed" else row.status,
        attributes={
            "referee.run_id": row.run_id,
            "referee.project_id": str(row.project_id),
            "referee.dataset_id": row.dataset_id,
            "referee.sessions_count": len(row.event_ids_json),
        },
    )
    return OwnWork(work_id=f"run:{row.project_id}:{row.run_id}", finished_at=ended_at, spans=[whole])
