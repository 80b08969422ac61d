"""Imports of old results as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.backfills.old_results.queries import ResultImport, ResultImportItem

__all__ = ["ResultImportItemModel", "ResultImportModel", "ResultImportRequestModel"]

ImportState = Literal["queued", "running", "finished", "failed", "cancelled"]
ItemState = Literal["imported", "known", "quarantined"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ResultImportRequestModel(_Model):
    """What to import."""

    source: str = Field(
        min_length=1,
        max_length=2_000,
        description="Absolute path on the server of a folder, a zip file, a result file or an SQLite file, or"
        " env:REFEREE_IMPORT_NAME, a variable of the server with the address of a database.",
        examples=["/srv/old/results"],
    )
    is_dry: bool = Field(default=False, description="Count only, and write nothing of the source.")


class ResultImportModel(_Model):
    """An import, or dry run, with what it came to so far."""

    result_import_id: UUID
    source: str
    is_dry: bool
    state: ImportState
    reason: str = Field(description="One sentence: why it is in its state.")
    files_count: int
    app_files_count: int = Field(description="Files of apps' sources beside the results; they are not read.")
    imported_count: int = Field(description="Old analyses that became new ones; for a dry run: that would.")
    known_count: int = Field(description="Old analyses that were here already.")
    quarantined_count: int = Field(description="Things that were set aside, each with its reason.")
    tools_count: int = Field(description="Tool runs of all old analyses.")
    findings_count: int = Field(description="Findings in all old analyses, as counted.")
    claimed_count: int = Field(description="Findings that they claim, where they claim any.")
    job_id: UUID | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, one: ResultImport) -> ResultImportModel:
        """Return the shape of an import."""
        counts = one.counts
        return cls(
            result_import_id=one.result_import_id,
            source=one.source,
            is_dry=one.is_dry,
            state=cast(ImportState, one.state),
            reason=one.reason,
            files_count=one.files_count,
            app_files_count=one.app_files_count,
            imported_count=counts.imported_count,
            known_count=counts.known_count,
            quarantined_count=counts.quarantined_count,
            tools_count=counts.tools_count,
            findings_count=counts.findings_count,
            claimed_count=counts.claimed_count,
            job_id=one.job_id,
            created_at=one.created_at,
            finished_at=one.finished_at,
        )


class ResultImportItemModel(_Model):
    """One old analysis, or one thing that was set aside."""

    state: ItemState
    place: str = Field(description="Path or row in the source.")
    format: str = Field(description="Letter of the format; empty for what was not recognised.")
    reason: str = Field(description="Why it was set aside.")
    task_id: str
    name: str = Field(description="Of the subject.")
    services: list[str]
    tools_count: int
    findings_count: int
    claimed_count: int | None
    analysis_id: UUID | None
    sha256: str | None = Field(description="Artifact with the bytes of what was set aside.")

    @classmethod
    def of(cls, one: ResultImportItem) -> ResultImportItemModel:
        """Return the shape of an item."""
        return cls(
            state=cast(ItemState, one.state),
            place=one.place,
            format=one.format,
            reason=one.reason,
            task_id=one.task_id,
            name=one.name,
            services=list(one.services),
            tools_count=one.tools_count,
            findings_count=one.findings_count,
            claimed_count=one.claimed_count,
            analysis_id=one.analysis_id,
            sha256=one.sha256,
        )
