"""Whether a tool says the same thing twice."""

from __future__ import annotations

import pytest

from referee.core.errors import InvalidInput
from referee.foundation.statistics import compute_flip_rate


def test_things_that_come_and_go_are_counted_once_each() -> None:
    found = compute_flip_rate([{"a", "b", "c", "d"}, {"a", "b", "c"}, {"a", "b", "c", "e"}])
    assert (found.runs_count, found.seen_count, found.unsteady_count) == (3, 5, 2)
    assert found.rate.point == 0.4
    assert found.overlap_share == pytest.approx((3 / 4 + 3 / 5 + 3 / 4) / 3)


def test_interval_is_the_jeffreys_interval_of_brown_cai_and_dasgupta() -> None:
    """Statistical Science 16(2), table 5: 2 of 10 give 0.044 to 0.503 at 95 %, 0 of 7 up to 0.292."""
    tenth = compute_flip_rate([set("abcdefgh"), set("abcdefghij")]).rate
    assert (round(tenth.low, 3), round(tenth.high, 3)) == (0.044, 0.503)
    steady = compute_flip_rate([set("abcdefg")] * 2).rate
    assert (steady.low, round(steady.high, 3)) == (0.0, 0.292)


def test_a_tool_that_finds_nothing_keeps_its_prior_and_agrees_with_itself() -> None:
    found = compute_flip_rate([set(), set()])
    assert (found.rate.point, found.overlap_share) == (0.5, 1.0)
    assert found.rate.high > 0.99


def test_a_prior_moves_the_interval() -> None:
    runs = [set("abcd"), set("abc")]
    trusting = compute_flip_rate(runs, prior=(1, 99))
    assert trusting.rate.high < compute_flip_rate(runs).rate.high


@pytest.mark.parametrize(("runs", "prior"), [([{"a"}], (0.5, 0.5)), ([{"a"}, {"a"}], (0.0, 1.0))])
def test_one_run_or_no_prior_is_refused(runs: list[set[str]], prior: tuple[float, float]) -> None:
    with pytest.raises(InvalidInput):
        compute_flip_rate(runs, prior=prior)
