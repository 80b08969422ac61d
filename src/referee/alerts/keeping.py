"""How long the log of evaluations and what was told are kept, and what would go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, select

from referee.alerts.room import AlertsRoom
from referee.alerts.sampling import Sampler
from referee.alerts.tables import AlertDeliveryRow, AlertEvaluationRow, AlertNotificationRow
from referee.foundation.store import Database

__all__ = ["count_old_log", "forget_log"]


def _list_old(keep_days: float) -> Mapping[str, tuple[Any, Any, ColumnElement[bool]]]:
    """Return table, instant and condition of what is too old, in the order in which it goes."""
    oldest = func.now() - timedelta(days=keep_days)
    open_ones = select(AlertDeliveryRow.delivery_id).where(
        AlertDeliveryRow.notification_id == AlertNotificationRow.notification_id
    )
    deliveries = and_(AlertDeliveryRow.created_at < oldest, AlertDeliveryRow.state != "queued")
    # A notification goes after its deliveries.
    unsent = open_ones.where(~deliveries)
    return {
        "evaluations": (AlertEvaluationRow, AlertEvaluationRow.to_at, AlertEvaluationRow.to_at < oldest),
        "deliveries": (AlertDeliveryRow, AlertDeliveryRow.created_at, deliveries),
        "notifications": (
            AlertNotificationRow,
            AlertNotificationRow.created_at,
            and_(AlertNotificationRow.created_at < oldest, ~unsent.exists()),
        ),
    }  # fmt: skip


async def count_old_log(
    database: Database, project_id: UUID, keep_days: float
) -> Mapping[str, tuple[int, datetime | None]]:
    """Return how much of a project would go now by kind, and from when the oldest is."""
    counted: dict[str, tuple[int, datetime | None]] = {}
    async with database.reading() as session:
        for kind, (table, at, is_old) in _list_old(keep_days).items():
            statement = select(func.count(), func.min(at)).where(table.project_id == project_id, is_old)
            count, oldest_at = (await session.execute(statement)).one()
            counted[kind] = (count, oldest_at)
    return counted


async def forget_log(room: AlertsRoom) -> int:
    """Delete what is too old, of all projects. Returns how many evaluations that were."""
    await Sampler(room).forget()
    counts: dict[str, int] = {}
    async with room.database.transaction() as session:
        for kind, (table, _, is_old) in _list_old(room.settings.alert_log_days).items():
            gone = await session.execute(delete(table).where(is_old))
            counts[kind] = int(gone.rowcount)  # type: ignore[attr-defined]  # of a statement that deletes
    return counts["evaluations"]
