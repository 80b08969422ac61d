"""Cost against quality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.foundation.statistics import compute_front


def test_a_model_that_another_beats_in_both_is_off_the_front() -> None:
    costs = [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    qualities = [[0.5, 0.4, 0.9], [0.5, 0.4, 0.9]]
    front = compute_front(costs, qualities)
    assert front.is_member == (True, False, True)
    assert front.membership_shares == (1.0, 0.0, 1.0)
    assert front.costs == (1.0, 2.0, 3.0)
    assert front.qualities == pytest.approx((0.5, 0.4, 0.9))


def test_equal_models_share_the_front() -> None:
    column = np.random.default_rng(1).uniform(size=(20, 1))
    front = compute_front(np.repeat(column, 3, axis=1), np.repeat(1 - column, 3, axis=1))
    assert front.is_member == (True, True, True)
    assert front.membership_shares == (1.0, 1.0, 1.0)


def test_membership_of_a_coin_toss_is_even() -> None:
    """Same cost, and qualities that differ by nothing but chance: each is ahead in half of the worlds."""
    shares = []
    for seed in range(60):
        qualities = np.random.default_rng(seed).normal(size=(30, 2))
        shares.append(
            compute_front(np.ones((30, 2)), qualities, resamples_count=400, seed=seed).membership_shares[0]
        )
    assert np.mean(shares) == pytest.approx(0.5, abs=0.12)


def test_membership_is_the_bootstrap_chance_of_a_higher_mean() -> None:
    """Two templates, A ahead by 2 and behind by 1: behind only when the second is drawn twice, 1 in 4."""
    front = compute_front([[1, 1], [1, 1]], [[2, 0], [0, 1]], resamples_count=20_000)
    assert front.membership_shares == pytest.approx((0.75, 0.25), abs=0.015)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=6))
def test_the_front_is_what_a_plain_search_finds(points: list[tuple[int, int]]) -> None:
    costs, qualities = ([[float(point[side]) for point in points]] * 2 for side in (0, 1))
    expected = tuple(
        not any(other[0] <= one[0] and other[1] >= one[1] and other != one for other in points)
        for one in points
    )
    assert compute_front(costs, qualities, resamples_count=100).is_member == expected


def test_tables_of_different_shape_are_refused() -> None:
    with pytest.raises(InvalidInput):
        compute_front([[1.0, 2.0], [1.0, 2.0]], [[1.0], [2.0]])
