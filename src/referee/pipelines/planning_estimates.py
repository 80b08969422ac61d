"""What earlier pipelines say about the next one: how long a cell takes, and how much results vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import count_succeeded_findings, plan_runs, read_tool_times
from referee.pipelines.definition import PipelineDefinition
from referee.pipelines.planning import compute_parameters_digest
from referee.pipelines.planning_design import Pilot, pool_spread
from referee.pipelines.tables import CellRow, PipelineRow

__all__ = ["TimeEstimate", "expect_time", "read_pilot"]

_CELLS_COUNT: Final = 200
"""That ended last."""
_FEWEST_CELLS_COUNT: Final = 3
_PILOT_CELLS_COUNT: Final = 5_000
_PILOTS_COUNT: Final = 5
"""Pipelines looked at, newest first, until one has enough results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEstimate:
    """How long the cells are expected to take."""

    seconds: float | None
    """None when it is not known; then ``reason`` says why."""
    reason: str
    cells_count: int
    """Earlier cells that it is taken from."""


async def expect_time(
    session: AsyncSession, project_id: UUID, definition: PipelineDefinition, cells_count: int
) -> TimeEstimate:
    """Return how long a pipeline takes if its cells go as earlier ones: of the same tools, else of the same profile.

    Where there are none and no app has to be written, single tool runs of earlier analyses say it.
    """
    kind, digest = definition.analysis.profile, compute_parameters_digest(definition)
    same_mode = (
        CellRow.generation_id.is_not(None)
        if definition.mode == "generate"
        else CellRow.generation_id.is_(None)
    )
    for conditions, what in (
        ((CellRow.parameters_digest == digest,), "with the same tools"),
        ((), f"of the profile {kind}"),
    ):
        last = (
            select(func.extract("epoch", CellRow.finished_at - CellRow.started_at).label("duration_s"))
            .join(PipelineRow, PipelineRow.pipeline_id == CellRow.pipeline_id)
            .where(
                PipelineRow.project_id == project_id,
                CellRow.analysis_kind == kind,
                CellRow.state.in_(("completed", "partially_completed")),
                CellRow.started_at.is_not(None),
                same_mode,
                *conditions,
            )
            .order_by(CellRow.finished_at.desc())
            .limit(_CELLS_COUNT)
            .subquery()
        )
        count, mean_s = (await session.execute(select(func.count(), func.avg(last.c.duration_s)))).one()
        if count >= _FEWEST_CELLS_COUNT and mean_s is not None:
            rounds = ceil(cells_count / definition.limits.cells_at_once)
            return TimeEstimate(
                seconds=float(mean_s) * rounds,
                reason=f"If cells go as the last {count} {what}, {definition.limits.cells_at_once} at once.",
                cells_count=count,
            )
    if definition.mode == "existing":
        found = await _expect_from_tool_runs(session, project_id, definition, cells_count)
        if found is not None:
            return found
    return TimeEstimate(
        seconds=None,
        reason=f"Fewer than {_FEWEST_CELLS_COUNT} cells like these have ended yet, so how long one takes is not known.",
        cells_count=0,
    )


async def _expect_from_tool_runs(
    session: AsyncSession, project_id: UUID, definition: PipelineDefinition, cells_count: int
) -> TimeEstimate | None:
    """Return how long it takes by earlier runs of each tool; None when one of them never ran here."""
    tools = [run.tool for run in plan_runs(definition.analysis.build_request("."))]
    times = await read_tool_times(session, project_id, tools)
    if set(tools) - times.keys():
        return None
    runs_count = sum(time.runs_count for time in times.values())
    rounds = ceil(cells_count / definition.limits.cells_at_once)
    return TimeEstimate(
        seconds=sum(time.mean_ms for time in times.values()) / 1_000 * rounds,
        reason=f"If tools take as long as in {runs_count:,} earlier runs, one after another, "
        f"{definition.limits.cells_at_once} cells at once; starting apps is not in it.",
        cells_count=0,
    )


async def read_pilot(session: AsyncSession, project_id: UUID, definition: PipelineDefinition) -> Pilot | None:
    """Return the spread of the findings of one app in the newest pipeline with the same tools; None without one."""
    kind, digest = definition.analysis.profile, compute_parameters_digest(definition)
    pipelines = await session.execute(
        select(PipelineRow.pipeline_id, PipelineRow.name)
        .where(
            PipelineRow.project_id == project_id,
            select(CellRow.cell_id)
            .where(
                CellRow.pipeline_id == PipelineRow.pipeline_id,
                CellRow.is_valid,
                CellRow.analysis_kind == kind,
                CellRow.parameters_digest == digest,
            )
            .exists(),
        )
        .order_by(PipelineRow.sequence.desc())
        .limit(_PILOTS_COUNT)
    )
    for pipeline_id, name in pipelines.all():
        pooled = pool_spread(await _read_scores(session, pipeline_id, kind, digest))
        if pooled is not None and pooled[0].compute_difference_sd(1) > 0:
            spread, models_count, templates_count = pooled
            return Pilot(spread=spread, name=name, models_count=models_count, templates_count=templates_count)
    return None


async def _read_scores(
    session: AsyncSession, pipeline_id: UUID, kind: str, digest: str
) -> Mapping[str, Mapping[str, list[float]]]:
    """Return the findings of every valid cell by model and what pairs it: its template, else its number."""
    rows = (
        await session.execute(
            select(CellRow.model, CellRow.template, CellRow.number, CellRow.analysis_id)
            .where(
                CellRow.pipeline_id == pipeline_id,
                CellRow.is_valid,
                CellRow.analysis_kind == kind,
                CellRow.parameters_digest == digest,
                CellRow.analysis_id.is_not(None),
            )
            .order_by(CellRow.position)
            .limit(_PILOT_CELLS_COUNT)
        )
    ).all()
    counts = await count_succeeded_findings(session, [row.analysis_id for row in rows if row.analysis_id])
    scores: dict[str, dict[str, list[float]]] = {}
    for model, template, number, analysis_id in rows:
        if analysis_id is not None and analysis_id in counts:
            key = template or f"app{number}"
            scores.setdefault(model, {}).setdefault(key, []).append(float(counts[analysis_id]))
    return scores
