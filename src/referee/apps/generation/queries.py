"""Reading generations."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.generation.contract import Generation, view_generation
from referee.apps.tables import GenerationRow
from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor

__all__ = ["get_generation", "list_generations"]


async def get_generation(session: AsyncSession, project_id: UUID, generation_id: UUID) -> Generation:
    """Return one generation.

    Raises:
        NotFound: The project has no such generation.
    """
    row = await session.get(GenerationRow, generation_id)
    if row is None or row.project_id != project_id:
        raise NotFound(
            "generation.not_found", "There is no such generation.", "List the apps with `referee app list`."
        )
    return view_generation(row)


async def list_generations(
    session: AsyncSession,
    project_id: UUID,
    *,
    app_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Generation]:
    """Return generations, newest first; ``app_id`` keeps those of one app."""
    conditions: list[ColumnElement[bool]] = [GenerationRow.project_id == project_id]
    if app_id is not None:
        conditions.append(GenerationRow.app_id == app_id)
    total_count = (
        await session.scalar(select(func.count()).select_from(GenerationRow).where(*conditions)) or 0
    )
    statement = (
        select(GenerationRow)
        .where(*conditions)
        .order_by(GenerationRow.generation_id.desc())  # ids of version 7 sort by their instant
        .limit(limit + 1)
    )
    if cursor is not None:
        (last,) = decode_cursor(cursor, "generations")
        statement = statement.where(GenerationRow.generation_id < UUID(str(last)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("generations", [str(kept[-1].generation_id)]) if len(rows) > limit else None
    return Page(tuple(map(view_generation, kept)), total_count, limit, next_cursor)
