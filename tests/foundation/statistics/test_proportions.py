"""Differences of shares, against Newcombe's own tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.foundation.statistics import (
    PairedOutcomes,
    compute_mcnemar_p,
    compute_paired_risk_difference,
    compute_risk_difference,
)

counts = st.integers(0, 30)


def outcomes(both: int, first_only: int, second_only: int, neither: int) -> PairedOutcomes:
    return PairedOutcomes(
        both_count=both, first_only_count=first_only, second_only_count=second_only, neither_count=neither
    )


@pytest.mark.parametrize(
    ("hits", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_difference_of_independent_shares_is_newcombes(
    hits: tuple[int, int, int, int], low: float, high: float
) -> None:
    """R. G. Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10."""
    found = compute_risk_difference(*hits)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_difference_of_paired_shares_is_newcombes() -> None:
    """R. G. Newcombe (1998), Statistics in Medicine 17, 2635-2650, table III, method 10, (36, 12, 2, 0)."""
    found = compute_paired_risk_difference(outcomes(36, 12, 2, 0))
    assert (round(found.low, 4), round(found.point, 4), round(found.high, 4)) == (0.0569, 0.2, 0.3404)


def test_models_that_never_differ_have_an_interval_with_a_width() -> None:
    found = compute_paired_risk_difference(outcomes(10, 0, 0, 0))
    assert (round(found.low, 4), found.point, round(found.high, 4)) == (-0.2775, 0, 0.2775)


@given(counts, counts, counts, counts)
def test_a_paired_difference_stays_in_range_and_changes_its_sign_with_the_sides(
    both: int, first_only: int, second_only: int, neither: int
) -> None:
    plain = compute_paired_risk_difference(outcomes(both + 1, first_only, second_only, neither))
    mirrored = compute_paired_risk_difference(outcomes(both + 1, second_only, first_only, neither))
    assert -1 <= plain.low <= plain.point <= plain.high <= 1
    assert (mirrored.low, mirrored.high) == pytest.approx((-plain.high, -plain.low), abs=1e-12)


def test_mcnemar_counts_only_where_the_models_differ() -> None:
    """Binomial of 2 in 12: (1 + 12 + 66) / 4,096, twice."""
    assert compute_mcnemar_p(outcomes(90, 10, 2, 40)) == pytest.approx(2 * 79 / 4_096, abs=1e-15)
    assert compute_mcnemar_p(outcomes(5, 0, 0, 5)) == 1
    assert compute_mcnemar_p(outcomes(0, 3, 3, 0)) == 1


def test_negative_counts_are_refused() -> None:
    with pytest.raises(InvalidInput):
        compute_mcnemar_p(outcomes(1, -1, 1, 1))
    with pytest.raises(InvalidInput):
        compute_paired_risk_difference(outcomes(0, 0, 0, 0))
