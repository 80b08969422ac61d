"""What a design can see: the smallest difference between two models, and how many templates one needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, check_share, read_values

__all__ = [
    "DetectableDifference",
    "Spread",
    "compute_detectable_difference",
    "compute_power",
    "compute_templates_needed",
    "estimate_spread",
]

MOST_TEMPLATES_COUNT = 100_000
"""More than this nobody runs; beyond, the answer is that the difference cannot be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Where the difference of two models varies. In the unit of the scores."""

    template_sd: float
    """Of the true difference over templates."""
    repeat_sd: float
    """Of one run of one model on one template, around its own mean."""

    def compute_difference_sd(self, repeats_count: int) -> float:
        """Return the standard deviation of a template's difference when each model runs that often."""
        return sqrt(self.template_sd**2 + 2 * self.repeat_sd**2 / repeats_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectableDifference:
    """The least true difference that the design finds with the chance ``power``, and what that rests on."""

    difference: float
    """In the unit of the scores."""
    templates_count: int
    repeats_count: int
    spread: Spread
    level: float
    power: float
    comparisons_count: int
    """The level is divided among so many comparisons (Bonferroni, Holm's first step)."""


def estimate_spread(
    first: Sequence[Sequence[float] | Floats], second: Sequence[Sequence[float] | Floats]
) -> Spread:
    """Return the spread that a pilot shows.

    Args:
        first: Scores of one model, one sequence of repeats per template; two templates at least.
        second: Those of the other, on the same templates.

    Returns:
        The spread. Without repeats ``repeat_sd`` is 0 and ``template_sd`` holds both; then the answer
        is right for one run per template, and more runs promise nothing.

    Raises:
        InvalidInput: Fewer than two templates, a template without a score, or scores that are not finite.

    Source:
        E. Miller (2024), arXiv:2411.00640, section 5: variance within and between questions.
    """
    if len(first) != len(second) or len(first) < 2:
        raise InvalidInput(
            "statistics.values_invalid",
            "A pilot needs two models on the same templates, two at least.",
            first_count=len(first),
            second_count=len(second),
        )
    runs = [[read_values(repeats) for repeats in model] for model in (first, second)]
    inner = sum(float(((one - one.mean()) ** 2).sum()) for model in runs for one in model)
    freedom = sum(one.size - 1 for model in runs for one in model)
    repeat_variance = inner / freedom if freedom else 0.0
    differences = np.array([one.mean() - other.mean() for one, other in zip(*runs, strict=True)])
    noise = repeat_variance * float(
        np.mean([1 / one.size + 1 / other.size for one, other in zip(*runs, strict=True)])
    )
    template_variance = max(0.0, float(differences.var(ddof=1)) - noise)
    return Spread(template_sd=sqrt(template_variance), repeat_sd=sqrt(repeat_variance))


def compute_power(
    difference: float,
    templates_count: int,
    difference_sd: float,
    *,
    level: float = 0.95,
) -> float:
    """Return the chance that a two-sided paired t test shows a true difference.

    Args:
        difference: True mean difference, in the unit of the scores.
        templates_count: At least 2.
        difference_sd: Standard deviation of a template's difference, above 0, in the same unit.
        level: One less the error rate of the test.

    Raises:
        InvalidInput: A value is out of range.

    Source:
        J. Cohen (1988), Statistical Power Analysis, 2.3.5, with the noncentral t distribution.
    """
    from scipy.special import nctdtr, stdtrit  # noqa: PLC0415 - the room's door stays light

    check_share(level, "level")
    if templates_count < 2 or not difference_sd > 0:
        raise InvalidInput(
            "statistics.design_invalid",
            "A design needs at least two templates, one run of each, and a spread above 0.",
            templates_count=templates_count,
            difference_sd=difference_sd,
        )
    shift = abs(difference) / difference_sd * sqrt(templates_count)
    edge = float(stdtrit(templates_count - 1, (1 + level) / 2))
    if shift > 37:  # further out the distribution underflows, and the test cannot miss
        return 1.0
    missed = float(nctdtr(templates_count - 1, shift, edge))
    mirrored = float(nctdtr(templates_count - 1, shift, -edge))
    # SciPy gives up on the far side when it is empty: it holds less than the normal tail beyond the shift.
    return 1 - missed + (mirrored if isfinite(mirrored) else 0.0)


def compute_detectable_difference(
    templates_count: int,
    repeats_count: int,
    spread: Spread,
    *,
    level: float = 0.95,
    power: float = 0.8,
    comparisons_count: int = 1,
) -> DetectableDifference:
    """Return the smallest difference that this design can detect.

    Args:
        templates_count: Templates that both models run, at least 2.
        repeats_count: Runs of each model on each template, at least 1.
        spread: Of a pilot (``estimate_spread``) or assumed; the caller says which.
        level: One less the error rate of all comparisons together.
        power: Chance to detect it, above the error rate.
        comparisons_count: Comparisons that share the error rate.

    Raises:
        InvalidInput: A value is out of range, or nothing varies.

    Source:
        As ``compute_power``, solved for the difference.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 - as above

    alone = _share_out(level, power, comparisons_count)
    _check_repeats(repeats_count)
    deviation = spread.compute_difference_sd(repeats_count)

    def lack(difference: float) -> float:
        return compute_power(difference, templates_count, deviation, level=alone) - power

    ceiling = deviation
    while lack(ceiling) < 0:
        ceiling *= 2
    found = float(brentq(lack, 0.0, ceiling, xtol=1e-12 * ceiling, rtol=1e-14))
    return DetectableDifference(
        difference=found,
        templates_count=templates_count,
        repeats_count=repeats_count,
        spread=spread,
        level=level,
        power=power,
        comparisons_count=comparisons_count,
    )


def compute_templates_needed(
    difference: float,
    repeats_count: int,
    spread: Spread,
    *,
    level: float = 0.95,
    power: float = 0.8,
    comparisons_count: int = 1,
) -> int | None:
    """Return how many templates show this difference; None when 100,000 are not enough.

    Raises:
        InvalidInput: A value is out of range, or nothing varies.
    """
    alone = _share_out(level, power, comparisons_count)
    _check_repeats(repeats_count)
    deviation = spread.compute_difference_sd(repeats_count)

    def is_enough(count: int) -> bool:
        return compute_power(difference, count, deviation, level=alone) >= power

    if not is_enough(MOST_TEMPLATES_COUNT):
        return None
    low, high = 1, 2
    while not is_enough(high):
        low, high = high, min(2 * high, MOST_TEMPLATES_COUNT)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _share_out(level: float, power: float, comparisons_count: int) -> float:
    """Return the level of one of several comparisons."""
    check_share(level, "level")
    check_share(power, "power")
    if comparisons_count < 1 or power <= 1 - level:
        raise InvalidInput(
            "statistics.design_invalid",
            "A design needs at least one comparison, and more power than its error rate.",
            comparisons_count=comparisons_count,
            power=power,
        )
    return 1 - (1 - level) / comparisons_count


def _check_repeats(repeats_count: int) -> None:
    if repeats_count < 1:
        raise InvalidInput(
            "statistics.design_invalid",
            "A design needs at least two templates, one run of each, and a spread above 0.",
            repeats_count=repeats_count,
        )
