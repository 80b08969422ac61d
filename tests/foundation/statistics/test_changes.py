"""Changes of level are found where they are, and seldom where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from statsmodels.datasets import nile

from referee.core.errors import InvalidInput
from referee.foundation.statistics import compute_group_shift, find_change_points

PERMEABILITY = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
"""At term; Hollander and Wolfe (1973), page 69, as R's help of wilcox.test uses them."""
EARLIER = [1.15, 0.88, 0.90, 0.74, 1.21]
"""At 12 to 26 weeks."""


def test_nile_flows_less_from_1899_on_as_published() -> None:
    flow = np.asarray(nile.load_pandas().data["volume"], dtype=float)

    (change,) = find_change_points(flow, level=0.01)

    assert 1871 + change.index == 1899
    assert (change.before_median, change.after_median) == (np.median(flow[:28]), np.median(flow[28:]))
    assert change.p_value == 0.0005


def test_two_changes_are_both_found_at_their_places() -> None:
    random = np.random.default_rng(7)
    values = np.concatenate([random.normal(level, 1, 20) for level in (10, 16, 11)])

    changes = find_change_points(values)

    assert [change.index for change in changes] == [20, 40]
    assert [round(change.after_median) for change in changes] == [16, 11]


@pytest.mark.parametrize("count", [12, 48])
def test_row_without_a_change_is_marked_no_more_often_than_said(count: int) -> None:
    random = np.random.default_rng(count)
    marked = sum(bool(find_change_points(random.exponential(1, count), seed=turn)) for turn in range(200))

    assert marked / 200 <= 0.085  # 5 %, and two and a quarter standard errors of 200 rows


def test_change_near_the_end_is_put_where_it_is() -> None:
    random = np.random.default_rng(11)
    rows = [np.concatenate([random.normal(120, 6, 176), random.normal(173, 6, 24)]) for _ in range(20)]

    found = [[change.index for change in find_change_points(row, level=0.01)] for row in rows]

    # By ranks a value next to the change that is extreme for its side is taken for the other side's.
    assert sum(176 in places for places in found) >= 14
    assert all(any(abs(place - 176) <= 3 for place in places) for places in found)
    assert sum(len(places) for places in found) <= 22


def test_one_wild_value_is_no_change() -> None:
    assert find_change_points([5.0] * 20 + [900.0] + [5.0] * 20) == ()


def test_short_and_flat_rows_have_no_change() -> None:
    assert find_change_points([]) == ()
    assert find_change_points([1, 1, 9, 9, 9]) == ()
    assert find_change_points([3.0] * 50) == ()


def test_what_cannot_be_looked_through_is_refused() -> None:
    with pytest.raises(InvalidInput):
        find_change_points([1.0, float("nan")])
    with pytest.raises(InvalidInput):
        find_change_points([1.0] * 2_001)
    with pytest.raises(InvalidInput):
        find_change_points([1.0], level=0.0)


def test_shift_of_two_groups_is_that_of_r() -> None:
    shift = compute_group_shift(EARLIER, PERMEABILITY)

    assert shift is not None
    assert (round(shift.low, 6), round(shift.point, 6), round(shift.high, 6)) == (-0.15, 0.305, 0.76)


def test_shift_excludes_zero_exactly_when_the_rank_test_rejects() -> None:
    random = np.random.default_rng(3)
    pairs = [(random.normal(0, 1, 7), random.normal(1, 1, 9)) for _ in range(200)]
    shifts = [compute_group_shift(before, after) for before, after in pairs]

    excluded = [shift is not None and not shift.low <= 0 <= shift.high for shift in shifts]
    rejected = [mannwhitneyu(before, after, method="exact").pvalue < 0.05 for before, after in pairs]

    assert excluded == rejected


def test_shift_by_the_normal_approximation_is_near_the_exact_one() -> None:
    random = np.random.default_rng(5)
    before, after = random.normal(0, 1, 50), random.normal(2, 1, 50)
    exact = compute_group_shift(before, after)
    near = compute_group_shift(np.append(before, np.median(before)), after)

    assert exact is not None
    assert near is not None
    assert exact.low == pytest.approx(near.low, abs=0.06)
    assert exact.high == pytest.approx(near.high, abs=0.06)


def test_too_few_values_give_no_interval() -> None:
    assert compute_group_shift([1, 2, 3], [4, 5, 6]) is None
