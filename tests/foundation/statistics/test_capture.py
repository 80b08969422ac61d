"""What all tools missed, against published capture-recapture examples."""

from __future__ import annotations

import numpy as np
import pytest

from referee.core.errors import InvalidInput
from referee.foundation.statistics import estimate_by_chao, estimate_by_jackknife
from referee.foundation.statistics.capture import _list_coefficients

RABBITS = (43, 16, 8, 6, 0, 2, 1, *[0] * 11)
"""W. R. Edwards, L. L. Eberhardt (1967): 76 of 135 penned rabbits caught on 18 nights."""
SPIDERS = (12, 4, 0, 0, 0, 10, *[0] * 162)
"""Of 168 spiders under girdled trees 12 species were seen once and 4 twice; the other 10 do not matter."""


def test_chao_is_that_of_the_r_package_inext() -> None:
    """iNEXT, ChaoRichness(spider$Girdled): 43.893, 95 % interval 30.511 to 96.971."""
    found = estimate_by_chao(SPIDERS)
    assert found is not None
    total = found.total
    assert (round(total.low, 3), round(total.point, 3), round(total.high, 3)) == (30.511, 43.893, 96.971)
    assert found.missed.point == pytest.approx(total.point - 26)


def test_jackknife_of_the_rabbits_is_that_of_capture() -> None:
    """R package wiqid, closedCapMhJK, checked there against CAPTURE: 143.8743, about 112.91 to 200.81."""
    found = estimate_by_jackknife(RABBITS)
    assert found is not None
    total = found.total
    assert round(total.point, 4) == 143.8743
    assert (total.low, total.high) == pytest.approx((112.91, 200.81), abs=0.01)


@pytest.mark.parametrize("tools_count", [4, 5, 18])
def test_jackknife_coefficients_are_those_of_burnham_and_overton(tools_count: int) -> None:
    """K. P. Burnham, W. S. Overton (1979), table 1: orders one to three."""
    k = tools_count
    orders = _list_coefficients(k) - 1
    assert orders[0][:2] == pytest.approx([(k - 1) / k, 0])
    assert orders[1][:3] == pytest.approx([(2 * k - 3) / k, -((k - 2) ** 2) / (k * (k - 1)), 0])
    third = [
        (3 * k - 6) / k,
        -(3 * k**2 - 15 * k + 19) / (k * (k - 1)),
        (k - 3) ** 3 / (k * (k - 1) * (k - 2)),
    ]
    assert orders[2][:3] == pytest.approx(third)


def test_chao_is_exact_when_all_defects_are_equally_easy() -> None:
    """Expected counts of 1,000 defects that six tools each find with a chance of 0.3."""
    expected = [1_000 * chance for chance in (0.302526, 0.324135, 0.18522, 0.059535, 0.010206, 0.000729)]
    found = estimate_by_chao([round(count) for count in expected])
    assert found is not None
    assert found.total.point == pytest.approx(1_000, rel=0.002)


def test_nothing_found_twice_uses_the_form_without_division() -> None:
    found = estimate_by_chao((3, 0, 0, 1))
    assert found is not None
    assert found.total.point == pytest.approx(4 + 3 / 4 * 3 * 2 / 2)
    assert found.total.low > 4


@pytest.mark.parametrize("frequencies", [(0, 0, 0, 0), (7, 0, 0, 0)])
def test_without_overlap_there_is_nothing_to_learn_from(frequencies: tuple[int, ...]) -> None:
    assert estimate_by_chao(frequencies) is None
    assert estimate_by_jackknife(frequencies) is None


def test_tools_that_all_find_everything_missed_nothing() -> None:
    found = estimate_by_chao((0, 0, 0, 9))
    assert found is not None
    assert (found.total.low, found.total.point, found.total.high) == (9, 9, 9)


def test_estimates_never_fall_below_what_was_seen() -> None:
    random = np.random.default_rng(2)
    for frequencies in random.integers(0, 30, size=(200, 6)).tolist():
        for estimate in (estimate_by_chao, estimate_by_jackknife):
            found = estimate([*frequencies[:5], frequencies[5] + 1])
            assert found is not None
            assert found.seen_count <= found.total.low <= found.total.point <= found.total.high


@pytest.mark.parametrize("frequencies", [(5, 3, 1), (5, 3, -1, 0)])
def test_three_tools_or_negative_counts_are_refused(frequencies: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput):
        estimate_by_chao(frequencies)
    with pytest.raises(InvalidInput):
        estimate_by_jackknife(frequencies)
