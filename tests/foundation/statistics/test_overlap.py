"""Which tools found the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from referee.foundation.statistics import Overlap, count_frequencies, count_overlaps

FOUND = {"bandit": {"a", "b", "c"}, "semgrep": {"b", "c", "d"}, "ruff": {"c"}, "eslint": set[str]()}


def test_each_thing_counts_once_under_exactly_its_tools() -> None:
    assert count_overlaps(FOUND) == (
        Overlap(tools=("bandit",), count=1),
        Overlap(tools=("semgrep",), count=1),
        Overlap(tools=("bandit", "semgrep"), count=1),
        Overlap(tools=("bandit", "ruff", "semgrep"), count=1),
    )


def test_frequencies_reach_up_to_all_tools() -> None:
    assert count_frequencies(FOUND) == (2, 1, 1, 0)


@given(st.dictionaries(st.sampled_from("ABCDE"), st.frozensets(st.sampled_from("uvwxyz")), min_size=1))
def test_nothing_is_lost_or_counted_twice(found: dict[str, frozenset[str]]) -> None:
    everything = frozenset[str]().union(*found.values())
    assert sum(one.count for one in count_overlaps(found)) == len(everything)
    assert sum(count_frequencies(found)) == len(everything)
    weighted = sum(times * count for times, count in enumerate(count_frequencies(found), start=1))
    assert weighted == sum(map(len, found.values()))
