"""How much all tools together missed, from how often they found the same.

Each tool is one occasion to catch a defect. Many defects that only one tool
found mean that others were found by none. The answer is a lower bound: defects
that no tool can see stay unseen. It makes sense for tools that look for the
same kind of thing; the caller sees to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, exp, factorial, log, sqrt
from typing import Literal

import numpy as np

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats
from referee.foundation.statistics.intervals import Interval, compute_normal_quantile

__all__ = ["LEAST_TOOLS_COUNT", "CaptureEstimate", "estimate_by_chao", "estimate_by_jackknife"]

LEAST_TOOLS_COUNT = 4
"""With fewer the estimates are far off (L. C. Briand et al. (2000), IEEE TSE 26(6), 518-540)."""

HIGHEST_ORDER = 5
CRITICAL = 3.84
"""95 % quantile of chi-squared with one degree of freedom, as CAPTURE rounds it: a further order changes much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureEstimate:
    """Defects there are, found or not."""

    method: Literal["chao", "jackknife"]
    seen_count: int
    """Found by at least one tool."""
    total: Interval
    """Found and missed. A count, not rounded; never below ``seen_count``."""

    @property
    def missed(self) -> Interval:
        """What no tool found. A count, not rounded."""
        low, point, high = (
            end - self.seen_count for end in (self.total.low, self.total.point, self.total.high)
        )
        return Interval(low, point, high, self.total.level)


def estimate_by_chao(frequencies: Sequence[int], *, level: float = 0.95) -> CaptureEstimate | None:
    """Return Chao's lower bound from what one and two tools found.

    Args:
        frequencies: Things found by exactly one tool, by exactly two, … by all; at least four tools.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Returns:
        The estimate; None when nothing was found, or nothing by more than one tool: there is no overlap to learn from.

    Raises:
        InvalidInput: Fewer than four tools, a negative count, or ``level`` is no share.

    Source:
        A. Chao (1987), Biometrics 43(4), 783-791, with the factor ``(t - 1) / t`` of t occasions and the
        log-normal interval; without things found twice the bias-corrected form.
    """
    z, seen = _check(frequencies, level), sum(frequencies)
    if seen == 0 or sum(frequencies[1:]) == 0:
        return None
    once, twice = frequencies[0], frequencies[1]
    factor = (len(frequencies) - 1) / len(frequencies)
    if twice > 0:
        ratio = once / twice
        missed = factor * once * ratio / 2
        variance = twice * (factor * ratio**2 / 2 + factor**2 * (ratio**3 + ratio**4 / 4))
    else:
        missed = factor * once * (once - 1) / 2
        variance = factor * once * (once - 1) / 2 + factor**2 * once * (2 * once - 1) ** 2 / 4
        variance -= factor**2 * once**4 / (4 * (seen + missed))
    return CaptureEstimate(
        method="chao", seen_count=seen, total=_span(seen, missed, sqrt(max(0.0, variance)), z, level)
    )


def estimate_by_jackknife(frequencies: Sequence[int], *, level: float = 0.95) -> CaptureEstimate | None:
    """Return the jackknife estimate when defects differ in how easily they are found (model Mh).

    Orders are raised as long as a further one changes the estimate more than
    chance would; between the last two it is interpolated. The interval carries
    the doubt about the order.

    Args:
        frequencies: As for ``estimate_by_chao``.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Returns:
        The estimate; None when nothing was found, or nothing by more than one tool.

    Raises:
        InvalidInput: Fewer than four tools, a negative count, or ``level`` is no share.

    Source:
        K. P. Burnham, W. S. Overton (1979), Ecology 60(5), 927-936; E. Rexstad, K. P. Burnham (1992), User's
        Guide for Interactive Program CAPTURE, for interpolation, error and interval.
    """
    z, seen = _check(frequencies, level), sum(frequencies)
    if seen == 0 or sum(frequencies[1:]) == 0:
        return None
    counts = np.array(frequencies, dtype=np.float64)
    orders = _list_coefficients(len(frequencies))
    estimates = orders @ counts
    variances = orders**2 @ counts - estimates
    changes = _test_orders(orders, estimates, counts)
    point = _interpolate(orders, estimates, counts, changes)
    error = _compute_jackknife_error(estimates, variances, changes)
    return CaptureEstimate(
        method="jackknife", seen_count=seen, total=_span(seen, max(0.0, point - seen), error, z, level)
    )


