"""Runs, plans and answers as text for people."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import typer
from rich.markup import escape
from rich.table import Table

from referee.backfills.checking import compare_with_plan
from referee.backfills.contract import Answer, Backfill
from referee.backfills.ledger import Run
from referee.backfills.local import tell_reason
from referee.backfills.planning import Plan
from referee.backfills.progress import Progress, format_duration
from referee.foundation.terminal import make_console
from referee.foundation.web.formats import show_text

__all__ = ["ProgressLine", "print_answers", "print_plan", "print_run", "print_runs"]


class ProgressLine:
    """One line on standard error that follows a run: rewritten on a terminal, now and then elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._told_at = time.monotonic()
        self._is_shown = False

    def tell(self, progress: Progress) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if now - self._told_at < (0.1 if self._is_terminal else 5.0):
            return
        self._told_at = now
        self._write(describe_progress(progress))

    def tell_rows(self, done_count: int, total_count: int) -> None:
        """Show how far a dry run is."""
        now = time.monotonic()
        if now - self._told_at >= (0.1 if self._is_terminal else 5.0):
            self._told_at = now
            self._write(f"{done_count:,} of {total_count:,} rows")

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal and self._is_shown:
            sys.stderr.write("\r\x1b[K")

    def _write(self, line: str) -> None:
        self._is_shown = True
        sys.stderr.write(f"\r\x1b[K{line}" if self._is_terminal else f"{line}\n")
        sys.stderr.flush()


def describe_progress(progress: Progress) -> str:
    """Return a line such as ``41 %  410,000 of 1,000,000 rows  101,000 rows/s  6 s left``."""
    rate = "rate unknown" if progress.rows_per_s is None else f"{progress.rows_per_s:,.0f} rows/s"
    left = (
        "time left unknown"
        if progress.remaining_s is None
        else f"{format_duration(progress.remaining_s)} left"
    )
    failed = f"  {progress.failed_count:,} failed" if progress.failed_count else ""
    done = f"{progress.done_count:,} of {progress.total_count:,} rows"
    return f"{progress.done_share:.0%}  {done}  {rate}  {left}{failed}"


def print_plan(plan: Plan) -> None:
    """Print what a run would do."""
    version = f", schema version {plan.schema_version}" if plan.schema_version else ""
    typer.echo(f"{plan.backfill} on {show_text(plan.target)}{version}: nothing was written.")
    typer.echo(f"{plan.selected_count:,} of {plan.table_count:,} rows are selected.")
    if plan.predicted is not None:
        counts = plan.predicted
        typer.echo(
            f"{counts.filled_count:,} would be filled, {counts.failed_count:,} would fail, "
            f"{counts.left_count:,} have nothing to fill yet."
        )
        table = Table("cells by rule", "count", box=None)
        for key, count in [*sorted(counts.rules.items()), *sorted(counts.reasons.items())]:
            table.add_row(escape(key), f"{count:,}")
        make_console().print(table)
    typer.echo(f"Plan {plan.digest}")


def print_run(run: Run, backfill: Backfill) -> None:
    """Print what became of a run. Its time is that of its batches: rests between them are none of its speed."""
    took = f"{run.running_s:.1f} s" if run.running_s < 10 else format_duration(run.running_s)
    rate = f", {run.counts.seen_count / run.running_s:,.0f} rows/s" if run.running_s > 0 else ""
    typer.echo(
        f"Run {run.run_no} of {run.backfill} {run.state}: {run.counts.seen_count:,} of {run.selected_count:,} rows in "
        f"{took} of work{rate}."
    )
    if run.reason:
        typer.echo(show_text(run.reason))
    table = Table("what", "planned", "done", box=None)
    for name, predicted, actual in compare_with_plan(run):
        planned = "" if predicted is None else f"{predicted:,}"
        mark = "" if predicted in (None, actual) else "  differs"
        told = tell_reason(backfill, name)
        table.add_row(escape(f"{name}  {told}" if told else name), planned, f"{actual:,}{mark}")
    make_console().print(table)
    for check in run.checks:
        if check["is_right"] is False:
            typer.echo(f"Wrong: {check['what']}: expected {check['expected']}, found {check['found']}.")
        if check["note"]:
            typer.echo(check["note"])


def print_runs(runs: Sequence[Run]) -> None:
    """Print runs as a table."""
    if not runs:
        typer.echo("No backfill has run here yet.")
        return
    table = Table("run", "backfill", "state", "rows", "of", "failed", "batch", "started", "note", box=None)
    for run in runs:
        table.add_row(
            str(run.run_no),
            run.backfill,
            run.state.value + (f", {run.requested} asked" if run.requested else ""),
            f"{run.counts.seen_count:,}",
            f"{run.selected_count:,}",
            f"{run.counts.failed_count:,}",
            f"{run.options.batch_size:,}",
            run.started_at,
            escape(show_text(run.reason)),
        )
    make_console().print(table)


def print_answers(answers: Sequence[Answer]) -> None:
    """Print questions with their answers as tables."""
    for number, answer in enumerate(answers, start=1):
        verdict = {True: "  right", False: "  WRONG", None: ""}[answer.is_right]
        typer.echo(f"{number}. {answer.question}{verdict}")
        table = Table(*answer.columns, box=None)
        for row in answer.rows:
            table.add_row(*(escape(_show(value)) for value in row))
        make_console().print(table)
        typer.echo("")


def _show(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else show_text(str(value))
