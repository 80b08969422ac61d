"""Differences of shares: yes-or-no outcomes of two models, on the same templates or on different ones."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from referee.core.errors import InvalidInput
from referee.foundation.statistics.intervals import Interval, compute_share_interval

__all__ = [
    "PairedOutcomes",
    "compute_mcnemar_p",
    "compute_paired_risk_difference",
    "compute_risk_difference",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedOutcomes:
    """Yes-or-no outcomes of two models on the same units, counted."""

    both_count: int
    first_only_count: int
    second_only_count: int
    neither_count: int

    @property
    def total_count(self) -> int:
        """All units."""
        return self.both_count + self.first_only_count + self.second_only_count + self.neither_count


def compute_mcnemar_p(outcomes: PairedOutcomes) -> float:
    """Return McNemar's exact two-sided p: is one model alone right more often than the other alone?

    Returns:
        A share; 1 when the models never differ.

    Raises:
        InvalidInput: A count is negative.

    Source:
        Q. McNemar (1947), Psychometrika 12(2), 153-157; exact by the binomial of the units that differ.
    """
    from scipy.special import bdtr  # noqa: PLC0415 - the room's door stays light

    _check(outcomes)
    fewer = min(outcomes.first_only_count, outcomes.second_only_count)
    differing = outcomes.first_only_count + outcomes.second_only_count
    return min(1.0, 2 * float(bdtr(fewer, differing, 0.5))) if differing else 1.0


def compute_risk_difference(
    first_hits_count: int,
    first_total_count: int,
    second_hits_count: int,
    second_total_count: int,
    *,
    level: float = 0.95,
) -> Interval:
    """Return the difference of two independent shares with Newcombe's hybrid score interval.

    Raises:
        InvalidInput: No case, more hits than cases, or ``level`` is no share.

    Source:
        R. G. Newcombe (1998), Statistics in Medicine 17, 873-890, method 10.
    """
    first = compute_share_interval(first_hits_count, first_total_count, level=level)
    second = compute_share_interval(second_hits_count, second_total_count, level=level)
    return _combine(first, second, 0.0)


def compute_paired_risk_difference(outcomes: PairedOutcomes, *, level: float = 0.95) -> Interval:
    """Return the difference of two shares on the same units, first less second, with Newcombe's interval.

    Unlike ``p ± z·se`` it has a width when the models never differ, and stays within -1…1.

    Raises:
        InvalidInput: No unit, a negative count, or ``level`` is no share.

    Source:
        R. G. Newcombe (1998), Statistics in Medicine 17, 2635-2650, method 10.
    """
    _check(outcomes)
    total = outcomes.total_count
    first_hits = outcomes.both_count + outcomes.first_only_count
    second_hits = outcomes.both_count + outcomes.second_only_count
    first = compute_share_interval(first_hits, total, level=level)
    second = compute_share_interval(second_hits, total, level=level)
    return _combine(first, second, _compute_correlation(outcomes, first_hits, second_hits))


def _compute_correlation(outcomes: PairedOutcomes, first_hits: int, second_hits: int) -> float:
    """Return Newcombe's φ, continuity-corrected when it is positive."""
    total = outcomes.total_count
    margins = first_hits * (total - first_hits) * second_hits * (total - second_hits)
    if margins == 0:
        return 0.0
    cross = float(
        outcomes.both_count * outcomes.neither_count - outcomes.first_only_count * outcomes.second_only_count
    )
    if cross > 0:
        cross = max(cross - total / 2, 0.0)
    return cross / sqrt(margins)


def _combine(first: Interval, second: Interval, correlation: float) -> Interval:
    point = first.point - second.point
    below = _join(first.point - first.low, second.high - second.point, correlation)
    above = _join(first.high - first.point, second.point - second.low, correlation)
    return Interval(max(-1.0, point - below), point, min(1.0, point + above), first.level)


def _join(one: float, other: float, correlation: float) -> float:
    return sqrt(max(0.0, one * one - 2 * correlation * one * other + other * other))


def _check(outcomes: PairedOutcomes) -> None:
    counts = (
        outcomes.both_count,
        outcomes.first_only_count,
        outcomes.second_only_count,
        outcomes.neither_count,
    )
    if min(counts) < 0:
        raise InvalidInput("statistics.counts_invalid", "Outcomes have no negative counts.")
