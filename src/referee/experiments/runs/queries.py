"""Every read of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.experiments.runs.datasets import find_dataset_names
from referee.experiments.runs.tables import RUN_STATUSES, ExperimentRunRow
from referee.experiments.runs.views import Run
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "RUN_FIELDS",
    "RunPage",
    "RunSearch",
    "count_runs",
    "count_statuses",
    "get_run",
    "list_runs",
    "search_runs",
]

RUN_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField("text", "Part of its name.", is_searched=True, example="name:baseline"),
    "status": FilterField("enum", "State of the run.", RUN_STATUSES),
    "dataset": FilterField("text", "Part of its dataset's id.", example="dataset:EXT-"),
    "created": FilterField("time", "When it was created.", example="created:>=-7d"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "name": ExperimentRunRow.__table__.c.name,
    "status": ExperimentRunRow.__table__.c.status,
    "dataset": ExperimentRunRow.__table__.c.dataset_id,
    "created": ExperimentRunRow.__table__.c.created_at,
}
_SORTS: Final[Mapping[str, ColumnElement[Any]]] = {
    "created_at": ExperimentRunRow.__table__.c.created_at,
    "updated_at": func.coalesce(
        ExperimentRunRow.__table__.c.updated_at, ExperimentRunRow.__table__.c.created_at
    ),
    "name": func.lower(ExperimentRunRow.__table__.c.name),
    "status": ExperimentRunRow.__table__.c.status,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSearch:
    """What a client asks for; what is None or empty asks for nothing."""

    dataset_id: str | None = None
    run_ids: Sequence[str] = ()
    name: str | None = None
    """Part of the name, whatever its case."""
    status: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    sort_by: str = "created_at"
    is_descending: bool = True
    page: int = 1
    limit: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """One page of a search."""

    runs: Sequence[Run]
    total_count: int
    unfiltered_count: int
    """Runs of the project."""
    search: RunSearch


async def get_run(session: AsyncSession, project_id: UUID, run_id: str) -> Run:
    """Return one run.

    Raises:
        NotFound: The project has no such run.
    """
    row = (
        await session.execute(
            select(ExperimentRunRow)
            .where(ExperimentRunRow.project_id == project_id, ExperimentRunRow.run_id == run_id)
            .execution_options(populate_existing=True)
        )
    ).scalar_one_or_none()
    if row is None:
        raise NotFound("run.not_found", "There is no such run.", "List them with `referee run list`.")
    return (await build_views(session, project_id, [row]))[0]


async def search_runs(session: AsyncSession, project_id: UUID, search: RunSearch) -> RunPage:
    """Return one page of the runs that a client asks for."""
    mine = ExperimentRunRow.project_id == project_id
    conditions = [mine, *_list_conditions(search)]
    order = _SORTS[search.sort_by]
    rows = (
        await session.scalars(
            select(ExperimentRunRow)
            .where(*conditions)
            .order_by(
                order.desc() if search.is_descending else order.asc(),
                ExperimentRunRow.sequence.desc() if search.is_descending else ExperimentRunRow.sequence,
            )
            .offset((search.page - 1) * search.limit)
            .limit(search.limit)
        )
    ).all()
    return RunPage(
        runs=await build_views(session, project_id, rows),
        total_count=await count_runs(session, *conditions),
        unfiltered_count=await count_runs(session, mine),
        search=search,
    )


async def list_runs(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Run]:
    """Return runs, newest first."""
    conditions = [ExperimentRunRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _COLUMNS))
    total_count = await count_runs(session, *conditions)
    statement = (
        select(ExperimentRunRow)
        .where(*conditions)
        .order_by(ExperimentRunRow.sequence.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        (before,) = decode_cursor(cursor, "runs")
        statement = statement.where(ExperimentRunRow.sequence < int(str(before)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("runs", [kept[-1].sequence]) if len(rows) > limit else None
    return Page(tuple(await build_views(session, project_id, kept)), total_count, limit, next_cursor)


async def count_runs(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    """Return how many runs meet all conditions."""
    return await session.scalar(select(func.count()).select_from(ExperimentRunRow).where(*conditions)) or 0


async def count_statuses(
    session: AsyncSession, project_id: UUID, where: Filter | None = None
) -> dict[str, int]:
    """Return status → runs, under a filter."""
    conditions = [ExperimentRunRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _COLUMNS))
    rows = await session.execute(
        select(ExperimentRunRow.status, func.count()).where(*conditions).group_by(ExperimentRunRow.status)
    )
    counts = {status: count for status, count in rows}
    return {status: counts[status] for status in RUN_STATUSES if status in counts}


async def build_views(session: AsyncSession, project_id: UUID, rows: Sequence[ExperimentRunRow]) -> list[Run]:
    """Return rows as values, with the names of their datasets."""
    names = await find_dataset_names(
        session, project_id, {row.dataset_id for row in rows if row.dataset_id is not None}
    )
    return [
        Run(
            run_id=row.run_id,
            project_id=row.project_id,
            sequence=row.sequence,
            name=row.name,
            description=row.description,
            status=row.status,
            dataset_id=row.dataset_id,
            dataset_name=None if row.dataset_id is None else names.get(row.dataset_id),
            metadata=row.metadata_json,
            results=row.results_json,
            configuration=row.configuration_json,
            event_ids=row.event_ids_json,
            metric_names=row.metric_names_json,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


def _list_conditions(search: RunSearch) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if search.dataset_id is not None:
        found.append(ExperimentRunRow.dataset_id == search.dataset_id)
    if search.run_ids:
        found.append(ExperimentRunRow.run_id.in_(search.run_ids))
    if search.name:
        found.append(ExperimentRunRow.name.icontains(search.name, autoescape=True))
    if search.status is not None:
        found.append(ExperimentRunRow.status == search.status)
    if search.created_from is not None:
        found.append(ExperimentRunRow.created_at >= search.created_from)
    if search.created_to is not None:
        found.append(ExperimentRunRow.created_at <= search.created_to)
    return found
