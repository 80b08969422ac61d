"""Taking apps over from disk: folders whose layout names model and number, and loose ones.

==============================  =====================================================
``models/<model>/app<number>``  below the folder, or the folder itself or one of these
``generated/apps/<model>/…``    the same
``<model>/app<number>``         below the folder
anything else                   an app by itself, or one for each folder in it
==============================  =====================================================

Nothing of an app is read or run; links are not followed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.service import App, ensure_app, get_app, locate_source, reserve_app
from referee.apps.tables import AppRow
from referee.core.errors import InvalidInput

__all__ = ["LOOSE_MODEL", "FoundApp", "ImportedApp", "find_apps", "import_apps"]

LOOSE_MODEL: Final = "imported"
"""Model of loose folders when nobody names one."""
_APP_FOLDER: Final = re.compile(r"app([1-9][0-9]{0,5})")
_LAYOUTS: Final = ("models", "generated/apps", "")
_MAX_APPS: Final = 10_000
_MAX_ENTRIES: Final = 100_000
"""Folders looked at."""
_SIGNS: Final = (
    "referee.toml", "Procfile", "package.json", "requirements.txt", "pyproject.toml", "setup.cfg",
    "Pipfile", "index.html", "app.py", "main.py", "manage.py", "server.js", "backend", "frontend",
    "docker-compose.yml", "Dockerfile", "src",
)  # fmt: skip
"""What lies in the folder of an app, and not in one that holds apps."""


@dataclass(frozen=True, slots=True)
class FoundApp:
    """A folder that holds an app."""

    path: Path
    model: str | None
    """None for a loose one."""
    number: int | None


@dataclass(frozen=True, slots=True)
class ImportedApp:
    """An app that is known now."""

    app: App
    is_new: bool


async def import_apps(
    session: AsyncSession,
    project_id: UUID,
    folder: str,
    *,
    allowed_roots: Sequence[Path],
    model: str | None = None,
    template: str | None = None,
) -> list[ImportedApp]:
    """Make the apps of a folder known, and return them by path. Known ones stay who they are.

    Args:
        session: In a transaction.
        project_id: Whose.
        folder: Absolute, or relative to the working folder.
        allowed_roots: Folders below which paths may lie; empty allows any.
        model: Slug for loose folders; None: ``imported``.
        template: Slug of what they were asked to do, if it is known.

    Raises:
        InvalidInput: The folder cannot be read, holds no app or too many.
    """
    located = await asyncio.to_thread(locate_source, folder, allowed_roots=allowed_roots)
    found = await asyncio.to_thread(lambda: list(find_apps(located.path)))
    if not found:
        raise InvalidInput(
            "app.none_found",
            f"There is no app in {str(located.path)!r}.",
            "Name the folder of an app, one that holds MODEL/appN, or one whose folders are apps.",
        )
    imported = []
    for one in found:
        # Each is checked by itself: its name may not be UTF-8, and it may be a link out of the allowed folders.
        path = (await asyncio.to_thread(locate_source, str(one.path), allowed_roots=allowed_roots)).path
        imported.append(await _import_one(session, project_id, one, path, model or LOOSE_MODEL, template))
    return imported


def find_apps(folder: Path) -> Iterator[FoundApp]:
    """Yield the apps that a folder is or holds, by path.

    Raises:
        InvalidInput: There are too many.
    """
    own = locate_source(str(folder), allowed_roots=())
    if own.model is not None:
        yield FoundApp(folder, own.model, own.number)
        return
    count = 0
    for app in _find_layouts(folder):
        count += 1
        _check_count(count)
        yield app
    if count:
        return
    if any((folder / sign).exists() for sign in _SIGNS):
        yield FoundApp(folder, None, None)
        return
    for number, entry in enumerate(_list_folders(folder), start=1):
        _check_count(number)
        yield FoundApp(entry, None, None)


def _find_layouts(folder: Path) -> Iterator[FoundApp]:
    is_of_one_model = folder.parent.name in ("models", "apps") and folder.parent.parent.name != "models"
    if is_of_one_model:
        yield from _find_numbered(folder)
        return
    for layout in _LAYOUTS:
        parent = folder / layout if layout else folder
        found = [app for model in _list_folders(parent) for app in _find_numbered(model)]
        if found:
            yield from found
            return


def _find_numbered(folder: Path) -> Iterator[FoundApp]:
    numbered = ((entry, _APP_FOLDER.fullmatch(entry.name)) for entry in _list_folders(folder))
    found = [(int(match[1]), entry) for entry, match in numbered if match]
    for number, entry in sorted(found):
        yield FoundApp(entry, folder.name, number)


def _list_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder by name, without links and hidden ones; [] when it cannot be read."""
    found = []
    try:
        for number, entry in enumerate(folder.iterdir()):
            if number >= _MAX_ENTRIES:
                break
            if not entry.name.startswith(".") and not entry.is_symlink() and entry.is_dir():
                found.append(entry)
    except OSError:
        return []
    return sorted(found)


def _check_count(count: int) -> None:
    if count > _MAX_APPS:
        raise InvalidInput(
            "app.too_many",
            f"The folder holds more than {_MAX_APPS:,} apps.",
            "Import the folders in it one by one.",
        )


async def _import_one(
    session: AsyncSession,
    project_id: UUID,
    found: FoundApp,
    path: Path,
    loose_model: str,
    template: str | None,
) -> ImportedApp:
    if found.model is not None and found.number is not None:
        locate_source(str(path), allowed_roots=(), model=found.model, number=found.number)  # checks the names
        known = await session.scalar(
            select(AppRow.app_id).where(
                AppRow.project_id == project_id, AppRow.model == found.model, AppRow.number == found.number
            )
        )
        app = await ensure_app(
            session,
            project_id=project_id,
            model=found.model,
            number=found.number,
            path=path,
            template=template,
        )
        return ImportedApp(app, known is None)
    known = await session.scalar(
        select(AppRow.app_id).where(AppRow.project_id == project_id, AppRow.path == str(path)).limit(1)
    )
    if known is not None:
        return ImportedApp(await get_app(session, project_id, known), False)
    app = await reserve_app(session, project_id, loose_model, template)
    await session.execute(update(AppRow).where(AppRow.app_id == app.app_id).values(path=str(path)))
    await session.refresh(await session.get_one(AppRow, app.app_id))
    return ImportedApp(await get_app(session, project_id, app.app_id), True)
