"""Verbs of datasets: create, change, delete, and what belongs to them.

Whoever changes what belongs to a project's datasets holds the project's lock,
so versions follow one another and no two changes share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.experiments.creations import claim_creation
from referee.experiments.datasets import queries
from referee.experiments.datasets.tables import (
    DatapointRow,
    DatasetMemberRow,
    DatasetRow,
    DatasetVersionRow,
)
from referee.experiments.datasets.views import Dataset
from referee.experiments.identifiers import make_not_found
from referee.foundation.store import copy_rows

__all__ = [
    "add_members",
    "create_dataset",
    "delete_dataset",
    "lock_datasets",
    "remove_member",
    "renew_members",
    "set_members",
    "update_dataset",
]


async def create_dataset(
    session: AsyncSession,
    project_id: UUID,
    *,
    name: str,
    description: str | None = None,
    datapoint_ids: Sequence[UUID] = (),
    idempotency_key: str | None = None,
) -> Dataset:
    """Create a dataset, with datapoints that are there already or without any.

    Args:
        session: In a transaction.
        project_id: Whose.
        name: For people; several datasets may have one name.
        description: More for people.
        datapoint_ids: What belongs to it, in this order.
        idempotency_key: The client's name for this creation; sent again, it returns what was made first.

    Raises:
        InvalidInput: One of the datapoints does not exist, or there are too many.
        Conflict: The key was used for another creation.
    """
    asked: JsonValue = {
        "name": name,
        "description": description,
        "datapoints": [str(one) for one in datapoint_ids],
    }
    dataset_id, is_new = await claim_creation(session, project_id, "dataset", idempotency_key, asked)
    if not is_new:
        return await queries.get_dataset(session, project_id, dataset_id)
    await lock_datasets(session, project_id)
    session.add(DatasetRow(dataset_id=dataset_id, project_id=project_id, name=name, description=description))
    session.add(
        DatasetVersionRow(
            dataset_id=dataset_id,
            version=1,
            project_id=project_id,
            datapoints_count=len(datapoint_ids),
            change="Created.",
        )
    )
    await session.flush()
    await _insert_members(session, project_id, dataset_id, datapoint_ids, version=1)
    await _set_count(session, dataset_id, len(datapoint_ids))
    return await queries.get_dataset(session, project_id, dataset_id)


async def update_dataset(
    session: AsyncSession,
    project_id: UUID,
    dataset_id: UUID,
    *,
    name: str | None = None,
    description: str | None = None,
    datapoint_ids: Sequence[UUID] | None = None,
) -> Dataset:
    """Change what is given; what is None stays.

    Raises:
        NotFound: There is no such dataset.
        InvalidInput: One of the datapoints does not exist, or there are too many.
    """
    await lock_datasets(session, project_id)
    await queries.get_dataset(session, project_id, dataset_id)
    values = {
        key: value for key, value in (("name", name), ("description", description)) if value is not None
    }
    if values:
        await session.execute(
            update(DatasetRow)
            .where(DatasetRow.dataset_id == dataset_id)
            .values(**values, updated_at=func.clock_timestamp())
        )
    if datapoint_ids is not None:
        await set_members(session, project_id, dataset_id, datapoint_ids)
    return await queries.get_dataset(session, project_id, dataset_id)


async def delete_dataset(session: AsyncSession, project_id: UUID, dataset_id: UUID) -> None:
    """Delete a dataset with its versions; its datapoints stay.

    Raises:
        NotFound: There is no such dataset.
    """
    await lock_datasets(session, project_id)
    gone = await session.scalar(
        delete(DatasetRow)
        .where(DatasetRow.project_id == project_id, DatasetRow.dataset_id == dataset_id)
        .returning(DatasetRow.dataset_id)
    )
    if gone is None:
        raise make_not_found("dataset", dataset_id)


async def add_members(
    session: AsyncSession, project_id: UUID, dataset_id: UUID, datapoint_ids: Sequence[UUID]
) -> None:
    """Add datapoints at a dataset's end, as its next version; those that belong to it already stay where they are.

    Raises:
        NotFound: There is no such dataset.
        InvalidInput: One of the datapoints does not exist, or there are too many.
    """
    await lock_datasets(session, project_id)
    dataset = await queries.get_dataset(session, project_id, dataset_id)
    present = (await queries.list_datapoint_ids(session, project_id, [dataset_id]))[dataset_id]
    known = set(present)
    added = [datapoint_id for datapoint_id in datapoint_ids if datapoint_id not in known]
    if not added:
        return
    count = len(present) + len(added)
    version = await _begin_version(session, dataset, count, f"Added {_say_count(len(added))}.")
    await _insert_members(session, project_id, dataset_id, added, version=version)


async def set_members(
    session: AsyncSession, project_id: UUID, dataset_id: UUID, datapoint_ids: Sequence[UUID]
) -> None:
    """Have exactly these datapoints belong to a dataset, in this order, as its next version.

    Raises:
        NotFound: There is no such dataset.
        InvalidInput: One of the datapoints does not exist, or there are too many.
    """
    await lock_datasets(session, project_id)
    dataset = await queries.get_dataset(session, project_id, dataset_id)
    present = (await queries.list_datapoint_ids(session, project_id, [dataset_id]))[dataset_id]
    if list(datapoint_ids) == present:
        return
    change = f"Set to {_say_count(len(datapoint_ids))}."
    version = await _begin_version(session, dataset, len(datapoint_ids), change)
    await _end_members(session, dataset_id, version, present)
    await _insert_members(session, project_id, dataset_id, datapoint_ids, version=version)


async def remove_member(
    session: AsyncSession, project_id: UUID, dataset_id: UUID, datapoint_id: UUID
) -> None:
    """Take a datapoint out of a dataset, as its next version; the datapoint itself stays.

    Raises:
        NotFound: There is no such dataset, or the datapoint does not belong to it.
    """
    await lock_datasets(session, project_id)
    dataset = await queries.get_dataset(session, project_id, dataset_id)
    present = (await queries.list_datapoint_ids(session, project_id, [dataset_id]))[dataset_id]
    if datapoint_id not in present:
        raise make_not_found("datapoint", datapoint_id)
    version = await _begin_version(session, dataset, len(present) - 1, "Removed 1 datapoint.")
    await _end_members(session, dataset_id, version, [datapoint_id])


async def renew_members(
    session: AsyncSession, project_id: UUID, datapoint_id: UUID, revision: int | None
) -> None:
    """Give each dataset of a datapoint its next version: with its new revision, or without it.

    Args:
        session: In a transaction that holds the project's lock.
        project_id: Whose.
        datapoint_id: Which datapoint changed.
        revision: The one that holds from now on; None: it is deleted.
    """
    statement = select(DatasetMemberRow).where(
        DatasetMemberRow.project_id == project_id,
        DatasetMemberRow.datapoint_id == datapoint_id,
        DatasetMemberRow.until_version.is_(None),
    )
    for member in (await session.scalars(statement)).all():
        dataset = await queries.get_dataset(session, project_id, member.dataset_id)
        count = dataset.datapoints_count - (revision is None)
        change = "Changed 1 datapoint." if revision is not None else "Removed 1 datapoint, which was deleted."
        version = await _begin_version(session, dataset, count, change)
        await _end_members(session, member.dataset_id, version, [datapoint_id])
        if revision is not None:
            session.add(
                DatasetMemberRow(
                    dataset_id=member.dataset_id,
                    datapoint_id=datapoint_id,
                    from_version=version,
                    project_id=project_id,
                    revision=revision,
                    position=member.position,
                )
            )
            await session.flush()


async def lock_datasets(session: AsyncSession, project_id: UUID) -> None:
    """Let one transaction at a time change what belongs to a project's datasets."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"datasets:{project_id}"}
    )


