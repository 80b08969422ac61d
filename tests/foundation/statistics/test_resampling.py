"""Intervals of means, against SciPy and against a plain loop."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from referee.core.errors import InvalidInput
from referee.foundation.statistics import MeanMethod, compute_mean_interval, compute_mean_intervals
from referee.foundation.statistics.resampling import draw_weights, find_bca_bounds

SCORES = (0.61, 0.7, 0.34, 1.9, 0.8, 0.02, 0.55, 2.4, 0.4, 0.33, 1.1, 0.27)


def test_bca_bounds_are_those_of_scipy_on_the_same_resamples() -> None:
    values = np.random.default_rng(4).exponential(size=15)  # no resample equals the mean to the last digit
    reference = stats.bootstrap((values,), np.mean, n_resamples=3_000, rng=np.random.default_rng(5))
    centred = values - values.mean()
    acceleration = float((centred**3).sum() / (6 * (centred**2).sum() ** 1.5))
    bounds = find_bca_bounds(reference.bootstrap_distribution, float(values.mean()), acceleration, level=0.95)
    assert bounds == pytest.approx(tuple(reference.confidence_interval), abs=1e-12)


def test_bca_interval_uses_the_jackknife_acceleration_that_scipy_uses() -> None:
    found = compute_mean_interval(SCORES, method="bca", resamples_count=50_000)
    reference = stats.bootstrap((SCORES,), np.mean, n_resamples=50_000, rng=np.random.default_rng(6))
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval), abs=0.02)


def test_student_interval_is_that_of_scipy() -> None:
    found = compute_mean_interval(SCORES, method="student_t", level=0.9)
    reference = stats.ttest_1samp(SCORES, 0.0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_studentized_interval_is_that_of_a_plain_loop_over_the_same_resamples() -> None:
    values = np.array(SCORES)
    counts = np.rint(draw_weights(12, resamples_count=500, seed=3) * 12).astype(int)
    resamples = [np.repeat(values, row) for row in counts]
    measured = [abs(one.mean() - values.mean()) / (one.std(ddof=1) / np.sqrt(12)) for one in resamples]
    half = np.quantile(measured, 0.95, method="higher") * values.std(ddof=1) / np.sqrt(12)
    found = compute_mean_interval(SCORES, resamples_count=500, seed=3)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-12)


@pytest.mark.parametrize("method", get_args(MeanMethod))
def test_columns_are_computed_alone_and_together_alike(method: MeanMethod) -> None:
    table = np.random.default_rng(2).normal(size=(9, 250))
    together = compute_mean_intervals(table, method=method, resamples_count=200)
    alone = compute_mean_interval(table[:, 230], method=method, resamples_count=200)
    assert (together[230].low, together[230].high) == pytest.approx((alone.low, alone.high), abs=1e-12)


@pytest.mark.parametrize("method", get_args(MeanMethod))
@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.integers(-50, 50), min_size=3, max_size=12),
    factor=st.sampled_from([0.001, 3.0, 1e6]),
    offset=st.integers(-1000, 1000),
)
@example(values=[0, 1, -5, 1, 1], factor=0.001, offset=0)  # whose equal units leave nothing but rounding
def test_the_interval_holds_its_mean_and_moves_with_the_scale(
    method: MeanMethod, values: list[int], factor: float, offset: int
) -> None:
    plain = compute_mean_interval(values, method=method, resamples_count=200)
    moved = compute_mean_interval(
        [(value + offset) * factor for value in values], method=method, resamples_count=200
    )
    assert plain.low <= plain.point <= plain.high
    ends = ((plain.low + offset) * factor, (plain.high + offset) * factor)
    assert (moved.low, moved.high) == pytest.approx(ends, rel=1e-6, abs=1e-6 * factor)


@pytest.mark.parametrize("method", get_args(MeanMethod))
def test_equal_units_show_no_spread(method: MeanMethod) -> None:
    found = compute_mean_interval([0.1] * 8, method=method)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1), abs=1e-12)


def test_one_unit_that_differs_leaves_students_interval() -> None:
    values = [0.0] * 9 + [1.0]
    assert compute_mean_interval(values) == compute_mean_interval(values, method="student_t")


def test_the_seed_decides_and_nothing_else() -> None:
    first, again, other = (compute_mean_interval(SCORES, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_resample_is_a_share_of_each_unit() -> None:
    weights = draw_weights(7, resamples_count=100, seed=1)
    assert weights.shape == (100, 7)
    assert weights.sum(axis=1) == pytest.approx(np.ones(100))
    assert np.rint(weights * 7) == pytest.approx(weights * 7)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([1.0], {}),
        ([1.0, float("nan")], {}),
        ([[1.0, 2.0], [3.0, 4.0]], {}),
        ([1.0, 2.0], {"level": 95}),
        ([1.0, 2.0], {"resamples_count": 99}),
    ],
)
def test_what_cannot_be_resampled_is_refused(values: list[float], options: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        compute_mean_interval(values, **options)  # type: ignore[arg-type]


def test_rows_of_different_length_are_refused() -> None:
    with pytest.raises(InvalidInput):
        compute_mean_intervals([[1.0, 2.0], [3.0]])
