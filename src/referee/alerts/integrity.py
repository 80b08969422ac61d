"""What ``referee verify`` reads again of alerts."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import func, select

from referee.alerts.room import AlertsRoom
from referee.alerts.tables import AlertChannelRow, AlertNotificationRow, AlertRuleRow
from referee.core.errors import RefereeError
from referee.core.integrity import IntegrityProblem, IntegrityTally

__all__ = ["check_alerts"]


async def check_alerts(room: AlertsRoom) -> AsyncIterator[IntegrityProblem | IntegrityTally]:
    """Look whether each change that was counted was told, and whether each secret opens."""
    told = (
        select(AlertNotificationRow.rule_id, func.max(AlertNotificationRow.transition).label("last"))
        .group_by(AlertNotificationRow.rule_id)
        .subquery()
    )
    async with room.database.reading() as session:
        rows = (
            await session.execute(
                select(
                    AlertRuleRow.rule_id, AlertRuleRow.transitions_count, told.c.last, AlertRuleRow.changed_at
                )
                .outerjoin(told, told.c.rule_id == AlertRuleRow.rule_id)
                .where(
                    AlertRuleRow.changed_at
                    > func.now() - func.make_interval(0, 0, 0, room.settings.alert_log_days - 1)
                )
            )
        ).all()
        channels = (await session.scalars(select(AlertChannelRow))).all()
    for rule_id, transitions_count, last, _ in rows:
        if (last or 0) != transitions_count:
            problem = f"{transitions_count} changes were counted, and the last that was told is {last or 0}."
            yield IntegrityProblem("alert.change_untold", f"alert rule {rule_id}", problem)
    for channel in channels:
        for purpose, sealed in (("address", channel.address_sealed), ("secret", channel.secret_sealed)):
            if sealed is None:
                continue
            try:
                room.sealer.open(sealed, f"{purpose}:{channel.channel_id}")
            except RefereeError as error:
                yield IntegrityProblem(
                    "alert.secret_unreadable", f"channel {channel.channel_id}", error.message
                )
    yield IntegrityTally("alert rules", len(rows))