async def _begin_version(session: AsyncSession, dataset: Dataset, count: int, change: str) -> int:
    """Return the number of a dataset's next version, which is the one that holds from now on."""
    version = dataset.version + 1
    await session.execute(
        update(DatasetRow)
        .where(DatasetRow.dataset_id == dataset.dataset_id)
        .values(version=version, datapoints_count=count, updated_at=func.clock_timestamp())
    )
    session.add(
        DatasetVersionRow(
            dataset_id=dataset.dataset_id,
            version=version,
            project_id=dataset.project_id,
            datapoints_count=count,
            change=change,
        )
    )
    await session.flush()
    return version


async def _set_count(session: AsyncSession, dataset_id: UUID, count: int) -> None:
    await session.execute(
        update(DatasetRow).where(DatasetRow.dataset_id == dataset_id).values(datapoints_count=count)
    )


async def _end_members(
    session: AsyncSession, dataset_id: UUID, version: int, datapoint_ids: Sequence[UUID]
) -> None:
    await session.execute(
        update(DatasetMemberRow)
        .where(
            DatasetMemberRow.dataset_id == dataset_id,
            DatasetMemberRow.datapoint_id.in_(datapoint_ids),
            DatasetMemberRow.until_version.is_(None),
        )
        .values(until_version=version)
        .execution_options(synchronize_session=False)
    )


async def _insert_members(
    session: AsyncSession,
    project_id: UUID,
    dataset_id: UUID,
    datapoint_ids: Sequence[UUID],
    *,
    version: int,
) -> None:
    if not datapoint_ids:
        return
    statement = select(DatapointRow.datapoint_id, DatapointRow.revision).where(
        DatapointRow.project_id == project_id,
        DatapointRow.datapoint_id.in_(datapoint_ids),
        DatapointRow.deleted_at.is_(None),
    )
    revisions = {row.datapoint_id: row.revision for row in await session.execute(statement)}
    missing = [str(one) for one in datapoint_ids if one not in revisions]
    if missing:
        raise InvalidInput(
            "experiments.unknown_reference",
            f"There is no datapoint {missing[0]!r}"
            + (f", and {len(missing) - 1} more of those named." if len(missing) > 1 else "."),
            "Create datapoints before they are named.",
        )
    last = await session.scalar(
        select(func.max(DatasetMemberRow.position)).where(
            DatasetMemberRow.dataset_id == dataset_id, DatasetMemberRow.until_version.is_(None)
        )
    )
    first = 0 if last is None else last + 1
    await _check_room(session, dataset_id, len(datapoint_ids))
    columns = ("dataset_id", "datapoint_id", "from_version", "project_id", "revision", "position")
    rows = (
        (dataset_id, datapoint_id, version, project_id, revisions[datapoint_id], position)
        for position, datapoint_id in enumerate(datapoint_ids, start=first)
    )
    await copy_rows(session, DatasetMemberRow.__table__, columns, rows)  # type: ignore[arg-type]  # a declarative class has a Table


async def _check_room(session: AsyncSession, dataset_id: UUID, added_count: int) -> None:
    present = await session.scalar(
        select(func.count())
        .select_from(DatasetMemberRow)
        .where(DatasetMemberRow.dataset_id == dataset_id, DatasetMemberRow.until_version.is_(None))
    )
    if (present or 0) + added_count > queries.MAX_DATAPOINTS_COUNT:
        raise InvalidInput(
            "dataset.too_large",
            f"A dataset has at most {queries.MAX_DATAPOINTS_COUNT:,} datapoints.",
            "Put them into several datasets.",
        )


def _say_count(count: int) -> str:
    return "1 datapoint" if count == 1 else f"{count:,} datapoints"
