"""Verbs of datapoints: create, change, delete, and make from rows and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.experiments.creations import claim_creation
from referee.experiments.datasets import queries
from referee.experiments.datasets.service import (
    add_members,
    lock_datasets,
    remove_member,
    renew_members,
)
from referee.experiments.datasets.tables import DatapointRevisionRow, DatapointRow, DatasetRow
from referee.experiments.datasets.views import Datapoint, DatapointContent
from referee.experiments.identifiers import make_not_found
from referee.foundation.store import copy_rows

__all__ = [
    "MAX_BATCH_COUNT",
    "add_contents",
    "create_datapoint",
    "create_datapoints",
    "delete_datapoint",
    "map_row",
    "update_datapoint",
]

MAX_BATCH_COUNT = 10_000
"""Datapoints that one request makes."""
MAX_LINKS_COUNT = 100
"""Datasets that one request links a datapoint to."""


async def create_datapoint(
    session: AsyncSession,
    project_id: UUID,
    content: DatapointContent,
    *,
    dataset_ids: Sequence[UUID] = (),
    idempotency_key: str | None = None,
) -> UUID:
    """Create a datapoint, and add it to datasets if any are named. Returns its id.

    Raises:
        InvalidInput: One of the datasets does not exist.
        Conflict: The key was used for another creation.
    """
    asked: JsonValue = {
        "inputs": content.inputs,
        "history": content.history,
        "ground_truth": content.ground_truth,
        "metadata": content.metadata,
        "linked_event": content.linked_event,
        "linked_datasets": [str(dataset_id) for dataset_id in dataset_ids],
    }
    datapoint_id, is_new = await claim_creation(session, project_id, "datapoint", idempotency_key, asked)
    if is_new:
        await _check_links(session, project_id, dataset_ids)
        await _insert(session, project_id, [(datapoint_id, content)])
        for dataset_id in dataset_ids:
            await add_members(session, project_id, dataset_id, [datapoint_id])
    return datapoint_id


async def create_datapoints(
    session: AsyncSession, project_id: UUID, contents: Sequence[DatapointContent]
) -> list[UUID]:
    """Create datapoints. Returns their ids in the same order.

    Raises:
        InvalidInput: There are too many at once.
    """
    if len(contents) > MAX_BATCH_COUNT:
        raise InvalidInput(
            "datapoint.too_many",
            f"One request makes at most {MAX_BATCH_COUNT:,} datapoints, and this one names {len(contents):,}.",
            "Send them in several requests.",
        )
    made = [(new_id(), content) for content in contents]
    await _insert(session, project_id, made)
    return [datapoint_id for datapoint_id, _ in made]


async def add_contents(
    session: AsyncSession, project_id: UUID, dataset_id: UUID, contents: Sequence[DatapointContent]
) -> list[UUID]:
    """Create datapoints and add them to a dataset, as its next version. Returns their ids in the same order.

    Raises:
        NotFound: There is no such dataset.
        InvalidInput: There are too many at once.
    """
    await lock_datasets(session, project_id)
    await queries.get_dataset(session, project_id, dataset_id)
    datapoint_ids = await create_datapoints(session, project_id, contents)
    await add_members(session, project_id, dataset_id, datapoint_ids)
    return datapoint_ids


async def update_datapoint(
    session: AsyncSession,
    project_id: UUID,
    datapoint_id: UUID,
    changes: Mapping[str, Any],
    *,
    dataset_ids: Sequence[UUID] | None = None,
) -> Datapoint:
    """Change what is given, as the next revision; each dataset of the datapoint gets its next version.

    Args:
        session: In a transaction.
        project_id: Whose.
        datapoint_id: Which.
        changes: Names and values of ``DatapointContent``; what is not named stays.
        dataset_ids: The datasets it belongs to from now on; None: those of before.

    Raises:
        NotFound: There is no such datapoint.
        InvalidInput: One of the datasets does not exist.
    """
    await lock_datasets(session, project_id)
    known = await queries.get_datapoint(session, project_id, datapoint_id)
    content = replace(known.content, **changes)
    if content != known.content:
        revision = known.revision + 1
        session.add(_make_revision(project_id, datapoint_id, revision, content))
        await session.execute(
            update(DatapointRow)
            .where(DatapointRow.datapoint_id == datapoint_id)
            .values(revision=revision, updated_at=func.clock_timestamp())
        )
        await session.flush()
        await renew_members(session, project_id, datapoint_id, revision)
    if dataset_ids is not None:
        await _check_links(session, project_id, dataset_ids)
        for dataset_id in dataset_ids:
            await add_members(session, project_id, dataset_id, [datapoint_id])
        for dataset_id in set(known.linked_datasets) - set(dataset_ids):
            await remove_member(session, project_id, dataset_id, datapoint_id)
    return await queries.get_datapoint(session, project_id, datapoint_id)


async def delete_datapoint(session: AsyncSession, project_id: UUID, datapoint_id: UUID) -> None:
    """Delete a datapoint; older versions of its datasets keep it.

    Raises:
        NotFound: There is no such datapoint.
    """
    await lock_datasets(session, project_id)
    gone = await session.scalar(
        update(DatapointRow)
        .where(
            DatapointRow.project_id == project_id,
            DatapointRow.datapoint_id == datapoint_id,
            DatapointRow.deleted_at.is_(None),
        )
        .values(deleted_at=func.clock_timestamp())
        .returning(DatapointRow.datapoint_id)
    )
    if gone is None:
        raise make_not_found("datapoint", datapoint_id)
    await renew_members(session, project_id, datapoint_id, None)


def map_row(row: Mapping[str, JsonValue], mapping: Mapping[str, Sequence[str]]) -> DatapointContent:
    """Return the datapoint that a row makes: named members go where the mapping says, the others to metadata.

    Args:
        row: One object of what a client sends, or of a file.
        mapping: ``inputs``, ``ground_truth`` and ``history``, each with the names of members.

    Raises:
        InvalidInput: A member mapped to history is no list of objects.
    """
    inputs, ground_truth, history = (
        {name: row[name] for name in mapping.get(part, ()) if name in row}
        for part in ("inputs", "ground_truth", "history")
    )
    messages: list[JsonValue] = []
    for name, value in history.items():
        found = value if isinstance(value, list) else [value]
        if not all(isinstance(one, dict) for one in found):
            raise InvalidInput(
                "datapoint.history_invalid",
                f"The member {name[:80]!r} is mapped to history and is no list of objects.",
                'Give messages such as [{"role": "user", "content": "Hello"}], or map it elsewhere.',
            )
        messages.extend(found)
    used = {*inputs, *ground_truth, *history}
    rest = {name: value for name, value in row.items() if name not in used}
    return DatapointContent(
        inputs=inputs, ground_truth=ground_truth or None, history=messages, metadata=rest or None
    )


async def _check_links(session: AsyncSession, project_id: UUID, dataset_ids: Sequence[UUID]) -> None:
    """Refuse datasets that do not exist, and more than one request may name."""
    if len(dataset_ids) > MAX_LINKS_COUNT:
        raise InvalidInput(
            "datapoint.too_many_links",
            f"A datapoint is linked to at most {MAX_LINKS_COUNT} datasets at once.",
            "Link it to the others in another request.",
        )
    statement = select(DatasetRow.dataset_id).where(
        DatasetRow.project_id == project_id, DatasetRow.dataset_id.in_(dataset_ids)
    )
    known = set((await session.scalars(statement)).all())
    missing = [str(dataset_id) for dataset_id in dataset_ids if dataset_id not in known]
    if missing:
        raise InvalidInput(
            "experiments.unknown_reference",
            f"There is no dataset {missing[0]!r}.",
            "Name datasets that exist.",
        )


async def _insert(
    session: AsyncSession, project_id: UUID, made: Sequence[tuple[UUID, DatapointContent]]
) -> None:
    rows = ((datapoint_id, project_id) for datapoint_id, _ in made)
    await copy_rows(session, DatapointRow.__table__, ("datapoint_id", "project_id"), rows)  # type: ignore[arg-type]  # a declarative class has a Table
    columns = (
        "datapoint_id",
        "revision",
        "project_id",
        "inputs_json",
        "history_json",
        "ground_truth_json",
        "metadata_json",
        "linked_event",
    )
    contents = (
        (
            datapoint_id,
            1,
            project_id,
            one.inputs,
            one.history,
            one.ground_truth,
            one.metadata,
            one.linked_event,
        )
        for datapoint_id, one in made
    )
    await copy_rows(session, DatapointRevisionRow.__table__, columns, contents)  # type: ignore[arg-type]


def _make_revision(
    project_id: UUID, datapoint_id: UUID, revision: int, content: DatapointContent
) -> DatapointRevisionRow:
    return DatapointRevisionRow(
        datapoint_id=datapoint_id,
        revision=revision,
        project_id=project_id,
        inputs_json=content.inputs,
        history_json=content.history,
        ground_truth_json=content.ground_truth,
        metadata_json=content.metadata,
        linked_event=content.linked_event,
    )
