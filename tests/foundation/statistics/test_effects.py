"""Effect sizes, against R's effsize and the textbook of Hollander and Wolfe."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.foundation.statistics import compute_dominance, compute_paired_dominance, compute_shift

TREATMENT = (10, 10, 20, 20, 20, 30, 30, 30, 40, 50)
CONTROL = (10, 20, 30, 40, 40, 50)
BEFORE = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
AFTER = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)
"""Hamilton depression scores of nine patients."""

scores = st.lists(st.integers(0, 6), min_size=4, max_size=12)


def test_cliffs_delta_is_that_of_the_r_package_effsize() -> None:
    """Its example: -0.25 with a 95 % interval of -0.7265846 to 0.3890062."""
    delta = compute_dominance(TREATMENT, CONTROL).delta
    assert (delta.low, delta.point, delta.high) == pytest.approx((-0.7265846, -0.25, 0.3890062), abs=1e-7)


def test_superiority_is_the_chance_of_above_with_ties_counted_half() -> None:
    dominance = compute_dominance(TREATMENT, CONTROL)
    wins = sum((one > other) + (one == other) / 2 for one in TREATMENT for other in CONTROL)
    assert dominance.superiority.point == pytest.approx(wins / 60)
    assert dominance.superiority.low == pytest.approx((1 + dominance.delta.low) / 2)


def test_shift_is_that_of_hollander_and_wolfe() -> None:
    """Example 3.1 to 3.4: 0.46, and 0.010 to 0.786 as R's wilcox.test(conf.int = TRUE) gives it."""
    shift = compute_shift(np.subtract(BEFORE, AFTER))
    assert shift is not None
    assert (shift.low, shift.point, shift.high) == pytest.approx((0.010, 0.46, 0.786), abs=1e-9)


@pytest.mark.parametrize(("count", "has_interval"), [(5, False), (6, True)])
def test_a_shift_needs_six_templates(count: int, has_interval: bool) -> None:
    """Of five differences even the whole range holds the shift with 93.75 % only."""
    assert (compute_shift([1.0, 2.0, 4.0, 8.0, 16.0, 32.0][:count]) is not None) is has_interval


def test_one_wild_template_moves_the_shift_little() -> None:
    calm = compute_shift([0.1, 0.2, 0.15, 0.3, 0.25, 0.2, 0.1])
    wild = compute_shift([0.1, 0.2, 0.15, 0.3, 0.25, 0.2, 100.0])
    assert calm is not None
    assert wild is not None
    assert wild.point == pytest.approx(calm.point, abs=0.05)


def test_paired_delta_rests_on_the_jackknife_over_units() -> None:
    """The error is that of leaving out one unit, to first order: checked on 400 templates."""
    random = np.random.default_rng(1)
    shared = random.normal(size=400)
    first, second = shared + random.normal(0.4, 1, size=400), shared + random.normal(size=400)

    def delta_of(rows: list[int]) -> float:
        return float(np.sign(first[rows][:, None] - second[rows]).mean())

    everything = list(range(400))
    left_out = np.array([delta_of(everything[:row] + everything[row + 1 :]) for row in everything])
    error = np.sqrt(399 / 400 * ((left_out - left_out.mean()) ** 2).sum())
    delta = compute_paired_dominance(first, second).delta
    assert (delta.high - delta.low) / (2 * 1.966) == pytest.approx(error, rel=0.01)


@given(scores, scores)
def test_delta_stays_in_range_and_changes_its_sign_with_the_sides(one: list[int], other: list[int]) -> None:
    delta, mirrored = compute_dominance(one, other).delta, compute_dominance(other, one).delta
    assert -1 <= delta.low <= delta.point <= delta.high <= 1
    assert (mirrored.low, mirrored.point) == pytest.approx((-delta.high, -delta.point))


def test_full_separation_leaves_room_towards_the_middle() -> None:
    """The end is (n - t²) / (n + t²) of the fewer values: 0.5 less for ten than certainty."""
    delta = compute_paired_dominance(range(10, 20), range(10)).delta
    mirrored = compute_paired_dominance(range(10), range(10, 20)).delta
    square = 2.2621571627409915**2
    assert (delta.low, delta.high) == pytest.approx(((10 - square) / (10 + square), 1.0))
    assert (mirrored.low, mirrored.high) == (-1.0, -delta.low)


def test_too_few_or_unpaired_values_are_refused() -> None:
    with pytest.raises(InvalidInput):
        compute_dominance([1.0], [1.0, 2.0])
    with pytest.raises(InvalidInput):
        compute_paired_dominance([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(InvalidInput):
        compute_shift([], level=0.95)
