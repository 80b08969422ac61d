"""Tables of remote analyzers: who is there, what was asked of them, and how far each result has come."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = ["AnalyzerReplicaRow", "AnalyzerRequestRow", "AnalyzerRow", "AnalyzerTransferRow"]


class AnalyzerRow(Base):
    """A process elsewhere that offers services, as it last introduced itself."""

    __tablename__ = "analyzers"
    __table_args__ = (
        CheckConstraint("slots_count >= 1", name="slots_count_range"),
        Index("ix_analyzers__project_id_beat_at", "project_id", text("beat_at DESC")),
    )

    analyzer_id: Mapped[UUID] = mapped_column(primary_key=True)
    """Chosen by the analyzer and kept in its home."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    """The project of the key it connected with: it gets that project's work only."""
    name: Mapped[str]
    version: Mapped[str]
    """Of the Referee it is."""
    services_json: Mapped[list[JsonValue]]
    tools_json: Mapped[list[JsonValue]]
    slots_count: Mapped[int]
    """Requests it takes at the same time."""
    status_json: Mapped[dict[str, JsonValue] | None]
    """Its last heartbeat."""
    connection_id: Mapped[UUID | None]
    """The one connection that speaks for it; null while it is away."""
    connected_at: Mapped[datetime]
    beat_at: Mapped[datetime]


class AnalyzerRequestRow(Base):
    """One service of one analysis that an analyzer is asked to run."""

    __tablename__ = "analyzer_requests"
    __table_args__ = (
        CheckConstraint(
            "state IN ('waiting', 'assigned', 'completed', 'failed', 'cancelled')", name="state_known"
        ),
        CheckConstraint("state <> 'assigned' OR analyzer_id IS NOT NULL", name="assigned_to_someone"),
        CheckConstraint(
            "(state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished_at_when_ended",
        ),
        UniqueConstraint("analysis_id", "service"),
        Index(
            "ix_analyzer_requests__waiting",
            "project_id",
            "created_at",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index(
            "ix_analyzer_requests__assigned",
            "analyzer_id",
            postgresql_where=text("state = 'assigned'"),
        ),
    )

    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    analysis_id: Mapped[UUID] = mapped_column(ForeignKey("analyses.analysis_id"))
    service: Mapped[str]
    state: Mapped[str] = mapped_column(default="waiting", server_default=text("'waiting'"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """One sentence: why it is in its state."""
    stage: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """What the analyzer is busy with, in its words."""
    analyzer_id: Mapped[UUID | None] = mapped_column(ForeignKey("analyzers.analyzer_id"))
    """Who has it, or had it last."""
    is_accepted: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """Whether the analyzer said that it has received it."""
    attempts_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Times it was given to an analyzer."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deadline_at: Mapped[datetime]
    assigned_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class AnalyzerTransferRow(Base):
    """The hand-over of one tool's result, made when the work is given out: nobody hands over anything else."""

    __tablename__ = "analyzer_transfers"
    __table_args__ = (
        CheckConstraint(
            "state IN ('expected', 'open', 'committed', 'superseded', 'refused')", name="state_known"
        ),
        CheckConstraint("sha256 IS NULL OR sha256 ~ '^[0-9a-f]{64}$'", name="sha256_form"),
        CheckConstraint(
            "state <> 'open' OR (sha256 IS NOT NULL AND total_bytes IS NOT NULL)", name="announced_when_open"
        ),
        CheckConstraint(
            "committed_bytes >= 0 AND committed_bytes <= COALESCE(total_bytes, 0)",
            name="committed_bytes_range",
        ),
        UniqueConstraint("request_id", "tool_run_id", "attempt"),
        Index("ix_analyzer_transfers__tool_run_id", "tool_run_id"),
    )

    transfer_id: Mapped[UUID] = mapped_column(primary_key=True)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("analyzer_requests.request_id"))
    tool_run_id: Mapped[UUID] = mapped_column(ForeignKey("tool_runs.tool_run_id"))
    attempt: Mapped[int]
    """Of the tool run."""
    analyzer_id: Mapped[UUID] = mapped_column(ForeignKey("analyzers.analyzer_id"))
    """Who was given the work, and may hand over its result."""
    state: Mapped[str] = mapped_column(default="expected", server_default=text("'expected'"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    total_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    committed_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """Bytes that are on disk and will not be asked for again."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class AnalyzerReplicaRow(Base):
    """A listening analyzer that the settings name, and how the last call to it went."""

    __tablename__ = "analyzer_replicas"
    __table_args__ = (
        CheckConstraint(
            "state IN ('waiting', 'connected', 'unreachable', 'refused', 'unhealthy')", name="state_known"
        ),
        CheckConstraint("failures_count >= 0", name="failures_count_range"),
    )

    service: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(default="waiting", server_default=text("'waiting'"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """One sentence: why it is not connected."""
    failures_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Calls in a row that brought no lasting connection."""
    analyzer_id: Mapped[UUID | None]
    """Who answered last."""
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_try_at: Mapped[datetime | None]
    held_by: Mapped[UUID | None]
    """The process that calls it; others leave it alone until that one is not heard any more."""
    held_at: Mapped[datetime | None]
