"""Analyses: what is judged, what became of it, and every finding. This is the door.

Names are loaded when first asked for: the command line asks for few of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.analysis.breakers import ServiceGate
    from referee.analysis.queries import (
        count_by_severity,
        get_analysis,
        list_manifest_entries,
        list_outcomes,
        list_tool_runs,
    )
    from referee.analysis.requests import LOADS, PROFILES, AnalysisRequest, plan_runs
    from referee.analysis.running import AnalysisRoom
    from referee.analysis.service import (
        cancel_analysis,
        create_analysis,
        dismiss_finding,
        reopen_finding,
        retry_analysis,
        set_finding_link,
    )
    from referee.analysis.success_rates import ServiceDay, count_service_successes
    from referee.analysis.views import (
        Analysis,
        Finding,
        ManifestEntry,
        Occurrence,
        SeverityCounts,
        Subject,
        ToolRun,
    )
    from referee.analysis.workflows import register_workflows, sweep_analyses

__all__ = [
    "LOADS",
    "PROFILES",
    "Analysis",
    "AnalysisRequest",
    "AnalysisRoom",
    "Finding",
    "ManifestEntry",
    "Occurrence",
    "ServiceDay",
    "ServiceGate",
    "SeverityCounts",
    "Subject",
    "ToolRun",
    "cancel_analysis",
    "count_by_severity",
    "count_service_successes",
    "create_analysis",
    "dismiss_finding",
    "get_analysis",
    "list_manifest_entries",
    "list_outcomes",
    "list_tool_runs",
    "plan_runs",
    "register_workflows",
    "reopen_finding",
    "retry_analysis",
    "set_finding_link",
    "sweep_analyses",
]

__getattr__ = open_door(
    __name__,
    {
        "breakers": ("ServiceGate",),
        "queries": (
            "count_by_severity",
            "get_analysis",
            "list_manifest_entries",
            "list_outcomes",
            "list_tool_runs",
        ),
        "requests": (
            "AnalysisRequest",
            "LOADS",
            "PROFILES",
            "plan_runs",
        ),
        "running": ("AnalysisRoom",),
        "service": (
            "cancel_analysis",
            "create_analysis",
            "dismiss_finding",
            "reopen_finding",
            "retry_analysis",
            "set_finding_link",
        ),
        "success_rates": (
            "ServiceDay",
            "count_service_successes",
        ),
        "views": (
            "Analysis",
            "Finding",
            "ManifestEntry",
            "Occurrence",
            "SeverityCounts",
            "Subject",
            "ToolRun",
        ),
        "workflows": (
            "register_workflows",
            "sweep_analyses",
        ),
    },
)
