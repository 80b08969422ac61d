"""Finished pipelines as spans: the whole and its cells, each linked to its analysis' own trace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select

from referee.core.own_work import OwnSpan, OwnWork
from referee.foundation.store import Database
from referee.pipelines.tables import CellRow, PipelineRow

__all__ = ["list_pipeline_work"]

MAX_CELLS: Final = 10_000
"""Of one pipeline; the whole is told all the same."""
_FAILED: Final = ("failed", "cancelled")


async def list_pipeline_work(database: Database, after: datetime, limit: int) -> Sequence[OwnWork]:
    """Return pipelines that ended at or after an instant, the earliest first; one that was resumed, again."""
    statement = (
        select(PipelineRow)
        .where(PipelineRow.finished_at >= after)
        .order_by(PipelineRow.finished_at, PipelineRow.pipeline_id)
        .limit(limit)
    )
    found: list[OwnWork] = []
    async with database.reading() as session:
        for pipeline in (await session.scalars(statement)).all():
            cells = await session.scalars(
                select(CellRow)
                .where(CellRow.pipeline_id == pipeline.pipeline_id, CellRow.finished_at.is_not(None))
                .order_by(CellRow.position)
                .limit(MAX_CELLS)
            )
            found.append(_describe(pipeline, cells.all()))
    return found


def _describe(pipeline: PipelineRow, cells: Sequence[CellRow]) -> OwnWork:
    ended_at = pipeline.finished_at or pipeline.created_at
    whole = OwnSpan(
        key="",
        parent_key=None,
        name=f"pipeline {pipeline.name}",
        service="referee",
        started_at=pipeline.created_at,
        finished_at=ended_at,
        error=(pipeline.reason or pipeline.state) if pipeline.state in _FAILED else None,
        attributes={
            "referee.pipeline_id": str(pipeline.pipeline_id),
            "referee.project_id": str(pipeline.project_id),
            "referee.state": pipeline.state,
        },
    )
    # Each time it is set going is a trace of its own: spans that were told do not change.
    work_id = f"pipeline:{pipeline.pipeline_id}:{pipeline.drives_count}"
    return OwnWork(
        work_id=work_id, finished_at=ended_at, spans=[whole, *(_describe_cell(cell) for cell in cells)]
    )


def _describe_cell(cell: CellRow) -> OwnSpan:
    ended_at = cell.finished_at or cell.created_at
    return OwnSpan(
        key=f"cell {cell.cell_id}",
        parent_key="",
        name=f"cell {cell.model} × {cell.template or 'no template'} × {cell.number}",
        service="pipelines",
        started_at=cell.started_at or ended_at,
        finished_at=ended_at,
        error=(cell.reason or cell.state) if cell.state in _FAILED else None,
        attributes={
            "referee.cell_id": str(cell.cell_id),
            "referee.state": cell.state,
            "referee.is_valid": cell.is_valid,
            "referee.tries_count": cell.tries_count,
        },
        linked_work_id=None if cell.analysis_id is None else f"analysis:{cell.analysis_id}",
    )
