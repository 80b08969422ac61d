"""What the command line prints of reports."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from referee.core.ids import format_id
from referee.foundation.web.formats import show_text
from referee.pipelines.reports.views import Report

__all__ = ["print_reports"]


def print_reports(console: Console, reports: Sequence[Report]) -> None:
    """Print a list of reports."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Report", "Kind", "State"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Title")
    for report in reports:
        table.add_row(
            format_id("report", report.report_id),
            report.kind.value.replace("_", " "),
            report.state.value,
            Text(show_text(report.title)),
        )
    console.print(table)
