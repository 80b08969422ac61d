"""Tables of the apps room."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = ["AppLeaseRow", "AppPortRow", "AppRow", "AppRunRow", "GenerationRow", "ModelRow", "TemplateRow"]


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
        CheckConstraint(
            "placeholder IN ('empty', 'scaffold', 'unwritten', 'filler')", name="placeholder_known"
        ),
    )

    app_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    model: Mapped[str]
    template: Mapped[str | None]
    number: Mapped[int]
    path: Mapped[str]
    placeholder: Mapped[str | None]
    """What is there instead of an app, when its folder was looked at last; null: an app."""
    placeholder_reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """One sentence; empty for an app."""
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
    machine: Mapped[str | None]
    """Where its holder runs; null for a lease that holds until its time whoever took it."""
    holder_pid: Mapped[int | None]
    holder_started: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class AppPortRow(Base):
    """A port that is given to one component of one app run on one machine."""

    __tablename__ = "app_ports"

    machine: Mapped[str] = mapped_column(primary_key=True)
    port: Mapped[int] = mapped_column(primary_key=True)
    app_run_id: Mapped[UUID] = mapped_column(ForeignKey("app_runs.app_run_id"))
    component: Mapped[str]


class ModelRow(Base):
    """A language model that may write apps: what it is called and what it costs."""

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("project_id", "slug"),
        CheckConstraint(
            "input_usd_per_mtok >= 0 AND output_usd_per_mtok >= 0 AND context_tokens >= 1",
            name="numbers_range",
        ),
    )

    model_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    slug: Mapped[str]
    """As in the folders of its apps."""
    name: Mapped[str]
    """For people."""
    provider: Mapped[str]
    model_name: Mapped[str]
    """As the endpoint calls it."""
    input_usd_per_mtok: Mapped[float | None]
    """US dollars for a million tokens of prompts; null: not known."""
    output_usd_per_mtok: Mapped[float | None]
    context_tokens: Mapped[int | None]
    """Tokens of prompt and answer together that it takes."""
    source: Mapped[str]
    """What it was read from, such as ``csv`` or ``openrouter``."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GenerationRow(Base):
    """One writing of one app by one model: a version of the app."""

    __tablename__ = "generations"
    __table_args__ = (
        UniqueConstraint("app_id", "version"),
        CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state_known"
        ),
        CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failure_when_failed"),
        CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished_at_when_ended",
        ),
        CheckConstraint("state <> 'succeeded' OR source_sha256 IS NOT NULL", name="source_when_succeeded"),
        CheckConstraint("version >= 1", name="version_positive"),
        Index(
            "uq_generations__live",
            "app_id",
            unique=True,
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
        Index(
            "ix_generations__project_id_created_at", "project_id", text("created_at DESC"), "generation_id"
        ),
        Index("ix_generations__finished_at", text("finished_at DESC")),
    )

    generation_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    app_id: Mapped[UUID] = mapped_column(ForeignKey("apps.app_id"))
    job_id: Mapped[UUID | None]
    """The job that carries it out; null when a job of another room does."""
    model: Mapped[str]
    """Slug of the model, as in the app."""
    template_id: Mapped[UUID] = mapped_column(ForeignKey("templates.template_id"))
    version: Mapped[int]
    """Of the app, from 1."""
    state: Mapped[str] = mapped_column(default="queued", server_default=text("'queued'"))
    stage: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """What it is busy with, or where it ended."""
    failure: Mapped[str | None]
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """One sentence: why it is in its state."""
    seed: Mapped[int | None] = mapped_column(BigInteger)
    temperature: Mapped[float]
    prompt_tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    completion_tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    cost_usd: Mapped[float | None]
    """Null when the model has no prices."""
    held_usd: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    """The most that the request on its way can cost: several generations cannot overdraw a budget together."""
    calls_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Requests that were sent, retries included."""
    calls_json: Mapped[list[JsonValue]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Each answer with the artifacts of its prompt and its text, written before the next is asked for."""
    findings_json: Mapped[list[JsonValue]] = mapped_column(server_default=text("'[]'::jsonb"))
    """What was noticed about the code: packages that do not exist, refused paths, and so on."""
    files_count: Mapped[int | None]
    source_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    """Artifact with a tar of the files."""
    record_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    """Artifact with the record: prompts, replies, tokens, cost, files and findings."""
    traceparent: Mapped[str]
    """W3C trace context that its calls belong to."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
