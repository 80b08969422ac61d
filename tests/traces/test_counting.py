"""Whose tokens count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from referee.traces.counting import find_uncounted
from referee.traces.sketches import RELATIVE_ERROR, compute_bucket, compute_quantile_ns


def test_an_agents_total_does_not_count_beside_its_calls() -> None:
    spans = [
        ("agent", None, True),
        ("chain", "agent", False),
        ("call", "chain", True),
        ("call2", "agent", True),
    ]
    assert find_uncounted(spans) == {"agent"}


def test_a_circle_of_parents_ends() -> None:
    assert find_uncounted([("a", "b", True), ("b", "a", True)]) == {"a", "b"}


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=30))
def test_every_path_has_exactly_its_lowest_span_with_numbers_counted(links: list[tuple[int, bool]]) -> None:
    spans = [
        (str(index), str(parent) if parent < index else None, has_numbers)
        for index, (parent, has_numbers) in enumerate(links)
    ]
    uncounted = find_uncounted(spans)
    parents = {uid: parent for uid, parent, _ in spans}
    for uid, _, has_numbers in spans:
        below = {
            other
            for other, _, other_has in spans
            if other_has and other != uid and uid in _list_above(other, parents)
        }
        assert (uid in uncounted) == (has_numbers and bool(below))


def _list_above(uid: str, parents: dict[str, str | None]) -> set[str]:
    above: set[str] = set()
    current = parents[uid]
    while current is not None:
        above.add(current)
        current = parents[current]
    return above


@given(st.lists(st.integers(1_001, 10**14), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_within_the_promised_error(durations: list[int], share: float) -> None:
    sketch: dict[int, int] = {}
    for duration in durations:
        bucket = compute_bucket(duration)
        sketch[bucket] = sketch.get(bucket, 0) + 1
    exact = sorted(durations)[int(share * (len(durations) - 1))]
    found = compute_quantile_ns(sketch, share)
    assert found is not None
    assert abs(found - exact) <= RELATIVE_ERROR * exact * 1.0001
