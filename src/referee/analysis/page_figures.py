"""Number cards and charts of this room's pages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from referee.analysis.overview import OPEN_FILTER, Overview
from referee.analysis.views import Analysis, Facet, ToolRun
from referee.core.vocabulary import AnalysisState, FindingState, Outcome, Severity
from referee.foundation.web.charts import Bar, Segment, Span, Tone
from referee.foundation.web.formats import format_duration
from referee.foundation.web.lists import Card
from referee.foundation.web.templating import with_query

__all__ = [
    "build_analysis_cards",
    "build_outcome_bars",
    "build_overview_cards",
    "build_severity_bars",
    "build_tool_spans",
]

_OUTCOME_TONES: Mapping[Outcome, Tone] = {
    Outcome.succeeded: "ok",
    Outcome.not_applicable: "idle",
    Outcome.unavailable: "warn",
    Outcome.cancelled: "idle",
}
_SEVERITY_TONES: Mapping[Severity, Tone] = {
    Severity.critical: "critical",
    Severity.high: "high",
    Severity.medium: "medium",
    Severity.low: "low",
    Severity.info: "info",
}
_BEFORE_UNIT: Final = re.compile(r"(?<=\d) (?=[a-z])")


def build_overview_cards(overview: Overview) -> list[Card]:
    """Return the numbers on top of the overview."""
    states, findings = overview.analyses, overview.findings
    active_count = overview.active_count
    return [
        Card(
            "Open findings",
            f"{findings[FindingState.open]:,}",
            f"{findings[FindingState.fixed]:,} fixed, {findings[FindingState.dismissed]:,} dismissed",
            url=with_query("/ui/findings", filter=OPEN_FILTER),
        ),
        Card(
            "Analyses",
            f"{sum(states.values()):,}",
            f"{states[AnalysisState.completed]:,} completed",
            url="/ui/analyses",
        ),
        Card(
            "Under way",
            f"{active_count:,}",
            f"{states[AnalysisState.queued]:,} waiting",
            tone="accent" if active_count else "",
            url=with_query("/ui/analyses", filter="state:(queued OR running)"),
        ),
        Card(
            "Tool runs with a result",
            f"{overview.complete_runs_count:,}",
            f"of {overview.runs_count:,} that ended",
        ),
    ]


def build_analysis_cards(analysis: Analysis, now: datetime) -> list[Card]:
    """Return the numbers on top of an analysis."""
    counts = analysis.severities
    base = f"/ui/analyses/{analysis.analysis_id}"
    missing_count = analysis.tools_count - analysis.complete_count
    is_known = analysis.complete_count > 0
    worst_count = counts.critical + counts.high
    tone = "ok" if missing_count == 0 else "warn" if analysis.state.is_final else ""
    return [
        Card(
            "Findings",
            f"{counts.total:,}" if is_known else "unknown",
            f"{counts.suppressed:,} more suppressed in the code" if counts.suppressed else "",
            url=with_query(f"{base}/findings", filter="suppressed:no"),
        ),
        Card(
            "Critical or high",
            f"{worst_count:,}" if is_known else "unknown",
            f"{counts.critical:,} critical, {counts.high:,} high" if worst_count else "",
            tone="critical" if counts.critical else "high" if counts.high else "",
            url=with_query(f"{base}/findings", filter="severity:>=high suppressed:no"),
        ),
        Card("Tools with a result", f"{analysis.complete_count} of {analysis.tools_count}", tone=tone),
        _time_card(analysis, now),
    ]


def build_severity_bars(severities: Sequence[Facet]) -> list[Bar]:
    """Return the open findings by severity, each bar leading to its findings."""
    counts = {facet.value: facet.count for facet in severities}
    return [
        Bar(
            severity.value,
            (Segment(severity.value, counts.get(severity.value, 0), _SEVERITY_TONES[severity]),),
            url=with_query("/ui/findings", filter=f"{OPEN_FILTER} severity:{severity.value}"),
        )
        for severity in Severity
    ]


def build_outcome_bars(outcomes: Sequence[Facet]) -> list[Bar]:
    """Return what became of tool runs: a bar for each tool."""
    by_tool: dict[str, list[Segment]] = {}
    for facet in sorted(outcomes, key=lambda facet: facet.value != Outcome.succeeded):
        tone = _OUTCOME_TONES.get(Outcome(facet.value), "bad")
        by_tool.setdefault(facet.field, []).append(Segment(facet.value.replace("_", " "), facet.count, tone))
    return [Bar(tool, tuple(segments), f"/ui/tools/{tool}") for tool, segments in sorted(by_tool.items())]


def build_tool_spans(analysis: Analysis, tool_runs: Sequence[ToolRun]) -> tuple[list[Span], float]:
    """Return when each tool ran, in seconds from the start of the analysis, and the whole length."""
    if analysis.started_at is None:
        return [], 0.0
    spans = []
    for run in sorted(tool_runs, key=lambda run: run.position):
        if run.started_at is None or run.finished_at is None:
            continue
        # Where tools wait for each other on an analyzer, all are begun at once; what they took tells when they ran.
        open_s = (run.finished_at - run.started_at).total_seconds()
        ran_s = min(open_s, (run.duration_ms or 0) / 1000)
        spans.append(
            Span(
                run.tool,
                max(0.0, (run.finished_at - analysis.started_at).total_seconds() - ran_s),
                ran_s,
                "series-1",
                run.status.replace("_", " "),
                is_failed=run.outcome is None or not run.outcome.is_complete,
            )
        )
    total_s = max((span.start_s + span.duration_s for span in spans), default=0.0)
    return spans, total_s


def _time_card(analysis: Analysis, now: datetime) -> Card:
    if analysis.duration_ms is not None:
        return Card("Took", _keep_units(format_duration(analysis.duration_ms / 1000)))
    if analysis.started_at is None:
        return Card("Took", "not started")
    took_s = (now - analysis.started_at).total_seconds()
    return Card("Running for", _keep_units(format_duration(took_s)), tone="accent")


def _keep_units(duration: str) -> str:
    """Return a duration whose numbers are not parted from their units at the end of a line."""
    return _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", duration)
