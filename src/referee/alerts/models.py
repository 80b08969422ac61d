"""Rules, evaluations, notifications, channels and deliveries as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.alerts.messages import show_condition
from referee.alerts.rules import RuleDraft
from referee.alerts.service import Trial
from referee.alerts.views import Channel, Delivery, Evaluation, Notification, Rule
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
from referee.foundation.web.values import ValueSource

__all__ = [
    "AlertModel",
    "AlertRequestModel",
    "ChannelModel",
    "ChannelRequestModel",
    "CreatedChannelModel",
    "DeliveryModel",
    "EvaluationModel",
    "MuteModel",
    "NotificationModel",
    "SecretModel",
    "SourceModel",
    "TrialModel",
    "TrialRequestModel",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AlertRequestModel(_Model):
    """What a rule says: either ``condition``, or source, measure and thresholds."""

    name: str = Field(max_length=120)
    condition: str | None = Field(
        default=None, max_length=200, description="Short form: `duplicate_rate > 5%`."
    )
    description: str | None = Field(default=None, max_length=2_000)
    kind: str | None = Field(
        default=None, max_length=40, description="aggregate, drift or per_event; any case."
    )
    source: str | None = Field(
        default=None, max_length=80, description="What is watched; see /v1/alert-sources."
    )
    measure: str | None = Field(default=None, max_length=120)
    filter: str | None = Field(
        default=None, max_length=2_000, description="Which rows, in the filter grammar."
    )
    aggregation: str | None = Field(
        default=None, max_length=40, description="average, count, sum, min, max, median, p90, p95, p99."
    )
    comparison: str | None = Field(
        default=None, max_length=40, description="above, at_least, below or at_most; or > >= < <=."
    )
    critical_threshold: float | str | None = Field(default=None, description="A number, or `5%`.")
    resolved_threshold: float | str | None = Field(
        default=None, description="The same as the critical one, or further off."
    )
    window: int | str | None = Field(default=None, description="Seconds, or 15m, 1h, 7d.")
    every: int | str | None = Field(
        default=None, description="Seconds, or 1m, hourly, daily, weekly, monthly."
    )
    hold: int | str | None = Field(default=None, description="How long it has to be bad, or good again.")
    minimum_count: int | None = Field(default=None, description="Values a window needs to mean anything.")
    severity: str | None = Field(default=None, max_length=40, description="critical, warning or info.")
    channels: list[str] | None = Field(
        default=None, max_length=20, description="Names of channels; empty: all of them."
    )

    def dump(self) -> dict[str, Any]:
        """Return what was given."""
        return self.model_dump(exclude_none=True)


class TrialRequestModel(AlertRequestModel):
    """A rule, and how much of the past it is tried on."""

    windows_count: int = Field(default=100, ge=1, le=300)


class AlertModel(_Model):
    """A rule and where it stands."""

    rule_id: UUID
    name: str
    description: str
    kind: RuleKind
    source: str
    measure: str
    filter: str
    aggregation: Aggregation
    comparison: Comparison
    critical_threshold: float
    resolved_threshold: float
    window_s: int
    every_s: int
    hold_s: int
    minimum_count: int
    severity: AlertSeverity
    channels: list[str]
    condition: str = Field(description="What it says in one line.")
    state: RuleState
    firing: bool = Field(description="Whether its values are bad, also while it is paused or muted.")
    muted_until: datetime | None
    changed_at: datetime
    evaluated_at: datetime | None = Field(description="End of the last window.")
    last_value: float | None
    last_count: int | None
    next_at: datetime
    is_default: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, rule: Rule) -> AlertModel:
        """Return the shape of a rule."""
        draft = rule.draft
        said = {name: getattr(draft, name) for name in RuleDraft.__dataclass_fields__ if name != "channels"}
        return cls(
            **said,
            channels=list(draft.channels),
            rule_id=rule.rule_id,
            condition=show_condition(draft, ""),
            state=rule.state,
            firing=rule.condition is Condition.triggered,
            muted_until=rule.muted_until,
            changed_at=rule.changed_at,
            evaluated_at=rule.evaluated_at,
            last_value=rule.last_value,
            last_count=rule.last_count,
            next_at=rule.next_at,
            is_default=rule.is_default,
            created_at=rule.created_at,
            updated_at=rule.updated_at,
        )


class MuteModel(_Model):
    """How long nobody is told."""

    until: datetime


class EvaluationModel(_Model):
    """One look at a rule's values."""

    model_config = ConfigDict(from_attributes=True)

    from_at: datetime
    to_at: datetime
    value: float | None
    baseline_value: float | None
    values_count: int
    outcome: str = Field(description="bad, between, good, too_few, nothing or failed.")
    condition: Condition
    reason: str
    query: str = Field(description="The statement that gave the value.")
    duration_ms: float

    @classmethod
    def of(cls, one: Evaluation) -> EvaluationModel:
        """Return the shape of an evaluation."""
        return cls.model_validate(one)


