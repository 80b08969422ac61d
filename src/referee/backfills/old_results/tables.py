"""Imports of old results, and what became of each thing that one found."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = ["ResultImportItemRow", "ResultImportRow"]


class ResultImportRow(Base):
    """One import, or dry run, of a folder, a file or a database."""

    __tablename__ = "result_imports"
    __table_args__ = (
        UniqueConstraint("project_id", "idempotency_key"),
        UniqueConstraint("sequence"),
        Index("ix_result_imports__project_id_sequence", "project_id", "sequence"),
        CheckConstraint(
            "state IN ('queued', 'running', 'finished', 'failed', 'cancelled')", name="state_known"
        ),
        CheckConstraint("state <> 'failed' OR reason <> ''", name="failure_explained"),
    )

    result_import_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """Order of acceptance."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    source: Mapped[str]
    """As it was asked for; never with a password."""
    is_dry: Mapped[bool]
    """Whether it only counts."""
    state: Mapped[str] = mapped_column(default="queued", server_default=text("'queued'"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """One sentence: why it is in this state."""
    files_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    app_files_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Files of apps' sources in the folder, which are no results."""
    job_id: Mapped[UUID | None]
    idempotency_key: Mapped[str | None]
    request_digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class ResultImportItemRow(Base):
    """One old analysis, or one thing that was set aside."""

    __tablename__ = "result_import_items"
    __table_args__ = (
        UniqueConstraint("sequence"),
        Index("ix_result_import_items__import", "result_import_id", "state", "sequence"),
        Index("ix_result_import_items__analysis_id", "analysis_id"),
        CheckConstraint("state IN ('imported', 'known', 'quarantined')", name="state_known"),
        CheckConstraint("state <> 'quarantined' OR reason <> ''", name="quarantine_explained"),
    )

    result_import_id: Mapped[UUID] = mapped_column(
        ForeignKey("result_imports.result_import_id"), primary_key=True
    )
    item_key: Mapped[str] = mapped_column(primary_key=True)
    """Digest of place and task: an import that a crash cut off writes each once."""
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    state: Mapped[str]
    """``imported`` (for a dry run: would be), ``known`` or ``quarantined``."""
    place: Mapped[str]
    """Path or row in the source."""
    format: Mapped[str] = mapped_column(default="")
    """Letter of the format; empty for what was not recognised."""
    reason: Mapped[str] = mapped_column(default="")
    """One sentence: why it was set aside."""
    task_id: Mapped[str] = mapped_column(default="")
    name: Mapped[str] = mapped_column(default="")
    """Of the subject, such as ``model/app1``."""
    services_json: Mapped[list[JsonValue]]
    tools_count: Mapped[int] = mapped_column(default=0)
    findings_count: Mapped[int] = mapped_column(default=0)
    claimed_count: Mapped[int | None]
    """Findings that the old result claims."""
    analysis_id: Mapped[UUID | None] = mapped_column(ForeignKey("analyses.analysis_id"))
    sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    """Its bytes, of what was set aside."""
