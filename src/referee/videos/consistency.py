"""How much release points of several deliveries differ: plain numbers, for passes and for a player's page alike."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist, variance
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
    """Return a quantile of the chi-square distribution, within 1 % from 4 degrees of freedom on.

    Source:
        E. B. Wilson, M. M. Hilferty (1931), PNAS 17(12), 684-688.
    """
    spread = 2 / (9 * freedom)
    root = 1 - spread + NormalDist().inv_cdf(share) * spread**0.5
    return float(freedom * root**3)