class TrialPointModel(_Model):
    """One window of the past."""

    model_config = ConfigDict(from_attributes=True)

    to_at: datetime
    value: float | None
    values_count: int
    outcome: str
    condition: Condition


class TrialModel(_Model):
    """What a rule would have done."""

    sentence: str
    fired_count: int
    resolved_count: int
    from_at: datetime
    to_at: datetime
    points: list[TrialPointModel]

    @classmethod
    def of(cls, trial: Trial) -> TrialModel:
        """Return the shape of a trial."""
        return cls(
            sentence=trial.sentence,
            fired_count=trial.fired_count,
            resolved_count=trial.resolved_count,
            from_at=trial.from_at,
            to_at=trial.to_at,
            points=[TrialPointModel.model_validate(point) for point in trial.points],
        )


class SourceModel(_Model):
    """Something that can be watched."""

    name: str
    title: str
    measures: dict[str, str] = Field(description="Each with its unit and meaning.")
    filter_keys: dict[str, str] = Field(description="Keys of its filter, each with its meaning.")

    @classmethod
    def of(cls, source: ValueSource) -> SourceModel:
        """Return the shape of a source."""
        return cls(
            name=source.name,
            title=source.title,
            measures={
                name: f"{one.unit or 'number'}: {one.description}" for name, one in source.measures.items()
            },
            filter_keys={name: field.help for name, field in source.fields.items()},
        )


class NotificationModel(_Model):
    """What was told."""

    model_config = ConfigDict(from_attributes=True)

    notification_id: UUID
    rule_id: UUID | None
    rule_name: str
    transition: int = Field(description="Which change of its rule this is, from 1.")
    state: Literal["triggered", "resolved", "test", "notice"]
    severity: str
    title: str
    content: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, one: Notification) -> NotificationModel:
        """Return the shape of a notification."""
        return cls.model_validate(one)


class ChannelRequestModel(_Model):
    """A channel to add."""

    name: str = Field(max_length=80)
    kind: ChannelKind
    address: str = Field(
        max_length=2_000,
        description="Recipients separated by commas, or the URL of a webhook. Never shown again.",
    )


class ChannelModel(_Model):
    """Where notifications go."""

    model_config = ConfigDict(from_attributes=True)

    channel_id: UUID
    name: str
    kind: ChannelKind
    label: str = Field(description="Recipients, or scheme and host of the URL.")
    is_enabled: bool
    disabled_reason: str
    failures_count: int = Field(description="Attempts that failed since the last that did not.")
    has_old_secret: bool = Field(description="Whether a replaced secret still signs too.")
    created_at: datetime

    @classmethod
    def of(cls, one: Channel) -> ChannelModel:
        """Return the shape of a channel."""
        return cls.model_validate(one)


class CreatedChannelModel(_Model):
    """A channel that was added."""

    channel: ChannelModel
    secret: str | None = Field(
        description="Signing secret of a webhook (Standard Webhooks); shown this once."
    )


class SecretModel(_Model):
    """A new signing secret."""

    secret: str = Field(description="Shown this once. The one before signs too for 24 hours.")


class DeliveryModel(_Model):
    """One notification on one channel."""

    delivery_id: UUID
    notification_id: UUID
    channel_id: UUID
    channel: str
    title: str
    state: DeliveryState
    attempts_count: int
    attempts: list[dict[str, Any]] = Field(description="The last twenty: at, duration_ms, problem.")
    reason: str
    next_at: datetime | None = Field(description="When it is tried again; null when it is not.")
    created_at: datetime
    delivered_at: datetime | None

    @classmethod
    def of(cls, one: Delivery) -> DeliveryModel:
        """Return the shape of a delivery."""
        return cls(
            delivery_id=one.delivery_id,
            notification_id=one.notification_id,
            channel_id=one.channel_id,
            channel=one.channel_name,
            title=one.title,
            state=one.state,
            attempts_count=one.attempts_count,
            attempts=[attempt for attempt in one.attempts if isinstance(attempt, dict)],
            reason=one.reason,
            next_at=one.next_at if one.state is DeliveryState.queued else None,
            created_at=one.created_at,
            delivered_at=one.delivered_at,
        )
