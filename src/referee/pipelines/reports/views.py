"""Reports as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from referee.core.findings import JsonValue
from referee.pipelines.reports.states import ReportFile, ReportKind, ReportState

__all__ = ["Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A document for people."""

    report_id: UUID
    sequence: int
    project_id: UUID
    kind: ReportKind
    title: str
    parameters: Mapping[str, JsonValue]
    state: ReportState
    reason: str
    files: Mapping[ReportFile, str]
    """File → SHA-256; all of them when it is completed, else none."""
    job_id: UUID | None
    created_at: datetime
    finished_at: datetime | None
