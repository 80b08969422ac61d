"""Reports as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.pipelines.comparing.collecting import MAX_ANALYSES_COUNT
from referee.pipelines.reports.states import ReportFile, ReportKind, ReportState
from referee.pipelines.reports.views import Report

__all__ = ["ReportModel", "ReportRequestModel"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReportRequestModel(_Model):
    """A report to make."""

    kind: ReportKind = Field(description="What it is about.")
    pipeline_id: str | None = Field(default=None, max_length=80, description="Its source; or analysis_ids.")
    analysis_ids: list[str] = Field(
        default_factory=list, max_length=MAX_ANALYSES_COUNT, description="Analyses of apps of models."
    )
    model: str | None = Field(default=None, max_length=400, description="For a report on one model.")
    template: str | None = Field(
        default=None, max_length=400, description="Only cells of this template or app number; null: all."
    )
    baseline: str | None = Field(
        default=None, max_length=400, description="Model that others are compared with; null: the first."
    )
    title: str = Field(default="", max_length=1_000)


class ReportModel(_Model):
    """A document for people."""

    report_id: UUID
    kind: ReportKind
    title: str
    state: ReportState
    reason: str = Field(description="Why it failed.")
    parameters: dict[str, Any] = Field(description="What it is about, as it was asked for.")
    files: dict[ReportFile, str] = Field(
        description="Address of each file; all of them when it is completed, else none."
    )
    job_id: UUID | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, report: Report) -> ReportModel:
        """Return the shape of a report."""
        return cls(
            report_id=report.report_id,
            kind=report.kind,
            title=report.title,
            state=report.state,
            reason=report.reason,
            parameters=dict(report.parameters),
            files={file: f"/v1/reports/{report.report_id}/files/{file.value}" for file in report.files},
            job_id=report.job_id,
            created_at=report.created_at,
            finished_at=report.finished_at,
        )
