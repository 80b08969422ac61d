"""The interval of a share, against a published table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.foundation.statistics import compute_share_interval


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_that_of_the_published_table(
    hits: int, total: int, low: float, high: float
) -> None:
    """R. G. Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3."""
    interval = compute_share_interval(hits, total)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_wilson_interval_is_that_of_statsmodels() -> None:
    interval = compute_share_interval(50, 52)
    assert interval.low == pytest.approx(0.8701881084254424, abs=1e-12)
    assert interval.high == pytest.approx(0.9893882889986847, abs=1e-12)


@given(st.integers(1, 10_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_share_lies_in_its_interval_and_the_interval_in_0_to_1(counts: tuple[int, int]) -> None:
    interval = compute_share_interval(*counts)
    assert 0 <= interval.low <= interval.point <= interval.high <= 1


def test_a_higher_level_gives_a_wider_interval() -> None:
    narrow, wide = compute_share_interval(7, 10, level=0.8), compute_share_interval(7, 10, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("hits", "total", "level"),
    [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0), (1, 5, 95)],
)
def test_counts_and_levels_out_of_range_are_refused(hits: int, total: int, level: float) -> None:
    with pytest.raises(InvalidInput):
        compute_share_interval(hits, total, level=level)
