"""Tables of projects and API keys."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from referee.foundation.store import Base

__all__ = ["ApiKeyRow", "ProjectRow"]


class ProjectRow(Base):
    """The owner of everything below. The row ``default`` is made by the first migration."""

    __tablename__ = "projects"

    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="", server_default=text("''"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (CheckConstraint("slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'", name="slug_form"),)


class ApiKeyRow(Base):
    """A bearer key of a project. Only the digest of its secret is kept."""

    __tablename__ = "api_keys"

    api_key_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Text, default="project", server_default=text("'project'"))
    """Where it may be used; its scopes say what for."""
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    secret_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes_json: Mapped[list[str]] = mapped_column(JSONB)
    permissions_json: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    """What a client asked for in its own words, for a key of the data plane."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_api_keys__project_id_created_at", "project_id", "created_at"),
        CheckConstraint("octet_length(secret_digest) = 32", name="secret_digest_length"),
        CheckConstraint("kind IN ('project', 'ingestion', 'data_plane')", name="kind_known"),
    )
