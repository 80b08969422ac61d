"""What the command line prints of sessions and traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from referee.foundation.web.formats import format_duration, format_instant, truncate_text
from referee.traces.critical_paths import CriticalPath
from referee.traces.outlines import Outline
from referee.traces.page_lists import show_cost
from referee.traces.views import Session

__all__ = ["print_critical_path", "print_outline", "print_sessions"]

MAX_INDENT_LEVELS: Final = 24
_ODDITIES: Final = {"": "", "orphan": " [parent missing]", "circle": " [circle]"}


def print_sessions(console: Console, sessions: Sequence[Session]) -> None:
    """Print sessions as a table."""
    table = _make_table("Session", "Name", "Started", "Took", "Events", "Errors", "Tokens", "USD")
    for one in sessions:
        table.add_row(
            Text(truncate_text(one.session_id, 60)),
            Text(truncate_text(one.name, 60)),
            format_instant(one.started_at),
            format_duration(None if one.duration_ms is None else one.duration_ms / 1e3),
            f"{one.events_count:,}",
            f"{one.errors_count:,}",
            f"{one.total_tokens:,}",
            show_cost(one.cost_usd),
        )
    console.print(table)


def print_outline(console: Console, outline: Outline, limit: int) -> None:
    """Print at most ``limit`` rows of a tree."""
    table = _make_table("Span", "Type", "After", "Took", "Tokens", "USD", "Id")
    for row in outline.rows[:limit]:
        span = row.span
        name = f"{'  ' * min(row.depth, MAX_INDENT_LEVELS)}{truncate_text(span.name or 'unnamed', 80)}"
        text = Text(name)
        text.append(_ODDITIES[row.oddity], style="dim")
        text.append(" [error]" if span.is_failed else "", style="red")
        table.add_row(
            text,
            span.event_type,
            format_duration((span.start_ns - outline.start_ns) / 1e9),
            format_duration(None if span.end_ns is None else (span.end_ns - span.start_ns) / 1e9),
            "" if span.total_tokens is None else f"{span.total_tokens:,}",
            show_cost(span.cost_usd),
            span.span_id or str(span.span_uid),
        )
    console.print(table)
    rest = len(outline.rows) - limit
    console.print(
        f"{outline.spans_count:,} spans, {outline.errors_count:,} with errors, "
        f"{format_duration(outline.total_ns / 1e9)}" + (f"; {rest:,} more with --limit" if rest > 0 else ""),
        markup=False,
    )


def print_critical_path(console: Console, path: CriticalPath, limit: int) -> None:
    """Print at most ``limit`` steps of a path, those that bound the trace longest."""
    table = _make_table("Span", "Type", "By itself", "Share", "Took", "Id")
    for step in path.list_longest(limit):
        span = step.span
        table.add_row(
            Text(truncate_text(span.name or "unnamed", 80)),
            span.event_type,
            format_duration(step.own_ns / 1e9),
            f"{path.compute_share(step):.1%}",
            format_duration(None if span.end_ns is None else (span.end_ns - span.start_ns) / 1e9),
            span.span_id or str(span.span_uid),
        )
    console.print(table)
    rest = len(path.steps) - limit
    console.print(
        f"{len(path.steps):,} spans bound {format_duration(path.total_ns / 1e9)}"
        + (f"; {rest:,} more with --limit" if rest > 0 else ""),
        markup=False,
    )


def _make_table(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, no_wrap=head in ("Id", "Started"))
    return table
