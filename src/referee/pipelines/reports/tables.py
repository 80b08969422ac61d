"""Table of the reports."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base
from referee.pipelines.reports.states import ReportFile, ReportKind, ReportState

__all__ = ["ReportRow"]

_KINDS = ", ".join(f"'{kind.value}'" for kind in ReportKind)
_STATES = ", ".join(f"'{state.value}'" for state in ReportState)
_ALL_FILES = " AND ".join(f"{file.value}_sha256 IS NOT NULL" for file in ReportFile)


class ReportRow(Base):
    """A document for people, made once and kept."""

    __tablename__ = "reports"
    __table_args__ = (
        UniqueConstraint("project_id", "idempotency_key"),
        UniqueConstraint("sequence"),
        Index("ix_reports__project_id_sequence", "project_id", "sequence"),
        CheckConstraint(f"kind IN ({_KINDS})", name="kind_known"),
        CheckConstraint(f"state IN ({_STATES})", name="state_known"),
        CheckConstraint(f"state <> 'completed' OR ({_ALL_FILES})", name="complete_with_all_files"),
        CheckConstraint("state <> 'failed' OR reason <> ''", name="failure_explained"),
        CheckConstraint(
            "(state IN ('completed', 'failed')) = (finished_at IS NOT NULL)", name="finished_at_when_ended"
        ),
    )

    report_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """Order of acceptance."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    kind: Mapped[str]
    title: Mapped[str]
    parameters_json: Mapped[dict[str, JsonValue]]
    """What it is about, as it was asked for."""
    state: Mapped[str] = mapped_column(default="queued", server_default=text("'queued'"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """One sentence: why it failed."""
    data_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    """The document all other files are made of."""
    html_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    pdf_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    xlsx_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    csv_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    """A zip with a file for each table."""
    job_id: Mapped[UUID | None]
    idempotency_key: Mapped[str | None]
    request_digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
