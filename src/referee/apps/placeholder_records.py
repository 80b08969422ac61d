"""Keeping what was found in an app's folder: whether it is an app, or a placeholder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.placeholders import Placeholder, find_placeholder
from referee.apps.tables import AppRow

__all__ = ["FolderLook", "look_into_folder", "note_placeholder"]


@dataclass(frozen=True, slots=True)
class FolderLook:
    """What a look into an app's folder showed."""

    is_there: bool
    placeholder: Placeholder | None = None
    """None: an app, or nothing that could be looked into."""


def look_into_folder(path: str) -> FolderLook:
    """Look at an app's folder, however long that takes: not within a transaction. Blocking."""
    if not path or not Path(path).is_dir():
        return FolderLook(is_there=False)
    return FolderLook(is_there=True, placeholder=find_placeholder(Path(path)))


async def note_placeholder(session: AsyncSession, app_id: UUID, look: FolderLook) -> None:
    """Keep what an app's folder holds.

    A folder that is gone is not judged: what is known of it stays, and whoever reads it is told.
    """
    if not look.is_there:
        return
    found = look.placeholder
    await session.execute(
        update(AppRow)
        .where(
            AppRow.app_id == app_id,
            or_(
                AppRow.placeholder.is_distinct_from(None if found is None else found.kind.value),
                AppRow.placeholder_reason != ("" if found is None else found.reason),
            ),
        )
        .values(
            placeholder=None if found is None else found.kind.value,
            placeholder_reason="" if found is None else found.reason,
        )
        .execution_options(synchronize_session="fetch")
    )
