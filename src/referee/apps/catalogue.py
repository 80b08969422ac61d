"""The catalogue of models: what they are called, what they cost, and taking new ones over.

Not here: reading a provider's list (``importing_models.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.tables import ModelRow
from referee.core.errors import NotFound
from referee.core.ids import new_id
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "MODEL_FIELDS",
    "Model",
    "ModelEntry",
    "ModelImport",
    "ModelPrices",
    "count_models",
    "get_model",
    "import_models",
    "list_models",
    "make_model_slug",
]

MODEL_FIELDS: Final[Mapping[str, FilterField]] = {
    "slug": FilterField("text", "Part of the slug.", is_searched=True, example="slug:coder"),
    "name": FilterField("text", "Part of the name.", is_searched=True),
    "provider": FilterField("text", "Part of the provider.", is_searched=True),
    "context": FilterField("number", "Tokens of context.", example="context:>=100000"),
    "input": FilterField("number", "US dollars for a million tokens of prompts.", example="input:<1"),
    "output": FilterField("number", "US dollars for a million tokens of answers.", example="output:<5"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "slug": ModelRow.__table__.c.slug,
    "name": ModelRow.__table__.c.name,
    "provider": ModelRow.__table__.c.provider,
    "context": ModelRow.__table__.c.context_tokens,
    "input": ModelRow.__table__.c.input_usd_per_mtok,
    "output": ModelRow.__table__.c.output_usd_per_mtok,
}
_ROWS_AT_ONCE: Final = 500
"""A statement of PostgreSQL takes at most 65,535 parameters."""
_MAX_SLUG_CHARACTERS: Final = 120
"""As for the folders of apps."""


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """What a model costs."""

    input_usd_per_mtok: float
    """US dollars for a million tokens of prompts."""
    output_usd_per_mtok: float

    def compute_cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (
            prompt_tokens * self.input_usd_per_mtok + completion_tokens * self.output_usd_per_mtok
        ) / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model as a list names it. What the list does not say is None."""

    model_name: str
    """As the endpoint calls it, such as ``maker/model-7b``."""
    slug: str
    name: str = ""
    provider: str = ""
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A language model that may write apps."""

    model_id: UUID
    project_id: UUID
    slug: str
    name: str
    provider: str
    model_name: str
    input_usd_per_mtok: float | None
    output_usd_per_mtok: float | None
    context_tokens: int | None
    source: str
    created_at: datetime
    updated_at: datetime

    @property
    def prices(self) -> ModelPrices | None:
        """What it costs; None when not both prices are known."""
        if self.input_usd_per_mtok is None or self.output_usd_per_mtok is None:
            return None
        return ModelPrices(self.input_usd_per_mtok, self.output_usd_per_mtok)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelImport:
    """What became of a list of models."""

    created_count: int
    updated_count: int
    """Known before, and other now."""
    unchanged_count: int
    problems: tuple[str, ...] = ()
    """Sentences about entries that were left out."""


def make_model_slug(model_name: str) -> str:
    """Return the slug of a model by its name at the endpoint: ``maker/model:free`` is ``maker_model-free``."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", model_name.strip().replace("/", "_"))
    return plain.strip("._-")[:_MAX_SLUG_CHARACTERS].rstrip("._-")


async def import_models(
    session: AsyncSession, project_id: UUID, entries: Sequence[ModelEntry], *, source: str
) -> ModelImport:
    """Take models over: new ones are made, known ones changed where the list says something else.

    What the list does not say stays as it is known. A slug that belongs to another name at the
    endpoint is left out, and said.
    """
    by_slug: dict[str, ModelEntry] = {}
    problems = []
    for entry in entries:
        earlier = by_slug.setdefault(entry.slug, entry)
        if earlier.model_name != entry.model_name:
            problems.append(
                f"{entry.model_name} is left out: {earlier.model_name} has the slug {entry.slug}."
            )
        elif earlier is not entry:
            by_slug[entry.slug] = entry
    kept_count = created_count = updated_count = 0
    wanted = list(by_slug.values())
    for first in range(0, len(wanted), _ROWS_AT_ONCE):
        batch = wanted[first : first + _ROWS_AT_ONCE]
        taken = await _find_taken(session, project_id, batch)
        problems += [
            f"{entry.model_name} is left out: {taken[entry.slug]} has the slug {entry.slug}."
            for entry in batch
            if taken.get(entry.slug, entry.model_name) != entry.model_name
        ]
        kept = [entry for entry in batch if taken.get(entry.slug, entry.model_name) == entry.model_name]
        created, updated = await _upsert(session, project_id, kept, source)
        kept_count += len(kept)
        created_count += created
        updated_count += updated
    return ModelImport(
        created_count=created_count,
        updated_count=updated_count,
        unchanged_count=kept_count - created_count - updated_count,
        problems=tuple(problems),
    )


