"""The table of charts."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from referee.foundation.store import Base

__all__ = ["ChartRow"]


class ChartRow(Base):
    """What a chart draws: a number over time, of events that match."""

    __tablename__ = "charts"
    __table_args__ = (
        Index("ix_charts__project_id_created_at", "project_id", "created_at"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint("bucketing IN ('minute', 'hour', 'day', 'week', 'month')", name="bucketing_known"),
    )

    chart_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    description: Mapped[str | None]
    metric: Mapped[str]
    func: Mapped[str | None]
    group_by: Mapped[str | None]
    bucketing: Mapped[str]
    date_range_json: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    query_json: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    owner_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    updated_at: Mapped[datetime | None]
