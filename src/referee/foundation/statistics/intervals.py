"""Intervals of a share, such as the verdicts that are right among those given.

Whatever prints a share prints its interval too; it takes plain counts, so
every caller can.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Annotated, TypeAlias

from pydantic import WithJsonSchema

from referee.core.errors import InvalidInput

__all__ = ["Interval", "compute_normal_quantile", "compute_share_interval"]

Bound: TypeAlias = Annotated[
    float, WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}, mode="serialization")
]
"""An end of an interval. JSON has no infinity, and says ``null``."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval around an estimate, ``low <= point <= high``."""

    low: Bound
    """Minus infinity when nothing bounds it from below; ``null`` in JSON."""
    point: float
    high: Bound
    """Infinity when nothing bounds it from above; ``null`` in JSON."""
    level: float
    """Confidence level as a share: 0.95, never 95."""


def compute_share_interval(hits_count: int, total_count: int, *, level: float = 0.95) -> Interval:
    """Return the Wilson score interval of ``hits_count / total_count``.

    It keeps its level for few cases and for shares near 0 and 1, where the
    interval ``p ± z·se`` shrinks to nothing.

    Args:
        hits_count: Cases that count, 0 to ``total_count``.
        total_count: All cases, at least 1.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Returns:
        The interval; ``point`` is the share itself, not the interval's middle.

    Raises:
        InvalidInput: There is no case, ``hits_count`` is out of range, or ``level`` is no share.

    Source:
        E. B. Wilson (1927), JASA 22(158), 209-212; without continuity correction.
    """
    if not 0 <= hits_count <= total_count or total_count < 1:
        raise InvalidInput(
            "statistics.counts_invalid",
            "A share needs at least one case, and no more hits than cases.",
            hits_count=hits_count,
            total_count=total_count,
        )
    z = compute_normal_quantile(level)
    share = hits_count / total_count
    spread = z * z / total_count
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / total_count + spread / (4 * total_count))
    # The bounds include the share in real arithmetic; floats can miss it by an ulp at 0 and 1.
    return Interval(max(0.0, min(share, middle - half)), share, min(1.0, max(share, middle + half)), level)


def compute_normal_quantile(level: float) -> float:
    """Return how many standard errors a two-sided interval of this level reaches: 1.96 for 0.95.

    Raises:
        InvalidInput: ``level`` is not strictly between 0 and 1.
    """
    if not 0 < level < 1:
        raise InvalidInput(
            "statistics.level_invalid", "A confidence level is a share between 0 and 1.", level=level
        )
    return NormalDist().inv_cdf((1 + level) / 2)
