"""The jobs of this room: evaluate what is due each minute, deliver what was told, keep neither for ever."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.delivering import deliver_due
from referee.alerts.firing import evaluate_due
from referee.alerts.keeping import forget_log
from referee.alerts.notifying import DELIVER, ask_for_delivery
from referee.alerts.room import AlertsRoom
from referee.alerts.service import OPERATOR_PROJECT, ensure_default_rules
from referee.alerts.tables import AlertChannelRow, AlertDeliveryRow
from referee.core.findings import JsonValue
from referee.foundation.access import get_project, list_projects
from referee.foundation.jobs import JobContext, JobEngine

__all__ = ["EVALUATE", "ask_for_due_deliveries", "register_alert_workflows"]

EVALUATE: Final = "schedule.alerts.evaluate"
"""A kind of schedules, so that lists of jobs leave it out and it is kept as briefly as they."""
_EVALUATE_QUEUE: Final = "alerts"
_DELIVER_QUEUE: Final = "alert_deliveries"
_DELIVER_SLOTS: Final = 16
"""Channels one worker sends to at the same time; each has a slot of its own, however slow its receiver."""
_TIMEOUT_S: Final = 3_600.0
_PROJECTS_LIMIT: Final = 200


def register_alert_workflows(room: AlertsRoom, engine: JobEngine) -> None:
    """Make the jobs and schedules known to the engine. Called before it starts."""

    async def evaluate(context: JobContext, _: dict[str, JsonValue]) -> dict[str, JsonValue]:
        async def once() -> dict[str, JsonValue]:
            done = await evaluate_due(room, engine)
            return {
                "rules_count": done.rules_count,
                "failed_count": done.failed_count,
                "told_count": done.told_count,
            }

        return dict(await context.step("evaluate", once))

    async def deliver(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        channel_id = UUID(str(arguments["channel_id"]))
        return {"attempts_count": await context.step("deliver", deliver_due, room, engine, channel_id)}

    async def tick(_: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Ask for the work, on queues of its own: no other schedule may hold an alert up."""
        await _ensure_rules(room)
        operator = await get_project(room.database, OPERATOR_PROJECT)
        async with room.database.transaction() as session:
            await engine.submit(
                session,
                kind=EVALUATE,
                arguments={},
                project_id=operator.project_id,
                key=f"alerts:{arguments['scheduled_at']}",
                title="Evaluate alert rules",
            )
            asked_count = await ask_for_due_deliveries(session, engine)
        return {"deliveries_count": asked_count}

    async def forget(_: JobContext, __: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"deleted_count": await forget_log(room)}

    engine.register_queue(_EVALUATE_QUEUE, concurrency=None, worker_concurrency=1)
    engine.register_queue(_DELIVER_QUEUE, concurrency=None, worker_concurrency=_DELIVER_SLOTS)
    engine.register(EVALUATE, evaluate, queue=_EVALUATE_QUEUE, timeout_s=_TIMEOUT_S)
    engine.register(DELIVER, deliver, queue=_DELIVER_QUEUE, timeout_s=_TIMEOUT_S)
    engine.register_schedule("alerts", "* * * * *", tick)
    engine.register_schedule("forget_alerts", "40 3 * * *", forget)


async def ask_for_due_deliveries(session: AsyncSession, engine: JobEngine) -> int:
    """Submit a job for each channel that has something due and nobody who sends it; return how many."""
    due = await session.execute(
        select(AlertDeliveryRow.channel_id, AlertDeliveryRow.project_id)
        .distinct()
        .join(AlertChannelRow, AlertChannelRow.channel_id == AlertDeliveryRow.channel_id)
        .where(
            AlertDeliveryRow.state == "queued",
            AlertDeliveryRow.next_at <= func.clock_timestamp(),
            AlertChannelRow.is_enabled.is_(True),
            (AlertChannelRow.busy_until.is_(None)) | (AlertChannelRow.busy_until < func.clock_timestamp()),
        )
    )
    count = 0
    for channel_id, project_id in due.all():
        await ask_for_delivery(session, engine, project_id, channel_id)
        count += 1
    return count


async def _ensure_rules(room: AlertsRoom) -> None:
    cursor: str | None = None
    while True:
        page = await list_projects(room.database, limit=_PROJECTS_LIMIT, cursor=cursor)
        for project in page.items:
            if (
                project.slug != room.settings.probe_project
            ):  # what probes make is nobody's to be alerted about
                await ensure_default_rules(room, project.project_id)
        cursor = page.next_cursor
        if cursor is None:
            return
