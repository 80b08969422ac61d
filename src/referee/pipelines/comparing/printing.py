"""What the command line prints of a comparison."""

from __future__ import annotations

from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from referee.foundation.web.formats import show_text
from referee.pipelines.comparing.metrics import format_difference, format_value
from referee.pipelines.comparing.page_tables import describe_interval, describe_p, describe_reach
from referee.pipelines.comparing.views import MetricView, ModelComparison

__all__ = ["print_comparison"]

_WORDS = {
    "better": ("better", "green"),
    "worse": ("worse", "red"),
    "not_shown": ("not shown to differ", "dim"),
    "unknown": ("too little to tell", "dim"),
}
_SCREENS_COUNT = 20


def print_comparison(console: Console, comparison: ModelComparison) -> None:
    """Print every metric against the baseline, the chosen one over all models, and what got worse."""
    console.print(Text(show_text(comparison.source_name), style="bold"))
    console.print(
        f"{comparison.valid_count} of {comparison.cells_count} cells are valid; only these count. "
        f"Paired by {comparison.unit_word} ({len(comparison.units)}).",
        markup=False,
    )
    for note in comparison.notes:
        console.print(note, markup=False)
    for tool, why in comparison.tools_left_out.items():
        console.print(f"{tool} is left out of sums: {show_text(why)}", markup=False, style="dim")
    if not comparison.metrics:
        console.print("Nothing is measured yet.")
    for candidate in comparison.candidates:
        console.print(_tabulate_metrics(comparison, candidate))
    metric = comparison.find_metric(comparison.metric)
    if metric is not None:
        console.print(_tabulate_models(metric))
        if metric.best is not None:
            console.print(f"Cannot be told from the best: {show_text(', '.join(metric.best))}", markup=False)
        for one in metric.missing[:5]:
            console.print(f"{one.cells_count} cells have no value: {show_text(one.reason)}", markup=False)
    if comparison.screens:
        console.print(_tabulate_screens(comparison))
    console.print(
        f"Intervals: 95 %. Adjusted p: Holm over {comparison.claims_looks_count} claims, "
        f"Benjamini–Hochberg over {comparison.screens_looks_count} screened items. Seed {comparison.seed}.",
        markup=False,
    )


def _tabulate_metrics(comparison: ModelComparison, candidate: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title = Text(show_text(f"{comparison.baseline} → {candidate}"))
    table.add_column("Metric")
    for heading in ("Difference", "95 % interval", "Shared", "Adjusted p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Candidate is")
    for metric in comparison.metrics:
        one = metric.find_difference(candidate, comparison.baseline)
        if one is None:
            continue
        word, style = _WORDS[one.verdict]
        table.add_row(
            metric.title,
            format_difference(metric.scale, one.value),
            describe_reach(metric.scale, one.interval),
            f"{one.shared_count} of {one.planned_count}",
            describe_p(one.adjusted_p_value),
            Text(word, style=style),
        )
    return table


def _tabulate_models(metric: MetricView) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title = Text(f"{metric.title} ({metric.direction})")
    table.add_column("Model")
    for heading in ("Mean", "95 % interval", "Units", "Cells"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in metric.models:
        table.add_row(
            Text(show_text(one.model)),
            format_value(metric.scale, one.value),
            describe_interval(one.interval, partial(format_value, metric.scale)),
            f"{one.units_count} of {one.planned_units_count}",
            f"{one.cells_count} of {one.planned_cells_count}",
        )
    return table


def _tabulate_screens(comparison: ModelComparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title = Text("Tools, rules and CWEs, what got worse first")
    for heading in ("Candidate", "Item"):
        table.add_column(heading)
    for heading in ("Findings per app", "Shared", "Adjusted p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Candidate is")
    for one in comparison.screens[:_SCREENS_COUNT]:
        word, style = _WORDS[one.verdict]
        table.add_row(
            Text(show_text(one.candidate)),
            Text(show_text(one.key)),
            format_difference("number", one.difference),
            f"{one.shared_count} of {one.planned_count}",
            describe_p(one.adjusted_p_value),
            Text(word, style=style),
        )
    return table
