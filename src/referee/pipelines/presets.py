"""Pipeline files that a project keeps to start them again, each under its name; at most one is the default."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput, NotFound, TooManyRequests
from referee.core.ids import new_id
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.pipelines.definition import parse_definition
from referee.pipelines.tables import PipelinePresetRow

__all__ = [
    "PipelinePreset",
    "delete_preset",
    "find_default_preset",
    "get_named_preset",
    "get_preset",
    "list_presets",
    "save_preset",
]

MAX_PRESETS_COUNT: Final = 500
"""Of one project: far more than anybody chooses from."""
MAX_NAME_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinePreset:
    """A kept pipeline file."""

    preset_id: UUID
    name: str
    definition_text: str
    is_default: bool
    created_at: datetime
    updated_at: datetime


async def save_preset(
    session: AsyncSession,
    project_id: UUID,
    *,
    name: str,
    definition_text: str,
    is_default: bool | None = None,
) -> PipelinePreset:
    """Keep a pipeline file under a name; one of that name gets the new text.

    Args:
        session: In a transaction.
        project_id: Whose.
        name: For people, at most 80 characters.
        definition_text: A pipeline file that could be started.
        is_default: Whether it is what starts when nothing is named; the one before is then no default any
            more. None: as it was, and not for a new one.

    Raises:
        InvalidInput: The name is empty or cannot be shown, or the file is not usable.
        TooManyRequests: The project keeps too many.
    """
    name = check_preset_name(name)
    parse_definition(definition_text)
    await _lock(session, project_id)
    known = await _find(session, project_id, PipelinePresetRow.name == name)
    count = await count_presets(session, project_id)
    if known is None and count >= MAX_PRESETS_COUNT:
        raise TooManyRequests(
            "pipeline_preset.too_many",
            f"The project keeps {count} presets, and at most {MAX_PRESETS_COUNT} are kept.",
            "Delete one with `referee pipeline preset delete NAME`.",
        )
    if is_default:
        await session.execute(
            update(PipelinePresetRow)
            .where(PipelinePresetRow.project_id == project_id, PipelinePresetRow.name != name)
            .values(is_default=False)
        )
    statement = insert(PipelinePresetRow).values(
        preset_id=new_id(),
        project_id=project_id,
        name=name,
        definition_text=definition_text,
        is_default=bool(is_default),
    )
    statement = statement.on_conflict_do_update(
        index_elements=["project_id", "name"],
        set_={
            "definition_text": statement.excluded.definition_text,
            "is_default": PipelinePresetRow.is_default if is_default is None else is_default,
            "updated_at": func.clock_timestamp(),
        },
    )
    saved = await session.execute(
        statement.returning(PipelinePresetRow), execution_options={"populate_existing": True}
    )
    return _view(saved.scalar_one())


async def get_preset(session: AsyncSession, project_id: UUID, preset_id: UUID) -> PipelinePreset:
    """Return one preset.

    Raises:
        NotFound: The project has no such preset.
    """
    row = await _find(session, project_id, PipelinePresetRow.preset_id == preset_id)
    if row is None:
        raise _not_found("There is no such preset.")
    return _view(row)


async def get_named_preset(session: AsyncSession, project_id: UUID, name: str) -> PipelinePreset:
    """Return the preset of a name.

    Raises:
        NotFound: The project has none of that name.
    """
    row = await _find(session, project_id, PipelinePresetRow.name == name)
    if row is None:
        raise _not_found(f"There is no preset {name[:MAX_NAME_CHARACTERS]!r}.")
    return _view(row)


async def find_default_preset(session: AsyncSession, project_id: UUID) -> PipelinePreset | None:
    """Return the preset that starts when nothing is named; None without one."""
    row = await _find(session, project_id, PipelinePresetRow.is_default)
    return None if row is None else _view(row)


async def list_presets(
    session: AsyncSession, project_id: UUID, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[PipelinePreset]:
    """Return presets by name."""
    statement = select(PipelinePresetRow).where(PipelinePresetRow.project_id == project_id)
    if cursor is not None:
        (after,) = decode_cursor(cursor, "pipeline_presets")
        statement = statement.where(PipelinePresetRow.name > str(after))
    rows = (await session.scalars(statement.order_by(PipelinePresetRow.name).limit(limit + 1))).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("pipeline_presets", [kept[-1].name]) if len(rows) > limit else None
    return Page(
        tuple(_view(row) for row in kept), await count_presets(session, project_id), limit, next_cursor
    )


async def delete_preset(session: AsyncSession, project_id: UUID, preset_id: UUID) -> None:
    """Forget a preset. Pipelines that were started from it stay.

    Raises:
        NotFound: The project has no such preset.
    """
    deleted = await session.scalar(
        delete(PipelinePresetRow)
        .where(PipelinePresetRow.project_id == project_id, PipelinePresetRow.preset_id == preset_id)
        .returning(PipelinePresetRow.preset_id)
    )
    if deleted is None:
        raise _not_found("There is no such preset.")


async def count_presets(session: AsyncSession, project_id: UUID) -> int:
    """Return how many presets the project keeps."""
    return (
        await session.scalar(
            select(func.count())
            .select_from(PipelinePresetRow)
            .where(PipelinePresetRow.project_id == project_id)
        )
        or 0
    )


def check_preset_name(name: str) -> str:
    """Return a name without space around it.

    Raises:
        InvalidInput: It is empty, too long or cannot be shown.
    """
    stripped = name.strip()
    if not stripped or len(stripped) > MAX_NAME_CHARACTERS or not stripped.isprintable():
        raise InvalidInput(
            "pipeline_preset.name_invalid",
            f"A preset's name has 1 to {MAX_NAME_CHARACTERS} characters that can be shown.",
            "Give it such a name.",
        )
    return stripped


async def _lock(session: AsyncSession, project_id: UUID) -> None:
    """Let one transaction at a time change the presets of a project: at most one of them is the default."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
        {"key": f"pipeline_presets:{project_id}"},
    )


async def _find(session: AsyncSession, project_id: UUID, condition: object) -> PipelinePresetRow | None:
    statement = select(PipelinePresetRow).where(
        PipelinePresetRow.project_id == project_id,
        condition,  # type: ignore[arg-type]  # a column's expression
    )
    return (await session.execute(statement.execution_options(populate_existing=True))).scalar_one_or_none()


def _view(row: PipelinePresetRow) -> PipelinePreset:
    return PipelinePreset(
        preset_id=row.preset_id,
        name=row.name,
        definition_text=row.definition_text,
        is_default=row.is_default,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _not_found(message: str) -> NotFound:
    return NotFound("pipeline_preset.not_found", message, "List them with `referee pipeline preset list`.")
