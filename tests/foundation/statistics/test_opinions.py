"""One number out of many criteria."""

from __future__ import annotations

import pytest

from referee.core.errors import InvalidInput
from referee.foundation.statistics import compute_topsis, compute_weighted_sum

AIRCRAFT = (
    (2.0, 1_500, 20_000, 5.5, 5, 9),
    (2.5, 2_700, 18_000, 6.5, 3, 5),
    (1.8, 2_000, 21_000, 4.5, 7, 7),
    (2.2, 1_800, 20_000, 5.0, 5, 5),
)
"""C.-L. Hwang, K. Yoon (1981), the fighter aircraft: speed, range, payload, cost, reliability, manoeuvres."""
WEIGHTS = (0.2, 0.1, 0.1, 0.1, 0.2, 0.3)
DIRECTIONS = (True, True, True, False, True, True)


def test_closeness_is_that_of_the_fighter_aircraft() -> None:
    """Section 3.2.3: 0.643, 0.268, 0.613 and 0.312; the book rounds on its way to the third (0.6135)."""
    found = compute_topsis(AIRCRAFT, WEIGHTS, DIRECTIONS)
    assert [round(one, 3) for one in found] == [0.643, 0.268, 0.614, 0.312]


def test_weighted_sum_places_options_between_worst_and_best() -> None:
    found = compute_weighted_sum([[10, 1], [20, 3], [15, 2]], [3, 1], [True, False])
    assert found == pytest.approx((0.25, 0.75, 0.5))


def test_only_proportions_of_weights_count() -> None:
    assert compute_weighted_sum(AIRCRAFT, WEIGHTS, DIRECTIONS) == pytest.approx(
        compute_weighted_sum(AIRCRAFT, [10 * weight for weight in WEIGHTS], DIRECTIONS)
    )


def test_criteria_that_tell_nothing_apart_give_a_half() -> None:
    assert compute_topsis([[1, 2], [1, 2]], [1, 1], [True, True]) == (0.5, 0.5)
    assert compute_weighted_sum([[1, 2], [1, 2]], [1, 1], [True, True]) == (0.5, 0.5)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (0.0, 0.0)])
def test_weights_that_do_not_fit_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput):
        compute_topsis([[1, 2], [2, 1]], weights, [True, True])
