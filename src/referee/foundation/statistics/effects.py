"""How large a difference is, in ranks: dominance and shift. They hold for any scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from referee.foundation.statistics.inputs import Floats, check_share, read_pairs, read_values
from referee.foundation.statistics.intervals import Interval

__all__ = ["Dominance", "compute_dominance", "compute_paired_dominance", "compute_shift"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dominance:
    """How often a value of the first group is above one of the second."""

    delta: Interval
    """Cliff's δ: chance of above less chance of below, -1 to 1."""

    @property
    def superiority(self) -> Interval:
        """Vargha and Delaney's A12: chance of above, ties counted half, 0 to 1."""
        low, point, high = ((1 + end) / 2 for end in (self.delta.low, self.delta.point, self.delta.high))
        return Interval(low, point, high, self.delta.level)


def compute_dominance(
    first: Sequence[float] | Floats, second: Sequence[float] | Floats, *, level: float = 0.95
) -> Dominance:
    """Return Cliff's δ of two independent groups.

    Args:
        first: Values of one group, at least two.
        second: Values of the other, at least two.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Raises:
        InvalidInput: Too few values, one that is not finite, or ``level`` is no share.

    Source:
        N. Cliff (1996), Ordinal Methods for Behavioral Data Analysis, chapter 5: the variance without bias;
        D. Feng, N. Cliff (2004), Journal of Modern Applied Statistical Methods 3(2), 322-332: the
        asymmetric interval, here with Student's t, and its end at full separation.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - the room's door stays light

    one, other = read_values(first, least_count=2), read_values(second, least_count=2)
    reach = float(stdtrit(one.size + other.size - 2, (1 + check_share(level, "level")) / 2))
    signs = np.sign(one[:, np.newaxis] - other)
    delta = float(signs.mean())
    rows, columns = one.size, other.size
    total = (
        columns**2 * float(((signs.mean(axis=1) - delta) ** 2).sum())
        + rows**2 * float(((signs.mean(axis=0) - delta) ** 2).sum())
        - float(((signs - delta) ** 2).sum())
    )
    variance = total / (rows * columns * (rows - 1) * (columns - 1))
    # The unbiased estimate can fall below what any data of this size allow.
    variance = max(variance, (1 - delta**2) / (rows * columns - 1))
    return Dominance(delta=_span_delta(delta, variance, reach, min(rows, columns), level))


def compute_paired_dominance(
    first: Sequence[float] | Floats, second: Sequence[float] | Floats, *, level: float = 0.95
) -> Dominance:
    """Return Cliff's δ of two rows of values that belong together, such as scores on the same templates.

    Every value of the first is held against every one of the second, so δ says how far the two
    distributions lie apart; the interval takes into account that both come from the same units.

    Args:
        first: Values of one model, one per unit; at least three.
        second: Values of the other on the same units.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Raises:
        InvalidInput: Rows of different length, too few values, one that is not finite, or ``level`` is no share.

    Source:
        The variance is the infinitesimal jackknife over units (B. Efron (1982), The Jackknife, the Bootstrap and
        Other Resampling Plans, chapter 6), the interval as in ``compute_dominance`` with Student's t.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - as above

    one, other = read_pairs(first, second, least_count=3)
    reach = float(stdtrit(one.size - 1, (1 + check_share(level, "level")) / 2))
    signs = np.sign(one[:, np.newaxis] - other)
    delta = float(signs.mean())
    influence = signs.mean(axis=1) + signs.mean(axis=0) - 2 * delta
    variance = float((influence**2).sum()) / (one.size * (one.size - 1))
    return Dominance(delta=_span_delta(delta, variance, reach, one.size, level))


def _span_delta(delta: float, variance: float, reach: float, units_count: int, level: float) -> Interval:
    """Return an interval that is longer towards 0 and never leaves -1…1."""
    square = reach * reach
    if abs(delta) == 1:
        near = max(-1.0, (units_count - square) / (units_count + square))
        return Interval(min(near, 1.0), 1.0, 1.0, level) if delta > 0 else Interval(-1.0, -1.0, -near, level)
    middle = delta - delta**3
    half = reach * sqrt(variance) * sqrt((1 - delta**2) ** 2 + square * variance)
    width = 1 - delta**2 + square * variance
    low, high = (middle - half) / width, (middle + half) / width
    return Interval(max(-1.0, min(low, delta)), delta, min(1.0, max(high, delta)), level)


def compute_shift(differences: Sequence[float] | Floats, *, level: float = 0.95) -> Interval | None:
    """Return the Hodges–Lehmann shift: the median of all averages of two differences.

    One wild template moves it little, unlike the mean.

    Args:
        differences: One per unit (template), at least one.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Returns:
        The shift with the interval that inverts Wilcoxon's exact signed-rank test; with ties it holds at
        least its level. None when there are too few differences for this level: below six at 95 %.

    Raises:
        InvalidInput: No difference, one that is not finite, or ``level`` is no share.

    Source:
        M. Hollander, D. A. Wolfe, E. Chicken (2014), Nonparametric Statistical Methods, 3.2 and 3.3.
    """
    check_share(level, "level")
    values = read_values(differences)
    rows, columns = np.triu_indices(values.size)
    averages = np.sort((values[rows] + values[columns]) / 2)
    outside = _find_signed_rank_quantile(values.size, (1 - level) / 2)
    if outside == 0:
        return None
    low, high = float(averages[outside - 1]), float(averages[averages.size - outside])
    return Interval(low, float(np.median(averages)), high, level)


def _find_signed_rank_quantile(count: int, tail: float) -> int:
    """Return how many averages to leave out at each end, plus one; 0 when even the outermost would be too near.

    The chance that the signed-rank statistic is at most that number less one does not exceed ``tail``.
    """
    shares = np.zeros(count * (count + 1) // 2 + 1)
    shares[0] = 1.0
    for rank in range(1, count + 1):
        moved = np.zeros_like(shares)
        moved[rank:] = shares[: shares.size - rank]
        shares = (shares + moved) / 2
    return int(np.searchsorted(np.cumsum(shares), tail * (1 + 1e-12), side="right"))
