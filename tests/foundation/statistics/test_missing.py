"""What missing cells could change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.foundation.statistics import MissingBounds, compute_difference_bounds, compute_mean_bounds

cells = st.lists(st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=8)


def test_missing_cells_may_be_all_worst_or_all_best() -> None:
    found = compute_mean_bounds([0.5, None, 1.0, None], lowest=0, highest=1)
    assert found == MissingBounds(low=0.375, high=0.875, valid_count=2, planned_count=4)


def test_a_difference_is_widest_when_the_sides_miss_apart() -> None:
    found = compute_difference_bounds([1.0, None], [None, 0.0], lowest=0, highest=1)
    assert found == MissingBounds(low=0.0, high=1.0, valid_count=0, planned_count=2)


@given(cells, st.floats(0, 1))
def test_whatever_the_missing_ones_were_the_mean_lies_between(
    values: list[float | None], fill: float
) -> None:
    found = compute_mean_bounds(values, lowest=0, highest=1)
    filled = [fill if value is None else value for value in values]
    assert found.low - 1e-12 <= sum(filled) / len(filled) <= found.high + 1e-12


@pytest.mark.parametrize(
    ("values", "lowest", "highest"), [([], 0, 1), ([2.0], 0, 1), ([0.5], 1, 1), ([-0.1], 0, 1)]
)
def test_scores_outside_their_range_are_refused(values: list[float], lowest: float, highest: float) -> None:
    with pytest.raises(InvalidInput):
        compute_mean_bounds(values, lowest=lowest, highest=highest)


def test_a_difference_needs_the_same_cells() -> None:
    with pytest.raises(InvalidInput):
        compute_difference_bounds([1.0], [1.0, 0.0], lowest=0, highest=1)
