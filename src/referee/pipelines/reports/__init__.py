"""Reports: documents for people, made once of a pipeline or of analyses, and kept. This is the door.

Names are loaded when first asked for: the command line mounts these commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.pipelines.reports.queries import count_reports, get_report, list_reports
    from referee.pipelines.reports.service import ReportRequest, create_report, make_report
    from referee.pipelines.reports.states import ReportFile, ReportKind, ReportState
    from referee.pipelines.reports.views import Report
    from referee.pipelines.reports.workflows import register_report_workflows

__all__ = [
    "Report",
    "ReportFile",
    "ReportKind",
    "ReportRequest",
    "ReportState",
    "count_reports",
    "create_report",
    "get_report",
    "list_reports",
    "make_report",
    "register_report_workflows",
]

__getattr__ = open_door(
    __name__,
    {
        "queries": ("count_reports", "get_report", "list_reports"),
        "service": ("ReportRequest", "create_report", "make_report"),
        "states": ("ReportFile", "ReportKind", "ReportState"),
        "views": ("Report",),
        "workflows": ("register_report_workflows",),
    },
)
