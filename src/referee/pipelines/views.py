"""Pipelines and cells as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from referee.core.findings import JsonValue
from referee.pipelines.states import CellState, PipelineState

__all__ = ["Cell", "CellCounts", "Pipeline", "PipelineEvent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCounts:
    """How many cells of a pipeline stand where. Every surface shows these, read by one query."""

    by_state: Mapping[CellState, int] = field(default_factory=dict)
    valid_count: int = 0

    @property
    def total_count(self) -> int:
        """All cells."""
        return sum(self.by_state.values())

    @property
    def ended_count(self) -> int:
        """Cells that go no further by themselves."""
        return sum(count for state, count in self.by_state.items() if state.is_ended)

    @property
    def active_count(self) -> int:
        """Cells that a job is at work on."""
        return self.of(CellState.generating) + self.of(CellState.analysing)

    @property
    def ended_share(self) -> float:
        """Share of cells that have ended, 0–1; 0 without cells."""
        return self.ended_count / self.total_count if self.total_count else 0.0

    def of(self, state: CellState) -> int:
        """Return the count of one state."""
        return self.by_state.get(state, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Models × templates to generate and analyse."""

    pipeline_id: UUID
    sequence: int
    project_id: UUID
    name: str
    state: PipelineState
    reason: str
    definition: Mapping[str, JsonValue]
    definition_sha256: str
    preflight: Mapping[str, JsonValue] | None
    budget_usd: float | None
    spent_usd: float
    job_id: UUID | None
    counts: CellCounts
    remaining_s: float | None
    """Seconds until the last cell ends, if the rest go as those that ended; None when too few have."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def mode(self) -> str:
        """``generate`` or ``existing``."""
        return "existing" if self.definition.get("generate") is None else "generate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One square of a pipeline."""

    cell_id: UUID
    pipeline_id: UUID
    position: int
    model: str
    template: str
    number: int
    analysis_kind: str
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
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def duration_s(self) -> float | None:
        """Seconds of its last try; None while it has not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineEvent:
    """Something that happened to a pipeline."""

    event_id: int
    cell_id: UUID | None
    analysis_id: UUID | None
    """Of its cell, as far as there is one."""
    kind: str
    message: str
    created_at: datetime
