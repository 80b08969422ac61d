"""``referee operations``: how operations go, in one window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args
from uuid import UUID

import typer

from referee.foundation.terminal import (
    DatabaseApplication,
    JsonOption,
    ProjectOption,
    make_console,
    run_for_project,
)

if TYPE_CHECKING:
    from referee.operations.overview import Overview

__all__ = ["operations"]


def operations(
    ctx: typer.Context,
    window: Annotated[
        str, typer.Option("--window", help="How far back to look: 1h, 24h, 7d or 30d.")
    ] = "24h",
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show how operations go: success, durations, creation latency, repeats, artifacts, alerts, workers."""
    from referee.core.errors import InvalidInput
    from referee.operations.overview import read_overview
    from referee.operations.overview_models import OperationsModel
    from referee.operations.windows import WINDOW_NAMES, WindowName, make_window

    if window not in WINDOW_NAMES:
        raise InvalidInput(
            "operations.window_unknown",
            f"There is no window {window[:20]!r}.",
            f"Choose one of {', '.join(get_args(WindowName))}.",
        )
    name: WindowName = window

    async def run(application: DatabaseApplication, project_id: UUID) -> Overview:
        return await read_overview(application.database, project_id, make_window(name))

    overview = run_for_project(ctx, project, run)
    if is_json:
        typer.echo(OperationsModel.of(overview).model_dump_json(indent=1))
        return
    _print(overview)


def _print(overview: Overview) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("What", "Value", "Of", title=f"The last {overview.window.name}", title_justify="left")
    for row in _list_rows(overview):
        table.add_row(*(Text(str(cell)) for cell in row))
    make_console().print(table)


def _list_rows(overview: Overview) -> list[tuple[Any, ...]]:
    from referee.foundation.web.formats import format_duration, format_share

    repeats, hand_overs, artifacts = overview.repeats, overview.hand_overs, overview.artifacts
    rows: list[tuple[Any, ...]] = [
        (
            f"{one.service.value} succeeded",
            "none" if one.interval is None else format_share(one.interval.point),
            f"{one.total_count:,} analyses",
        )
        for one in overview.services
    ]
    last = overview.durations[-1] if overview.durations else None
    count = sum(part.count for part in overview.durations)
    rows.append(
        (
            "median duration, latest part",
            "none" if last is None else format_duration(last.p50_s),
            f"{count:,} analyses",
        )
    )
    rows += [
        (
            f"duration changed at {overview.durations[change.index].at:%Y-%m-%d %H:%M} UTC",
            f"{format_duration(change.before_median)} to {format_duration(change.after_median)}",
            f"p {change.p_value:.2g}",
        )
        for change in overview.duration_changes
    ]
    p95_s = overview.creation.find_quantile_s(0.95)
    rows += [
        (
            "creation, 95 of 100 within",
            "none" if p95_s is None else format_duration(p95_s),
            f"{overview.creation.count:,} creations",
        ),
        ("asked for twice", f"{repeats.doubled_count:,}", f"{repeats.analyses_count:,} analyses"),
        (
            "second results refused",
            f"{repeats.refused_attempts_count:,}",
            f"{repeats.attempts_count:,} attempts",
        ),
        ("hand-overs refused", f"{hand_overs.refused_count:,}", f"{hand_overs.ended_count:,} hand-overs"),
        ("artifact failures", f"{artifacts.failures_count:,}", f"{artifacts.count:,} writes"),
        (
            "alerts now",
            f"{len(overview.firing):,}",
            ", ".join(rule.draft.name for rule in overview.firing[:3]),
        ),
        (
            "workers",
            f"{len(overview.workers):,}",
            f"{sum(one.waiting_count for one in overview.queues):,} jobs wait",
        ),
    ]
    return rows
