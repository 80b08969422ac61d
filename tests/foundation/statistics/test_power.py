"""What a design can detect, against G*Power and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from referee.core.errors import InvalidInput
from referee.foundation.statistics import (
    Spread,
    compute_detectable_difference,
    compute_power,
    compute_templates_needed,
    estimate_spread,
)

ALONE = Spread(template_sd=1.0, repeat_sd=0.0)


def test_power_is_that_of_the_manual_of_gpower() -> None:
    """G*Power 3.1 manual, "Means: difference between two dependent means": dz 0.421637, 50 pairs, 0.832114."""
    assert compute_power(0.421637, 50, 1.0) == pytest.approx(0.832114, abs=1e-6)


def test_power_without_a_difference_is_the_error_rate_and_far_off_it_is_one() -> None:
    assert compute_power(0.0, 12, 1.0, level=0.9) == pytest.approx(0.1)
    assert compute_power(-50.0, 12, 1.0) == 1


@pytest.mark.parametrize("templates_count", [2, 4, 30, 100])
def test_power_rises_without_a_gap_up_to_one(templates_count: int) -> None:
    """Also where the far tail is too thin for SciPy's noncentral t."""
    powers = [compute_power(step / 4, templates_count, 1.0, level=0.999) for step in range(120)]
    assert powers == sorted(powers)
    assert powers[0] == pytest.approx(0.001)
    assert powers[0] < powers[-1] <= 1


def test_detectable_difference_has_the_power_it_was_asked_for() -> None:
    found = compute_detectable_difference(30, 3, Spread(template_sd=0.2, repeat_sd=0.3))
    deviation = np.sqrt(0.2**2 + 2 * 0.3**2 / 3)
    assert compute_power(found.difference, 30, float(deviation)) == pytest.approx(0.8, abs=1e-9)


def test_detectable_difference_is_found_that_often_in_simulated_runs() -> None:
    found = compute_detectable_difference(20, 1, ALONE)
    columns = np.random.default_rng(3).normal(found.difference, 1, size=(20, 4_000))
    share = np.mean(stats.ttest_1samp(columns, 0.0).pvalue <= 0.05)
    assert share == pytest.approx(0.8, abs=0.025)


def test_more_templates_repeats_or_fewer_comparisons_show_smaller_differences() -> None:
    spread = Spread(template_sd=0.1, repeat_sd=0.5)
    base, templates, repeats, many = (
        compute_detectable_difference(count, runs, spread, comparisons_count=comparisons).difference
        for count, runs, comparisons in ((15, 1, 1), (30, 1, 1), (15, 3, 1), (15, 1, 45))
    )
    assert templates < base
    assert repeats < base < many


def test_templates_needed_is_the_first_number_that_is_enough() -> None:
    needed = compute_templates_needed(0.5, 1, ALONE)
    assert needed == 34
    assert compute_power(0.5, 33, 1.0) < 0.8 <= compute_power(0.5, 34, 1.0)
    assert compute_templates_needed(1e-6, 1, ALONE) is None


def test_a_pilot_tells_what_templates_and_what_repeats_add() -> None:
    random = np.random.default_rng(5)
    apart = random.normal(0, 2, size=(400, 1))
    first, second = apart + random.normal(size=(400, 3)), random.normal(size=(400, 3))
    spread = estimate_spread(first.tolist(), second.tolist())
    assert (spread.template_sd, spread.repeat_sd) == pytest.approx((2, 1), rel=0.1)


def test_a_pilot_without_repeats_puts_everything_on_the_templates() -> None:
    spread = estimate_spread([[1.0], [2.0], [4.0]], [[0.0], [0.0], [0.0]])
    assert (spread.template_sd, spread.repeat_sd) == pytest.approx((np.std([1, 2, 4], ddof=1), 0.0))


@pytest.mark.parametrize(
    ("templates", "repeats", "spread", "options"),
    [
        (1, 1, ALONE, {}),
        (10, 0, ALONE, {}),
        (10, 1, Spread(template_sd=0.0, repeat_sd=0.0), {}),
        (10, 1, ALONE, {"power": 0.05}),
        (10, 1, ALONE, {"comparisons_count": 0}),
    ],
)
def test_impossible_designs_are_refused(
    templates: int, repeats: int, spread: Spread, options: dict[str, int]
) -> None:
    with pytest.raises(InvalidInput):
        compute_detectable_difference(templates, repeats, spread, **options)


def test_a_pilot_needs_two_models_on_the_same_templates() -> None:
    with pytest.raises(InvalidInput):
        estimate_spread([[1.0], [2.0]], [[1.0]])
