"""The state of a page that shows a tree of spans, read from its address, and the addresses of its other states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query, Request

from referee.foundation.web.formats import format_duration
from referee.foundation.web.lists import change_query
from referee.traces.critical_paths import CriticalPath, PathStep
from referee.traces.outline_queries import MAX_OUTLINE_SPANS, MAX_SPAN_EVENTS, LoggedEvent
from referee.traces.outlines import MIN_BAR_SHARE, Fold, Outline, OutlineRow
from referee.traces.page_lists import show_cost
from referee.traces.span_panels import TABS, make_key_values

__all__ = ["ROWS_COUNT", "TreeState", "build_path_context", "build_tree_context", "read_tree_state"]

ROWS_COUNT: Final = 300
"""Rows in one answer; the next ones come when the last is scrolled into view."""
MAX_TOGGLED: Final = 60
MAX_INDENT_LEVELS: Final = 24
"""Deeper rows stand no further in; their depth is said in words."""
INDENT_PX: Final = 12
BAR_WIDTH: Final = 1_000
MAX_BARS: Final = 200
_TONES: Final = {"model": "series-1", "chain": "series-2", "tool": "series-3", "session": "series-8"}
_LEVELS: Final = (1, 2, 3, 5)
_VIEWS: Final = (("waterfall", "Waterfall"), ("critical", "Critical path"), ("log", "Span events"))


@dataclass(frozen=True, slots=True)
class TreeState:
    """What the address of a page asks for."""

    path: str
    parameters: tuple[tuple[str, str], ...]
    span: str
    tab: str
    view: str
    offset: int
    fold: Fold
    is_panel_only: bool
    """Whether only the panel of the answer will be used."""

    def url(self, **changes: str | None) -> str:
        """Return this page's address with parameters changed; None takes one away."""
        return change_query(self.path, self.parameters, **changes)

    def toggle_url(self, span_uid: UUID, offset: int) -> str:
        """Return the address that folds or unfolds a span."""
        toggled = [uid for uid in sorted(self.fold.toggled) if uid != span_uid]
        if span_uid not in self.fold.toggled:
            toggled.append(span_uid)
        kept = [(name, value) for name, value in self.parameters if name not in ("fold", "offset")]
        kept += [("fold", uid.hex) for uid in toggled[-MAX_TOGGLED:]]
        return change_query(self.path, kept, offset=str(offset) if offset else None)


async def read_tree_state(
    request: Request,
    span: Annotated[str, Query(max_length=600)] = "",
    tab: Annotated[Literal["io", "attributes", "events", "scores", "raw"], Query()] = "io",
    view: Annotated[Literal["waterfall", "critical", "log"], Query()] = "waterfall",
    offset: Annotated[int, Query(ge=0, le=MAX_OUTLINE_SPANS)] = 0,
    levels: Annotated[int | None, Query(ge=1, le=1_000)] = None,
    fold: Annotated[list[UUID] | None, Query(max_length=MAX_TOGGLED)] = None,
) -> TreeState:
    """Return the state that the address holds."""
    return TreeState(
        request.url.path,
        tuple(request.query_params.multi_items()),
        span,
        tab,
        view,
        offset,
        Fold(None if levels is None else levels - 1, frozenset(fold or ())),
        request.headers.get("hx-target") == "panel",
    )


def build_tree_context(
    state: TreeState, outline: Outline, logged: Sequence[LoggedEvent], key: Callable[[OutlineRow], str]
) -> dict[str, Any]:
    """Return what the template of a tree uses.

    Args:
        state: Of the page.
        outline: All rows.
        logged: Span events, for the view ``log``.
        key: What ``?span=`` says for a row.
    """
    shown = () if state.is_panel_only else outline.rows[state.offset :][:ROWS_COUNT]
    following = state.offset + len(shown)
    return {
        "tree": state,
        "outline": outline,
        "rows": [
            _build_row(state, outline, row, key(row), state.offset + index) for index, row in enumerate(shown)
        ],
        "rows_count": len(outline.rows),
        "next_url": state.url(offset=str(following)) if following < len(outline.rows) else "",
        "next_first": following + 1,
        "next_last": min(following + ROWS_COUNT, len(outline.rows)),
        "first_url": state.url(offset=None) if state.offset else "",
        "ticks": [format_duration(outline.total_ns * quarter / 4e9) for quarter in range(5)],
        "is_cut": outline.spans_count >= MAX_OUTLINE_SPANS,
        "path": None,
        "max_spans": MAX_OUTLINE_SPANS,
        "views": [
            {
                "url": state.url(view=None if word == "waterfall" else word, offset=None),
                "label": label,
                "is_current": state.view == word,
            }
            for word, label in _VIEWS
            if word != "critical" or state.path.startswith("/ui/traces/")
        ],
        "level_choices": _list_levels(state, outline),
        "logged": [_build_logged(state, outline, one) for one in logged[:MAX_SPAN_EVENTS]],
        "is_log_cut": len(logged) > MAX_SPAN_EVENTS,
        "max_span_events": MAX_SPAN_EVENTS,
        "panel_tabs": [
            {
                "url": state.url(tab=None if word == "io" else word),
                "label": label,
                "is_current": state.tab == word,
            }
            for word, label in TABS
        ],
        "close_url": state.url(span=None, tab=None),
    }


