"""What is known of a metric beyond its values: who computes it, when it passes, which direction is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from referee.core.findings import JsonValue

__all__ = [
    "NO_RANGE",
    "MetricDefinition",
    "PassingRange",
    "parse_passing_range",
    "prefers_higher",
    "read_number",
]

_LOWER_WORDS = frozenset({"lower", "lower_is_better", "minimize", "minimise", "down"})


@dataclass(frozen=True, slots=True)
class PassingRange:
    """Values that pass: ``min ≤ value ≤ max``, an open side is None."""

    min: float | None = None
    max: float | None = None
    pass_when: bool | None = None
    """For booleans: which of both passes."""
    categories: tuple[str, ...] = ()
    """For words: those that pass."""

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return self.min is None and self.max is None and self.pass_when is None and not self.categories

    def judge(self, value: float | bool) -> bool | None:
        """Return whether a value passes; None when nothing says so. A boolean alone passes when it is true."""
        if isinstance(value, bool) and self.pass_when is not None:
            return value is self.pass_when
        if self.min is None and self.max is None:
            return value if isinstance(value, bool) else None
        number = float(value)
        return (self.min is None or number >= self.min) and (self.max is None or number <= self.max)


NO_RANGE = PassingRange()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDefinition:
    """A metric as it is defined on this server, in its deployed version."""

    metric_id: str
    version: str
    """Name of the version; a change of what is computed has another one."""
    name: str
    type: str
    """``PYTHON``, ``LLM``, ``HUMAN`` or ``COMPOSITE``."""
    criteria: str
    """The code, the prompt or the way of putting together."""
    return_type: str = "float"
    """``float``, ``boolean``, ``string`` or ``categorical``."""
    enabled_in_prod: bool = False
    sampling_percentage: float = 100.0
    """0–100, as on the wire."""
    model_provider: str | None = None
    model_name: str | None = None
    scale: int | None = None
    """The highest score."""
    threshold: Mapping[str, JsonValue] = field(default_factory=dict)
    categories: Sequence[JsonValue] = ()
    needs_ground_truth: bool = False
    child_metrics: Sequence[JsonValue] = ()
    filters: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def passing_range(self) -> PassingRange:
        """When it passes, by its threshold."""
        return parse_passing_range(dict(self.threshold))

    @property
    def higher_is_better(self) -> bool:
        """Higher is better, unless the threshold says ``direction: lower`` or bounds it only from above."""
        direction = self.threshold.get("direction")
        if isinstance(direction, str):
            return direction.strip().lower() not in _LOWER_WORDS
        lower = self.threshold.get("lower_is_better")
        if isinstance(lower, bool):
            return not lower
        return prefers_higher(self.passing_range)


def prefers_higher(range_: PassingRange) -> bool:
    """Return whether higher values are better by what passes: a bound from above alone says lower is."""
    if range_.pass_when is False:
        return False
    return not (range_.max is not None and range_.min is None)


def parse_passing_range(raw: JsonValue) -> PassingRange:
    """Return the range in ``{min, max}``, ``[min, max]`` or ``{pass_when}``; what is none is left out."""
    if isinstance(raw, list) and len(raw) == 2:
        return PassingRange(read_number(raw[0]), read_number(raw[1]))
    if not isinstance(raw, dict):
        return NO_RANGE
    words = raw.get("passing_categories")
    when = raw.get("pass_when")
    return PassingRange(
        min=read_number(raw.get("min")),
        max=read_number(raw.get("max")),
        pass_when=when if isinstance(when, bool) else None,
        categories=tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else (),
    )


def read_number(value: object) -> float | None:
    """Return a finite number as float; None for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None
