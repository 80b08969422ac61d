"""Intervals of means from resampled units, for many series at once.

The unit is what was drawn at random: a template, whose repeats were averaged
before. Repeats of one template are no news about other templates, so they are
never resampled on their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, check_share, read_columns, read_values
from referee.foundation.statistics.intervals import Interval

__all__ = [
    "RESAMPLES_COUNT",
    "MeanMethod",
    "compute_mean_interval",
    "compute_mean_intervals",
    "draw_weights",
    "find_bca_bounds",
]

RESAMPLES_COUNT = 10_000
"""Resamples unless told: the ends of a 95 % interval then move by about 1 % of its width with the seed."""

_KEPT_NUMBERS_COUNT = 2_000_000
"""16 MB: 200 units in 10,000 resamples. Larger tables are drawn each time, rather than kept for good."""

COLUMNS_AT_ONCE = 200
"""Series computed together: 16 MB for each table of 10,000 resamples."""

_ROUNDING_SHARE = 1e-12
"""Of a mean of squares: a variance below that cannot be told from the rounding of its two terms."""

MeanMethod = Literal["studentized", "bca", "percentile", "student_t"]
"""How the interval of a mean is computed; `docs/concepts/statistics.md` shows what each of them covers."""


def draw_weights(units_count: int, *, resamples_count: int = RESAMPLES_COUNT, seed: int) -> Floats:
    """Return resamples of units with replacement, as the share each unit has in each resample.

    Args:
        units_count: Units that were observed, at least 1.
        resamples_count: Rows of the result, at least 100.
        seed: Of the random numbers; the same seed gives the same resamples.

    Returns:
        A table of ``resamples_count × units_count``, read-only; each row sums to 1. Its product with a
        table of values is the means of all resamples.

    Raises:
        InvalidInput: No unit, or fewer than 100 resamples.
    """
    if units_count < 1 or resamples_count < 100:
        raise InvalidInput(
            "statistics.values_invalid",
            "Resampling needs at least one unit and 100 resamples.",
            units_count=units_count,
            resamples_count=resamples_count,
        )
    is_kept = units_count * resamples_count <= _KEPT_NUMBERS_COUNT
    return (_keep_weights if is_kept else _draw_weights)(units_count, resamples_count, seed)


def _draw_weights(units_count: int, resamples_count: int, seed: int) -> Floats:
    random = np.random.default_rng(seed)
    drawn = random.integers(units_count, size=(resamples_count, units_count))
    drawn += np.arange(0, resamples_count * units_count, units_count)[:, np.newaxis]
    counts = np.bincount(drawn.ravel(), minlength=resamples_count * units_count)
    weights: Floats = counts.reshape(resamples_count, units_count) / units_count
    weights.setflags(write=False)
    return weights


_keep_weights = lru_cache(maxsize=4)(_draw_weights)
"""Draws once for all measures of one comparison."""


def compute_mean_interval(
    values: Sequence[float] | Floats,
    *,
    method: MeanMethod = "studentized",
    level: float = 0.95,
    resamples_count: int = RESAMPLES_COUNT,
    seed: int = 1,
) -> Interval:
    """Return the mean of one series with its interval; ``compute_mean_intervals`` says how."""
    column = read_values(values, least_count=2)[:, np.newaxis]
    return compute_mean_intervals(
        column, method=method, level=level, resamples_count=resamples_count, seed=seed
    )[0]


def compute_mean_intervals(
    columns: Sequence[Sequence[float]] | Floats,
    *,
    method: MeanMethod = "studentized",
    level: float = 0.95,
    resamples_count: int = RESAMPLES_COUNT,
    seed: int = 1,
) -> tuple[Interval, ...]:
    """Return the mean of each column with its interval.

    ``studentized`` resamples the mean divided by its own standard error, and
    reaches as far to both sides; it keeps its level for few units where
    ``percentile`` and ``bca`` are too narrow. ``student_t`` resamples nothing.

    Args:
        columns: One row per unit (template), one column per series; at least two rows.
        method: How.
        level: Two-sided confidence level, a share strictly between 0 and 1.
        resamples_count: Resamples, at least 100.
        seed: Of the resamples, which all columns share.

    Returns:
        One interval per column; of no width where all units are equal, for no method sees a spread there.

    Raises:
        InvalidInput: Fewer than two rows, a number that is not finite, or an option out of range.

    Source:
        P. Hall (1988), Annals of Statistics 16(3), 927-953: symmetric bootstrap-t. B. Efron (1987),
        JASA 82(397), 171-185: BCa.
    """
    table = read_columns(columns, least_count=2)
    check_share(level, "level")
    if method == "student_t":
        weights = None
    else:
        weights = draw_weights(table.shape[0], resamples_count=resamples_count, seed=seed)
    intervals: list[Interval] = []
    for start in range(0, table.shape[1], COLUMNS_AT_ONCE):
        part = table[:, start : start + COLUMNS_AT_ONCE]
        means = part.mean(axis=0)
        low, high = _find_offsets(part - means, weights, method, level)
        intervals += [
            Interval(float(mean + down), float(mean), float(mean + up), level)
            for mean, down, up in zip(means, np.minimum(low, 0.0), np.maximum(high, 0.0), strict=True)
        ]
    return tuple(intervals)


def _find_offsets(
    centred: Floats, weights: Floats | None, method: MeanMethod, level: float
) -> tuple[Floats, Floats]:
    """Return how far the interval of each column reaches below and above its mean."""
    from scipy.special import stdtrit  # noqa: PLC0415 - a quarter of a second that Wilson's interval does without

    count = centred.shape[0]
    error = np.sqrt((centred**2).sum(axis=0) / (count - 1) / count)
    student = float(stdtrit(count - 1, (1 + level) / 2))
    if weights is None:
        return -student * error, student * error
    means = weights @ centred
    if method == "studentized":
        squares = weights @ centred**2
        spread = squares - means**2
        # Of equal units nothing is left but the rounding of two equal numbers, and a mean divided by that is no t.
        spread[spread <= _ROUNDING_SHARE * squares] = 0.0
        reach = _find_studentized_reach(means, np.sqrt(spread / (count - 1)), error, level)
        # Too few different values: many resamples have no spread at all, and only Student's t is left.
        reach = np.where(np.isfinite(reach), reach, student)
        return -reach * error, reach * error
    ends = ((1 - level) / 2, (1 + level) / 2)
    if method == "percentile":
        low, high = np.quantile(means, ends, axis=0)
        return low, high
    return _find_bca_offsets(centred, means, level)


def _find_studentized_reach(means: Floats, errors: Floats, error: Floats, level: float) -> Floats:
    """Return the quantile of the resampled means measured in their own standard errors."""
    negligible = 1e-9 * np.maximum(error, np.finfo(np.float64).tiny)
    flat = errors <= negligible
    measured = np.abs(means) / np.where(flat, 1.0, errors)
    measured[flat & (np.abs(means) > negligible)] = np.inf
    measured[flat & (np.abs(means) <= negligible)] = 0.0
    kept: Floats = np.quantile(measured, level, axis=0, method="higher")
    return kept


def _find_bca_offsets(centred: Floats, means: Floats, level: float) -> tuple[Floats, Floats]:
    squares = (centred**2).sum(axis=0)
    safe = np.where(squares > 0, squares, 1.0)
    # For a mean the jackknife's acceleration is the skewness of the units by a factor.
    acceleration = (centred**3).sum(axis=0) / (6 * safe**1.5)
    pairs = [
        find_bca_bounds(means[:, column], 0.0, float(acceleration[column]), level=level)
        for column in range(means.shape[1])
    ]
    low, high = np.array(pairs).T
    return low, high


def find_bca_bounds(
    resampled: Floats, point: float, acceleration: float, *, level: float
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bounds of a resampled statistic.

    Args:
        resampled: The statistic of each resample.
        point: The statistic of the data.
        acceleration: Of the jackknife, a sixth of the skewness of its influence values.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Returns:
        The bounds, percentiles of ``resampled``; both ``point`` when nothing varies.

    Source:
        B. Efron (1987), JASA 82(397), 171-185.
    """
    from scipy.special import ndtr, ndtri  # noqa: PLC0415 - as above

    tiny = 1e-12 * max(float(np.abs(resampled - point).max()), np.finfo(np.float64).tiny)
    below = float(np.mean(resampled < point - tiny) + np.mean(np.abs(resampled - point) <= tiny) / 2)
    if float(np.ptp(resampled)) == 0 or not 0 < below < 1:
        return point, point
    bias = float(ndtri(below))
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        reach = bias + float(ndtri(tail))
        ends.append(float(ndtr(bias + reach / (1 - acceleration * reach))))
    low, high = np.quantile(resampled, ends)
    return float(low), float(high)