def build_path_context(state: TreeState, path: CriticalPath) -> dict[str, Any]:
    """Return what the view of a critical path shows: at most ``ROWS_COUNT`` steps, the longest ones."""
    shown = path.list_longest(ROWS_COUNT)
    covered_ns = sum(step.own_ns for step in path.steps)
    return {
        "rows": [_build_step(state, path, step) for step in shown],
        "left_out_count": len(path.steps) - len(shown),
        "steps_count": len(path.steps),
        "total": format_duration(path.total_ns / 1e9),
        "idle": format_duration((path.total_ns - covered_ns) / 1e9) if covered_ns < path.total_ns else "",
    }


def _build_step(state: TreeState, path: CriticalPath, step: PathStep) -> dict[str, Any]:
    span, total_ns = step.span, max(path.total_ns, 1)
    return {
        "row_id": span.span_uid.hex,
        "url": state.url(span=str(span.span_uid)),
        "is_selected": state.span in (str(span.span_uid), span.span_id),
        "name": span.name or "unnamed",
        "event_type": span.event_type,
        "tone": _TONES[span.event_type],
        "is_failed": span.is_failed,
        "bars": [
            (
                round((one.start_ns - path.start_ns) / total_ns * BAR_WIDTH, 1),
                round(max((one.end_ns - one.start_ns) / total_ns, MIN_BAR_SHARE) * BAR_WIDTH, 1),
            )
            for one in step.segments[:MAX_BARS]
        ],
        "own": step.own_ns / 1e9,
        "share": path.compute_share(step),
        "took": None if span.end_ns is None else (span.end_ns - span.start_ns) / 1e9,
    }


def _list_levels(state: TreeState, outline: Outline) -> list[dict[str, Any]]:
    """Return the choices of how many levels are shown."""
    current = state.fold.open_levels_count
    choices = [
        {
            "url": state.url(levels=str(count), fold=None, offset=None),
            "label": f"{count} level{'' if count == 1 else 's'}",
            "is_current": current == count - 1,
        }
        for count in _LEVELS
        if count < outline.depth
    ]
    everything = {
        "url": state.url(levels=None, fold=None, offset=None),
        "label": "All levels",
        "is_current": current is None,
    }
    return [*choices, everything] if choices else []


def _build_row(
    state: TreeState, outline: Outline, row: OutlineRow, key: str, position: int
) -> dict[str, Any]:
    span = row.span
    after_ns = span.start_ns - outline.start_ns
    return {
        "row_id": span.span_uid.hex,
        "url": state.url(span=key),
        "toggle_url": state.toggle_url(span.span_uid, position // ROWS_COUNT * ROWS_COUNT)
        if row.below_count
        else "",
        "is_selected": bool(state.span) and state.span in (key, str(span.span_uid), span.span_id),
        "row": row,
        "name": span.name or "unnamed",
        "tone": _TONES[span.event_type],
        "indent": min(row.depth, MAX_INDENT_LEVELS) * INDENT_PX,
        "is_deep": row.depth > MAX_INDENT_LEVELS,
        "x": round(row.left_share * BAR_WIDTH, 1),
        "width": round(row.width_share * BAR_WIDTH, 1),
        "after": format_duration(after_ns / 1e9),
        "took": None if span.end_ns is None else (span.end_ns - span.start_ns) / 1e9,
        "tokens": "" if span.total_tokens is None else f"{span.total_tokens:,}",
        "cost": show_cost(span.cost_usd),
    }


def _build_logged(state: TreeState, outline: Outline, one: LoggedEvent) -> dict[str, Any]:
    pairs = make_key_values("", one.attributes).pairs
    return {
        "after": format_duration((one.time_ns - outline.start_ns) / 1e9),
        "name": one.name,
        "span_name": one.span_name or "unnamed",
        "url": state.url(span=one.span_id or str(one.span_uid), tab="events"),
        "pairs": pairs[:20],
        "left_out_count": max(0, len(one.attributes) - 20),
    }
