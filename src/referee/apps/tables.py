"""Tables of the apps room."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from referee.foundation.store import Base

__all__ = ["AppRow"]


class AppRow(Base):
    """One generated web app: model × number."""

    __tablename__ = "apps"
    __table_args__ = (
        UniqueConstraint("project_id", "model", "number"),
        CheckConstraint("number >= 1", name="number_positive"),
    )

    app_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    model: Mapped[str]
    template: Mapped[str | None]
    number: Mapped[int]
    path: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
