"""The words of pipelines and cells, and the table of what follows from what.

Cell::

    waiting ──> generating ──> analysing ──> completed            every tool run has its result
       ^  │          │             │    ├──> partially_completed  some have none, and each says why
       │  │          └─────────────┴────┴──> failed
       │  ├──> skipped                       its pipeline's budget is spent, or its app is a placeholder
       │  └──> cancelled                     (found when it is about to be analysed)
       └── a transient fault, and tries are left; or a person asks again

Pipeline::

    queued ──> running ──> completed            every cell is valid
       ^          │   ├──> partially_completed  some are
       │          │   └──> failed               none is
       └─ resume ─┤
               paused        queued, running, paused ──> cancelled

A cell is *valid* when its analysis ended with verified results and its only holes are tools that were
named as unavailable before the first cell began, the same for all cells.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["ACTIVE_CELL_STATES", "ENDED_CELL_STATES", "CellState", "PipelineState"]


class PipelineState(StrEnum):
    """Where a pipeline stands."""

    queued = "queued"
    running = "running"
    paused = "paused"
    completed = "completed"
    """Every cell is valid."""
    partially_completed = "partially_completed"
    """Some cells are valid; every hole has its reason."""
    failed = "failed"
    """No cell is valid."""
    cancelled = "cancelled"

    @property
    def is_ended(self) -> bool:
        """Whether nothing is at work and nobody waits; a retry or an extension begins it again."""
        return self not in (PipelineState.queued, PipelineState.running, PipelineState.paused)


class CellState(StrEnum):
    """Where one square of models × templates stands."""

    waiting = "waiting"
    generating = "generating"
    analysing = "analysing"
    completed = "completed"
    partially_completed = "partially_completed"
    failed = "failed"
    skipped = "skipped"
    """The pipeline's budget was spent before it began, or its app is a placeholder."""
    cancelled = "cancelled"

    @property
    def is_ended(self) -> bool:
        """Whether it goes no further by itself."""
        return self in ENDED_CELL_STATES


ACTIVE_CELL_STATES: Final = (CellState.generating, CellState.analysing)
"""A job is at work on it."""
ENDED_CELL_STATES: Final = (
    CellState.completed,
    CellState.partially_completed,
    CellState.failed,
    CellState.skipped,
    CellState.cancelled,
)
