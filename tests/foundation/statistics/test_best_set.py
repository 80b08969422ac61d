"""The model confidence set, against the package arch on the same resamples."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from referee.core.errors import InvalidInput
from referee.foundation.statistics import BestSetStatistic, compute_best_set
from referee.foundation.statistics.resampling import draw_weights

LOSSES = (
    (0.0, 0.4, 0.13, 0.31, 1.55),
    (-0.99, 0.16, 1.74, 0.71, 1.38),
    (0.49, 0.46, 0.51, 0.27, 1.97),
    (0.7, -1.24, -0.06, -0.7, 0.71),
    (-1.84, -0.14, -0.87, 1.47, 2.16),
    (-0.19, -2.42, -0.14, 1.15, 2.11),
    (-1.53, -0.38, -0.58, 0.39, 3.06),
    (-0.81, 0.07, 1.28, 0.62, 1.89),
    (0.11, 0.16, -0.83, 1.28, 3.36),
    (-1.55, 0.96, 0.52, 0.56, 4.0),
    (0.76, -1.1, 0.47, 1.78, 1.81),
    (0.68, 0.03, 1.07, 2.64, 1.32),
)


@pytest.mark.parametrize(
    ("statistic", "p_values"), [("range", (1.0, 0.805, 0.1, 0.0, 0.0)), ("max", (1.0, 0.805, 0.02, 0.0, 0.0))]
)
def test_p_values_are_those_of_arch(statistic: BestSetStatistic, p_values: tuple[float, ...]) -> None:
    """Arch 8.0.0: MCS(losses, 0.1, reps=200, block_size=1, bootstrap="cbb", seed=3)."""
    random = np.random.default_rng(3)
    drawn = [np.bincount(random.integers(12, size=12), minlength=12) / 12 for _ in range(200)]
    found = compute_best_set(
        LOSSES, higher_is_better=False, level=0.9, statistic=statistic, weights=np.array(drawn)
    )
    assert found.p_values == pytest.approx(p_values, abs=1e-12)
    assert found.members == (0, 1)


def test_two_models_are_compared_by_the_studentised_bootstrap() -> None:
    """A plain loop: how often a resample's own t lies further out than that of the data."""
    first, second = (np.array(LOSSES)[:, column] for column in (0, 2))
    apart = first - second
    weights = draw_weights(12, resamples_count=400, seed=6)
    resamples = [np.repeat(apart - apart.mean(), row) for row in np.rint(weights * 12).astype(int)]
    standing = abs(apart.mean()) / apart.std(ddof=1)
    share = np.mean([abs(one.mean()) / one.std(ddof=1) > standing for one in resamples])
    found = compute_best_set(np.column_stack([first, second]), higher_is_better=False, weights=weights)
    assert found.p_values == pytest.approx((1.0, float(share)))


def test_the_best_model_stays_as_often_as_promised() -> None:
    """Three equal best ones and two worse ones: all three stay in 95 of 100 runs, less what chance takes."""
    kept = 0
    for seed in range(200):
        scores = np.random.default_rng(seed).normal(size=(30, 5)) + np.array([0, 0, 0, -0.5, -3])
        kept += {0, 1, 2} <= set(compute_best_set(scores, resamples_count=300, seed=seed).members)
    assert kept / 200 >= 0.92


def test_a_clearly_better_model_is_alone_and_direction_matters() -> None:
    scores = np.random.default_rng(1).normal(size=(30, 3)) + np.array([0, 5, 0])
    assert compute_best_set(scores).members == (1,)
    assert 1 not in compute_best_set(scores, higher_is_better=False).members


@pytest.mark.parametrize("statistic", get_args(BestSetStatistic))
def test_equal_models_stay_together(statistic: BestSetStatistic) -> None:
    column = np.random.default_rng(1).normal(size=20)
    assert compute_best_set(np.column_stack([column] * 3), statistic=statistic).members == (0, 1, 2)


def test_a_model_that_is_always_worse_by_the_same_leaves() -> None:
    column = np.random.default_rng(1).normal(size=20)
    assert compute_best_set(np.column_stack([column, column - 0.1])).members == (0,)


def test_one_model_or_one_template_is_refused() -> None:
    with pytest.raises(InvalidInput):
        compute_best_set([[1.0], [2.0]])
    with pytest.raises(InvalidInput):
        compute_best_set([[1.0, 2.0]])
