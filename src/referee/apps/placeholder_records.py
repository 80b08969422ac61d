"""Keeping what was found in an app's folder: whether it is an app, or a placeholder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

from sqlalchemy import or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.placeholders import Placeholder, find_placeholder
from referee.apps.tables import AppRow

__all__ = ["note_placeholder"]


async def note_placeholder(session: AsyncSession, app_id: UUID, path: str) -> Placeholder | None:
    """Look at an app's folder, keep what it is, and return that; None for an app.

    A folder that is gone is not judged: what is known of it stays, and whoever reads it is told.
    """
    if not path or not await asyncio.to_thread(Path(path).is_dir):
        return None
    found = await asyncio.to_thread(find_placeholder, Path(path))
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
    return found
