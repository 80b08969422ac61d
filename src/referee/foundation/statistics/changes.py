"""Where a row of values in time changes its level, and by how much two groups of values lie apart.

For trends on pages and measurements over versions: both go by ranks or by the middle of pairs, so one wild value
moves neither.

Not here: values that belong together in pairs (``effects.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, check_share, read_values
from referee.foundation.statistics.intervals import Interval

__all__ = ["ChangePoint", "compute_group_shift", "compute_rank_sum_p", "find_change_points"]

ORDERS_COUNT: Final = 1_999
"""Orders of the values that are drawn: the smallest p is 0.0005."""
LEAST_SIDE_COUNT: Final = 3
"""Values on each side of a change: fewer are outliers, not a level."""
_MAX_VALUES_COUNT: Final = 2_000
_EXACT_LIMIT_COUNT: Final = 50
"""Values of a group up to which the distribution of Mann and Whitney's U is counted out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """One change of level."""

    index: int
    """Position of the first value of the new level, from 0."""
    before_median: float
    """Of the values since the change before this one."""
    after_median: float
    """Of the values up to the change after this one."""
    p_value: float
    """Share of orders of the values in which a change as clear as this is found; never 0."""


def find_change_points(
    values: Sequence[float] | Floats, *, level: float = 0.05, seed: int = 1
) -> tuple[ChangePoint, ...]:
    """Return where a row of values changes its level, the earliest first.

    The clearest place is where Mann and Whitney's statistic of the values before and after it, in units of its
    deviation, is largest; whether it is one is asked of random orders of the same values. Where it is, each side
    is looked at in the same way. So in a row without any change the chance of even one mark is at most ``level``,
    however long it is. Pettitt's statistic leaves the deviation out, and puts changes near an end too far inward.

    Args:
        values: In the order of time, at equal or unequal distances; at most 2,000. Values that depend on their
            neighbours (slow drifts) are marked more often than ``level`` says.
        level: Chance of a mark where nothing changes, a share strictly between 0 and 1.
        seed: Of the drawn orders.

    Returns:
        None of them for fewer than 6 values. A change is at least 3 values from each end and from another change.

    Raises:
        InvalidInput: Too many values, one that is not finite, or ``level`` is no share.

    Source:
        B. Lausen, M. Schumacher (1992), Maximally selected rank statistics, Biometrics 48(1), 73-85; A. N. Pettitt
        (1979), Applied Statistics 28(2), 126-135; binary segmentation after L. Y. Vostrikova (1981), Soviet Mathematics
        Doklady 24, 55-59. B. Phipson, G. K. Smyth (2010) for the added one in p.
    """
    check_share(level, "level")
    array = read_values(values, least_count=0)
    if array.size > _MAX_VALUES_COUNT:
        raise InvalidInput(
            "statistics.values_invalid",
            f"A row of more than {_MAX_VALUES_COUNT:,} values is not looked through for changes.",
            "Take medians of parts of it.",
        )
    random = np.random.default_rng(seed)
    found: list[tuple[int, float]] = []
    waiting = [(0, int(array.size))]
    while waiting:
        start, end = waiting.pop()
        place, p_value = _find_clearest(array[start:end], random)
        if place is None or p_value > level:
            continue
        found.append((start + place, p_value))
        waiting += [(start, start + place), (start + place, end)]
    found.sort()
    edges = [0, *(index for index, _ in found), int(array.size)]
    return tuple(
        ChangePoint(
            index=index,
            before_median=float(np.median(array[edges[number] : index])),
            after_median=float(np.median(array[index : edges[number + 2]])),
            p_value=p_value,
        )
        for number, (index, p_value) in enumerate(found)
    )


def _find_clearest(values: Floats, random: np.random.Generator) -> tuple[int | None, float]:
    """Return after how many values the level changes most clearly, and p."""
    count = int(values.size)
    if count < 2 * LEAST_SIDE_COUNT:
        return None, 1.0
    ranks = _rank(values)
    lengths = np.arange(LEAST_SIDE_COUNT, count - LEAST_SIDE_COUNT + 1)
    statistic = _compare_sides(ranks[np.newaxis], lengths)[0]
    best = int(np.argmax(statistic))
    orders = random.permuted(np.broadcast_to(ranks, (ORDERS_COUNT, count)), axis=1)
    drawn = _compare_sides(orders, lengths).max(axis=1)
    hits = int((drawn >= statistic[best] - 1e-9).sum())
    return int(lengths[best]), (1 + hits) / (1 + ORDERS_COUNT)


