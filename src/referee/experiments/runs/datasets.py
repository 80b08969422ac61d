"""The datasets that runs name, as far as runs have to know them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.experiments.datasets.tables import DatasetRow

__all__ = ["EXTERNAL_PREFIX", "find_dataset_names", "is_external"]

EXTERNAL_PREFIX: Final = "EXT-"
"""What the id of a dataset begins with that only the client has."""


def is_external(dataset_id: str) -> bool:
    """Whether only the client has that dataset."""
    return dataset_id.startswith(EXTERNAL_PREFIX)


async def find_dataset_names(
    session: AsyncSession, project_id: UUID, dataset_ids: Collection[str]
) -> dict[str, str]:
    """Return id → name of those datasets that the project has."""
    wanted = {parsed: text for text in dataset_ids if (parsed := _parse(text)) is not None}
    if not wanted:
        return {}
    rows = await session.execute(
        select(DatasetRow.dataset_id, DatasetRow.name).where(
            DatasetRow.project_id == project_id, DatasetRow.dataset_id.in_(wanted)
        )
    )
    return {wanted[dataset_id]: name for dataset_id, name in rows}


def _parse(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
