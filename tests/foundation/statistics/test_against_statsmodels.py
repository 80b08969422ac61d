"""Closed formulas against statsmodels, which computes them in its own way."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from referee.foundation.statistics import (
    Adjustment,
    PairedOutcomes,
    Spread,
    adjust_p_values,
    compute_detectable_difference,
    compute_flip_rate,
    compute_mcnemar_p,
    compute_power,
    compute_risk_difference,
)


@pytest.mark.parametrize(
    ("method", "theirs"),
    [("holm", "holm"), ("benjamini_hochberg", "fdr_bh"), ("benjamini_yekutieli", "fdr_by")],
)
def test_adjusted_p_values(method: Adjustment, theirs: str) -> None:
    p_values = np.random.default_rng(1).uniform(size=25) ** 3
    assert adjust_p_values(p_values, method=method) == pytest.approx(
        multipletests(p_values, method=theirs)[1], abs=1e-12
    )


@pytest.mark.parametrize("differing", [(3, 9), (0, 6), (5, 5), (121, 59)])
def test_mcnemar(differing: tuple[int, int]) -> None:
    outcomes = PairedOutcomes(
        both_count=10, first_only_count=differing[0], second_only_count=differing[1], neither_count=7
    )
    table = [[10, differing[0]], [differing[1], 7]]
    assert compute_mcnemar_p(outcomes) == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-12)


@pytest.mark.parametrize("hits", [(7, 34, 1, 34), (56, 70, 48, 80), (3, 10, 9, 20)])
def test_risk_difference(hits: tuple[int, int, int, int]) -> None:
    found = compute_risk_difference(*hits)
    theirs = confint_proportions_2indep(*hits, compare="diff", method="newcomb")
    assert (found.low, found.high) == pytest.approx(theirs, abs=1e-9)


def test_power_and_detectable_difference() -> None:
    theirs = TTestPower()
    assert compute_power(0.4, 25, 1.0) == pytest.approx(theirs.power(0.4, 25, 0.05), abs=1e-9)
    found = compute_detectable_difference(
        24, 2, Spread(template_sd=0.3, repeat_sd=0.4), comparisons_count=10, power=0.9
    )
    effect = theirs.solve_power(None, 24, 0.005, 0.9)
    assert found.difference == pytest.approx(float(effect) * np.sqrt(0.09 + 0.16), rel=1e-6)


def test_flip_rate() -> None:
    everything = {str(number) for number in range(40)}
    rate = compute_flip_rate([everything, everything - {"3", "7", "9"}]).rate
    assert (rate.low, rate.high) == pytest.approx(proportion_confint(3, 40, method="jeffreys"), abs=1e-12)
