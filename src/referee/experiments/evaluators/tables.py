"""The table of evaluations."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = ["EVALUATION_STATES", "EvaluationRow"]

EVALUATION_STATES = ("waiting", "scored", "unscored")


class EvaluationRow(Base):
    """One metric in one version on one event: there is never a second."""

    __tablename__ = "evaluations"
    __table_args__ = (
        Index("ix_evaluations__project_id_finished_at", "project_id", "finished_at"),
        Index("ix_evaluations__job_id", "job_id", postgresql_where=text("state = 'waiting'")),
        CheckConstraint(f"state IN ({', '.join(map(repr, EVALUATION_STATES))})", name="state_known"),
        CheckConstraint("(state = 'waiting') = (finished_at IS NULL)", name="finished_at_when_ended"),
        CheckConstraint("prompt_tokens >= 0 AND completion_tokens >= 0", name="tokens_range"),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"), primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    metric_id: Mapped[UUID] = mapped_column(primary_key=True)
    metric_version: Mapped[str] = mapped_column(primary_key=True)
    metric_name: Mapped[str]
    state: Mapped[str] = mapped_column(default="waiting", server_default=text("'waiting'"))
    score_json: Mapped[JsonValue] = mapped_column(JSONB(none_as_null=True), nullable=True)
    explanation: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """What the judge or the code said; of an unscored one why there is no score."""
    prompt_tokens: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    completion_tokens: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    job_id: Mapped[UUID | None]
    """The job that makes it."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    finished_at: Mapped[datetime | None]
