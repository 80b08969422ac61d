"""The words of a report: its kinds, its states, its files."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["FILES", "ReportFile", "ReportKind", "ReportState"]


class ReportKind(StrEnum):
    """What a report is about."""

    model_analysis = "model_analysis"
    """One model: what is known of each of its apps."""
    template_comparison = "template_comparison"
    """All models, template by template."""
    tool_analysis = "tool_analysis"
    """The tools: what became of their runs, what they found, alone and together."""
    generation_analytics = "generation_analytics"
    """The writing of the apps: attempts, tokens, cost, failures."""
    comprehensive = "comprehensive"
    """All of it."""


class ReportState(StrEnum):
    """Where a report stands: ``queued → running → completed | failed``."""

    queued = "queued"
    running = "running"
    completed = "completed"
    """All its files are stored."""
    failed = "failed"

    @property
    def is_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self in (ReportState.completed, ReportState.failed)


class ReportFile(StrEnum):
    """A form that every completed report has."""

    data = "data"
    html = "html"
    pdf = "pdf"
    xlsx = "xlsx"
    csv = "csv"


FILES: Final[dict[ReportFile, tuple[str, str]]] = {
    ReportFile.data: ("application/json", "json"),
    ReportFile.html: ("text/html", "html"),
    ReportFile.pdf: ("application/pdf", "pdf"),
    ReportFile.xlsx: ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ReportFile.csv: ("application/zip", "csv.zip"),
}
"""File → media type and ending of its name."""
