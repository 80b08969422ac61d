"""What missing cells could change at most: bounds that assume nothing about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import read_values

__all__ = ["MissingBounds", "compute_difference_bounds", "compute_mean_bounds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBounds:
    """Where the mean of all planned cells lies, whatever the missing ones would have scored."""

    low: float
    high: float
    valid_count: int
    planned_count: int


def compute_mean_bounds(values: Sequence[float | None], *, lowest: float, highest: float) -> MissingBounds:
    """Return the worst and best mean when each missing value may be anything that is possible.

    Args:
        values: One per planned cell; None: missing. At least one.
        lowest: The least possible score.
        highest: The highest possible score.

    Raises:
        InvalidInput: No cell, a score outside the range, or a range of no width.

    Source:
        C. F. Manski (1990), American Economic Review 80(2), 319-323.
    """
    return _bound(values, lowest, highest)


def compute_difference_bounds(
    first: Sequence[float | None], second: Sequence[float | None], *, lowest: float, highest: float
) -> MissingBounds:
    """Return the worst and best mean difference of two models over all planned cells, first less second.

    ``valid_count`` are the cells that both have.

    Raises:
        InvalidInput: Rows of different length, or as ``compute_mean_bounds``.

    Source:
        As there, applied to each model.
    """
    if len(first) != len(second):
        raise InvalidInput("statistics.values_invalid", "Bounds of a difference need the same planned cells.")
    one, other = _bound(first, lowest, highest), _bound(second, lowest, highest)
    both = sum(a is not None and b is not None for a, b in zip(first, second, strict=True))
    return MissingBounds(
        low=one.low - other.high, high=one.high - other.low, valid_count=both, planned_count=len(first)
    )


def _bound(values: Sequence[float | None], lowest: float, highest: float) -> MissingBounds:
    present = read_values([value for value in values if value is not None], least_count=0)
    slack = 1e-9 * (highest - lowest)  # the mean of three times 0.1 is a little more than 0.1
    outside = (present < lowest - slack) | (present > highest + slack)
    if not values or not lowest < highest or outside.any():
        raise InvalidInput(
            "statistics.range_invalid",
            "Bounds need at least one planned cell, and a range that holds every score.",
            lowest=lowest,
            highest=highest,
        )
    total, missing = float(present.sum()), len(values) - present.size
    return MissingBounds(
        low=(total + missing * lowest) / len(values),
        high=(total + missing * highest) / len(values),
        valid_count=int(present.size),
        planned_count=len(values),
    )
