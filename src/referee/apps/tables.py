"""Tables of the apps room."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = ["AppLeaseRow", "AppPortRow", "AppRow", "AppRunRow", "TemplateRow"]


class TemplateRow(Base):
    """The requirements apps were asked to meet, one row for each version of a document."""

    __tablename__ = "templates"
    __table_args__ = (UniqueConstraint("project_id", "sha256"),)

    template_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    slug: Mapped[str]
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"))
    """Artifact that holds the document as it was given."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


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


class AppRunRow(Base):
    """One start of an app, from its source to its end."""

    __tablename__ = "app_runs"
    __table_args__ = (
        CheckConstraint(
            "state IN ('starting', 'running', 'stopping', 'stopped', 'failed')", name="state_known"
        ),
        CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failure_when_failed"),
        CheckConstraint(
            "(state IN ('stopped', 'failed')) = (finished_at IS NOT NULL)", name="finished_at_when_ended"
        ),
        Index(
            "uq_app_runs__live",
            "project_id",
            "source_digest",
            "machine",
            unique=True,
            postgresql_where=text("state IN ('starting', 'running', 'stopping')"),
        ),
        Index("ix_app_runs__project_id_created_at", "project_id", text("created_at DESC"), "app_run_id"),
    )

    app_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    app_id: Mapped[UUID | None] = mapped_column(ForeignKey("apps.app_id"))
    name: Mapped[str]
    source_digest: Mapped[str]
    listing_sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"))
    machine: Mapped[str]
    """The machine whose sandbox it runs in: leases of workers elsewhere mean another run."""
    state: Mapped[str] = mapped_column(default="starting", server_default=text("'starting'"))
    stage: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """What its start is busy with, for people."""
    failure: Mapped[str | None]
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    last_lines_json: Mapped[list[JsonValue] | None]
    """Last lines of the log of the component that failed."""
    components_json: Mapped[list[JsonValue] | None]
    """What was found to start, with target, framework and how it was recognised."""
    notices_json: Mapped[list[JsonValue] | None]
    network_json: Mapped[list[JsonValue] | None]
    """Holder's process id, its start and the network's inode; null when it runs in the machine's network."""
    isolation_json: Mapped[dict[str, JsonValue] | None]
    logs_json: Mapped[dict[str, JsonValue] | None]
    """Component → {sha256, size_bytes, is_truncated}, once it has ended."""
    host_pid: Mapped[int | None]
    host_started: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    """When every component answered."""
    beat_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class AppLeaseRow(Base):
    """A right to find an app running, until it is given back or expires."""

    __tablename__ = "app_leases"
    __table_args__ = (
        Index("ix_app_leases__app_run_id", "app_run_id"),
        Index("uq_app_leases__turn", "app_run_id", unique=True, postgresql_where=text("has_turn")),
    )

    lease_id: Mapped[UUID] = mapped_column(primary_key=True)
    app_run_id: Mapped[UUID] = mapped_column(ForeignKey("app_runs.app_run_id"))
    holder: Mapped[str]
    """Who, for people: a tool and its analysis, or a person."""
    is_person: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    has_turn: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """Whether it is the one that may send requests now: tools take turns on one app."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class AppPortRow(Base):
    """A port that is given to one component of one app run on one machine."""

    __tablename__ = "app_ports"

    machine: Mapped[str] = mapped_column(primary_key=True)
    port: Mapped[int] = mapped_column(primary_key=True)
    app_run_id: Mapped[UUID] = mapped_column(ForeignKey("app_runs.app_run_id"))
    component: Mapped[str]
