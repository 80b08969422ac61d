"""Lists of this room's simple nouns: newest first, by their ids, with a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.pages import Page
from referee.foundation.store import Base, decode_cursor, encode_cursor

__all__ = ["list_newest"]

RowType = TypeVar("RowType", bound=Base)


async def list_newest(
    session: AsyncSession,
    table: type[RowType],
    key: Any,
    where: Sequence[ColumnElement[bool]],
    *,
    cursor: str | None,
    limit: int,
) -> Page[RowType]:
    """Return a page of rows, newest first.

    Args:
        session: To read with.
        table: Class of the rows.
        key: Its primary key's column, a UUIDv7.
        where: What the rows have to meet.
        cursor: Of the page before.
        limit: Rows at most.
    """
    sort = table.__tablename__
    total_count = await session.scalar(select(func.count()).select_from(table).where(*where)) or 0
    statement = select(table).where(*where)
    if cursor is not None:
        (after,) = decode_cursor(cursor, sort)
        statement = statement.where(key < UUID(str(after)))
    rows = (await session.scalars(statement.order_by(key.desc()).limit(limit + 1))).all()
    kept = tuple(rows[:limit])
    next_cursor = encode_cursor(sort, [str(getattr(kept[-1], key.key))]) if len(rows) > limit else None
    return Page(kept, total_count, limit, next_cursor)
