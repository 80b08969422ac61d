"""Pipelines and cells as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.pipelines.states import CellState, PipelineState
from referee.pipelines.views import Cell, CellCounts, Pipeline

__all__ = [
    "CellCountsModel",
    "CellModel",
    "ExtensionModel",
    "PipelineEventModel",
    "PipelineModel",
    "PipelineRequestModel",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class PipelineRequestModel(_Model):
    """A pipeline to accept."""

    definition: str | dict[str, Any] = Field(
        description="The pipeline file: its YAML text, or the same as JSON."
    )


class ExtensionModel(_Model):
    """What a generating pipeline is extended by."""

    models: list[str] = Field(default_factory=list, max_length=1_000)
    templates: list[str] = Field(default_factory=list, max_length=1_000)


class CellCountsModel(_Model):
    """Cells by state; every page, list and export counts with these."""

    total_count: int
    ended_count: int
    active_count: int
    valid_count: int = Field(description="Whose analysis ended with verified results and no hole of its own.")
    by_state: dict[CellState, int]

    @classmethod
    def of(cls, counts: CellCounts) -> CellCountsModel:
        """Return the shape of counts."""
        return cls(
            total_count=counts.total_count,
            ended_count=counts.ended_count,
            active_count=counts.active_count,
            valid_count=counts.valid_count,
            by_state={state: counts.of(state) for state in CellState},
        )


class PipelineModel(_Model):
    """Models × templates to generate and analyse."""

    pipeline_id: UUID
    name: str
    mode: str = Field(description="generate or existing.")
    state: PipelineState
    reason: str
    cells: CellCountsModel
    definition: dict[str, Any] = Field(description="As it was understood, with every default.")
    definition_sha256: str = Field(description="Artifact with the file as it was given.")
    preflight: dict[str, Any] | None = Field(description="What was found before the first cell began.")
    budget_usd: float | None
    spent_usd: float
    remaining_s: float | None = Field(description="Expected; null when too few cells have ended.")
    job_id: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, pipeline: Pipeline) -> PipelineModel:
        """Return the shape of a pipeline."""
        return cls(
            pipeline_id=pipeline.pipeline_id,
            name=pipeline.name,
            mode=pipeline.mode,
            state=pipeline.state,
            reason=pipeline.reason,
            cells=CellCountsModel.of(pipeline.counts),
            definition=dict(pipeline.definition),
            definition_sha256=pipeline.definition_sha256,
            preflight=None if pipeline.preflight is None else dict(pipeline.preflight),
            budget_usd=pipeline.budget_usd,
            spent_usd=pipeline.spent_usd,
            remaining_s=pipeline.remaining_s,
            job_id=pipeline.job_id,
            created_at=pipeline.created_at,
            started_at=pipeline.started_at,
            finished_at=pipeline.finished_at,
        )


class CellModel(_Model):
    """One square of a pipeline."""

    cell_id: UUID
    pipeline_id: UUID
    position: int
    model: str
    template: str = Field(description="Slug; empty for an app that is analysed without one.")
    number: int = Field(description="Which repeat of a generated app; the number of one that exists.")
    analysis_kind: str = Field(description="Profile of its analysis.")
    state: CellState
    reason: str
    is_valid: bool
    app_id: UUID | None
    generation_id: UUID | None
    analysis_id: UUID | None
    attempts_count: int
    tries_count: int
    retry_at: datetime | None
    cost_usd: float | None
    duration_s: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, cell: Cell) -> CellModel:
        """Return the shape of a cell."""
        return cls.model_validate(cell)


class PipelineEventModel(_Model):
    """Something that happened to a pipeline."""

    event_id: int
    cell_id: UUID | None
    analysis_id: UUID | None = Field(description="Analysis of its cell; null when there is none.")
    kind: str
    message: str
    created_at: datetime