def _compare_sides(ranks: Floats, lengths: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    """Return Mann and Whitney's statistic for each length of the left side, in deviations but for one factor of all."""
    count = ranks.shape[1]
    sums = np.cumsum(ranks, axis=1)[:, lengths - 1]
    statistic: Floats = np.abs(2 * sums - lengths * (count + 1)) / np.sqrt(lengths * (count - lengths))
    return statistic


def _rank(values: Floats) -> Floats:
    """Return ranks from 1, ties sharing the middle one."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle: Floats = (ends - (counts - 1) / 2).astype(np.float64)
    return middle[places]


def compute_group_shift(
    before: Sequence[float] | Floats, after: Sequence[float] | Floats, *, level: float = 0.95
) -> Interval | None:
    """Return the Hodges–Lehmann shift of two independent groups: the median of all differences after less before.

    Args:
        before: Values of one group, at least one.
        after: Values of the other, at least one.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Returns:
        The shift with the interval that inverts Mann and Whitney's test: exact up to 50 values a group without
        ties, conservative with them; by the normal approximation beyond. None when there are too few values for
        this level: below four and four at 95 %.

    Raises:
        InvalidInput: A group without a value, one that is not finite, or ``level`` is no share.

    Source:
        J. L. Hodges, E. L. Lehmann (1963), Annals of Mathematical Statistics 34(2), 598-611; interval after
        D. F. Bauer (1972), JASA 67(339), 687-690.
    """
    check_share(level, "level")
    first, second = read_values(before), read_values(after)
    differences = np.sort(np.subtract.outer(second, first), axis=None)
    cut = _find_rank_sum_quantile(int(first.size), int(second.size), (1 - level) / 2)
    if cut < 1:
        return None
    return Interval(
        float(differences[cut - 1]), float(np.median(differences)), float(differences[-cut]), level
    )


def compute_rank_sum_p(before: Sequence[float] | Floats, after: Sequence[float] | Floats) -> float:
    """Return the two-sided p of Mann and Whitney's test that two independent groups have one level.

    Args:
        before: Values of one group, at least one.
        after: Values of the other, at least one.

    Returns:
        A share: exact for up to 8 values a group without ties, otherwise by the normal approximation with ties and
        continuity corrected; 1 where all values are equal.

    Raises:
        InvalidInput: A group without a value, or one that is not finite.

    Source:
        H. B. Mann, D. R. Whitney (1947), Annals of Mathematical Statistics 18(1), 50-60.
    """
    first, second = read_values(before), read_values(after)
    if np.unique(np.concatenate([first, second])).size == 1:
        return 1.0
    from scipy.stats import mannwhitneyu  # noqa: PLC0415 - takes a second to load, and few pages need it

    return min(1.0, float(mannwhitneyu(first, second, alternative="two-sided").pvalue))


def _find_rank_sum_quantile(first_count: int, second_count: int, tail: float) -> int:
    """Return how many differences to leave out at each end, plus one, with no more chance than ``tail``; 0: none."""
    if max(first_count, second_count) > _EXACT_LIMIT_COUNT:
        mean = first_count * second_count / 2
        deviation = (first_count * second_count * (first_count + second_count + 1) / 12) ** 0.5
        return max(0, int(mean + NormalDist().inv_cdf(tail) * deviation))
    shares = _count_rank_sums(first_count, second_count)
    below = np.cumsum(shares)
    return int(np.searchsorted(below, tail, side="right"))


def _count_rank_sums(first_count: int, second_count: int) -> Floats:
    """Return the chance of each value of Mann and Whitney's U when the groups do not differ."""
    # U of m and n values: the generating function is the Gaussian binomial coefficient.
    size = first_count * second_count + 1
    coefficients = np.zeros(size)
    coefficients[0] = 1.0
    for part in range(1, first_count + 1):
        raised = second_count + part
        if raised < size:
            coefficients[raised:] -= coefficients[: size - raised].copy()
        for place in range(part, size):
            coefficients[place] += coefficients[place - part]
    total: Floats = coefficients / coefficients.sum()
    return total
