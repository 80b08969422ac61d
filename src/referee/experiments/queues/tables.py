"""Tables of annotation queues."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.foundation.store import Base

__all__ = ["ITEM_STATES", "AnnotationQueueEventRow", "AnnotationQueueRow"]

ITEM_STATES = ("waiting", "done", "skipped")


class AnnotationQueueRow(Base):
    """Events that people are to look at."""

    __tablename__ = "annotation_queues"
    __table_args__ = (
        Index("ix_annotation_queues__project_id_created_at", "project_id", "created_at"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint("length(description) <= 1000", name="description_length"),
    )

    annotation_queue_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    description: Mapped[str]
    filters_json: Mapped[dict[str, Any]]
    """Which events it is about, besides those put in by their ids."""
    is_enabled: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime | None]


class AnnotationQueueEventRow(Base):
    """One event of a queue."""

    __tablename__ = "annotation_queue_events"
    __table_args__ = (
        Index("ix_annotation_queue_events__waiting", "annotation_queue_id", "state", "added_at", "event_id"),
        CheckConstraint("state IN ('waiting', 'done', 'skipped')", name="state_known"),
        CheckConstraint("origin IN ('by_hand', 'by_filter')", name="origin_known"),
    )

    annotation_queue_id: Mapped[UUID] = mapped_column(
        ForeignKey("annotation_queues.annotation_queue_id", ondelete="CASCADE"), primary_key=True
    )
    event_id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    added_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    state: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    origin: Mapped[str] = mapped_column(server_default=text("'by_hand'"))
    """Whether a person put it in, or the queue's filters did."""
    reviewed_at: Mapped[datetime | None]
