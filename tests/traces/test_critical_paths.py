"""Which spans bound the duration of a trace."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.traces.critical_paths import CriticalPath, compute_critical_path
from referee.traces.outlines import OutlineSpan

TREES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 60), st.integers(-3, 60) | st.none()),
    min_size=1,
    max_size=12,
)


def make(number: int, parent: int | None, start_ns: int, end_ns: int | None) -> OutlineSpan:
    """Return a span of these times."""
    above = None if parent is None else UUID(int=parent)
    return OutlineSpan(
        UUID(int=number), above, None, f"span {number}", "chain", start_ns, end_ns, 0, False, None, None, None
    )


def tell(path: CriticalPath) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return numbers of spans with their stretches."""
    return [
        (step.span.span_uid.int, [(one.start_ns, one.end_ns) for one in step.segments]) for step in path.steps
    ]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        pytest.param([make(1, None, 0, 10)], [(1, [(0, 10)])], id="one span is its own path"),
        pytest.param(
            [make(1, None, 0, 100), make(2, 1, 10, 40), make(3, 1, 15, 90)],
            [(1, [(0, 15), (90, 100)]), (3, [(15, 90)])],
            id="of two side by side the one that ends last",
        ),
        pytest.param(
            [make(1, None, 0, 100), make(2, 1, 10, 40), make(3, 1, 50, 90), make(4, 3, 60, 90)],
            [(1, [(0, 10), (40, 50), (90, 100)]), (2, [(10, 40)]), (3, [(50, 60)]), (4, [(60, 90)])],
            id="one after another, all of them",
        ),
        pytest.param(
            [make(1, None, 0, 50), make(2, 1, 40, 500)],
            [(1, [(0, 40)]), (2, [(40, 50)])],
            id="what outlives its parent counts to the parent's end",
        ),
        pytest.param(
            [make(1, None, 0, None), make(2, 1, 5, 30)],
            [(1, [(0, 5)]), (2, [(5, 30)])],
            id="an open span lasts as long as what is below it",
        ),
        pytest.param(
            [make(1, 2, 0, 20), make(2, 1, 5, 10)],
            [(1, [(0, 5), (10, 20)]), (2, [(5, 10)])],
            id="a circle is cut",
        ),
        pytest.param(
            [make(1, 99, 0, 10), make(2, None, 20, 30)],
            [(1, [(0, 10)]), (2, [(20, 30)])],
            id="a gap between two at the top belongs to nobody",
        ),
    ],
)
def test_the_path_is_what_was_waited_for(
    spans: list[OutlineSpan], expected: list[tuple[int, list[tuple[int, int]]]]
) -> None:
    assert tell(compute_critical_path(spans)) == expected


@given(TREES)
def test_segments_never_overlap_and_stay_within_the_trace(tree: list[tuple[int, int, int | None]]) -> None:
    spans = [
        make(number, parent or None, start, None if length is None else start + length)
        for number, (parent, start, length) in enumerate(tree, start=1)
    ]
    path = compute_critical_path(spans)
    segments = sorted((one.start_ns, one.end_ns) for step in path.steps for one in step.segments)
    assert all(before[1] <= after[0] for before, after in pairwise(segments))
    assert all(start < end for start, end in segments)
    assert sum(step.own_ns for step in path.steps) <= max(path.total_ns, 0)


@given(TREES)
def test_a_single_root_is_covered_from_its_start_to_its_end(
    tree: list[tuple[int, int, int | None]],
) -> None:
    below = [
        make(number, min(parent, number - 1) or 1, start, None if length is None else start + length)
        for number, (parent, start, length) in enumerate(tree, start=2)
    ]
    path = compute_critical_path([make(1, None, 0, 100), *below])
    assert sum(step.own_ns for step in path.steps) == path.total_ns == 100


def test_a_chain_of_50_000_spans_is_walked_without_recursion() -> None:
    chain = [make(number, number - 1 or None, number, 200_000 - number) for number in range(1, 50_001)]
    path = compute_critical_path(chain)
    assert len(path.steps) == 50_000
    assert sum(step.own_ns for step in path.steps) == path.total_ns
