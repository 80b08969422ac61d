"""Telling people of a change: the notification, its deliveries and their jobs, in the transaction of the change."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.tables import AlertChannelRow, AlertDeliveryRow, AlertNotificationRow
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.foundation.jobs import JobEngine
from referee.foundation.web.live import publish

__all__ = ["DELIVER", "ask_for_delivery", "record_notification"]

DELIVER = "alerts.deliver"
"""Kind of the job that sends what is due on one channel."""


async def record_notification(
    session: AsyncSession,
    engine: JobEngine,
    project_id: UUID,
    *,
    rule_id: UUID | None,
    rule_name: str,
    transition: int,
    state: str,
    severity: str,
    title: str,
    content: dict[str, JsonValue],
    channels: Sequence[str] = (),
) -> UUID | None:
    """Record one notification with a delivery for each of its channels. None if it was recorded before.

    Args:
        session: Of the transaction that changes the state: both are there, or neither.
        engine: Takes the jobs that deliver.
        project_id: Whose.
        rule_id: Whose change it is; None for a test or a notice.
        rule_name: For people.
        transition: Which change of the rule, from 1: the same one told again is not told twice.
        state: ``triggered``, ``resolved``, ``test`` or ``notice``.
        severity: Of the rule.
        title: One line.
        content: What the templates show.
        channels: Names; empty: every enabled channel of the project.
    """
    notification_id: UUID | None = await session.scalar(
        insert(AlertNotificationRow)
        .values(
            notification_id=new_id(),
            project_id=project_id,
            rule_id=rule_id,
            rule_name=rule_name,
            transition=transition,
            state=state,
            severity=severity,
            title=title[:300],
            content_json=content,
        )
        .on_conflict_do_nothing(index_elements=["project_id", "rule_id", "transition"])
        .returning(AlertNotificationRow.notification_id)
    )
    if notification_id is None:
        return None
    wanted = select(AlertChannelRow.channel_id).where(
        AlertChannelRow.project_id == project_id, AlertChannelRow.is_enabled.is_(True)
    )
    if channels:
        wanted = wanted.where(AlertChannelRow.name.in_(channels))
    for channel_id in (await session.scalars(wanted.order_by(AlertChannelRow.channel_id))).all():
        await session.execute(
            insert(AlertDeliveryRow).values(
                delivery_id=new_id(),
                project_id=project_id,
                notification_id=notification_id,
                channel_id=channel_id,
            )
        )
        await ask_for_delivery(session, engine, project_id, channel_id)
    await publish(session, "alerts", {"state": state}, project_id=project_id)
    return notification_id


async def ask_for_delivery(
    session: AsyncSession, engine: JobEngine, project_id: UUID, channel_id: UUID
) -> None:
    """Submit the job that sends what is due on a channel, in the caller's transaction."""
    await engine.submit(
        session,
        kind=DELIVER,
        arguments={"channel_id": str(channel_id)},
        project_id=project_id,
        key=None,
        title="Deliver notifications",
    )
