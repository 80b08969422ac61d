"""Judge a cell by its analysis: is it valid, and is what is missing worth another try?

Only faults of the surroundings are tried again, never what a tool said: a tool that failed, ran out of
time or printed nonsense has given its answer. One that was killed from outside has not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from signal import SIGKILL
from typing import Final

from referee.analysis import Analysis, ToolRun
from referee.core.vocabulary import AnalysisState, Outcome
from referee.pipelines.states import CellState

__all__ = ["CellVerdict", "Hole", "judge_cell"]


_KILLED: Final = -SIGKILL
"""Exit code of a tool that somebody else ended: a person, or a machine without memory. Its own limits say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A tool without a result."""

    tool: str
    outcome: Outcome
    reason: str
    is_transient: bool
    """Whether another try may fill it."""
    is_named: bool
    """Whether it was named as unavailable before the first cell began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellVerdict:
    """What became of a cell."""

    state: CellState
    is_valid: bool
    reason: str
    """One sentence; empty when nothing is missing."""
    holes: tuple[Hole, ...]

    @property
    def is_worth_another_try(self) -> bool:
        """Whether another try may make it valid."""
        return not self.is_valid and any(hole.is_transient for hole in self.holes)


_STATES = {
    AnalysisState.completed: CellState.completed,
    AnalysisState.partially_completed: CellState.partially_completed,
    AnalysisState.failed: CellState.failed,
    AnalysisState.cancelled: CellState.cancelled,
}


def judge_cell(
    analysis: Analysis, tool_runs: Sequence[ToolRun], *, unavailable: Collection[str], can_app_run: bool
) -> CellVerdict:
    """Return what an ended analysis makes of its cell.

    Args:
        analysis: Ended.
        tool_runs: Of it.
        unavailable: Tools that were named as unavailable at preflight.
        can_app_run: Whether its app was up at some time, or something other than itself stopped it: then one that was
            gone is worth another try.
    """
    holes = tuple(
        Hole(
            tool=run.tool,
            outcome=run.outcome,
            reason=run.reason,
            is_transient=_is_transient(run, unavailable, can_app_run=can_app_run),
            is_named=run.outcome is Outcome.unavailable and run.tool in unavailable,
        )
        for run in tool_runs
        if run.outcome is not None and not run.outcome.is_complete
    )
    state = _STATES[analysis.state]
    is_verified = analysis.state in (AnalysisState.completed, AnalysisState.partially_completed)
    is_valid = is_verified and all(hole.is_named for hole in holes)
    return CellVerdict(state=state, is_valid=is_valid, reason=_explain(analysis, holes), holes=holes)


def _is_transient(run: ToolRun, unavailable: Collection[str], *, can_app_run: bool) -> bool:
    if run.outcome is Outcome.skipped:  # its service got no work then
        return True
    if run.outcome is Outcome.unavailable:  # it could be had when the pipeline began
        return run.tool not in unavailable
    if run.outcome is Outcome.target_unreachable:
        return can_app_run
    return run.outcome is Outcome.failed and (run.did_run is False or run.exit_code == _KILLED)


def _explain(analysis: Analysis, holes: Sequence[Hole]) -> str:
    if not holes:
        return analysis.reason if analysis.state is not AnalysisState.completed else ""
    first = next((hole for hole in holes if not hole.is_named), holes[0])
    others = f" ({len(holes) - 1} more)" if len(holes) > 1 else ""
    word = first.outcome.value.replace("_", " ")
    return (
        f"{first.tool} is {word}: {first.reason}{others}"
        if first.reason
        else f"{first.tool} is {word}.{others}"
    )
