"""Tables of metrics and their versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.foundation.store import Base

__all__ = ["MetricRow", "MetricVersionRow"]


class MetricRow(Base):
    """What judges events and runs, under a name that is its project's only one."""

    __tablename__ = "metrics"
    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        Index("ix_metrics__project_id_created_at", "project_id", "created_at"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint("kind IN ('PYTHON', 'LLM', 'HUMAN', 'COMPOSITE')", name="kind_known"),
        CheckConstraint("sampling_percentage BETWEEN 0 AND 100", name="sampling_percentage_range"),
    )

    metric_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    kind: Mapped[str]
    is_enabled: Mapped[bool]
    """Whether ingested events are judged by it."""
    sampling_percentage: Mapped[float]
    content_json: Mapped[dict[str, Any]]
    """The deployed version's content, as the wire says it."""
    deployed_version: Mapped[int]
    versions_count: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime | None]


class MetricVersionRow(Base):
    """One definition of a metric; never changed."""

    __tablename__ = "metric_versions"

    metric_id: Mapped[UUID] = mapped_column(
        ForeignKey("metrics.metric_id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    full_sha: Mapped[str]
    """SHA-256 of the version before, the message and the content."""
    message: Mapped[str]
    content_json: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
