"""Findings per thousand lines, weighted by severity, and how much the weights decide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isnan
from types import MappingProxyType
from typing import Final

import numpy as np

from referee.core.errors import InvalidInput
from referee.foundation.statistics.inputs import Floats, check_share
from referee.foundation.statistics.intervals import Interval
from referee.foundation.statistics.rankings import RankAgreement
from referee.foundation.statistics.resampling import RESAMPLES_COUNT, draw_weights

__all__ = ["WEIGHTINGS", "AppCounts", "compare_rankings", "compute_density"]

WEIGHTINGS: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "equal": {"critical": 1, "high": 1, "medium": 1, "low": 1, "info": 1},
        "linear": {"critical": 5, "high": 4, "medium": 3, "low": 2, "info": 1},
        "doubling": {"critical": 16, "high": 8, "medium": 4, "low": 2, "info": 1},
        "severe_only": {"critical": 1, "high": 1, "medium": 0, "low": 0, "info": 0},
    }
)
"""No weights are right; a ranking that holds under all four does not depend on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCounts:
    """What was found in one app."""

    template: str
    """Apps of one template are alike, so templates are what is resampled."""
    lines_count: int
    """Lines of code that the tools could read, at least 1."""
    severities: Mapping[str, int]
    """Findings by severity."""


def compute_density(
    apps: Sequence[AppCounts],
    weights: Mapping[str, float],
    *,
    level: float = 0.95,
    resamples_count: int = RESAMPLES_COUNT,
    seed: int = 1,
) -> Interval:
    """Return weighted findings per 1,000 lines over all apps together, with an interval over templates.

    Args:
        apps: Of at least two templates.
        weights: Severity → weight, for every severity that occurs.
        level: Two-sided confidence level, a share strictly between 0 and 1.
        resamples_count: Resamples of templates.
        seed: Of the resamples.

    Returns:
        The rate: all weighted findings by all lines, so that a small app does not count like a large one.
        The interval is the symmetric studentised bootstrap of that ratio, cut at 0.

    Raises:
        InvalidInput: Fewer than two templates, an app without lines, a count below 0, a severity without
            weight, or ``level`` is no share.

    Source:
        W. G. Cochran (1977), Sampling Techniques, 6.4: error of a ratio; P. Hall (1988) for the bootstrap.
    """
    check_share(level, "level")
    found, size = _sum_by_template(apps, weights)
    count = found.size
    rate = float(found.sum() / size.sum())
    error = float(np.sqrt(count / (count - 1) * ((found - rate * size) ** 2).sum()) / size.sum())
    shares = draw_weights(count, resamples_count=resamples_count, seed=seed)
    sizes = shares @ size
    rates = (shares @ found) / sizes
    squares = shares @ found**2 - 2 * rates * (shares @ (found * size)) + rates**2 * (shares @ size**2)
    errors = np.sqrt(np.maximum(squares, 0.0) / (count - 1)) / sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        measured = np.abs(rates - rate) / errors
    measured[np.isnan(measured) | (np.abs(rates - rate) <= 1e-12 * rate)] = 0.0
    reach = float(np.quantile(measured, level, method="higher"))
    half = reach * error if error > 0 else 0.0
    return Interval(max(0.0, rate - half), rate, rate + half, level)


def _sum_by_template(apps: Sequence[AppCounts], weights: Mapping[str, float]) -> tuple[Floats, Floats]:
    """Return weighted findings and thousands of lines per template."""
    found: defaultdict[str, float] = defaultdict(float)
    size: defaultdict[str, float] = defaultdict(float)
    for app in apps:
        unknown = sorted(app.severities.keys() - weights.keys())
        if unknown or app.lines_count < 1 or min(app.severities.values(), default=0) < 0:
            raise InvalidInput(
                "statistics.counts_invalid",
                "A density needs lines of code, and counts and a weight of every severity.",
                lines_count=app.lines_count,
                severities_without_weight=unknown,
            )
        found[app.template] += sum(count * weights[severity] for severity, count in app.severities.items())
        size[app.template] += app.lines_count / 1000
    if len(size) < 2:
        raise InvalidInput(
            "statistics.values_invalid", "A density needs apps of at least two templates.", count=len(size)
        )
    names = sorted(size)
    return np.array([found[name] for name in names]), np.array([size[name] for name in names])


def compare_rankings(values: Mapping[str, Mapping[str, float]]) -> tuple[RankAgreement, ...]:
    """Return Kendall's τ-b of each two weightings, from the value each gives to the same models.

    Args:
        values: Weighting → model → value, such as the density.

    Raises:
        InvalidInput: Two weightings do not name the same models.

    Source:
        M. G. Kendall (1945), Biometrika 33(3), 239-251.
    """
    from scipy.stats import kendalltau  # noqa: PLC0415 - a second of loading

    agreements = []
    for first, second in combinations(values, 2):
        if values[first].keys() != values[second].keys():
            raise InvalidInput(
                "statistics.values_invalid", "Rankings can be compared over the same models only."
            )
        models = sorted(values[first])
        tau = float("nan")
        if len(models) > 1:
            ranked = ([values[name][model] for model in models] for name in (first, second))
            tau = float(kendalltau(*ranked).statistic)
        agreements.append(RankAgreement(first=first, second=second, tau=None if isnan(tau) else tau))
    return tuple(agreements)
