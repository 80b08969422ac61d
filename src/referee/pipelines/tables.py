"""Tables of the pipelines room."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base
from referee.pipelines.states import ACTIVE_CELL_STATES, ENDED_CELL_STATES, CellState, PipelineState

__all__ = ["CellRow", "PipelineEventRow", "PipelinePresetRow", "PipelineRow"]


def _list_words(words: object) -> str:
    return ", ".join(f"'{word}'" for word in words)  # type: ignore[attr-defined]  # an enum or a tuple of its words


class PipelineRow(Base):
    """Models × templates to generate and analyse."""

    __tablename__ = "pipelines"
    __table_args__ = (
        UniqueConstraint("project_id", "idempotency_key"),
        UniqueConstraint("sequence"),
        Index("ix_pipelines__project_id_sequence", "project_id", "sequence"),
        CheckConstraint(f"state IN ({_list_words(PipelineState)})", name="state_known"),
        CheckConstraint("drives_count >= 0", name="drives_count_range"),
        CheckConstraint("budget_usd IS NULL OR budget_usd >= 0", name="budget_usd_range"),
    )

    pipeline_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """Order of acceptance."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued", server_default=text("'queued'"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """One sentence: why it is in its state."""
    definition_sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"))
    """Artifact with the file as it was given."""
    definition_json: Mapped[dict[str, JsonValue]]
    """The definition as it was understood, with every default."""
    preflight_json: Mapped[dict[str, JsonValue] | None]
    """What was found before the first cell began: services, tools that cannot be had."""
    budget_usd: Mapped[Decimal | None] = mapped_column(Numeric(14, 6))
    job_id: Mapped[UUID | None]
    """The job that drives it now, or did last."""
    drives_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Times it was set going: at first, by a resume, a retry or an extension."""
    idempotency_key: Mapped[str | None]
    request_digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class CellRow(Base):
    """One square: an app of a model for a template, to be analysed once."""

    __tablename__ = "cells"
    __table_args__ = (
        UniqueConstraint(
            "pipeline_id",
            "model",
            "template",
            "number",
            "analysis_kind",
            "parameters_digest",
            name="uq_cells__identity",
        ),
        Index("ix_cells__pipeline_id_position", "pipeline_id", "position"),
        Index(
            "ix_cells__open",
            "pipeline_id",
            "position",
            postgresql_where=text(
                f"state IN ('waiting', {_list_words(state.value for state in ACTIVE_CELL_STATES)})"
            ),
        ),
        Index("ix_cells__analysis_id", "analysis_id", postgresql_where=text("analysis_id IS NOT NULL")),
        CheckConstraint(f"state IN ({_list_words(CellState)})", name="state_known"),
        CheckConstraint(
            "NOT is_valid OR state IN ('completed', 'partially_completed')", name="valid_when_ended"
        ),
        CheckConstraint("NOT is_valid OR analysis_id IS NOT NULL", name="valid_with_analysis"),
        CheckConstraint(
            f"(state IN ({_list_words(state.value for state in ENDED_CELL_STATES)})) = (finished_at IS NOT NULL)",
            name="finished_at_when_ended",
        ),
        CheckConstraint("number >= 1", name="number_positive"),
    )

    cell_id: Mapped[UUID] = mapped_column(primary_key=True)
    pipeline_id: Mapped[UUID] = mapped_column(ForeignKey("pipelines.pipeline_id"))
    position: Mapped[int]
    """Order of start, from 0."""
    model: Mapped[str]
    template: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """Slug; empty for an app that is analysed without one."""
    number: Mapped[int]
    """Which repeat of a generated app; the number of one that exists."""
    analysis_kind: Mapped[str]
    """Profile of its analysis."""
    parameters_digest: Mapped[str]
    """SHA-256 of tools, services, load and parameters of its analysis."""
    state: Mapped[str] = mapped_column(default="waiting", server_default=text("'waiting'"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """One sentence: why it is in its state, and what to do."""
    is_valid: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    app_id: Mapped[UUID | None] = mapped_column(ForeignKey("apps.app_id"))
    generation_id: Mapped[UUID | None]
    analysis_id: Mapped[UUID | None] = mapped_column(ForeignKey("analyses.analysis_id"))
    job_id: Mapped[UUID | None]
    attempts_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Tries since it was last set going by a person."""
    tries_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """All tries there ever were; each has a job of its own."""
    retry_at: Mapped[datetime | None]
    """Not before, when it waits for another try."""
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric(14, 6))
    """Of its generations so far; null when it is not known."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    """Of its last try."""
    finished_at: Mapped[datetime | None]


class PipelineEventRow(Base):
    """Something that happened to a pipeline, for people."""

    __tablename__ = "pipeline_events"
    __table_args__ = (Index("ix_pipeline_events__pipeline_id_event_id", "pipeline_id", "event_id"),)

    event_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    pipeline_id: Mapped[UUID] = mapped_column(ForeignKey("pipelines.pipeline_id"))
    cell_id: Mapped[UUID | None] = mapped_column(ForeignKey("cells.cell_id"))
    kind: Mapped[str]
    """Such as ``cell.ended``."""
    message: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class PipelinePresetRow(Base):
    """A pipeline file that is kept to be started again."""

    __tablename__ = "pipeline_presets"
    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        Index("uq_pipeline_presets__default", "project_id", unique=True, postgresql_where=text("is_default")),
        CheckConstraint("length(name) BETWEEN 1 AND 80", name="name_length"),
    )

    preset_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    definition_text: Mapped[str]
    """As it was given."""
    is_default: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """Whether it starts when nothing is named; of a project at most one."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