async def get_model(session: AsyncSession, project_id: UUID, slug: str) -> Model:
    """Return a model by its slug, or by its name at the endpoint.

    Raises:
        NotFound: The catalogue has none of that name.
    """
    rows = (
        await session.scalars(
            select(ModelRow).where(
                ModelRow.project_id == project_id, (ModelRow.slug == slug) | (ModelRow.model_name == slug)
            )
        )
    ).all()
    row = next((row for row in rows if row.slug == slug), rows[0] if rows else None)
    if row is None:
        raise NotFound(
            "model.not_found",
            f"There is no model {slug!r} in the catalogue.",
            "Import it with `referee model import`, or list what is known with `referee model list`.",
        )
    return _view(row)


async def list_models(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Model]:
    """Return models by their slug."""
    conditions: list[ColumnElement[bool]] = [ModelRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _COLUMNS))
    total_count = await session.scalar(select(func.count()).select_from(ModelRow).where(*conditions)) or 0
    statement = select(ModelRow).where(*conditions).order_by(ModelRow.slug).limit(limit + 1)
    if cursor is not None:
        (slug,) = decode_cursor(cursor, "models")
        statement = statement.where(ModelRow.slug > str(slug))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("models", [kept[-1].slug]) if len(rows) > limit else None
    return Page(tuple(map(_view, kept)), total_count, limit, next_cursor)


async def count_models(session: AsyncSession, project_id: UUID) -> int:
    """Return how many models the catalogue has."""
    return (
        await session.scalar(
            select(func.count()).select_from(ModelRow).where(ModelRow.project_id == project_id)
        )
        or 0
    )


async def _find_taken(
    session: AsyncSession, project_id: UUID, entries: Sequence[ModelEntry]
) -> dict[str, str]:
    """Return the names at the endpoint of the slugs that are known."""
    rows = await session.execute(
        select(ModelRow.slug, ModelRow.model_name).where(
            ModelRow.project_id == project_id, ModelRow.slug.in_([entry.slug for entry in entries])
        )
    )
    return {slug: model_name for slug, model_name in rows}


async def _upsert(
    session: AsyncSession, project_id: UUID, entries: Sequence[ModelEntry], source: str
) -> tuple[int, int]:
    """Return how many were made and how many changed."""
    if not entries:
        return 0, 0
    statement = insert(ModelRow).values(
        [
            {
                "model_id": new_id(),
                "project_id": project_id,
                "slug": entry.slug,
                "name": entry.name or entry.model_name,
                "provider": entry.provider,
                "model_name": entry.model_name,
                "input_usd_per_mtok": entry.input_usd_per_mtok,
                "output_usd_per_mtok": entry.output_usd_per_mtok,
                "context_tokens": entry.context_tokens,
                "source": source,
            }
            for entry in entries
        ]
    )
    given = statement.excluded
    now_known = {
        "name": func.coalesce(func.nullif(given.name, given.model_name), ModelRow.name),
        "provider": func.coalesce(func.nullif(given.provider, ""), ModelRow.provider),
        "input_usd_per_mtok": func.coalesce(given.input_usd_per_mtok, ModelRow.input_usd_per_mtok),
        "output_usd_per_mtok": func.coalesce(given.output_usd_per_mtok, ModelRow.output_usd_per_mtok),
        "context_tokens": func.coalesce(given.context_tokens, ModelRow.context_tokens),
    }
    is_other = [getattr(ModelRow, name).is_distinct_from(value) for name, value in now_known.items()]
    condition = is_other[0]
    for one in is_other[1:]:
        condition |= one
    rows = await session.execute(
        statement.on_conflict_do_update(
            index_elements=["project_id", "slug"],
            set_={**now_known, "source": given.source, "updated_at": func.now()},
            where=condition & (ModelRow.model_name == given.model_name),
        ).returning(text("(xmax = 0)"))  # 0: nobody has updated the row, so it was made
    )
    made = [bool(is_made) for (is_made,) in rows]
    return sum(made), len(made) - sum(made)


def _view(row: ModelRow) -> Model:
    return Model(
        model_id=row.model_id,
        project_id=row.project_id,
        slug=row.slug,
        name=row.name,
        provider=row.provider,
        model_name=row.model_name,
        input_usd_per_mtok=row.input_usd_per_mtok,
        output_usd_per_mtok=row.output_usd_per_mtok,
        context_tokens=row.context_tokens,
        source=row.source,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
