"""Every read of datasets and datapoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, and_, cast, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.pages import DEFAULT_LIMIT, Page
from referee.experiments.datasets.tables import (
    DatapointRevisionRow,
    DatapointRow,
    DatasetMemberRow,
    DatasetRow,
    DatasetVersionRow,
)
from referee.experiments.datasets.views import Datapoint, DatapointContent, Dataset, DatasetVersion
from referee.experiments.identifiers import make_not_found
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "DATAPOINT_FIELDS",
    "DATASET_FIELDS",
    "MAX_DATAPOINTS_COUNT",
    "check_version",
    "count_datasets",
    "get_datapoint",
    "get_dataset",
    "list_datapoint_ids",
    "list_datapoints",
    "list_dataset_datapoints",
    "list_dataset_versions",
    "list_datasets",
    "view_dataset",
]

MAX_DATAPOINTS_COUNT = 100_000
"""Of one dataset: their ids are 4 MB of JSON."""

DATASET_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField("text", "Part of its name.", is_searched=True, example="name:support"),
    "description": FilterField("text", "Part of its description.", is_searched=True),
    "datapoints": FilterField("number", "Datapoints that belong to it.", example="datapoints:>=10"),
    "created": FilterField("time", "When it was created.", example="created:>=-7d"),
}
DATAPOINT_FIELDS: Final[Mapping[str, FilterField]] = {
    "inputs": FilterField("text", "Part of its inputs, as JSON.", is_searched=True, example="inputs:refund"),
    "truth": FilterField("text", "Part of its ground truth, as JSON.", is_searched=True),
    "metadata": FilterField("text", "Part of its metadata, as JSON."),
    "event": FilterField("keyword", "Id of the event it was made from."),
}
_DATASET_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "name": DatasetRow.__table__.c.name,
    "description": DatasetRow.__table__.c.description,
    "datapoints": DatasetRow.__table__.c.datapoints_count,
    "created": DatasetRow.__table__.c.created_at,
}
_DATAPOINT_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "inputs": cast(DatapointRevisionRow.__table__.c.inputs_json, Text),
    "truth": cast(DatapointRevisionRow.__table__.c.ground_truth_json, Text),
    "metadata": cast(DatapointRevisionRow.__table__.c.metadata_json, Text),
    "event": DatapointRevisionRow.__table__.c.linked_event,
}

_is_present = DatasetMemberRow.until_version.is_(None)


async def list_datasets(
    session: AsyncSession,
    project_id: UUID,
    *,
    dataset_id: UUID | None = None,
    name: str | None = None,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Dataset]:
    """Return datasets, newest first.

    Args:
        session: To read with.
        project_id: Whose.
        dataset_id: Only this one.
        name: Only those of exactly this name.
        where: Only those that match.
        cursor: Of the page before.
        limit: Rows at most.
    """
    conditions: list[ColumnElement[bool]] = [DatasetRow.project_id == project_id]
    if dataset_id is not None:
        conditions.append(DatasetRow.dataset_id == dataset_id)
    if name is not None:
        conditions.append(DatasetRow.name == name)
    if where is not None:
        conditions.append(to_where(where, _DATASET_COLUMNS))
    total_count = await session.scalar(select(func.count()).select_from(DatasetRow).where(*conditions)) or 0
    statement = select(DatasetRow).where(*conditions)
    if cursor is not None:
        (after,) = decode_cursor(cursor, "datasets")
        statement = statement.where(DatasetRow.dataset_id < UUID(str(after)))
    rows = (await session.scalars(statement.order_by(DatasetRow.dataset_id.desc()).limit(limit + 1))).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("datasets", [str(kept[-1].dataset_id)]) if len(rows) > limit else None
    return Page(tuple(view_dataset(row) for row in kept), total_count, limit, next_cursor)


async def get_dataset(session: AsyncSession, project_id: UUID, dataset_id: UUID) -> Dataset:
    """Return a dataset.

    Raises:
        NotFound: The project has none of that id.
    """
    row = await session.scalar(
        select(DatasetRow)
        .where(DatasetRow.project_id == project_id, DatasetRow.dataset_id == dataset_id)
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise make_not_found("dataset", dataset_id)
    return view_dataset(row)


def check_version(dataset: Dataset, version: int | None) -> int | None:
    """Return a version that a dataset has.

    Raises:
        NotFound: It has no such version.
    """
    if version is not None and not 1 <= version <= dataset.version:
        raise make_not_found("dataset_version", version)
    return version


async def count_datasets(session: AsyncSession, project_id: UUID) -> int:
    """Return how many datasets a project has."""
    statement = select(func.count()).select_from(DatasetRow).where(DatasetRow.project_id == project_id)
    return await session.scalar(statement) or 0


async def list_dataset_versions(
    session: AsyncSession,
    project_id: UUID,
    dataset_id: UUID,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[DatasetVersion]:
    """Return a dataset's versions, newest first."""
    where = (DatasetVersionRow.project_id == project_id, DatasetVersionRow.dataset_id == dataset_id)
    total_count = await session.scalar(select(func.count()).select_from(DatasetVersionRow).where(*where)) or 0
    statement = select(DatasetVersionRow).where(*where)
    if cursor is not None:
        (after,) = decode_cursor(cursor, "dataset_versions")
        statement = statement.where(DatasetVersionRow.version < int(str(after)))
    rows = (
        await session.scalars(statement.order_by(DatasetVersionRow.version.desc()).limit(limit + 1))
    ).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("dataset_versions", [kept[-1].version]) if len(rows) > limit else None
    views = tuple(
        DatasetVersion(
            version=row.version,
            datapoints_count=row.datapoints_count,
            change=row.change,
            created_at=row.created_at,
        )
        for row in kept
    )
    return Page(views, total_count, limit, next_cursor)


