"""The table of creations that a client named, so that the same one sent again makes nothing new."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from referee.foundation.store import Base

__all__ = ["NamedCreationRow"]


class NamedCreationRow(Base):
    """One creation that came with an idempotency key."""

    __tablename__ = "named_creations"
    __table_args__ = (CheckConstraint("length(idempotency_key) BETWEEN 1 AND 255", name="key_length"),)

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"), primary_key=True)
    noun: Mapped[str] = mapped_column(primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    request_digest: Mapped[str]
    """SHA-256 of what was asked for."""
    created_id: Mapped[UUID]
    """Id of what it made."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
