"""The grid of a pipeline: models down, templates across, one square for all repeats of a pair.

Squares of small grids also show a mark for each tool and how bad the findings are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from uuid import UUID

from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import SeverityCounts, count_by_severity, list_outcomes
from referee.core.vocabulary import Outcome, Severity
from referee.foundation.web.badges import describe_state
from referee.foundation.web.charts import render_marks
from referee.pipelines.states import CellState
from referee.pipelines.tables import CellRow
from referee.pipelines.views import CellCounts

__all__ = ["Grid", "Square", "add_details", "read_grid"]

_MAX_DETAILED_SQUARES: Final = 300
"""Up to which each shows its tools and leads to its cells."""
_MAX_DETAILED_CELLS: Final = 1_000
"""The same, by cells: their tools and findings are read for every look at the page."""
_EMPTY: Final = Markup("<td></td>")
_TONES: Final = {state: describe_state(state).tone for state in CellState}
_STATES: Final = {state.value: state for state in CellState}
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


@lru_cache(maxsize=1_000)
def _render_bare(state: CellState, label: str) -> Markup:
    return Markup('<td class="is-{}">{}</td>').format(_TONES[state], label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """All repeats of one model for one template."""

    counts: CellCounts
    outcomes: Sequence[tuple[str, Outcome | None]] = ()
    """Tool by tool, the outcome of all repeats that most wants to be seen; None: not there yet."""
    severities: SeverityCounts | None = None
    """Findings of all repeats; None where nothing was analysed, or in a large grid."""

    @property
    def state(self) -> CellState:
        """The state that most wants to be seen."""
        by_state = self.counts.by_state
        if len(by_state) == 1:
            return next(iter(by_state))
        return next(state for state in _WORST_FIRST if self.counts.of(state))

    @property
    def label(self) -> str:
        """``3/3``: valid of all."""
        return f"{self.counts.valid_count}/{self.counts.total_count}"

    @property
    def bare(self) -> Markup:
        """As a table cell that says no more than how many cells are valid, and by its tone in what state they are."""
        return _render_bare(self.state, self.label)

    @property
    def marks(self) -> Markup:
        """A mark for each tool; empty where there is none."""
        if not self.outcomes:
            return Markup("")
        complete_count = sum(outcome is not None and outcome.is_complete for _, outcome in self.outcomes)
        named = [
            (f"{tool}: {_word(outcome)}", describe_state(_word(outcome)).tone)
            for tool, outcome in self.outcomes
        ]
        return render_marks(named, f"{complete_count} of {len(named)} tools have a result")

    @property
    def worst(self) -> Mapping[str, int]:
        """The two worst severities that were found, with their counts."""
        if self.severities is None:
            return {}
        counted = [(severity.value, self.severities.of(severity)) for severity in Severity]
        return dict([(severity, count) for severity, count in counted if count][:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Models × templates."""

    models: Sequence[str]
    templates: Sequence[str]
    """Slugs; an empty one stands for apps without a template."""
    squares: Mapping[tuple[str, str], Square]

    @property
    def is_large(self) -> bool:
        """Whether its squares say no more than how many cells are valid."""
        cells_count = sum(square.counts.total_count for square in self.squares.values())
        return len(self.squares) > _MAX_DETAILED_SQUARES or cells_count > _MAX_DETAILED_CELLS

    def find(self, model: str, template: str) -> Square | None:
        """Return a square; None where there is no cell."""
        return self.squares.get((model, template))

    def render_row(self, model: str) -> Markup:
        """Return the squares of a model as bare table cells, for a grid with thousands of them."""
        found = (self.squares.get((model, template)) for template in self.templates)
        return Markup("").join([_EMPTY if square is None else square.bare for square in found])


_OUTCOMES_WORST_FIRST: Final = (
    Outcome.failed,
    Outcome.parse_error,
    Outcome.timed_out,
    Outcome.target_unreachable,
    Outcome.cancelled,
    Outcome.skipped,
    Outcome.unavailable,
    None,
    Outcome.not_applicable,
    Outcome.succeeded,
)


def _word(outcome: Outcome | None) -> str:
    return "queued" if outcome is None else outcome.value


async def add_details(session: AsyncSession, pipeline_id: UUID, grid: Grid) -> Grid:
    """Return a grid whose squares know what became of each tool, and how bad the findings are."""
    rows = await session.execute(
        select(CellRow.model, CellRow.template, CellRow.analysis_id).where(
            CellRow.pipeline_id == pipeline_id, CellRow.analysis_id.is_not(None)
        )
    )
    analyses: dict[tuple[str, str], list[UUID]] = {}
    for model, template, analysis_id in rows:
        if analysis_id is not None:
            analyses.setdefault((model, template), []).append(analysis_id)
    ids = [analysis_id for found in analyses.values() for analysis_id in found]
    outcomes, severities = await list_outcomes(session, ids), await count_by_severity(session, ids)
    squares = {
        key: replace(
            square,
            outcomes=_merge_outcomes([outcomes.get(one, ()) for one in analyses.get(key, ())]),
            severities=_add_up([severities.get(one, SeverityCounts()) for one in analyses.get(key, ())]),
        )
        for key, square in grid.squares.items()
    }
    return replace(grid, squares=squares)


def _merge_outcomes(
    each: Sequence[Sequence[tuple[str, Outcome | None]]],
) -> Sequence[tuple[str, Outcome | None]]:
    found: dict[str, Outcome | None] = {}
    for tools in each:
        for tool, outcome in tools:
            known = found.get(tool, outcome)
            found[tool] = min(known, outcome, key=_OUTCOMES_WORST_FIRST.index)
    return list(found.items())


def _add_up(each: Sequence[SeverityCounts]) -> SeverityCounts | None:
    if not each:
        return None
    return SeverityCounts(
        **{severity.value: sum(one.of(severity) for one in each) for severity in Severity},
        suppressed=sum(one.suppressed for one in each),
    )


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
        states.setdefault(key, {})[_STATES[state]] = count
        valid[key] = valid.get(key, 0) + valid_count
    return Grid(
        models=list(dict.fromkeys(model for model, _ in states)),
        templates=list(dict.fromkeys(template for _, template in states)),
        squares={
            key: Square(counts=CellCounts(by_state=by_state, valid_count=valid[key]))
            for key, by_state in states.items()
        },
    )
