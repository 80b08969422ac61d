"""The critical path of a trace: the spans that bound how long it took, and for how long each of them did.

Walked backwards from the end: what ended last was waited for; before it began, what had ended by then; and between
them the span itself. Only what shortens one of these spans shortens the trace.

Not here: reading spans and drawing rows (``trace_reading``, ``tree_pages``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from referee.traces.outlines import OutlineSpan

__all__ = ["CriticalPath", "PathSegment", "PathStep", "compute_critical_path"]

_TOP: Final = UUID(int=0)
"""Stands for what holds all spans without a parent here."""


@dataclass(frozen=True, slots=True)
class PathSegment:
    """A stretch of time that one span bounds by itself: it waited for nothing below it."""

    span: OutlineSpan
    start_ns: int
    end_ns: int
    """After ``start_ns``."""


@dataclass(frozen=True, slots=True)
class PathStep:
    """One span of the path, with all its stretches."""

    span: OutlineSpan
    segments: tuple[PathSegment, ...]
    """By time."""

    @property
    def own_ns(self) -> int:
        """How long it bounds the trace by itself, in nanoseconds."""
        return sum(segment.end_ns - segment.start_ns for segment in self.segments)


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The spans that bound a trace, in the order in which they first do."""

    steps: Sequence[PathStep]
    start_ns: int
    total_ns: int
    """From the first start to the last end; what the steps do not cover, no span was running in."""

    def compute_share(self, step: PathStep) -> float:
        """Return how much of the trace a step bounds by itself, 0 to 1."""
        return min(1.0, step.own_ns / self.total_ns) if self.total_ns else 0.0

    def list_longest(self, most: int) -> list[PathStep]:
        """Return the steps that bound the trace longest, still in their order."""
        if len(self.steps) <= most:
            return list(self.steps)
        places = sorted(range(len(self.steps)), key=lambda place: -self.steps[place].own_ns)[:most]
        return [self.steps[place] for place in sorted(places)]


def compute_critical_path(spans: Iterable[OutlineSpan]) -> CriticalPath:
    """Return the critical path of the spans of one trace.

    Args:
        spans: In any order. A span whose parent is not among them stands at the top, and so do all of a circle. One
            that has not ended lasts as long as what is below it; what outlives its parent counts up to the parent's
            end, since nobody waited for the rest.

    Source:
        Zhang et al. (2022), "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC,
        section 3: the last child to finish before the present instant, then the same from its start.
    """
    known = {span.span_uid: span for span in spans}
    children = _find_children(known)
    ends = _find_ends(known, children)
    for below in children.values():
        below.sort(key=lambda span: (-ends[span.span_uid], span.start_ns, span.span_uid))
    top = children.get(_TOP, [])
    if not top:
        return CriticalPath((), 0, 0)
    start_ns = min(span.start_ns for span in top)
    end_ns = max(ends[span.span_uid] for span in top)
    found: dict[UUID, list[PathSegment]] = {}
    for segment in _walk_back(children, ends, start_ns, end_ns):
        found.setdefault(segment.span.span_uid, []).append(segment)
    steps = [PathStep(known[uid], tuple(reversed(segments))) for uid, segments in found.items()]
    steps.sort(key=lambda step: (step.segments[0].start_ns, step.span.start_ns, step.span.span_uid))
    return CriticalPath(steps, start_ns, end_ns - start_ns)


def _find_children(known: dict[UUID, OutlineSpan]) -> dict[UUID, list[OutlineSpan]]:
    """Return the spans below each; those of a circle, which no top leads to, are put below the top."""
    children: dict[UUID, list[OutlineSpan]] = {}
    for span in known.values():
        above = span.parent_uid if span.parent_uid in known and span.parent_uid != span.span_uid else _TOP
        children.setdefault(above or _TOP, []).append(span)
    reached = {span.span_uid for span in _go_down(children)}
    for span in known.values():
        if span.span_uid not in reached and span.parent_uid is not None:
            children[span.parent_uid].remove(span)
            children.setdefault(_TOP, []).append(span)
            reached |= {below.span_uid for below in _go_down(children, span)}
    return children


def _go_down(
    children: dict[UUID, list[OutlineSpan]], top: OutlineSpan | None = None
) -> Iterator[OutlineSpan]:
    """Yield spans, each after the one it hangs below."""
    waiting = list(children.get(_TOP, ())) if top is None else [top]
    while waiting:
        span = waiting.pop()
        yield span
        waiting.extend(children.get(span.span_uid, ()))


def _find_ends(known: dict[UUID, OutlineSpan], children: dict[UUID, list[OutlineSpan]]) -> dict[UUID, int]:
    ends: dict[UUID, int] = {}
    for span in reversed(list(_go_down(children))):
        below = [ends[child.span_uid] for child in children.get(span.span_uid, ())]
        ends[span.span_uid] = max(span.start_ns, *below, 0) if span.end_ns is None else span.end_ns
    return ends


@dataclass(slots=True)
class _Frame:
    """A span whose children are being gone through, the last to end first."""

    span: OutlineSpan | None
    from_ns: int
    until_ns: int
    cursor_ns: int
    """Up to where its time is still to be told."""
    below: Iterator[OutlineSpan]


def _walk_back(
    children: dict[UUID, list[OutlineSpan]], ends: dict[UUID, int], start_ns: int, end_ns: int
) -> Iterator[PathSegment]:
    """Yield the segments, the last one first."""
    stack = [_Frame(None, start_ns, end_ns, end_ns, iter(children[_TOP]))]
    while stack:
        frame = stack[-1]
        child = next(frame.below, None)
        if child is None:
            stack.pop()
            if frame.span is not None and frame.from_ns < frame.cursor_ns:
                yield PathSegment(frame.span, frame.from_ns, frame.cursor_ns)
            continue
        until_ns = min(ends[child.span_uid], frame.until_ns)
        if frame.span is None:
            until_ns = min(until_ns, frame.cursor_ns)  # at the top nobody waits for anybody: what ran, counts
        from_ns = max(child.start_ns, frame.from_ns)
        if from_ns >= until_ns or until_ns > frame.cursor_ns:
            continue
        if frame.span is not None and until_ns < frame.cursor_ns:
            yield PathSegment(frame.span, until_ns, frame.cursor_ns)
        frame.cursor_ns = from_ns
        stack.append(_Frame(child, from_ns, until_ns, until_ns, iter(children.get(child.span_uid, ()))))