def _list_coefficients(tools_count: int) -> Floats:
    """Return what a thing found by 1, 2, … tools counts in the jackknife of order 1, 2, … 5.

    Leaving out ``i`` of ``t`` tools loses a thing found by ``f`` when all of these are among them.
    """
    rows = []
    for order in range(1, min(HIGHEST_ORDER, tools_count) + 1):
        row = []
        for times in range(1, tools_count + 1):
            loss = sum(
                (-1) ** left_out
                * comb(order, left_out)
                * (tools_count - left_out) ** order
                * Fraction(comb(tools_count - times, left_out - times), comb(tools_count, left_out))
                for left_out in range(times, order + 1)
            )
            row.append(float(1 - Fraction(loss) / factorial(order)))
        rows.append(row)
    return np.array(rows)


def _test_orders(orders: Floats, estimates: Floats, counts: Floats) -> Floats:
    """Return the chi-squared of each step to the next order; 0 after the last."""
    seen = counts.sum()
    steps = np.diff(estimates)
    variances = ((np.diff(orders, axis=0) ** 2) @ counts - steps**2 / seen) * seen / max(seen - 1, 1)
    moved = np.where(variances > 1e-12, steps**2 / np.where(variances > 1e-12, variances, 1.0), 0.0)
    return np.append(moved, 0.0)


def _interpolate(orders: Floats, estimates: Floats, counts: Floats, changes: Floats) -> float:
    chosen = int(np.argmax(changes < CRITICAL))
    seen, first = float(counts.sum()), float(estimates[0])
    if chosen > 0:
        part = (changes[chosen - 1] - CRITICAL) / (changes[chosen - 1] - changes[chosen])
        mixed = part * orders[chosen] + (1 - part) * orders[chosen - 1]
        return max(first, float(mixed @ counts))
    before = first * counts[0] / (first - counts[0]) if first > counts[0] else 0.0
    if before <= CRITICAL:
        return first
    part = (before - CRITICAL) / (before - changes[0])
    return float(part * first + (1 - part) * seen)


def _compute_jackknife_error(estimates: Floats, variances: Floats, changes: Floats) -> float:
    from scipy.special import chndtr  # noqa: PLC0415 - the room's door stays light

    shift = np.maximum(changes[:-1] - 1, 0.0)
    powers = np.where(shift > 0, 1 - chndtr(CRITICAL, 1, shift), 0.5)
    shares = np.append(1 - powers, 1.0) * np.append(1.0, np.cumprod(powers))
    expected = float(shares @ estimates)
    return sqrt(max(0.0, float(shares @ (variances + (estimates - expected) ** 2))))


def _span(seen: int, missed: float, error: float, z: float, level: float) -> Interval:
    """Return the log-normal interval of what was missed, added to what was seen."""
    if missed <= 1e-9 * max(seen, 1):
        return Interval(float(seen), float(seen), float(seen), level)
    factor = exp(z * sqrt(log(1 + (error / missed) ** 2)))
    return Interval(seen + missed / factor, seen + missed, seen + missed * factor, level)


def _check(frequencies: Sequence[int], level: float) -> float:
    if len(frequencies) < LEAST_TOOLS_COUNT:
        raise InvalidInput(
            "statistics.tools_too_few",
            "What all tools missed can be estimated from four comparable tools or more.",
            tools_count=len(frequencies),
        )
    if min(frequencies) < 0:
        raise InvalidInput("statistics.counts_invalid", "Frequencies are not negative.")
    return compute_normal_quantile(level)
