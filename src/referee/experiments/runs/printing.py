"""What the command line prints of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from referee.experiments.runs.compare_rows import choose_metric, list_datapoints
from referee.experiments.runs.page_lists import build_statistic_rows, format_signed
from referee.experiments.runs.service import RunOutcome, RunPair
from referee.experiments.runs.statistics_views import RunStatistics
from referee.experiments.runs.views import Run
from referee.foundation.web.formats import format_instant, format_number, show_text

__all__ = ["dump_statistics", "print_comparison", "print_outcome", "print_runs"]

_FAILED_COUNT: Final = 20
_WORSE_COUNT: Final = 10
_WORDS: Final = {
    "better": ("better", "green"),
    "worse": ("worse", "red"),
    "not_shown": ("not shown to differ", "dim"),
    "unknown": ("too little to tell", "dim"),
}


def dump_statistics(statistics: RunStatistics) -> str:
    """Return the statistics as JSON."""
    return TypeAdapter(RunStatistics).dump_json(statistics, indent=1).decode()


def print_runs(console: Console, runs: Sequence[Run]) -> None:
    """Print runs as a table."""
    table = _make_table("Run", "Name", "Status", "Dataset", "Created")
    for run in runs:
        table.add_row(
            Text(show_text(run.run_id)),
            Text(show_text(run.name)),
            run.status,
            Text(show_text(run.dataset_name or run.dataset_id or "none")),
            format_instant(run.created_at),
        )
    console.print(table)


def print_outcome(console: Console, outcome: RunOutcome) -> None:
    """Print each metric, then the datapoints that failed."""
    run, result = outcome.run, outcome.result
    console.print(Text(show_text(run.name), style="bold"), Text(run.status))
    total = len(result.passed) + len(result.failed)
    console.print(
        f"{len(result.passed)} of {total} datapoints passed, in {len(result.trials)} trials; "
        f"{result.errors_count} trials failed with an error.",
        markup=False,
    )
    if result.metrics:
        table = _make_table("Metric", "Event", result.aggregate_function.capitalize(), "Scores", "Failed")
        for one in result.metrics:
            table.add_row(
                Text(show_text(one.key.metric_name)),
                Text(show_text(one.key.event_name)),
                "unknown" if one.aggregate is None else format_number(one.aggregate, 3),
                f"{len(one.values):,}",
                f"{len(one.failed):,}",
            )
        console.print(table)
    else:
        console.print("No metric has a score.")
    failed = [one for one in result.trials if not one.is_passed]
    for trial in failed[:_FAILED_COUNT]:
        names = [score.key.metric_name for score in trial.scores if score.is_passed is False]
        why = trial.trial.error or f"failed {', '.join(names)}"
        console.print(f"{show_text(trial.trial.name)}: {show_text(why)}"[:300], markup=False)
    if len(failed) > _FAILED_COUNT:
        console.print(f"and {len(failed) - _FAILED_COUNT} more")


def print_comparison(console: Console, pair: RunPair, statistics: RunStatistics) -> None:
    """Print each metric of the candidate against the baseline, then the datapoints that got worse most."""
    console.print(Text(show_text(f"{pair.old.run.name} → {pair.new.run.name}"), style="bold"))
    console.print(
        f"{statistics.common_count} common datapoints, {statistics.old_only_count} only in the baseline, "
        f"{statistics.new_only_count} only in the candidate.",
        markup=False,
    )
    table = _make_table("Metric", "Difference", "95 % interval", "Means", "Shared", "p, Holm", "Candidate is")
    for row in build_statistic_rows(statistics, lambda _: ""):
        cells = row.cells
        verdict = cells["verdict"]
        word, style = _WORDS[verdict[0] if isinstance(verdict, tuple) else "unknown"]
        table.add_row(
            Text(show_text(str(cells["metric"]))),
            *(str(cells[key]) for key in ("difference", "interval", "means", "shared", "p")),
            Text(word, style=style),
        )
    console.print(table)
    metric = choose_metric(pair, "")
    worse = [one for one in list_datapoints(pair, metric) if one[1] == "degraded"]
    if metric is not None and worse:
        console.print(Text(f"Worst datapoints by {show_text(metric.key.metric_name)}", style="bold"))
        for name, _, reach in worse[:_WORSE_COUNT]:
            change = reach if metric.higher_is_better else -reach
            console.print(f"{show_text(name)}  {format_signed(change)}", markup=False)
    for note in statistics.notes:
        console.print(note, markup=False)


def _make_table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for heading in headings:
        table.add_column(heading)
    return table
