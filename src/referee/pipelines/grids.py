"""The grid of a pipeline: models down, templates across, one square for all repeats of a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.pipelines.states import CellState
from referee.pipelines.tables import CellRow
from referee.pipelines.views import CellCounts

__all__ = ["Grid", "Square", "read_grid"]

_WORST_FIRST = (
    CellState.failed,
    CellState.cancelled,
    CellState.skipped,
    CellState.partially_completed,
    CellState.generating,
    CellState.analysing,
    CellState.waiting,
    CellState.completed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """All repeats of one model for one template."""

    counts: CellCounts

    @property
    def state(self) -> CellState:
        """The state that most wants to be seen."""
        return next(state for state in _WORST_FIRST if self.counts.of(state))

    @property
    def label(self) -> str:
        """``3/3``: valid of all."""
        return f"{self.counts.valid_count}/{self.counts.total_count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Models × templates."""

    models: Sequence[str]
    templates: Sequence[str]
    """Slugs; an empty one stands for apps without a template."""
    squares: Mapping[tuple[str, str], Square]

    def find(self, model: str, template: str) -> Square | None:
        """Return a square; None where there is no cell."""
        return self.squares.get((model, template))


async def read_grid(session: AsyncSession, pipeline_id: UUID) -> Grid:
    """Return the grid of a pipeline, in the order of its cells."""
    rows = await session.execute(
        select(
            CellRow.model,
            CellRow.template,
            CellRow.state,
            func.count(),
            func.count().filter(CellRow.is_valid),
            func.min(CellRow.position).label("position"),
        )
        .where(CellRow.pipeline_id == pipeline_id)
        .group_by(CellRow.model, CellRow.template, CellRow.state)
        .order_by("position")
    )
    states: dict[tuple[str, str], dict[CellState, int]] = {}
    valid: dict[tuple[str, str], int] = {}
    for model, template, state, count, valid_count, _ in rows:
        key = (model, template)
        states.setdefault(key, {})[CellState(state)] = count
        valid[key] = valid.get(key, 0) + valid_count
    return Grid(
        models=list(dict.fromkeys(model for model, _ in states)),
        templates=list(dict.fromkeys(template for _, template in states)),
        squares={
            key: Square(counts=CellCounts(by_state=by_state, valid_count=valid[key]))
            for key, by_state in states.items()
        },
    )
