"""Verbs of the apps room: where a source lies, and the apps that are known."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.tables import AppRow
from referee.core.errors import InvalidInput, NotFound
from referee.core.ids import new_id
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "APP_FIELDS",
    "App",
    "SourceLocation",
    "count_apps",
    "ensure_app",
    "get_app",
    "list_apps",
    "locate_source",
    "reserve_app",
    "view_app",
]

_MODEL_LAYOUTS: Final = (
    re.compile(r"(?:^|/)models/(?P<model>[^/]+)/app(?P<number>[1-9][0-9]{0,5})/?$"),
    re.compile(r"(?:^|/)generated/apps/(?P<model>[^/]+)/app(?P<number>[1-9][0-9]{0,5})/?$"),
)
"""Folder layouts that name the model and number of an app by themselves."""

APP_FIELDS: Final[Mapping[str, FilterField]] = {
    "model": FilterField("text", "Part of the model's slug.", is_searched=True, example="model:coder"),
    "app": FilterField("number", "Number of the app.", example="app:1"),
    "path": FilterField("text", "Part of the folder's path, or a pattern with *.", is_searched=True),
    "created": FilterField("time", "When it was first seen.", example="created:>=-7d"),
    "placeholder": FilterField(
        "flag", "Whether nothing was written there that does anything.", example="-is:placeholder"
    ),
}
_APP_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "model": AppRow.__table__.c.model,
    "app": AppRow.__table__.c.number,
    "path": AppRow.__table__.c.path,
    "created": AppRow.__table__.c.created_at,
    "placeholder": AppRow.__table__.c.placeholder.is_not(None),
}

_MAX_PATH_BYTES: Final = 2_000
"""An index entry of the database holds at most 2,704 bytes, and a subject is found by its path."""
_MODEL_SLUG: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A folder that a person named, checked, and the app it holds if it is one."""

    path: Path
    """Absolute and resolved."""
    model: str | None
    number: int | None


@dataclass(frozen=True, slots=True)
class App:
    """One generated web app."""

    app_id: UUID
    project_id: UUID
    model: str
    template: str | None
    number: int
    path: str
    created_at: datetime
    placeholder: str | None = None
    """What is there instead of an app: ``empty``, ``scaffold``, ``unwritten`` or ``filler``; None for an app."""
    placeholder_reason: str = ""
    """One sentence; empty for an app."""


def locate_source(
    text: str, *, allowed_roots: Sequence[Path], model: str | None = None, number: int | None = None
) -> SourceLocation:
    """Check a path that a person named and tell which app it is.

    Args:
        text: A path, absolute or relative to the working folder.
        allowed_roots: Folders below which paths may lie; empty allows any.
        model: The model's slug, when the caller names it.
        number: The app's number, when the caller names it.

    Raises:
        InvalidInput: The path is empty, absent, no folder, unreadable, a loop of links or outside the
            allowed roots; or only one of ``model`` and ``number`` is given, or they are malformed.
    """
    path = _resolve_folder(text, [root.resolve() for root in allowed_roots])
    if (model is None) != (number is None):
        raise InvalidInput(
            "app.incomplete",
            "An app is named by its model and its number together.",
            "Give both --model and --app.",
        )
    if model is None or number is None:
        return SourceLocation(path, *_recognise_app(path))
    _check_app_name(model, number)
    return SourceLocation(path, model, number)


async def ensure_app(
    session: AsyncSession,
    *,
    project_id: UUID,
    model: str,
    number: int,
    path: Path,
    template: str | None = None,
) -> App:
    """Return the app ``model`` × ``number``, creating it if it is new.

    Its path becomes the one given, and its template too where one is given.
    """
    statement = insert(AppRow).values(
        app_id=new_id(), project_id=project_id, model=model, number=number, path=str(path), template=template
    )
    statement = statement.on_conflict_do_update(
        index_elements=["project_id", "model", "number"],
        set_={
            "path": statement.excluded.path,
            "template": func.coalesce(statement.excluded.template, AppRow.template),
        },
    )
    row = (await session.execute(statement.returning(AppRow))).scalar_one()
    return view_app(row)


async def reserve_app(
    session: AsyncSession, project_id: UUID, model: str, template_slug: str | None, number: int | None = None
) -> App:
    """Reserve an app's number, so that nobody else gets it: the next free one of the model, or ``number``.

    One statement finds the number and takes it. Whoever takes the same one at the same moment waits for
    the other's transaction, and tries the next. An app that has ``number`` already is returned, with its
    template set. A new app has no folder yet: its path is empty.

    Raises:
        InvalidInput: The model's slug or the number is malformed.
    """
    _check_app_name(model, 1 if number is None else number)
    free = select(func.coalesce(func.max(AppRow.number), 0) + 1).where(
        AppRow.project_id == project_id, AppRow.model == model
    )
    while True:
        statement = insert(AppRow).values(
            app_id=new_id(),
            project_id=project_id,
            model=model,
            template=template_slug,
            number=free.scalar_subquery() if number is None else number,
            path="",
        )
        names = ["project_id", "model", "number"]
        if number is None:
            statement = statement.on_conflict_do_nothing(index_elements=names)
        else:
            statement = statement.on_conflict_do_update(
                index_elements=names,
                set_={"template": func.coalesce(statement.excluded.template, AppRow.template)},
            )
        row = (
            await session.execute(statement.returning(AppRow), execution_options={"populate_existing": True})
        ).scalar_one_or_none()
        if row is not None:
            return view_app(row)


