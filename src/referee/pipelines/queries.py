"""Every read of pipelines and cells. Page, API, command line and export count with ``count_cells``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where
from referee.pipelines.states import ENDED_CELL_STATES, CellState, PipelineState
from referee.pipelines.tables import CellRow, PipelineEventRow, PipelineRow
from referee.pipelines.views import Cell, CellCounts, Pipeline, PipelineEvent

__all__ = [
    "CELL_FIELDS",
    "EVENT_FIELDS",
    "PIPELINE_FIELDS",
    "count_cells",
    "count_event_kinds",
    "count_pipelines",
    "find_event_message",
    "get_cell",
    "get_pipeline",
    "list_cells",
    "list_events",
    "list_holes",
    "list_pipelines",
]

_TIMED_CELLS_COUNT: Final = 50
"""Of the cells that ended last: what the rest are expected to take."""
_FEWEST_TIMED_COUNT: Final = 3

PIPELINE_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(PipelineState, "State of the pipeline."),
    "name": FilterField("text", "Part of its name.", is_searched=True, example="name:spring"),
    "created": FilterField("time", "When it was accepted.", example="created:>=-7d"),
}
_PIPELINE_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": PipelineRow.__table__.c.state,
    "name": PipelineRow.__table__.c.name,
    "created": PipelineRow.__table__.c.created_at,
}

CELL_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(CellState, "State of the cell."),
    "model": FilterField("text", "Part of the model's slug.", is_searched=True, example="model:coder"),
    "template": FilterField("text", "Part of the template's slug.", is_searched=True),
    "number": FilterField("number", "Which repeat, or the app's number.", example="number:1"),
    "valid": FilterField("flag", "Whether its results count.", example="-is:valid"),
}
_CELL_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": CellRow.__table__.c.state,
    "model": CellRow.__table__.c.model,
    "template": CellRow.__table__.c.template,
    "number": CellRow.__table__.c.number,
    "valid": CellRow.__table__.c.is_valid,
}

EVENT_FIELDS: Final[Mapping[str, FilterField]] = {
    "kind": FilterField("keyword", "What kind of event it is.", example="kind:cell.*"),
    "message": FilterField("text", "Part of its sentence.", is_searched=True),
    "created": FilterField("time", "When it happened.", example="created:>=-1d"),
}
_EVENT_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "kind": PipelineEventRow.__table__.c.kind,
    "message": PipelineEventRow.__table__.c.message,
    "created": PipelineEventRow.__table__.c.created_at,
}


async def get_pipeline(session: AsyncSession, project_id: UUID, pipeline_id: UUID) -> Pipeline:
    """Return one pipeline with its counts.

    Raises:
        NotFound: The project has no such pipeline.
    """
    row = (
        await session.execute(
            select(PipelineRow)
            .where(PipelineRow.pipeline_id == pipeline_id, PipelineRow.project_id == project_id)
            .execution_options(populate_existing=True)
        )
    ).scalar_one_or_none()
    if row is None:
        raise NotFound(
            "pipeline.not_found", "There is no such pipeline.", "List them with `referee pipeline list`."
        )
    return (await _build_views(session, [row]))[0]


async def list_pipelines(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Pipeline]:
    """Return pipelines, newest first."""
    conditions = [PipelineRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _PIPELINE_COLUMNS))
    total_count = await count_pipelines(session, *conditions)
    statement = select(PipelineRow).where(*conditions).order_by(PipelineRow.sequence.desc()).limit(limit + 1)
    if cursor is not None:
        (before,) = decode_cursor(cursor, "pipelines")
        statement = statement.where(PipelineRow.sequence < int(str(before)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("pipelines", [kept[-1].sequence]) if len(rows) > limit else None
    return Page(tuple(await _build_views(session, kept)), total_count, limit, next_cursor)


async def count_pipelines(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    """Return how many pipelines meet all conditions."""
    return await session.scalar(select(func.count()).select_from(PipelineRow).where(*conditions)) or 0


async def count_cells(session: AsyncSession, pipeline_ids: Sequence[UUID]) -> dict[UUID, CellCounts]:
    """Return the counts of each pipeline. The one query that counts cells."""
    rows = await session.execute(
        select(
            CellRow.pipeline_id,
            CellRow.state,
            func.count(),
            func.count().filter(CellRow.is_valid),
        )
        .where(CellRow.pipeline_id.in_(pipeline_ids))
        .group_by(CellRow.pipeline_id, CellRow.state)
    )
    states: dict[UUID, dict[CellState, int]] = {pipeline_id: {} for pipeline_id in pipeline_ids}
    valid: dict[UUID, int] = dict.fromkeys(pipeline_ids, 0)
    for pipeline_id, state, count, valid_count in rows:
        states[pipeline_id][CellState(state)] = count
        valid[pipeline_id] += valid_count
    return {
        pipeline_id: CellCounts(by_state=states[pipeline_id], valid_count=valid[pipeline_id])
        for pipeline_id in pipeline_ids
    }


async def list_cells(
    session: AsyncSession,
    pipeline_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Cell]:
    """Return the cells of a pipeline in their order."""
    conditions = [CellRow.pipeline_id == pipeline_id]
    if where is not None:
        conditions.append(to_where(where, _CELL_COLUMNS))
    total_count = await session.scalar(select(func.count()).select_from(CellRow).where(*conditions)) or 0
    statement = (
        select(CellRow).where(*conditions).order_by(CellRow.position, CellRow.cell_id).limit(limit + 1)
    )
    if cursor is not None:
        (after,) = decode_cursor(cursor, "cells")
        statement = statement.where(CellRow.position > int(str(after)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("cells", [kept[-1].position]) if len(rows) > limit else None
    return Page(tuple(view_cell(row) for row in kept), total_count, limit, next_cursor)


async def list_holes(session: AsyncSession, pipeline_id: UUID, *, limit: int = DEFAULT_LIMIT) -> Page[Cell]:
    """Return the cells that ended without valid results, in their order."""
    conditions = [
        CellRow.pipeline_id == pipeline_id,
        ~CellRow.is_valid,
        CellRow.state.in_([state.value for state in ENDED_CELL_STATES]),
    ]
    total_count = await session.scalar(select(func.count()).select_from(CellRow).where(*conditions)) or 0
    rows = await session.scalars(select(CellRow).where(*conditions).order_by(CellRow.position).limit(limit))
    return Page(tuple(view_cell(row) for row in rows), total_count, limit, None)


async def get_cell(session: AsyncSession, project_id: UUID, cell_id: UUID) -> Cell:
    """Return one cell.

    Raises:
        NotFound: The project has no such cell.
    """
    row = (
        await session.execute(
            select(CellRow)
            .join(PipelineRow, PipelineRow.pipeline_id == CellRow.pipeline_id)
            .where(CellRow.cell_id == cell_id, PipelineRow.project_id == project_id)
        )
    ).scalar_one_or_none()
    if row is None:
        raise NotFound("cell.not_found", "There is no such cell.", "List a pipeline's cells.")
    return view_cell(row)


async def list_events(
    session: AsyncSession,
    pipeline_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[PipelineEvent]:
    """Return what happened to a pipeline, the latest first."""
    conditions = [PipelineEventRow.pipeline_id == pipeline_id]
    if where is not None:
        conditions.append(to_where(where, _EVENT_COLUMNS))
    counted = select(func.count()).select_from(PipelineEventRow).where(*conditions)
    total_count = await session.scalar(counted) or 0
    statement = (
        select(PipelineEventRow, CellRow.analysis_id)
        .outerjoin(CellRow, CellRow.cell_id == PipelineEventRow.cell_id)
        .where(*conditions)
        .order_by(PipelineEventRow.event_id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        (before,) = decode_cursor(cursor, "pipeline_events")
        statement = statement.where(PipelineEventRow.event_id < int(str(before)))
    rows = (await session.execute(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("pipeline_events", [kept[-1][0].event_id]) if len(rows) > limit else None
    return Page(tuple(_view_event(row, analysis) for row, analysis in kept), total_count, limit, next_cursor)


async def find_event_message(session: AsyncSession, pipeline_id: UUID, kind: str) -> str | None:
    """Return what the first event of a kind says; None when there is none."""
    message: str | None = await session.scalar(
        select(PipelineEventRow.message)
        .where(PipelineEventRow.pipeline_id == pipeline_id, PipelineEventRow.kind == kind)
        .order_by(PipelineEventRow.event_id)
        .limit(1)
    )
    return message


async def count_event_kinds(
    session: AsyncSession, pipeline_id: UUID, where: Filter | None = None
) -> dict[str, int]:
    """Return how many events of each kind there are, whatever kinds the filter names; the most frequent first."""
    conditions = [PipelineEventRow.pipeline_id == pipeline_id]
    if where is not None:
        conditions.append(to_where(where.without("kind"), _EVENT_COLUMNS))
    rows = await session.execute(
        select(PipelineEventRow.kind, func.count())
        .where(*conditions)
        .group_by(PipelineEventRow.kind)
        .order_by(func.count().desc(), PipelineEventRow.kind)
    )
    return {kind: count for kind, count in rows}


def view_cell(row: CellRow) -> Cell:
    """Return a row as a value."""
    return Cell(
        cell_id=row.cell_id,
        pipeline_id=row.pipeline_id,
        position=row.position,
        model=row.model,
        template=row.template,
        number=row.number,
        analysis_kind=row.analysis_kind,
        state=CellState(row.state),
        reason=row.reason,
        is_valid=row.is_valid,
        app_id=row.app_id,
        generation_id=row.generation_id,
        analysis_id=row.analysis_id,
        attempts_count=row.attempts_count,
        tries_count=row.tries_count,
        retry_at=row.retry_at,
        cost_usd=None if row.cost_usd is None else float(row.cost_usd),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


async def _build_views(session: AsyncSession, rows: Sequence[PipelineRow]) -> list[Pipeline]:
    ids = [row.pipeline_id for row in rows]
    counts = await count_cells(session, ids)
    spent = await session.execute(
        select(CellRow.pipeline_id, func.sum(CellRow.cost_usd))
        .where(CellRow.pipeline_id.in_(ids), CellRow.cost_usd.is_not(None))
        .group_by(CellRow.pipeline_id)
    )
    costs = {pipeline_id: float(cost) for pipeline_id, cost in spent if cost is not None}
    return [
        Pipeline(
            pipeline_id=row.pipeline_id,
            sequence=row.sequence,
            project_id=row.project_id,
            name=row.name,
            state=PipelineState(row.state),
            reason=row.reason,
            definition=row.definition_json,
            definition_sha256=row.definition_sha256,
            preflight=row.preflight_json,
            budget_usd=None if row.budget_usd is None else float(row.budget_usd),
            spent_usd=costs.get(row.pipeline_id, 0.0),
            job_id=row.job_id,
            counts=counts[row.pipeline_id],
            remaining_s=await _estimate_remaining_s(session, row, counts[row.pipeline_id]),
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )
        for row in rows
    ]


async def _estimate_remaining_s(session: AsyncSession, row: PipelineRow, counts: CellCounts) -> float | None:
    """Return how long the rest takes if it goes as the cells that ended last. Pauses do not count."""
    open_count = counts.total_count - counts.ended_count
    if row.state != PipelineState.running.value or open_count == 0:
        return None
    last = (
        select(func.extract("epoch", CellRow.finished_at - CellRow.started_at).label("duration_s"))
        .where(
            CellRow.pipeline_id == row.pipeline_id,
            CellRow.state.in_(("completed", "partially_completed", "failed")),
            CellRow.started_at.is_not(None),
        )
        .order_by(CellRow.finished_at.desc())
        .limit(_TIMED_CELLS_COUNT)
        .subquery()
    )
    timed_count, mean_s = (await session.execute(select(func.count(), func.avg(last.c.duration_s)))).one()
    if mean_s is None or timed_count < _FEWEST_TIMED_COUNT:
        return None
    limits = row.definition_json.get("limits")
    at_once = int(str(limits["cells_at_once"])) if isinstance(limits, dict) else 1
    return float(mean_s) * open_count / min(at_once, open_count)


def _view_event(row: PipelineEventRow, analysis_id: UUID | None) -> PipelineEvent:
    return PipelineEvent(
        event_id=row.event_id,
        cell_id=row.cell_id,
        analysis_id=analysis_id,
        kind=row.kind,
        message=row.message,
        created_at=row.created_at,
    )