async def list_datapoint_ids(
    session: AsyncSession, project_id: UUID, dataset_ids: Sequence[UUID]
) -> dict[UUID, list[UUID]]:
    """Return the ids of the datapoints that each dataset has now, in their order."""
    found: dict[UUID, list[UUID]] = {dataset_id: [] for dataset_id in dataset_ids}
    statement = (
        select(DatasetMemberRow.dataset_id, DatasetMemberRow.datapoint_id)
        .where(
            DatasetMemberRow.project_id == project_id,
            DatasetMemberRow.dataset_id.in_(dataset_ids),
            _is_present,
        )
        .order_by(DatasetMemberRow.dataset_id, DatasetMemberRow.position)
    )
    for dataset_id, datapoint_id in await session.execute(statement):
        found[dataset_id].append(datapoint_id)
    return found


async def get_datapoint(session: AsyncSession, project_id: UUID, datapoint_id: UUID) -> Datapoint:
    """Return a datapoint as it is now.

    Raises:
        NotFound: The project has none of that id.
    """
    page = await list_datapoints(session, project_id, datapoint_ids=[datapoint_id])
    if not page.items:
        raise make_not_found("datapoint", datapoint_id)
    return page.items[0]


async def list_datapoints(
    session: AsyncSession,
    project_id: UUID,
    *,
    datapoint_ids: Sequence[UUID] | None = None,
    dataset_name: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Datapoint]:
    """Return datapoints as they are now, in the order in which they were made.

    Args:
        session: To read with.
        project_id: Whose.
        datapoint_ids: Only these.
        dataset_name: Only those that belong to a dataset of this name.
        cursor: Of the page before.
        limit: Rows at most.
    """
    where = [DatapointRow.project_id == project_id, DatapointRow.deleted_at.is_(None)]
    if datapoint_ids is not None:
        where.append(DatapointRow.datapoint_id.in_(datapoint_ids))
    if dataset_name is not None:
        members = (
            select(DatasetMemberRow.datapoint_id)
            .join(DatasetRow, DatasetRow.dataset_id == DatasetMemberRow.dataset_id)
            .where(DatasetRow.project_id == project_id, DatasetRow.name == dataset_name, _is_present)
        )
        where.append(DatapointRow.datapoint_id.in_(members))
    total_count = await session.scalar(select(func.count()).select_from(DatapointRow).where(*where)) or 0
    statement = _select_datapoints(DatapointRow.revision).where(*where)
    if cursor is not None:
        (after,) = decode_cursor(cursor, "datapoints")
        statement = statement.where(DatapointRow.datapoint_id > UUID(str(after)))
    rows = (await session.execute(statement.order_by(DatapointRow.datapoint_id).limit(limit + 1))).all()
    kept = tuple(_view_datapoint(row) for row in rows[:limit])
    next_cursor = encode_cursor("datapoints", [str(kept[-1].datapoint_id)]) if len(rows) > limit else None
    return Page(kept, total_count, limit, next_cursor)


