"""Tables of the alerts room: rules, what each evaluation found, what was told, to whom, and how that went."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from referee.alerts.words import (
    Aggregation,
    AlertSeverity,
    ChannelKind,
    Comparison,
    Condition,
    DeliveryState,
    RuleKind,
)
from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = [
    "AlertChannelRow",
    "AlertDefaultRow",
    "AlertDeliveryRow",
    "AlertEvaluationRow",
    "AlertNotificationRow",
    "AlertRuleRow",
    "MetricSampleRow",
]


def _is_word(column: str, words: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class AlertRuleRow(Base):
    """What is watched, when it fires, and where it stands."""

    __tablename__ = "alert_rules"
    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        Index("ix_alert_rules__next_at", "next_at", postgresql_where=text("NOT is_paused")),
        Index("ix_alert_rules__project_id_sequence", "project_id", "sequence"),
        _is_word("kind", RuleKind),
        _is_word("aggregation", Aggregation),
        _is_word("comparison", Comparison),
        _is_word("severity", AlertSeverity),
        _is_word("condition", Condition),
        _is_word("told_condition", Condition),
        CheckConstraint("window_s BETWEEN 60 AND 31622400", name="window_s_range"),
        CheckConstraint("every_s BETWEEN 60 AND 2678400", name="every_s_range"),
        CheckConstraint("hold_s BETWEEN 0 AND 604800", name="hold_s_range"),
        CheckConstraint("minimum_count >= 0", name="minimum_count_range"),
        CheckConstraint("length(name) BETWEEN 1 AND 120", name="name_length"),
    )

    rule_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="", server_default=text("''"))
    kind: Mapped[str]
    source: Mapped[str]
    measure: Mapped[str]
    filter: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """In the filter grammar."""
    aggregation: Mapped[str]
    window_s: Mapped[int]
    every_s: Mapped[int]
    comparison: Mapped[str]
    critical_threshold: Mapped[float] = mapped_column(Double)
    resolved_threshold: Mapped[float] = mapped_column(Double)
    minimum_count: Mapped[int] = mapped_column(server_default=text("1"))
    hold_s: Mapped[int] = mapped_column(server_default=text("0"))
    severity: Mapped[str]
    channels_json: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Names of channels; empty: every channel of the project."""
    condition: Mapped[str] = mapped_column(default="active", server_default=text("'active'"))
    told_condition: Mapped[str] = mapped_column(default="active", server_default=text("'active'"))
    """What people were told last; differs while the rule is muted."""
    is_paused: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    muted_until: Mapped[datetime | None]
    bad_since: Mapped[datetime | None]
    good_since: Mapped[datetime | None]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When the condition last changed."""
    transitions_count: Mapped[int] = mapped_column(server_default=text("0"))
    """Changes that were told; the number of the next notification."""
    evaluated_at: Mapped[datetime | None]
    """End of the last window."""
    last_value: Mapped[float | None] = mapped_column(Double)
    last_count: Mapped[int | None] = mapped_column(BigInteger)
    next_at: Mapped[datetime]
    """End of the next window."""
    default_key: Mapped[str | None]
    """Which of the rules that are there from the start it is."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AlertEvaluationRow(Base):
    """One look at one rule's values."""

    __tablename__ = "alert_evaluations"
    __table_args__ = (
        Index("ix_alert_evaluations__project_id_to_at", "project_id", "to_at"),
        CheckConstraint(
            "outcome IN ('bad', 'between', 'good', 'too_few', 'nothing', 'failed')", name="outcome_known"
        ),
    )

    rule_id: Mapped[UUID] = mapped_column(
        ForeignKey("alert_rules.rule_id", ondelete="CASCADE"), primary_key=True
    )
    to_at: Mapped[datetime] = mapped_column(primary_key=True)
    """End of the window, itself left out."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    from_at: Mapped[datetime]
    value: Mapped[float | None] = mapped_column(Double)
    baseline_value: Mapped[float | None] = mapped_column(Double)
    """Of a drift: the number of the window before."""
    values_count: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str]
    condition: Mapped[str]
    """Where the rule stood after it."""
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """Why it failed."""
    query: Mapped[str]
    """The statement that gave the value, with its values."""
    duration_ms: Mapped[float] = mapped_column(Double)
    evaluated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class AlertNotificationRow(Base):
    """One change of state that people are told of. Written in the transaction that changes the state."""

    __tablename__ = "alert_notifications"
    __table_args__ = (
        UniqueConstraint("project_id", "rule_id", "transition"),
        Index("ix_alert_notifications__project_id_created_at", "project_id", "created_at"),
        CheckConstraint("state IN ('triggered', 'resolved', 'test', 'notice')", name="state_known"),
    )

    notification_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    rule_id: Mapped[UUID | None]
    """No foreign key: what was told stays when a rule is deleted. Null for a test and a notice."""
    rule_name: Mapped[str]
    transition: Mapped[int]
    """Which change of the rule this is, from 1."""
    state: Mapped[str]
    severity: Mapped[str]
    title: Mapped[str]
    content_json: Mapped[dict[str, JsonValue]]
    """Value, threshold, window, page: what the templates show."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class AlertChannelRow(Base):
    """Where notifications go."""

    __tablename__ = "alert_channels"
    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        _is_word("kind", ChannelKind),
        CheckConstraint("length(name) BETWEEN 1 AND 80", name="name_length"),
    )

    channel_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    kind: Mapped[str]
    label: Mapped[str]
    """What may be shown of its address: recipients, or scheme and host."""
    address_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """Recipients or URL; a URL may hold a secret."""
    secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Signing secret of a webhook."""
    old_secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The one before, which also signs until ``old_secret_until``."""
    old_secret_until: Mapped[datetime | None]
    is_enabled: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    disabled_reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    failures_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Attempts that failed, since the last that did not."""
    busy_until: Mapped[datetime | None]
    """While one job sends to it; another leaves its deliveries to that one."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AlertDeliveryRow(Base):
    """One notification on one channel."""

    __tablename__ = "alert_deliveries"
    __table_args__ = (
        UniqueConstraint("project_id", "notification_id", "channel_id"),
        Index("ix_alert_deliveries__due", "channel_id", "next_at", postgresql_where=text("state = 'queued'")),
        Index("ix_alert_deliveries__project_id_sequence", "project_id", "sequence"),
        _is_word("state", DeliveryState),
    )

    delivery_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    notification_id: Mapped[UUID] = mapped_column(ForeignKey("alert_notifications.notification_id"))
    channel_id: Mapped[UUID] = mapped_column(ForeignKey("alert_channels.channel_id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(default="queued", server_default=text("'queued'"))
    attempts_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    attempts_json: Mapped[list[JsonValue]] = mapped_column(server_default=text("'[]'::jsonb"))
    """The last of them: at, duration_ms, problem."""
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """Why the last attempt failed."""
    next_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    delivered_at: Mapped[datetime | None]


class AlertDefaultRow(Base):
    """A rule that is there from the start was made for a project: once, so a deleted one does not come back."""

    __tablename__ = "alert_defaults"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"), primary_key=True)
    default_key: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MetricSampleRow(Base):
    """What one of Referee's own metrics was, or grew by, between two looks of one process."""

    __tablename__ = "metric_samples"
    __table_args__ = (Index("ix_metric_samples__name_at", "name", "at"), Index("ix_metric_samples__at", "at"))

    sample_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str]
    labels: Mapped[str]
    """As ``key=value`` pairs, sorted."""
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    value: Mapped[float] = mapped_column(Double)
    """A gauge's value, a counter's growth, or the upper bound of a histogram's bucket."""
    weight: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    """How many observations a histogram's bucket grew by."""
