"""Every read of rules, their log, notifications, channels and deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.tables import (
    AlertChannelRow,
    AlertDeliveryRow,
    AlertEvaluationRow,
    AlertNotificationRow,
    AlertRuleRow,
)
from referee.alerts.views import (
    Channel,
    Delivery,
    Evaluation,
    Notification,
    Rule,
    view_channel,
    view_delivery,
    view_evaluation,
    view_notification,
    view_rule,
)
from referee.alerts.words import AlertSeverity, ChannelKind, DeliveryState, RuleKind, RuleState
from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "DELIVERY_FIELDS",
    "RULE_FIELDS",
    "count_firing",
    "count_rule_states",
    "find_rule_row",
    "get_channel_row",
    "get_rule",
    "list_channels",
    "list_deliveries",
    "list_evaluations",
    "list_notifications",
    "list_rules",
]

_RULE: Final = AlertRuleRow.__table__.c
_DELIVERY: Final = AlertDeliveryRow.__table__.c
_STATE: Final = case(
    (_RULE.is_paused, RuleState.paused.value),
    (_RULE.muted_until > func.now(), RuleState.muted.value),
    else_=_RULE.condition,
)
RULE_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField("text", "Part of its name.", is_searched=True, example="name:disk"),
    "state": FilterField.of_enum(RuleState, "Where it stands."),
    "severity": FilterField.of_enum(AlertSeverity, "How bad it is when it fires."),
    "kind": FilterField.of_enum(RuleKind, "How it looks at values."),
    "source": FilterField("keyword", "What it watches.", example="source:spans"),
    "changed": FilterField("time", "When it last changed its state.", example="changed:>=-24h"),
}
_RULE_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "name": _RULE.name,
    "state": _STATE,
    "severity": _RULE.severity,
    "kind": _RULE.kind,
    "source": _RULE.source,
    "changed": _RULE.changed_at,
}
DELIVERY_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(DeliveryState, "What became of it."),
    "channel": FilterField("keyword", "Name of the channel.", example="channel:ops"),
    "kind": FilterField.of_enum(ChannelKind, "Kind of the channel."),
    "title": FilterField("text", "Part of what was told.", is_searched=True),
    "created": FilterField("time", "When it was told.", example="created:>=-24h"),
}
_DELIVERY_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": _DELIVERY.state,
    "channel": AlertChannelRow.__table__.c.name,
    "kind": AlertChannelRow.__table__.c.kind,
    "title": AlertNotificationRow.__table__.c.title,
    "created": _DELIVERY.created_at,
}
_URGENCY: Final = case(
    (_STATE == "triggered", case({"critical": 0, "warning": 1}, value=_RULE.severity, else_=2)),
    (_STATE == "muted", 3),
    (_STATE == "resolved", 4),
    (_STATE == "active", 5),
    else_=6,
)
"""Smaller is looked at first."""
MAX_RULES_COUNT: Final = 5_000
"""Of one project."""


async def find_rule_row(
    session: AsyncSession, project_id: UUID, rule: str | UUID, *, is_locked: bool = False
) -> AlertRuleRow:
    """Return a rule by its id or its name.

    Raises:
        NotFound: The project has no such rule.
    """
    is_it = _RULE.rule_id == rule if isinstance(rule, UUID) else _RULE.name == rule
    statement = select(AlertRuleRow).where(AlertRuleRow.project_id == project_id, is_it)
    statement = statement.execution_options(populate_existing=True)
    row = await session.scalar(statement.with_for_update() if is_locked else statement)
    if row is None:
        raise NotFound("alert.not_found", "There is no such alert rule.", "Look at the list of alerts.")
    return row


async def get_rule(session: AsyncSession, project_id: UUID, rule: str | UUID) -> Rule:
    """Return one rule.

    Raises:
        NotFound: The project has no such rule.
    """
    return view_rule(await find_rule_row(session, project_id, rule), datetime.now(UTC))


async def list_rules(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Rule]:
    """Return rules, those that fire first, the worst of them first."""
    conditions = [AlertRuleRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _RULE_COLUMNS))
    total_count = await session.scalar(select(func.count()).select_from(AlertRuleRow).where(*conditions)) or 0
    statement = select(AlertRuleRow, _URGENCY.label("urgency")).where(*conditions)
    if cursor is not None:
        urgency, sequence = decode_cursor(cursor, "alerts")
        place = tuple_(literal(int(str(urgency))), literal(int(str(sequence))))
        statement = statement.where(tuple_(_URGENCY, _RULE.sequence) > place)
    rows = (await session.execute(statement.order_by(_URGENCY, _RULE.sequence).limit(limit + 1))).all()
    kept, now = rows[:limit], datetime.now(UTC)
    last = kept[-1] if len(rows) > limit else None
    next_cursor = None if last is None else encode_cursor("alerts", [last[1], last[0].sequence])
    return Page(tuple(view_rule(row, now) for row, _ in kept), total_count, limit, next_cursor)


async def count_rule_states(
    session: AsyncSession, project_id: UUID, *, where: Filter | None = None
) -> dict[str, int]:
    """Return how many rules have each state."""
    conditions = [AlertRuleRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _RULE_COLUMNS))
    state = _STATE.label("state")
    rows = await session.execute(select(state, func.count()).where(*conditions).group_by(state))
    return {str(word): count for word, count in rows}


async def count_firing(session: AsyncSession, project_id: UUID) -> int:
    """Return how many rules fire now."""
    statement = select(func.count()).select_from(AlertRuleRow)
    return (
        await session.scalar(statement.where(AlertRuleRow.project_id == project_id, _STATE == "triggered"))
        or 0
    )


async def list_evaluations(
    session: AsyncSession,
    project_id: UUID,
    rule_id: UUID,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Evaluation]:
    """Return the log of a rule, the latest first."""
    conditions = (AlertEvaluationRow.project_id == project_id, AlertEvaluationRow.rule_id == rule_id)
    total = await session.scalar(select(func.count()).select_from(AlertEvaluationRow).where(*conditions)) or 0
    statement = select(AlertEvaluationRow).where(*conditions).order_by(AlertEvaluationRow.to_at.desc())
    if cursor is not None:
        (before,) = decode_cursor(cursor, "evaluations")
        statement = statement.where(AlertEvaluationRow.to_at < datetime.fromisoformat(str(before)))
    rows = (await session.scalars(statement.limit(limit + 1))).all()
    next_cursor = (
        encode_cursor("evaluations", [rows[limit - 1].to_at.isoformat()]) if len(rows) > limit else None
    )
    return Page(tuple(view_evaluation(row) for row in rows[:limit]), total, limit, next_cursor)


async def list_notifications(
    session: AsyncSession,
    project_id: UUID,
    *,
    rule_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Notification]:
    """Return what was told, the latest first; of one rule, or of all."""
    conditions = [AlertNotificationRow.project_id == project_id]
    if rule_id is not None:
        conditions.append(AlertNotificationRow.rule_id == rule_id)
    total = (
        await session.scalar(select(func.count()).select_from(AlertNotificationRow).where(*conditions)) or 0
    )
    # Ids are made in the order of time, so they are the order too.
    statement = (
        select(AlertNotificationRow).where(*conditions).order_by(AlertNotificationRow.notification_id.desc())
    )
    if cursor is not None:
        (before,) = decode_cursor(cursor, "notifications")
        statement = statement.where(AlertNotificationRow.notification_id < UUID(str(before)))
    rows = (await session.scalars(statement.limit(limit + 1))).all()
    next_cursor = (
        encode_cursor("notifications", [rows[limit - 1].notification_id.hex]) if len(rows) > limit else None
    )
    return Page(tuple(view_notification(row) for row in rows[:limit]), total, limit, next_cursor)


async def list_channels(session: AsyncSession, project_id: UUID, *, limit: int = 200) -> Page[Channel]:
    """Return the channels by name."""
    statement = select(AlertChannelRow).where(AlertChannelRow.project_id == project_id)
    rows: Sequence[AlertChannelRow] = (await session.scalars(statement.order_by(AlertChannelRow.name))).all()
    now = datetime.now(UTC)
    return Page(tuple(view_channel(row, now) for row in rows[:limit]), len(rows), limit, None)


async def get_channel_row(
    session: AsyncSession, project_id: UUID, channel: str | UUID, *, is_locked: bool = False
) -> AlertChannelRow:
    """Return a channel by its id or its name.

    Raises:
        NotFound: The project has no such channel.
    """
    table = AlertChannelRow.__table__.c
    is_it = table.channel_id == channel if isinstance(channel, UUID) else table.name == channel
    statement = select(AlertChannelRow).where(table.project_id == project_id, is_it)
    row = await session.scalar(statement.with_for_update() if is_locked else statement)
    if row is None:
        raise NotFound(
            "alert.channel_not_found", "There is no such channel.", "Look at the list of channels."
        )
    return row


async def list_deliveries(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Delivery]:
    """Return deliveries, the latest first."""
    conditions = [AlertDeliveryRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _DELIVERY_COLUMNS))
    joined = (
        select(AlertDeliveryRow, AlertChannelRow.name, AlertNotificationRow.title)
        .join(AlertChannelRow, AlertChannelRow.channel_id == AlertDeliveryRow.channel_id)
        .join(AlertNotificationRow, AlertNotificationRow.notification_id == AlertDeliveryRow.notification_id)
        .where(*conditions)
    )
    total = await session.scalar(select(func.count()).select_from(joined.subquery())) or 0
    statement = joined.order_by(AlertDeliveryRow.sequence.desc()).limit(limit + 1)
    if cursor is not None:
        (before,) = decode_cursor(cursor, "deliveries")
        statement = statement.where(AlertDeliveryRow.sequence < int(str(before)))
    rows = (await session.execute(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("deliveries", [kept[-1][0].sequence]) if len(rows) > limit else None
    return Page(
        tuple(view_delivery(row, name, title) for row, name, title in kept), total, limit, next_cursor
    )
