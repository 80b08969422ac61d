"""Templates that are known: imported once, kept as they were given, found by slug or id."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.tables import TemplateRow
from referee.core.errors import InvalidInput, NotFound
from referee.core.findings import JsonValue
from referee.core.ids import new_id, parse_id
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.core.templates import Template, parse_template
from referee.foundation.store import (
    Artifact,
    ArtifactStore,
    Database,
    decode_cursor,
    encode_cursor,
    record_artifacts,
)

__all__ = [
    "KnownTemplate",
    "ensure_template",
    "find_template",
    "get_template",
    "import_library",
    "import_template",
    "list_library",
    "list_templates",
    "load_template",
    "read_template_file",
]

_MAX_BYTES: Final = 1_000_000
_LIBRARY: Final = Path(__file__).parent / "template_library"
"""Templates that come with Referee, one file for each slug."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTemplate:
    """One version of a template."""

    template_id: UUID
    slug: str
    name: str
    sha256: str
    created_at: datetime


async def import_template(
    database: Database, artifacts: ArtifactStore, project_id: UUID, document: bytes
) -> KnownTemplate:
    """Keep a template, unless the very same document is known already.

    Raises:
        InvalidInput: It is no template.
    """
    template = parse_template(_read_json(document))
    artifact: Artifact = await artifacts.put_bytes(document, "application/json")
    async with database.transaction() as session:
        await record_artifacts(session, [artifact])
        await session.execute(
            insert(TemplateRow)
            .values(
                template_id=new_id(),
                project_id=project_id,
                slug=template.slug,
                name=template.name,
                sha256=artifact.sha256,
            )
            .on_conflict_do_nothing(index_elements=["project_id", "sha256"])
        )
        row = (
            await session.execute(
                select(TemplateRow).where(
                    TemplateRow.project_id == project_id, TemplateRow.sha256 == artifact.sha256
                )
            )
        ).scalar_one()
        return _view(row)


def list_library() -> tuple[str, ...]:
    """Return the slugs of the templates that come with Referee."""
    return tuple(sorted(path.stem for path in _LIBRARY.glob("*.json")))


async def import_library(
    database: Database, artifacts: ArtifactStore, project_id: UUID
) -> list[KnownTemplate]:
    """Make the templates that come with Referee known, unless they are."""
    documents = [await asyncio.to_thread((_LIBRARY / f"{slug}.json").read_bytes) for slug in list_library()]
    return [await import_template(database, artifacts, project_id, document) for document in documents]


async def ensure_template(
    database: Database, artifacts: ArtifactStore, project_id: UUID, name: str
) -> KnownTemplate:
    """Return a template by its slug or id; one that comes with Referee is made known first if it is not.

    Raises:
        NotFound: Neither the project nor Referee has one of that name.
    """
    async with database.reading() as session:
        is_known = (
            not name.startswith("template_") and await find_template(session, project_id, name) is not None
        )
        if is_known or name not in list_library():
            return await get_template(session, project_id, name)
    document = await asyncio.to_thread((_LIBRARY / f"{name}.json").read_bytes)
    return await import_template(database, artifacts, project_id, document)


async def find_template(session: AsyncSession, project_id: UUID, slug: str) -> KnownTemplate | None:
    """Return the latest version of a template."""
    row = await session.scalar(
        select(TemplateRow)
        .where(TemplateRow.project_id == project_id, TemplateRow.slug == slug)
        .order_by(TemplateRow.created_at.desc(), TemplateRow.template_id.desc())
        .limit(1)
    )
    return None if row is None else _view(row)


async def get_template(session: AsyncSession, project_id: UUID, name: str) -> KnownTemplate:
    """Return a template by its slug (the latest version) or by its id.

    Raises:
        NotFound: The project has none of that name.
    """
    if name.startswith("template_"):
        row = await session.get(TemplateRow, parse_id(name, "template"))
        found = _view(row) if row is not None and row.project_id == project_id else None
    else:
        found = await find_template(session, project_id, name)
    if found is None:
        raise NotFound(
            "template.not_found",
            f"There is no template {name!r}.",
            "Import it with `referee template import FILE`, or list what is known with `referee template list`.",
        )
    return found


async def list_templates(
    session: AsyncSession, project_id: UUID, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[KnownTemplate]:
    """Return the versions of all templates, by slug, newest first."""
    mine = TemplateRow.project_id == project_id
    total_count = await session.scalar(select(func.count()).select_from(TemplateRow).where(mine)) or 0
    statement = (
        select(TemplateRow)
        .where(mine)
        .order_by(TemplateRow.slug, TemplateRow.template_id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        slug, template_id = decode_cursor(cursor, "templates")
        statement = statement.where(
            (TemplateRow.slug > str(slug))
            | ((TemplateRow.slug == str(slug)) & (TemplateRow.template_id < UUID(str(template_id))))
        )
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor("templates", [kept[-1].slug, str(kept[-1].template_id)])
    return Page(tuple(_view(row) for row in kept), total_count, limit, next_cursor)


async def load_template(
    session: AsyncSession, artifacts: ArtifactStore, project_id: UUID, template_id: UUID
) -> Template:
    """Return a template as it was given.

    Raises:
        NotFound: The project has no such template.
    """
    row = await session.get(TemplateRow, template_id)
    if row is None or row.project_id != project_id:
        raise NotFound(
            "template.not_found", "There is no such template.", "List them with `referee template list`."
        )
    return parse_template(_read_json(await artifacts.read_bytes(row.sha256)))


async def read_template_file(path: Path) -> bytes:
    """Return the bytes of a template's file.

    Raises:
        InvalidInput: It is absent, unreadable or too large.
    """

    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES + 1)

    try:
        data = await asyncio.to_thread(read)
    except OSError as error:
        raise InvalidInput(
            "template.unreadable",
            f"The template {str(path)!r} cannot be read: {error.strerror}.",
            "Name a JSON file, or the slug of a template that is known.",
        ) from error
    if len(data) > _MAX_BYTES:
        raise InvalidInput(
            "template.too_large", f"A template has at most {_MAX_BYTES:,} bytes.", "Shorten its texts."
        )
    return data


def _read_json(document: bytes) -> JsonValue:
    if len(document) > _MAX_BYTES:
        raise InvalidInput(
            "template.too_large", f"A template has at most {_MAX_BYTES:,} bytes.", "Shorten its texts."
        )
    try:
        value: JsonValue = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            "template.invalid", f"The template is not JSON ({str(error)[:120]}).", "Give a JSON object."
        ) from error
    return value


def _view(row: TemplateRow) -> KnownTemplate:
    return KnownTemplate(
        template_id=row.template_id,
        slug=row.slug,
        name=row.name,
        sha256=row.sha256,
        created_at=row.created_at,
    )
