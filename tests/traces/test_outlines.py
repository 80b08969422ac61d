"""Trees of spans: any shape becomes rows, each span once, each below its parent."""

from __future__ import annotations

import time
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from referee.traces.outlines import MIN_BAR_SHARE, Fold, Outline, OutlineSpan, build_outline


def make(
    number: int, parent: int | None = None, *, start: int | None = None, took: int | None = 10
) -> OutlineSpan:
    start_ns = number if start is None else start
    return OutlineSpan(
        span_uid=UUID(int=number),
        parent_uid=None if parent is None else UUID(int=parent),
        span_id=f"{number:016x}",
        name=str(number),
        event_type="chain",
        start_ns=start_ns,
        end_ns=None if took is None else start_ns + took,
        status=0,
        is_failed=number % 7 == 0,
        model=None,
        total_tokens=None,
        cost_usd=None,
    )


def tell(outline: Outline) -> list[tuple[str, int]]:
    return [(row.span.name, row.depth) for row in outline.rows]


def test_children_stand_below_their_parents_by_their_start() -> None:
    outline = build_outline([make(3, 1, start=9), make(2, 1, start=5), make(4, 2), make(1, start=0)])
    assert tell(outline) == [("1", 0), ("2", 1), ("4", 2), ("3", 1)]
    assert [row.below_count for row in outline.rows] == [3, 1, 0, 0]
    assert outline.depth == 3


def test_spans_without_their_parents_stand_at_the_top_and_say_so() -> None:
    outline = build_outline([make(1), make(2, 99), make(3, 2)])
    assert [(row.span.name, row.depth, row.oddity) for row in outline.rows] == [
        ("1", 0, ""), ("2", 0, "orphan"), ("3", 1, ""),
    ]  # fmt: skip
    assert (outline.orphans_count, outline.circles_count) == (1, 0)


def test_a_circle_is_cut_at_its_earliest_span() -> None:
    outline = build_outline([make(1, 3), make(2, 1), make(3, 2), make(4, 3), make(5, 5)])
    assert [(row.span.name, row.depth, row.oddity) for row in outline.rows] == [
        ("1", 0, "circle"), ("2", 1, ""), ("3", 2, ""), ("4", 3, ""), ("5", 0, "circle"),
    ]  # fmt: skip
    assert outline.rows[0].below_count == 3


def test_folding_hides_what_is_below_and_counts_it() -> None:
    spans = [make(1), make(2, 1), make(7, 2), make(4, 1)]
    folded = build_outline(spans, Fold(None, frozenset({UUID(int=2)})))
    assert tell(folded) == [("1", 0), ("2", 1), ("4", 1)]
    assert [(row.is_folded, row.errors_below_count) for row in folded.rows] == [
        (False, 1),
        (True, 1),
        (False, 0),
    ]
    by_level = Fold(1, frozenset({UUID(int=2)}))
    assert tell(build_outline(spans, by_level)) == [("1", 0), ("2", 1), ("7", 2), ("4", 1)]
    assert tell(build_outline(spans, Fold(0))) == [("1", 0)]


def test_bars_lie_on_the_scale_and_can_be_seen() -> None:
    spans = [make(1, start=0, took=1_000_000), make(2, 1, start=999_999, took=1), make(3, 1, start=5, took=None),
             make(4, 1, start=500_000, took=-400_000)]  # fmt: skip
    rows = build_outline(spans).rows
    assert all(
        row.width_share >= MIN_BAR_SHARE and 0 <= row.left_share <= 1 - row.width_share for row in rows
    )
    assert (rows[0].left_share, rows[0].width_share) == (0.0, 1.0)


def test_nothing_is_an_outline_without_rows() -> None:
    assert (build_outline([]).rows, build_outline([]).depth) == ([], 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.none() | st.integers(0, 30)), max_size=40, unique_by=lambda p: p[0]
    )
)
def test_every_span_is_there_once_whatever_the_parents(pairs: list[tuple[int, int | None]]) -> None:
    outline = build_outline([make(number, parent) for number, parent in pairs])
    assert sorted(row.span.span_uid.int for row in outline.rows) == sorted(number for number, _ in pairs)
    assert sum(row.depth == 0 for row in outline.rows) == len(pairs) - sum(
        row.depth > 0 for row in outline.rows
    )
    assert outline.depth <= len(pairs)


def test_a_chain_of_50_000_spans_is_laid_out_within_seconds() -> None:
    spans = [make(number, number - 1 or None) for number in range(1, 50_001)]
    begun = time.perf_counter()
    outline = build_outline(spans)
    assert (outline.depth, len(outline.rows)) == (50_000, 50_000)
    assert time.perf_counter() - begun < 10
