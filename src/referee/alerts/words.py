"""The words of this room: kinds, aggregations, states."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "Aggregation",
    "AlertSeverity",
    "ChannelKind",
    "Comparison",
    "Condition",
    "DeliveryState",
    "RuleKind",
    "RuleState",
]


class RuleKind(StrEnum):
    """How a rule looks at values."""

    aggregate = "aggregate"
    """One number over a window."""
    drift = "drift"
    """The share by which that number differs from the one of the window before it."""
    per_event = "per_event"
    """How many values of the window are beyond the threshold."""


class Aggregation(StrEnum):
    """How the values of a window become one."""

    average = "average"
    count = "count"  # type: ignore[assignment]  # a word of ours, not the method of texts
    sum = "sum"
    min = "min"
    max = "max"
    median = "median"
    p90 = "p90"
    p95 = "p95"
    p99 = "p99"


class Comparison(StrEnum):
    """On which side of its threshold a value is bad."""

    above = "above"
    at_least = "at_least"
    below = "below"
    at_most = "at_most"

    @property
    def sign(self) -> str:
        """As conditions write it."""
        return {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}[self.value]

    def is_met(self, value: float, threshold: float) -> bool:
        """Return whether a value is on the bad side."""
        match self:
            case Comparison.above:
                return value > threshold
            case Comparison.at_least:
                return value >= threshold
            case Comparison.below:
                return value < threshold
            case Comparison.at_most:
                return value <= threshold


class AlertSeverity(StrEnum):
    """How bad it is when a rule fires."""

    critical = "critical"
    warning = "warning"
    info = "info"


class Condition(StrEnum):
    """What the values say, whoever is told."""

    active = "active"
    triggered = "triggered"
    resolved = "resolved"


class RuleState(StrEnum):
    """What people see: the condition, unless the rule is paused or muted."""

    active = "active"
    triggered = "triggered"
    resolved = "resolved"
    paused = "paused"
    muted = "muted"


class ChannelKind(StrEnum):
    """How a channel tells."""

    email = "email"
    slack = "slack"
    webhook = "webhook"


class DeliveryState(StrEnum):
    """What became of one notification on one channel."""

    queued = "queued"
    delivered = "delivered"
    dead = "dead"
    """Given up; it can be sent again by hand."""
