"""What the command line prints of pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from referee.core.ids import format_id
from referee.foundation.web.formats import show_text
from referee.pipelines.states import CellState
from referee.pipelines.views import Cell, Pipeline

__all__ = ["print_pipeline", "print_pipelines", "render_progress"]

_STYLES: Final = {
    "completed": "green",
    "running": "cyan",
    "queued": "dim",
    "paused": "yellow",
    "partially_completed": "yellow",
    "cancelled": "yellow",
    "failed": "red",
}


def render_progress(pipeline: Pipeline) -> Group:
    """Return a bar with the counts and the expected rest."""
    counts = pipeline.counts
    bar = ProgressBar(total=max(counts.total_count, 1), completed=counts.ended_count, width=40)
    return Group(bar, Text(describe_progress(pipeline)))


def describe_progress(pipeline: Pipeline) -> str:
    """Return the counts and the expected rest as one line."""
    counts = pipeline.counts
    parts = [f"{counts.ended_count} of {counts.total_count} cells ended", f"{counts.valid_count} valid"]
    parts += [
        f"{counts.of(state)} {state.value}"
        for state in (CellState.generating, CellState.analysing, CellState.failed)
        if counts.of(state)
    ]
    if pipeline.remaining_s is not None:
        parts.append(f"about {_show_duration(pipeline.remaining_s)} left")
    return ", ".join(parts)


def print_pipeline(console: Console, pipeline: Pipeline, holes: Sequence[Cell], holes_count: int) -> None:
    """Print a pipeline and the cells that are not valid."""
    state = pipeline.state.value
    console.print(
        Text.assemble(
            (show_text(pipeline.name), "bold"), "  ", (state.replace("_", " "), _STYLES.get(state, "")), "  ",
            show_text(pipeline.reason),
        )
    )  # fmt: skip
    console.print(describe_progress(pipeline))
    if pipeline.budget_usd is not None or pipeline.spent_usd:
        budget = "" if pipeline.budget_usd is None else f" of {pipeline.budget_usd:.2f} USD"
        console.print(f"Spent {pipeline.spent_usd:.4f} USD{budget}")
    unavailable = (pipeline.preflight or {}).get("unavailable")
    if isinstance(unavailable, dict):
        for tool, reason in unavailable.items():
            console.print(Text(f"{tool} cannot be had here: {show_text(str(reason))}", style="dim"))
    if holes:
        console.print(_render_holes(holes))
    if holes_count > len(holes):
        console.print(f"{holes_count - len(holes)} more cells are not valid.")
    console.print(format_id("pipeline", pipeline.pipeline_id))


def print_pipelines(console: Console, pipelines: Sequence[Pipeline]) -> None:
    """Print a list of pipelines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Pipeline", "Name", "State"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Cells", "Ended", "Valid"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pipeline in pipelines:
        counts, state = pipeline.counts, pipeline.state.value
        table.add_row(
            format_id("pipeline", pipeline.pipeline_id),
            Text(show_text(pipeline.name)),
            Text(state.replace("_", " "), style=_STYLES.get(state, "")),
            f"{counts.total_count:,}",
            f"{counts.ended_count:,}",
            f"{counts.valid_count:,}",
        )
    console.print(table)


def _render_holes(cells: Sequence[Cell]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Model", "Template", "No.", "State"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Reason")
    for cell in cells:
        table.add_row(
            Text(show_text(cell.model)),
            Text(show_text(cell.template)),
            str(cell.number),
            cell.state.value.replace("_", " "),
            Text(show_text(cell.reason)),
        )
    return table


def _show_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