async def list_dataset_datapoints(
    session: AsyncSession,
    project_id: UUID,
    dataset_id: UUID,
    *,
    version: int | None = None,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Datapoint]:
    """Return a dataset's datapoints in their order, as they are now or were in a version.

    Args:
        session: To read with.
        project_id: Whose.
        dataset_id: Which dataset.
        version: None: the newest.
        where: Only those that match.
        cursor: Of the page before.
        limit: Rows at most.
    """
    conditions: list[ColumnElement[bool]] = [
        DatasetMemberRow.project_id == project_id,
        DatasetMemberRow.dataset_id == dataset_id,
        _is_present if version is None else _holds_in(version),
    ]
    if where is not None:
        conditions.append(to_where(where, _DATAPOINT_COLUMNS))
    statement = (
        _select_datapoints(DatasetMemberRow.revision, DatasetMemberRow.position)
        .where(*conditions)
        .order_by(DatasetMemberRow.position, DatapointRow.datapoint_id)
    )
    total_count = (
        await session.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0
    )
    if cursor is not None:
        position, after = decode_cursor(cursor, "dataset_datapoints")
        statement = statement.where(
            tuple_(DatasetMemberRow.position, DatapointRow.datapoint_id)
            > (int(str(position)), UUID(str(after)))
        )
    rows = (await session.execute(statement.limit(limit + 1))).all()
    kept = rows[:limit]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor("dataset_datapoints", [kept[-1].position, str(kept[-1].datapoint_id)])
    return Page(tuple(_view_datapoint(row) for row in kept), total_count, limit, next_cursor)


def _holds_in(version: int) -> ColumnElement[bool]:
    return and_(
        DatasetMemberRow.from_version <= version,
        or_(_is_present, DatasetMemberRow.until_version > version),
    )


def _select_datapoints(revision: Any, *more: Any) -> Select[Any]:
    """Datapoints with what they say in a revision, and the datasets they belong to now."""
    links = DatasetMemberRow.__table__.alias("links")
    linked = select(func.array_agg(links.c.dataset_id)).where(
        links.c.datapoint_id == DatapointRow.datapoint_id, links.c.until_version.is_(None)
    )
    statement = select(
        DatapointRow.datapoint_id,
        DatapointRow.project_id,
        DatapointRow.created_at,
        DatapointRow.updated_at,
        DatapointRevisionRow.revision,
        DatapointRevisionRow.inputs_json,
        DatapointRevisionRow.history_json,
        DatapointRevisionRow.ground_truth_json,
        DatapointRevisionRow.metadata_json,
        DatapointRevisionRow.linked_event,
        linked.scalar_subquery().label("linked_datasets"),
        *more,
    )
    if more:
        statement = statement.select_from(DatasetMemberRow).join(
            DatapointRow, DatapointRow.datapoint_id == DatasetMemberRow.datapoint_id
        )
    else:
        statement = statement.select_from(DatapointRow)
    return statement.join(
        DatapointRevisionRow,
        and_(
            DatapointRevisionRow.datapoint_id == DatapointRow.datapoint_id,
            DatapointRevisionRow.revision == revision,
        ),
    )


def view_dataset(row: DatasetRow) -> Dataset:
    """Return a dataset's row as a value."""
    return Dataset(
        dataset_id=row.dataset_id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        version=row.version,
        datapoints_count=row.datapoints_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _view_datapoint(row: Any) -> Datapoint:
    return Datapoint(
        datapoint_id=row.datapoint_id,
        project_id=row.project_id,
        revision=row.revision,
        content=DatapointContent(
            inputs=row.inputs_json,
            history=row.history_json,
            ground_truth=row.ground_truth_json,
            metadata=row.metadata_json,
            linked_event=row.linked_event,
        ),
        linked_datasets=tuple(sorted(row.linked_datasets or ())),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
