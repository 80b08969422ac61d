"""One number for many: the functions that a result may be summed up with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import fsum, isfinite
from statistics import median
from typing import Final, TypeAlias

__all__ = ["AGGREGATE_FUNCTIONS", "DEFAULT_AGGREGATE", "compute_aggregate"]

Values: TypeAlias = Sequence[float]
DEFAULT_AGGREGATE: Final = "average"


def compute_aggregate(function: str, values: Sequence[float | bool]) -> float | None:
    """Return the aggregate of numbers and booleans (true counts 1); None without a value or beyond all floats.

    Args:
        function: One of ``AGGREGATE_FUNCTIONS``.
        values: Numbers and booleans.
    """
    if function == "count":
        return float(len(values))
    if not values:
        return None
    try:
        found = AGGREGATE_FUNCTIONS[function]([float(value) for value in values])
    except OverflowError:
        return None
    return found if isfinite(found) else None


def _quantile(share: float) -> Callable[[Values], float]:
    """Return the function for a quantile, linear between the two nearest ranks.

    Source:
        R. J. Hyndman, Y. Fan (1996), The American Statistician 50(4), definition 7.
    """

    def compute(values: Values) -> float:
        ordered = sorted(values)
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return compute


AGGREGATE_FUNCTIONS: Final[Mapping[str, Callable[[Values], float]]] = {
    "average": lambda values: fsum(values) / len(values),
    "sum": fsum,
    "min": min,
    "max": max,
    "median": median,
    "p90": _quantile(0.90),
    "p95": _quantile(0.95),
    "p99": _quantile(0.99),
    "count": lambda values: float(len(values)),
}
"""Name on the wire → function."""
