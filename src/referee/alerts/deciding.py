"""What a value means for a rule: a state machine of plain values, without a clock or a database.

A rule goes ``active → triggered → resolved → triggered …``. It triggers when its values have been bad for the
hold time, and resolves when they have been good, beyond the resolved threshold, for the hold time. A value
between the two thresholds, and a window with too few values, changes nothing, so nothing flaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from referee.alerts.words import Comparison, Condition

__all__ = ["Limits", "Standing", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a rule fires and when it rests."""

    comparison: Comparison
    critical: float
    resolved: float
    """Not on the bad side of ``critical``: equal to it, or further off."""
    minimum_count: int
    hold_s: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rule stands."""

    condition: Condition
    bad_since: datetime | None = None
    """End of the first window of the unbroken row of bad ones."""
    good_since: datetime | None = None


def decide(standing: Standing, limits: Limits, value: float | None, count: int, at: datetime) -> Standing:
    """Return where a rule stands after one evaluation.

    Args:
        standing: Where it stood.
        limits: Its thresholds.
        value: What the window came to; None without any.
        count: How many values that rests on.
        at: End of the window, later than the one before.
    """
    if value is None or count < limits.minimum_count:
        return standing
    hold = timedelta(seconds=limits.hold_s)
    if limits.comparison.is_met(value, limits.critical):
        since = standing.bad_since or at
        moved = replace(standing, bad_since=since, good_since=None)
        if standing.condition is not Condition.triggered and at - since >= hold:
            return replace(moved, condition=Condition.triggered)
        return moved
    if limits.comparison.is_met(value, limits.resolved):
        # Between the thresholds: neither side's row goes on.
        return replace(standing, bad_since=None, good_since=None)
    since = standing.good_since or at
    moved = replace(standing, bad_since=None, good_since=since)
    if standing.condition is Condition.triggered and at - since >= hold:
        return replace(moved, condition=Condition.resolved)
    return moved
