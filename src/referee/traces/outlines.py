"""The tree of a trace or session as rows: who stands below whom, how deep, where its bar begins and ends.

Computed in one pass over all spans, whatever they are: parents that never came,
circles, and chains of any depth (nothing here recurses).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from uuid import UUID

__all__ = ["MIN_BAR_SHARE", "Fold", "Outline", "OutlineRow", "OutlineSpan", "build_outline"]

MIN_BAR_SHARE: Final = 0.004
"""Of the scale: about two pixels, so that the shortest span can be seen."""

Oddity: TypeAlias = Literal["", "orphan", "circle"]


@dataclass(frozen=True, slots=True)
class OutlineSpan:
    """What of a span its row shows."""

    span_uid: UUID
    parent_uid: UUID | None
    span_id: str | None
    name: str
    event_type: str
    start_ns: int
    end_ns: int | None
    status: int
    is_failed: bool
    model: str | None
    total_tokens: int | None
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class OutlineRow:
    """One row that is shown."""

    span: OutlineSpan
    depth: int
    below_count: int
    """Spans at any depth below."""
    errors_below_count: int
    is_folded: bool
    oddity: Oddity
    """``orphan``: its parent is not here. ``circle``: its parents lead back to itself."""
    left_share: float
    """Where its bar begins on the scale, 0 to 1."""
    width_share: float


@dataclass(frozen=True, slots=True)
class Outline:
    """All rows that are not folded away, in their order, and what they are part of."""

    rows: Sequence[OutlineRow]
    spans_count: int
    errors_count: int
    orphans_count: int
    circles_count: int
    depth: int
    """Levels: 1 when no span has a parent here."""
    start_ns: int
    total_ns: int
    """Length of the scale."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Which spans are folded: from a level on, and those that were toggled by hand the other way."""

    open_levels_count: int | None = None
    """Levels whose children are shown; None shows all."""
    toggled: frozenset[UUID] = frozenset()

    def is_folded(self, span_uid: UUID, depth: int) -> bool:
        """Return whether the children of a span are hidden."""
        by_level = self.open_levels_count is not None and depth >= self.open_levels_count
        return by_level != (span_uid in self.toggled)


def build_outline(spans: Iterable[OutlineSpan], fold: Fold | None = None) -> Outline:
    """Return the rows of spans.

    Args:
        spans: Of one trace or one session, in any order. A span whose parent is not among them stands at the top,
            and so does the earliest of those that form a circle.
        fold: What is hidden.
    """
    ordered = sorted(spans, key=lambda span: (span.start_ns, span.span_uid))
    children, roots = _find_children(ordered)
    walk = _walk(ordered, children, roots)
    below, errors_below = _count_below(walk)
    start_ns, total_ns = _find_scale(ordered)
    shown = fold or Fold()
    rows: list[OutlineRow] = []
    hidden_below: int | None = None
    for span, depth, _, oddity in walk:
        if hidden_below is not None and depth > hidden_below:
            continue
        uid = span.span_uid
        hidden_below = None
        is_folded = below[uid] > 0 and shown.is_folded(uid, depth)
        if is_folded:
            hidden_below = depth
        left, width = _place(span, start_ns, total_ns)
        rows.append(
            OutlineRow(
                span, depth, below[uid], errors_below[uid], is_folded, oddity, left, width
            )
        )  # fmt: skip
    return Outline(
        rows=rows,
        spans_count=len(ordered),
        errors_count=sum(span.is_failed for span in ordered),
        orphans_count=sum(step[3] == "orphan" for step in walk),
        circles_count=sum(step[3] == "circle" for step in walk),
        depth=max((step[1] for step in walk), default=-1) + 1,
        start_ns=start_ns,
        total_ns=total_ns,
    )


_Step: TypeAlias = tuple[OutlineSpan, int, UUID | None, Oddity]
"""Span, depth, the span it hangs below, oddity."""


def _find_children(
    ordered: Sequence[OutlineSpan],
) -> tuple[dict[UUID, list[OutlineSpan]], list[OutlineSpan]]:
    known = {span.span_uid for span in ordered}
    children: dict[UUID, list[OutlineSpan]] = {}
    roots: list[OutlineSpan] = []
    for span in ordered:
        if span.parent_uid is None or span.parent_uid not in known:
            roots.append(span)
        else:
            children.setdefault(span.parent_uid, []).append(span)
    return children, roots


def _walk(
    ordered: Sequence[OutlineSpan], children: dict[UUID, list[OutlineSpan]], roots: Sequence[OutlineSpan]
) -> list[_Step]:
    """Return every span once, each after the one it hangs below."""
    steps: list[_Step] = []
    seen: set[UUID] = set()

    def descend(root: OutlineSpan, oddity: Oddity) -> None:
        waiting: list[_Step] = [(root, 0, None, oddity)]
        while waiting:
            step = waiting.pop()
            span, depth, _, _ = step
            if span.span_uid in seen:
                continue
            seen.add(span.span_uid)
            steps.append(step)
            waiting.extend(
                (child, depth + 1, span.span_uid, "")
                for child in reversed(children.get(span.span_uid, ()))
                if child.span_uid not in seen
            )

    for root in roots:
        descend(root, "" if root.parent_uid is None else "orphan")
    for span in ordered:
        if span.span_uid not in seen:
            descend(span, "circle")
    return steps


def _count_below(walk: Sequence[_Step]) -> tuple[dict[UUID, int], dict[UUID, int]]:
    below = {step[0].span_uid: 0 for step in walk}
    errors = dict(below)
    for span, _, above, _ in reversed(walk):
        if above is not None:
            below[above] += below[span.span_uid] + 1
            errors[above] += errors[span.span_uid] + span.is_failed
    return below, errors


def _find_scale(ordered: Sequence[OutlineSpan]) -> tuple[int, int]:
    if not ordered:
        return 0, 1
    start_ns = ordered[0].start_ns
    last_ns = max(max(span.start_ns, span.end_ns or 0) for span in ordered)
    return start_ns, max(1, last_ns - start_ns)


def _place(span: OutlineSpan, start_ns: int, total_ns: int) -> tuple[float, float]:
    """Return where a bar begins and how long it is; one that ends before it begins is as short as can be."""
    left = (span.start_ns - start_ns) / total_ns
    length = 0.0 if span.end_ns is None else max(0, span.end_ns - span.start_ns) / total_ns
    width = min(1.0, max(MIN_BAR_SHARE, length))
    return min(left, 1.0 - width), width