async def get_app(session: AsyncSession, project_id: UUID, app_id: UUID) -> App:
    """Return one app.

    Raises:
        NotFound: The project has no such app.
    """
    row = await session.get(AppRow, app_id)
    if row is None or row.project_id != project_id:
        raise NotFound("app.not_found", "There is no such app.", "List the apps with `referee app list`.")
    return view_app(row)


async def list_apps(
    session: AsyncSession,
    project_id: UUID,
    *,
    model: str | None = None,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[App]:
    """Return apps by model and number; ``model`` keeps slugs that contain it, in any case."""
    conditions: list[ColumnElement[bool]] = [AppRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _APP_COLUMNS))
    if model:
        conditions.append(AppRow.model.icontains(model, autoescape=True))
    total_count = await session.scalar(select(func.count()).select_from(AppRow).where(*conditions)) or 0
    statement = select(AppRow).where(*conditions).order_by(AppRow.model, AppRow.number).limit(limit + 1)
    if cursor is not None:
        after_model, after_number = decode_cursor(cursor, "apps")
        statement = statement.where(
            (AppRow.model > str(after_model))
            | ((AppRow.model == str(after_model)) & (AppRow.number > int(str(after_number))))
        )
    rows = (await session.scalars(statement)).all()
    has_more = len(rows) > limit
    kept = rows[:limit]
    next_cursor = encode_cursor("apps", [kept[-1].model, kept[-1].number]) if has_more else None
    return Page(tuple(view_app(row) for row in kept), total_count, limit, next_cursor)


async def count_apps(session: AsyncSession, project_id: UUID) -> int:
    """Return how many apps the project has."""
    return (
        await session.scalar(select(func.count()).select_from(AppRow).where(AppRow.project_id == project_id))
        or 0
    )


def _check_app_name(model: str, number: int) -> None:
    if not _MODEL_SLUG.match(model):
        raise InvalidInput(
            "app.model_invalid",
            f"{model!r} is not a model slug.",
            "Use at most 120 letters, digits, dots, dashes and underscores, beginning with a letter or digit.",
        )
    if not 1 <= number < 1_000_000:
        raise InvalidInput(
            "app.number_invalid", "An app's number is between 1 and 999999.", "Give such a number."
        )


def _resolve_folder(text: str, roots: Sequence[Path]) -> Path:
    if not text.strip() or "\0" in text:
        raise InvalidInput("source.path_empty", "No folder was named.", "Give the path of the app's folder.")
    try:
        # First where it would lie: of what is outside, not even whether it is there is told.
        _check_roots(Path(text).expanduser().resolve(), roots)
        path = Path(text).expanduser().resolve(strict=True)
        _check_roots(path, roots)
    except UnicodeEncodeError as error:
        raise _not_utf8(repr(text)) from error
    except FileNotFoundError as error:
        raise InvalidInput("source.absent", f"There is no folder {text!r}.", "Check the path.") from error
    except (OSError, RuntimeError) as error:
        raise InvalidInput(
            "source.unreadable",
            f"The path {text!r} cannot be followed: it is a loop of links or not accessible.",
            "Check the path and its permissions.",
        ) from error
    if not path.is_dir():
        raise InvalidInput(
            "source.not_folder", f"{text!r} is not a folder.", "Name the folder that holds the app."
        )
    if not os.access(path, os.R_OK | os.X_OK):
        raise InvalidInput(
            "source.unreadable", f"The folder {text!r} cannot be read.", "Check the path and its permissions."
        )
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise _not_utf8(repr(os.fsencode(path))) from error
    if len(str(path).encode()) > _MAX_PATH_BYTES:
        raise InvalidInput(
            "source.path_too_long",
            f"The path of the folder has more than {_MAX_PATH_BYTES:,} bytes.",
            "Move it to a shorter path.",
        )
    return path


def _check_roots(path: Path, roots: Sequence[Path]) -> None:
    if roots and not any(path == root or root in path.parents for root in roots):
        raise InvalidInput(
            "source.outside_roots",
            f"The folder {str(path)!r} lies outside the folders this server may read.",
            "Use a folder below one of REFEREE_ALLOWED_ROOTS, or add it there.",
        )


def _not_utf8(name: str) -> InvalidInput:
    return InvalidInput(
        "source.path_not_utf8",
        f"The name of the folder {name} is not UTF-8.",
        "Rename it or name it through a link.",
    )


def _recognise_app(path: Path) -> tuple[str | None, int | None]:
    for layout in _MODEL_LAYOUTS:
        match = layout.search(path.as_posix())
        if match and _MODEL_SLUG.match(match["model"]):
            return match["model"], int(match["number"])
    return None, None


def view_app(row: AppRow) -> App:
    """Return a row as a value."""
    return App(
        row.app_id,
        row.project_id,
        row.model,
        row.template,
        row.number,
        row.path,
        row.created_at,
        row.placeholder,
        row.placeholder_reason,
    )
