"""The sign-flip test, against Fisher's own count, SciPy and plain enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from referee.core.errors import InvalidInput
from referee.foundation.statistics import PairedOutcomes, compute_mcnemar_p, compute_sign_flip_test
from referee.foundation.statistics.permutation import compute_sign_flip_tests

DARWIN = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)
"""Heights of crossed less self-fertilised maize, in eighths of an inch."""


def test_p_is_fishers_count_for_darwins_maize() -> None:
    """R. A. Fisher (1935), The Design of Experiments, section 21: 1,726 of 32,768 patterns."""
    found = compute_sign_flip_test(DARWIN)
    assert (found.p_value, found.method, found.patterns_count) == (1_726 / 32_768, "exact", 32_768)


def test_p_is_that_of_scipy() -> None:
    differences = np.random.default_rng(4).normal(0.4, 1, size=11)
    reference = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, axis=0
    )
    assert compute_sign_flip_test(differences).p_value == pytest.approx(float(reference.pvalue), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_meeting_in_the_middle_counts_what_enumeration_counts(differences: list[int]) -> None:
    thirds = [difference / 3 for difference in differences]
    patterns = list(product((-1, 1), repeat=len(differences)))
    extreme = sum(abs(np.dot(pattern, differences)) >= abs(sum(differences)) for pattern in patterns)
    assert compute_sign_flip_test(thirds).p_value == pytest.approx(extreme / len(patterns), abs=1e-15)


def test_templates_without_a_difference_change_nothing() -> None:
    plain, padded = compute_sign_flip_test(DARWIN), compute_sign_flip_test([*DARWIN, *[0] * 20])
    assert plain == padded
    assert compute_sign_flip_test([0.0, 0.0]).p_value == 1


def test_single_yes_or_no_scores_give_mcnemars_exact_p() -> None:
    outcomes = PairedOutcomes(both_count=4, first_only_count=9, second_only_count=2, neither_count=3)
    differences = [0] * 7 + [1] * 9 + [-1] * 2
    assert compute_sign_flip_test(differences).p_value == pytest.approx(
        compute_mcnemar_p(outcomes), abs=1e-15
    )


def test_beyond_32_differences_patterns_are_drawn_and_one_is_added() -> None:
    found = compute_sign_flip_test([1.0] * 60, flips_count=999)
    assert (found.p_value, found.method, found.patterns_count) == (1 / 1_000, "monte_carlo", 999)


def test_drawn_p_lies_where_the_binomial_puts_it() -> None:
    """25 of 40 equal differences point one way: exactly 2·P(X ≤ 15)."""
    exact = 2 * float(stats.binom.cdf(15, 40, 0.5))
    found = compute_sign_flip_test([1.0] * 25 + [-1.0] * 15)
    error = np.sqrt(exact * (1 - exact) / found.patterns_count)
    assert found.p_value == pytest.approx(exact, abs=4 * error)


def test_false_alarms_stay_at_the_level_over_2000_null_seeds() -> None:
    """Two models that do not differ, skewed scores, 12 templates: at most 6.5 % below 0.05."""
    columns = np.array(
        [np.subtract(*np.random.default_rng(seed).exponential(size=(2, 12))) for seed in range(2_000)]
    ).T
    share = np.mean([test.p_value <= 0.05 for test in compute_sign_flip_tests(columns)])
    assert 0.035 <= share <= 0.065


def test_a_real_difference_is_found() -> None:
    columns = np.random.default_rng(8).normal(1.0, 1.0, size=(20, 200))
    assert np.mean([test.p_value <= 0.05 for test in compute_sign_flip_tests(columns)]) > 0.9


@pytest.mark.parametrize("differences", [[], [1.0, float("inf")]])
def test_no_difference_or_none_that_is_finite_is_refused(differences: list[float]) -> None:
    with pytest.raises(InvalidInput):
        compute_sign_flip_test(differences)
    with pytest.raises(InvalidInput):
        compute_sign_flip_test([1.0], flips_count=0)
