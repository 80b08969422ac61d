"""Every read of imports of old results; every count comes from their items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.backfills.old_results.tables import ResultImportItemRow, ResultImportRow
from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "IMPORT_FIELDS",
    "ITEM_FIELDS",
    "ItemCounts",
    "ResultImport",
    "ResultImportItem",
    "count_imports",
    "get_import",
    "list_imports",
    "list_items",
]

IMPORT_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField(
        "keyword", "queued, running, finished, failed or cancelled.", example="state:failed"
    ),
    "source": FilterField("text", "Part of the source's path.", is_searched=True, example="source:results"),
    "created": FilterField("time", "When it was asked for.", example="created:>=-7d"),
}
ITEM_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField("keyword", "imported, known or quarantined.", example="state:quarantined"),
    "format": FilterField("keyword", "Letter of the format.", example="format:I"),
    "place": FilterField("text", "Part of the path.", is_searched=True, example="place:app1"),
    "task": FilterField("text", "Id of the old task.", is_searched=True),
    "reason": FilterField("text", "Why it was set aside.", is_searched=True),
}
_IMPORT_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": ResultImportRow.__table__.c.state,
    "source": ResultImportRow.__table__.c.source,
    "created": ResultImportRow.__table__.c.created_at,
}
_ITEM_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": ResultImportItemRow.__table__.c.state,
    "format": ResultImportItemRow.__table__.c.format,
    "place": ResultImportItemRow.__table__.c.place,
    "task": ResultImportItemRow.__table__.c.task_id,
    "reason": ResultImportItemRow.__table__.c.reason,
}


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """What an import came to."""

    imported_count: int = 0
    known_count: int = 0
    quarantined_count: int = 0
    tools_count: int = 0
    findings_count: int = 0
    claimed_count: int = 0
    """Findings that the old results claim, where they claim any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultImport:
    """An import, or dry run."""

    result_import_id: UUID
    project_id: UUID
    source: str
    is_dry: bool
    state: str
    reason: str
    files_count: int
    app_files_count: int
    job_id: UUID | None
    created_at: datetime
    finished_at: datetime | None
    counts: ItemCounts

    @property
    def is_active(self) -> bool:
        """Whether it changes by itself."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultImportItem:
    """One old analysis, or one thing that was set aside."""

    sequence: int
    state: str
    place: str
    format: str
    reason: str
    task_id: str
    name: str
    services: tuple[str, ...]
    tools_count: int
    findings_count: int
    claimed_count: int | None
    analysis_id: UUID | None
    sha256: str | None


async def get_import(session: AsyncSession, project_id: UUID, result_import_id: UUID) -> ResultImport:
    """Return one import.

    Raises:
        NotFound: The project has none of this id.
    """
    row = (
        await session.execute(
            select(ResultImportRow)
            .where(
                ResultImportRow.result_import_id == result_import_id, ResultImportRow.project_id == project_id
            )
            .execution_options(populate_existing=True)
        )
    ).scalar_one_or_none()
    if row is None:
        raise NotFound("import.not_found", "There is no such import.", "Look at the list of result imports.")
    counts = await _count_items(session, [row.result_import_id])
    return _view(row, counts.get(row.result_import_id, ItemCounts()))


async def list_imports(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ResultImport]:
    """Return imports, newest first."""
    conditions: list[ColumnElement[bool]] = [ResultImportRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _IMPORT_COLUMNS))
    total_count = await count_imports(session, *conditions)
    statement = (
        select(ResultImportRow).where(*conditions).order_by(ResultImportRow.sequence.desc()).limit(limit + 1)
    )
    if cursor is not None:
        (before,) = decode_cursor(cursor, "result_imports")
        statement = statement.where(ResultImportRow.sequence < int(str(before)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    counts = await _count_items(session, [row.result_import_id for row in kept])
    next_cursor = encode_cursor("result_imports", [kept[-1].sequence]) if len(rows) > limit else None
    views = tuple(_view(row, counts.get(row.result_import_id, ItemCounts())) for row in kept)
    return Page(views, total_count, limit, next_cursor)


async def count_imports(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    """Return how many imports meet all conditions."""
    return await session.scalar(select(func.count()).select_from(ResultImportRow).where(*conditions)) or 0


async def list_items(
    session: AsyncSession,
    project_id: UUID,
    result_import_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ResultImportItem]:
    """Return what became of the things that an import found, in the order in which it came to them.

    Raises:
        NotFound: The project has no such import.
    """
    await get_import(session, project_id, result_import_id)
    conditions: list[ColumnElement[bool]] = [ResultImportItemRow.result_import_id == result_import_id]
    if where is not None:
        conditions.append(to_where(where, _ITEM_COLUMNS))
    total_count = (
        await session.scalar(select(func.count()).select_from(ResultImportItemRow).where(*conditions)) or 0
    )
    statement = (
        select(ResultImportItemRow).where(*conditions).order_by(ResultImportItemRow.sequence).limit(limit + 1)
    )
    if cursor is not None:
        (after,) = decode_cursor(cursor, "result_import_items")
        statement = statement.where(ResultImportItemRow.sequence > int(str(after)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("result_import_items", [kept[-1].sequence]) if len(rows) > limit else None
    return Page(tuple(_view_item(row) for row in kept), total_count, limit, next_cursor)


async def _count_items(session: AsyncSession, import_ids: list[UUID]) -> dict[UUID, ItemCounts]:
    item = ResultImportItemRow

    def count(state: str) -> ColumnElement[int]:
        return func.count().filter(item.state == state)

    rows = await session.execute(
        select(
            item.result_import_id,
            count("imported"),
            count("known"),
            count("quarantined"),
            func.coalesce(func.sum(item.tools_count), 0),
            func.coalesce(func.sum(item.findings_count), 0),
            func.coalesce(func.sum(item.claimed_count), 0),
        )
        .where(item.result_import_id.in_(import_ids))
        .group_by(item.result_import_id)
    )
    return {row[0]: ItemCounts(*(int(value or 0) for value in row[1:])) for row in rows}


def _view(row: ResultImportRow, counts: ItemCounts) -> ResultImport:
    return ResultImport(
        result_import_id=row.result_import_id,
        project_id=row.project_id,
        source=row.source,
        is_dry=row.is_dry,
        state=row.state,
        reason=row.reason,
        files_count=row.files_count,
        app_files_count=row.app_files_count,
        job_id=row.job_id,
        created_at=row.created_at,
        finished_at=row.finished_at,
        counts=counts,
    )


def _view_item(row: ResultImportItemRow) -> ResultImportItem:
    return ResultImportItem(
        sequence=row.sequence,
        state=row.state,
        place=row.place,
        format=row.format,
        reason=row.reason,
        task_id=row.task_id,
        name=row.name,
        services=tuple(str(one) for one in row.services_json),
        tools_count=row.tools_count,
        findings_count=row.findings_count,
        claimed_count=row.claimed_count,
        analysis_id=row.analysis_id,
        sha256=row.sha256,
    )
