"""From a value to a level: the limits of a discipline, or those of the coach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from referee.videos.shapes import Level, MetricCode, Target

__all__ = ["DEFAULT_TARGETS", "find_level", "find_target", "is_beyond"]

DEFAULT_TARGETS: Final = {
    MetricCode.head_stability: Target(MetricCode.head_stability, 2.0, 4.0),
    MetricCode.balance_drift: Target(MetricCode.balance_drift, 5.0, 10.0),
    MetricCode.front_knee_brace: Target(MetricCode.front_knee_brace, 10.0, 25.0),
    MetricCode.hip_shoulder_timing: Target(MetricCode.hip_shoulder_timing, 20.0, 0.0),
    MetricCode.elbow_drop: Target(MetricCode.elbow_drop, 0.15, 0.35),
}
"""Limits without a coach's.

Where ``low`` is above ``high``, more is better: hips at least 20 ms ahead are level low.
"""


def find_target(code: MetricCode, targets: Sequence[Target]) -> Target:
    """Return the coach's limits for a metric, or the default ones."""
    return next((one for one in targets if one.code is code), DEFAULT_TARGETS[code])


def is_beyond(value: float, limit: float, target: Target) -> bool:
    """Return whether a value is on the far side of a limit."""
    return value < limit if target.low > target.high else value > limit


def find_level(value: float, target: Target) -> Level:
    """Return how far a value is from the target."""
    if is_beyond(value, target.high, target):
        return Level.high
    return Level.medium if is_beyond(value, target.low, target) else Level.low
