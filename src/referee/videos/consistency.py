"""How much release points of several deliveries differ: plain numbers, for passes and for a player's page alike."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, factorial
from statistics import variance
from typing import Final

from referee.videos.shapes import ReleaseConsistency, ReleasePoint

__all__ = ["MIN_DELIVERIES", "compute_consistency"]

MIN_DELIVERIES: Final = 3
"""Fewer say nothing of how they differ."""


def compute_consistency(points: Sequence[ReleasePoint]) -> ReleaseConsistency | None:
    """Return how much release points of several deliveries differ; None for fewer than three.

    The interval takes both variances as of one size, so that their sum has 2 (n - 1) degrees of freedom.
    """
    if len(points) < MIN_DELIVERIES:
        return None
    across = variance(100 * one.across_share for one in points)
    height = variance(100 * one.height_share for one in points)
    total, freedom = across + height, 2 * (len(points) - 1)
    least, most = (total * freedom / _chi_square(share, freedom) for share in (0.975, 0.025))
    return ReleaseConsistency(
        score=max(0.0, 100 - total),
        low=max(0.0, 100 - most),
        high=max(0.0, 100 - least),
        deliveries_count=len(points),
        across_percent=across**0.5,
        height_percent=height**0.5,
    )


def _chi_square(share: float, freedom: int) -> float:
    """Return a quantile of the chi-square distribution with an even number of degrees of freedom, by bisection.

    Source:
        N. L. Johnson, S. Kotz (1970), Continuous Univariate Distributions 1, 17.2: its tail is a Poisson sum.
    """
    low, high = 0.0, 20.0 * freedom + 50
    for _ in range(80):
        middle = (low + high) / 2
        tail = exp(-middle / 2) * sum((middle / 2) ** one / factorial(one) for one in range(freedom // 2))
        low, high = (middle, high) if 1 - tail < share else (low, middle)
    return (low + high) / 2
