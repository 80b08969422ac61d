"""Analyses: what is judged, what became of it, and every finding. This is the door.

Names are loaded when first asked for: the command line asks for few of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.analysis.breakers import ServiceGate
    from referee.analysis.importing import (
        IMPORTED_PROFILE,
        ImportedAnalysis,
        ImportedRun,
        OriginalFile,
        find_imported_analysis,
        has_analysis,
        import_analysis,
    )
    from referee.analysis.integrity import check_analysis
    from referee.analysis.lookups import (
        AnalysisFacts,
        ToolFacts,
        ToolTime,
        count_reported_findings,
        count_succeeded_findings,
        list_analysis_facts,
        read_repeated_runs,
        read_tool_facts,
        read_tool_times,
    )
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
    "IMPORTED_PROFILE",
    "LOADS",
    "PROFILES",
    "Analysis",
    "AnalysisFacts",
    "AnalysisRequest",
    "AnalysisRoom",
    "Finding",
    "ImportedAnalysis",
    "ImportedRun",
    "ManifestEntry",
    "Occurrence",
    "OriginalFile",
    "ServiceDay",
    "ServiceGate",
    "SeverityCounts",
    "Subject",
    "ToolFacts",
    "ToolRun",
    "ToolTime",
    "cancel_analysis",
    "check_analysis",
    "count_by_severity",
    "count_reported_findings",
    "count_service_successes",
    "count_succeeded_findings",
    "create_analysis",
    "dismiss_finding",
    "find_imported_analysis",
    "get_analysis",
    "has_analysis",
    "import_analysis",
    "list_analysis_facts",
    "list_manifest_entries",
    "list_outcomes",
    "list_tool_runs",
    "plan_runs",
    "read_repeated_runs",
    "read_tool_facts",
    "read_tool_times",
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
        "importing": (
            "IMPORTED_PROFILE",
            "ImportedAnalysis",
            "ImportedRun",
            "OriginalFile",
            "find_imported_analysis",
            "has_analysis",
            "import_analysis",
        ),
        "integrity": ("check_analysis",),
        "lookups": (
            "AnalysisFacts",
            "ToolFacts",
            "ToolTime",
            "count_reported_findings",
            "count_succeeded_findings",
            "list_analysis_facts",
            "read_repeated_runs",
            "read_tool_facts",
            "read_tool_times",
        ),
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
