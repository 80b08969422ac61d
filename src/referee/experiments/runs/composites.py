"""Composite metrics: one number out of other metrics' numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from referee.core.findings import JsonValue
from referee.experiments.runs.definitions import MetricDefinition, read_number

__all__ = ["COMPOSITE_WAYS", "ChildMetric", "compute_composite", "read_children"]

COMPOSITE_WAYS: Final = (
    "weighted_average",
    "weighted_sum",
    "minimum",
    "maximum",
    "all",
    "any",
    "hierarchical_highest_true",
)
"""Ways of putting together; the criteria of a composite metric name one of them."""

_OTHER_WORDS: Final[Mapping[str, str]] = {
    "average": "weighted_average",
    "mean": "weighted_average",
    "weighted_mean": "weighted_average",
    "sum": "weighted_sum",
    "min": "minimum",
    "max": "maximum",
    "and": "all",
    "or": "any",
    "highest_true": "hierarchical_highest_true",
}


@dataclass(frozen=True, slots=True)
class ChildMetric:
    """A part of a composite metric."""

    name: str
    weight: float


def read_children(definition: MetricDefinition) -> list[ChildMetric]:
    """Return the parts of a composite metric; each is named by its name, alone or as ``{name, weight}``."""
    return [child for raw in definition.child_metrics if (child := _read_child(raw)) is not None]


def compute_composite(
    definition: MetricDefinition, numbers: Mapping[str, Sequence[float]]
) -> tuple[float | None, str]:
    """Return a composite metric's value, or None and the reason why there is none.

    Args:
        definition: Of the composite metric.
        numbers: Metric → its values here; several are averaged first.
    """
    way = re.sub(r"[^a-z]+", "_", definition.criteria.strip().lower()).strip("_")
    way = _OTHER_WORDS.get(way, way)
    children = read_children(definition)
    if way not in COMPOSITE_WAYS:
        return None, f"Its criteria name none of {', '.join(COMPOSITE_WAYS)}."
    if not children:
        return None, "It names no metric that it is made of."
    missing = [child.name for child in children if not numbers.get(child.name)]
    if missing:
        return None, f"There is no number for {', '.join(missing[:5])}."
    values = [(child.weight, fsum(numbers[child.name]) / len(numbers[child.name])) for child in children]
    return _put_together(way, values)


def _put_together(way: str, values: Sequence[tuple[float, float]]) -> tuple[float | None, str]:
    numbers = [value for _, value in values]
    if way == "minimum":
        return min(numbers), ""
    if way == "maximum":
        return max(numbers), ""
    if way == "all":
        return float(all(value > 0 for value in numbers)), ""
    if way == "any":
        return float(any(value > 0 for value in numbers)), ""
    if way == "hierarchical_highest_true":
        return _find_highest_true(values), ""
    total = fsum(weight * value for weight, value in values)
    if way == "weighted_sum":
        return total, ""
    weights = fsum(weight for weight, _ in values)
    return (total / weights, "") if weights else (None, "Its weights sum to nothing.")


def _find_highest_true(values: Sequence[tuple[float, float]]) -> float:
    """Return the weight of the last part that is true with all before it; 0 when the first is not."""
    reached = 0.0
    for weight, value in values:
        if value <= 0:
            break
        reached = weight
    return reached


def _read_child(raw: JsonValue) -> ChildMetric | None:
    if isinstance(raw, str) and raw:
        return ChildMetric(raw, 1.0)
    if not isinstance(raw, dict):
        return None
    name = raw.get("name") or raw.get("metric_name")
    if not isinstance(name, str) or not name:
        return None
    weight = read_number(raw.get("weight"))
    return ChildMetric(name, 1.0 if weight is None else weight)
