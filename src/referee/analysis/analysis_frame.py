"""What stands above every view of an analysis: head, numbers, tabs, and what they need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request

from referee.analysis.exports import EXPORT_FORMATS
from referee.analysis.page_figures import build_analysis_cards, build_tool_spans
from referee.analysis.views import Analysis, ToolRun
from referee.core.ids import format_id
from referee.core.own_work import make_trace_id
from referee.core.vocabulary import Service
from referee.foundation.web.formats import format_duration
from referee.foundation.web.rendering import Crumb
from referee.foundation.web.shell import get_shell

__all__ = ["ANALYSES_CRUMB", "build_frame"]

ANALYSES_CRUMB: Final = Crumb("Analyses", "/ui/analyses")
_TABS: Final[tuple[tuple[str, str, Service | None], ...]] = (
    ("", "Tools", None),
    ("findings", "Findings", None),
    ("alerts", "Alerts", Service.dynamic),
    ("performance", "Performance", Service.performance),
    ("requirements", "Requirements", Service.ai),
    ("measurements", "Measurements", None),
    ("artifacts", "Artifacts", None),
)
"""Last part of the address, label, and the service without whose tools the view is left out."""


def build_frame(
    request: Request, analysis: Analysis, tool_runs: Sequence[ToolRun], tab: str
) -> dict[str, Any]:
    """Return what ``analysis/analysis.html`` uses on each of its views.

    Args:
        request: The request.
        analysis: The one that is shown.
        tool_runs: Its ledger.
        tab: Last part of the address of the view.
    """
    analysis_id = analysis.analysis_id
    base = f"/ui/analyses/{analysis_id}"
    present = {run.service for run in tool_runs}
    return {
        "analysis": analysis,
        "analysis_label": format_id("analysis", analysis_id),
        "base_url": base,
        "topic": f"analysis:{analysis_id}",
        "twin_url": f"/v1/analyses/{analysis_id}",
        "tool_runs": tool_runs,
        "services": _group_by_service(tool_runs),
        "missing": [run for run in tool_runs if run.outcome is not None and not run.outcome.is_complete],
        "running": [run.tool for run in tool_runs if run.status == "running"],
        "isolations": _count_isolations(tool_runs),
        "tab": tab,
        "tab_items": [
            {"label": label, "url": f"{base}/{name}".rstrip("/"), "is_current": name == tab}
            for name, label, service in _TABS
            if service is None or service in present or name == tab
        ],
        "exports": {name: f"/v1/analyses/{analysis_id}/export?format={name}" for name in EXPORT_FORMATS},
        "spans": build_tool_spans(analysis, tool_runs),
        "format_duration": format_duration,
        "number_cards": build_analysis_cards(analysis, get_shell(request).clock.now()),
        "panel": None,
        "trace_url": f"/ui/traces/{make_trace_id(f'analysis:{analysis_id}')}?view=critical",
        "trace_project": get_shell(request).settings.own_traces_project if analysis.state.is_final else "",
    }


def _group_by_service(tool_runs: Sequence[ToolRun]) -> dict[Service, list[ToolRun]]:
    groups: dict[Service, list[ToolRun]] = {}
    for run in tool_runs:
        groups.setdefault(run.service, []).append(run)
    return groups


def _count_isolations(tool_runs: Sequence[ToolRun]) -> dict[str, int]:
    """Return how many tool runs were isolated by each method."""
    counts: dict[str, int] = {}
    for run in tool_runs:
        if run.isolation is not None:
            method = str(run.isolation.get("method", "unknown")).replace("_", " ")
            counts[method] = counts.get(method, 0) + 1
    return counts
