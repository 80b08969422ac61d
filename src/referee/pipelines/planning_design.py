"""What a design can show: the smallest difference between two models that it would detect, in words.

The unit is that of a pilot, which earlier pipelines are; without one it is the standard deviation of a
template's difference, which nobody has to guess for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from referee.foundation.statistics import Spread

__all__ = ["DesignEstimate", "Pilot", "estimate_design", "pool_spread"]

LEVEL: Final = 0.95
POWER: Final = 0.8
_MAX_PILOT_MODELS: Final = 12
"""Pairs of more would say the same."""

Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""Model → template → scores of its repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """How much models differ from template to template, as an earlier pipeline shows."""

    spread: Spread
    name: str
    """Of the pipeline."""
    models_count: int
    templates_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignEstimate:
    """The smallest true difference that is found with a chance of 80 %."""

    difference: float | None
    """None when the design can detect none, or nothing is compared."""
    unit: str
    """``findings`` for those of one app, or ``standard deviations`` of a template's difference."""
    sentence: str
    """All of it in words."""
    models_count: int
    templates_count: int
    """On which all models are seen."""
    repeats_count: int
    comparisons_count: int
    """Pairs of models, which share the error rate."""
    pilot: str | None
    """Name of the pipeline whose spread is used."""


def estimate_design(
    *, models_count: int, templates_count: int, repeats_count: int, unit_word: str, pilot: Pilot | None
) -> DesignEstimate:
    """Return what a design can show.

    Args:
        models_count: That are compared with one another.
        templates_count: On which all of them are seen.
        repeats_count: Apps of each model for each template.
        unit_word: What pairs the models: ``template``, or ``app number`` where no template is known.
        pilot: Earlier results; None: none fits.
    """
    comparisons_count = models_count * (models_count - 1) // 2

    def make(difference: float | None, unit: str, sentence: str) -> DesignEstimate:
        return DesignEstimate(
            difference=difference,
            unit=unit,
            sentence=sentence,
            models_count=models_count,
            templates_count=templates_count,
            repeats_count=repeats_count,
            comparisons_count=comparisons_count,
            pilot=None if pilot is None else pilot.name,
        )

    unit = "standard deviations" if pilot is None else "findings"
    if models_count < 2:
        return make(None, unit, "One model is compared with nothing.")
    if templates_count < 2:
        return make(
            None,
            unit,
            f"With fewer than two {unit_word}s on which all models are seen, no difference can be told from chance.",
        )
    from referee.foundation.statistics import (  # noqa: PLC0415 - loads NumPy
        Spread,
        compute_detectable_difference,
    )

    spread = Spread(template_sd=1.0, repeat_sd=0.0) if pilot is None else pilot.spread
    found = compute_detectable_difference(
        templates_count, repeats_count, spread, level=LEVEL, power=POWER, comparisons_count=comparisons_count
    )
    return make(found.difference, unit, _say(found.difference, templates_count, repeats_count,
                                             comparisons_count, unit_word, pilot))  # fmt: skip


def _say(
    difference: float,
    templates_count: int,
    repeats_count: int,
    comparisons_count: int,
    unit_word: str,
    pilot: Pilot | None,
) -> str:
    runs = "one app" if repeats_count == 1 else f"{repeats_count} apps"
    pairs = "one pair of models" if comparisons_count == 1 else f"all {comparisons_count:,} pairs of models"
    design = (
        f"{templates_count:,} {unit_word}s with {runs} of each model, and {pairs} at an error rate of 5 %"
    )
    if pilot is None:
        return (
            f"A difference of {difference:.2g} standard deviations is detected with a chance of 80 % ({design}). The "
            f"standard deviation is that of the difference from {unit_word} to {unit_word}; it becomes known "
            f"with the first pipeline that uses these tools."
        )
    return (
        f"A difference of {difference:.2g} findings for one app is detected with a chance of 80 % ({design}). The "
        f"spread is that of {pilot.name!r}: {pilot.models_count} models, {pilot.templates_count} {unit_word}s."
    )


def pool_spread(scores: Scores) -> tuple[Spread, int, int] | None:
    """Return the spread over all pairs of models, how many models, and on how many templates; None for too few.

    The variances of the pairs are averaged; only templates that all models have count.
    """
    from referee.foundation.statistics import Spread, estimate_spread  # noqa: PLC0415 - loads NumPy

    models = sorted(scores)[:_MAX_PILOT_MODELS]
    if len(models) < 2:
        return None
    shared = sorted(set.intersection(*(set(scores[model]) for model in models)))
    if len(shared) < 2:
        return None
    runs = {model: [scores[model][template] for template in shared] for model in models}
    spreads = [estimate_spread(runs[one], runs[other]) for one, other in combinations(models, 2)]
    return (
        Spread(
            template_sd=sqrt(sum(spread.template_sd**2 for spread in spreads) / len(spreads)),
            repeat_sd=sqrt(sum(spread.repeat_sd**2 for spread in spreads) / len(spreads)),
        ),
        len(models),
        len(shared),
    )
