"""Rules, evaluations, notifications, channels and deliveries as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from referee.alerts.rules import RuleDraft
from referee.alerts.tables import (
    AlertChannelRow,
    AlertDeliveryRow,
    AlertEvaluationRow,
    AlertNotificationRow,
    AlertRuleRow,
)
from referee.alerts.words import (
    Aggregation,
    AlertSeverity,
    ChannelKind,
    Comparison,
    Condition,
    DeliveryState,
    RuleKind,
    RuleState,
)
from referee.core.findings import JsonValue

__all__ = [
    "Channel",
    "Delivery",
    "Evaluation",
    "Notification",
    "Rule",
    "view_channel",
    "view_delivery",
    "view_evaluation",
    "view_notification",
    "view_rule",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule and where it stands."""

    rule_id: UUID
    draft: RuleDraft
    state: RuleState
    condition: Condition
    muted_until: datetime | None
    changed_at: datetime
    evaluated_at: datetime | None
    last_value: float | None
    last_count: int | None
    next_at: datetime
    is_default: bool
    transitions_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one look at a rule's values found."""

    from_at: datetime
    to_at: datetime
    value: float | None
    baseline_value: float | None
    values_count: int
    outcome: str
    condition: Condition
    reason: str
    query: str
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What was told."""

    notification_id: UUID
    rule_id: UUID | None
    rule_name: str
    transition: int
    state: str
    severity: str
    title: str
    content: Mapping[str, JsonValue]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Where notifications go; nothing of it is secret."""

    channel_id: UUID
    name: str
    kind: ChannelKind
    label: str
    is_enabled: bool
    disabled_reason: str
    failures_count: int
    has_old_secret: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notification on one channel."""

    delivery_id: UUID
    sequence: int
    notification_id: UUID
    channel_id: UUID
    channel_name: str
    title: str
    state: DeliveryState
    attempts_count: int
    attempts: tuple[JsonValue, ...]
    reason: str
    next_at: datetime
    created_at: datetime
    delivered_at: datetime | None


def view_rule(row: AlertRuleRow, now: datetime) -> Rule:
    """Return a row as a value, its state as of an instant."""
    condition = Condition(row.condition)
    is_muted = row.muted_until is not None and row.muted_until > now
    state = RuleState.paused if row.is_paused else RuleState.muted if is_muted else RuleState(condition.value)
    return Rule(
        rule_id=row.rule_id,
        draft=view_draft(row),
        state=state,
        condition=condition,
        muted_until=row.muted_until if is_muted else None,
        changed_at=row.changed_at,
        evaluated_at=row.evaluated_at,
        last_value=row.last_value,
        last_count=row.last_count,
        next_at=row.next_at,
        is_default=row.default_key is not None,
        transitions_count=row.transitions_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def view_draft(row: AlertRuleRow) -> RuleDraft:
    """Return what a rule says."""
    return RuleDraft(
        name=row.name,
        description=row.description,
        kind=RuleKind(row.kind),
        source=row.source,
        measure=row.measure,
        filter=row.filter,
        aggregation=Aggregation(row.aggregation),
        window_s=row.window_s,
        every_s=row.every_s,
        comparison=Comparison(row.comparison),
        critical_threshold=row.critical_threshold,
        resolved_threshold=row.resolved_threshold,
        minimum_count=row.minimum_count,
        hold_s=row.hold_s,
        severity=AlertSeverity(row.severity),
        channels=tuple(row.channels_json),
    )


def view_evaluation(row: AlertEvaluationRow) -> Evaluation:
    """Return a row as a value."""
    return Evaluation(
        from_at=row.from_at,
        to_at=row.to_at,
        value=row.value,
        baseline_value=row.baseline_value,
        values_count=row.values_count,
        outcome=row.outcome,
        condition=Condition(row.condition),
        reason=row.reason,
        query=row.query,
        duration_ms=row.duration_ms,
    )


def view_notification(row: AlertNotificationRow) -> Notification:
    """Return a row as a value."""
    return Notification(
        notification_id=row.notification_id,
        rule_id=row.rule_id,
        rule_name=row.rule_name,
        transition=row.transition,
        state=row.state,
        severity=row.severity,
        title=row.title,
        content=row.content_json,
        created_at=row.created_at,
    )


def view_channel(row: AlertChannelRow, now: datetime) -> Channel:
    """Return a row as a value."""
    return Channel(
        channel_id=row.channel_id,
        name=row.name,
        kind=ChannelKind(row.kind),
        label=row.label,
        is_enabled=row.is_enabled,
        disabled_reason=row.disabled_reason,
        failures_count=row.failures_count,
        has_old_secret=row.old_secret_until is not None and row.old_secret_until > now,
        created_at=row.created_at,
    )


def view_delivery(row: AlertDeliveryRow, channel_name: str, title: str) -> Delivery:
    """Return a row as a value."""
    return Delivery(
        delivery_id=row.delivery_id,
        sequence=row.sequence,
        notification_id=row.notification_id,
        channel_id=row.channel_id,
        channel_name=channel_name,
        title=title,
        state=DeliveryState(row.state),
        attempts_count=row.attempts_count,
        attempts=tuple(row.attempts_json),
        reason=row.reason,
        next_at=row.next_at,
        created_at=row.created_at,
        delivered_at=row.delivered_at,
    )
