"""What the command line prints of analyses and findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from referee.analysis.measurement_trends import MeasurementTrend, show_value
from referee.analysis.views import Analysis, Finding, ToolRun
from referee.core.ids import format_id
from referee.core.vocabulary import Severity
from referee.foundation.web.formats import show_text

__all__ = ["print_analyses", "print_analysis", "print_findings", "print_trends", "render_ledger"]

_STATUS_STYLES: Final = {
    "succeeded": "green",
    "completed": "green",
    "not_applicable": "dim",
    "running": "cyan",
    "queued": "dim",
    "partially_completed": "yellow",
    "unavailable": "yellow",
    "cancelled": "yellow",
    "skipped": "yellow",
    "failed": "red",
    "timed_out": "red",
    "parse_error": "red",
    "target_unreachable": "red",
}
_SEVERITY_STYLES: Final = {
    Severity.critical: "bold red",
    Severity.high: "red",
    Severity.medium: "yellow",
    Severity.low: "blue",
    Severity.info: "dim",
}


def render_ledger(tool_runs: Sequence[ToolRun]) -> Table:
    """Return the completeness ledger: one row for each planned tool."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Service", "Tool", "Version", "Outcome"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Findings", "Suppressed", "Examined", "Time"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Note")
    for run in tool_runs:
        table.add_row(
            run.service.value,
            run.tool if run.stands_in_for is None else f"{run.tool} (stands in for {run.stands_in_for})",
            _show(run.version or ""),
            Text(run.status.replace("_", " "), style=_STATUS_STYLES.get(run.status, "")),
            _count(run.findings_count),
            _count(run.suppressed_count),
            _examined(run),
            _duration(run),
            _show(run.reason or "; ".join(run.notices[:1]), style="dim"),
        )
    return table


def print_analysis(console: Console, analysis: Analysis, tool_runs: Sequence[ToolRun]) -> None:
    """Print an analysis: its state, its ledger and its counts."""
    state = Text(analysis.state.value.replace("_", " "), style=_STATUS_STYLES.get(analysis.state.value, ""))
    heading = Text.assemble(
        _show(analysis.subject.name, style="bold"), "  ", state, "  ", _show(analysis.reason)
    )
    counts = analysis.severities
    summary = Text(f"{counts.total} findings: ")
    parts = []
    for severity in Severity:
        if counts.of(severity):
            parts.append(Text(f"{counts.of(severity)} {severity.value}", style=_SEVERITY_STYLES[severity]))
    summary.append_text(Text(", ").join(parts) if parts else Text("none"))
    if counts.suppressed:
        summary.append(f"; {counts.suppressed} more are suppressed in the code")
    files = Text(f"{analysis.files_count} files, {analysis.excluded_count} left out", style="dim")
    console.print(
        Group(heading, render_ledger(tool_runs), summary, files, format_id("analysis", analysis.analysis_id))
    )


def print_analyses(console: Console, analyses: Sequence[Analysis]) -> None:
    """Print a list of analyses."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Analysis", "Subject", "State", "Profile"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Tools", "Findings", "Critical", "High"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Accepted", no_wrap=True)
    for analysis in analyses:
        table.add_row(
            format_id("analysis", analysis.analysis_id),
            _show(analysis.subject.name),
            Text(analysis.state.value.replace("_", " "), style=_STATUS_STYLES.get(analysis.state.value, "")),
            analysis.profile,
            f"{analysis.complete_count}/{analysis.tools_count}",
            str(analysis.severities.total),
            str(analysis.severities.critical),
            str(analysis.severities.high),
            analysis.created_at.strftime("%Y-%m-%d %H:%M:%SZ"),
        )
    console.print(table)


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print a list of findings."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Severity", "State", "Tool", "Rule", "Place"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Message")
    table.add_column("Finding", no_wrap=True)
    for finding in findings:
        place = finding.path or finding.address or finding.subject_name
        table.add_row(
            Text(finding.severity.value, style=_SEVERITY_STYLES[finding.severity]),
            finding.state.value,
            finding.tool,
            _show(finding.rule_id),
            _show(f"{place}:{finding.start_line}" if finding.start_line else place),
            _show(finding.message.splitlines()[0] if finding.message else ""),
            format_id("finding", finding.finding_id),
        )
    console.print(table)


def _show(text: str, *, style: str = "") -> Text:
    """Return text of an app or a tool: nothing in it is markup, and nothing reaches the terminal as a command."""
    return Text(show_text(text), style=style)


def _count(value: int | None) -> str:
    return "–" if value is None else str(value)


def _examined(run: ToolRun) -> str:
    if run.coverage is None:
        return ""
    missing = int(str(run.coverage["skipped_count"])) + int(str(run.coverage["unreadable_count"]))
    examined = int(str(run.coverage["examined_count"]))
    return f"{examined}/{examined + missing}" if missing else str(examined)


def _duration(run: ToolRun) -> str:
    if run.cached_from_tool_run_id is not None:
        return "cached"
    return "" if run.duration_ms is None else f"{run.duration_ms / 1000:.1f} s"


def print_trends(console: Console, trends: Sequence[MeasurementTrend]) -> None:
    """Print measurements of an app over its versions."""
    if not trends:
        console.print("Nothing was measured twice yet. Analyse the app again, with tools that measure.")
        return
    table = Table("Measurement", "Latest version", "Shift", "Values", "Versions")
    for trend in trends:
        shift = ""
        if trend.shift is not None:
            low, point, high = (trend.shift.low, trend.shift.point, trend.shift.high)
            shift = (
                f"{show_value(point, '+')} {trend.unit} ({show_value(low, '+')} to {show_value(high, '+')})"
            )
        cells = (
            show_text(trend.key),
            trend.verdict,
            shift,
            f"{len(trend.latest):,} after {len(trend.earlier):,}",
            f"{trend.versions_count:,}",
        )
        table.add_row(*map(Text, cells))
    console.print(table)
