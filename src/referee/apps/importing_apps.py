"""Taking apps over from disk: folders whose layout names model and number, and loose ones.

==============================  =====================================================
``models/<model>/app<number>``  below the folder, or the folder itself or one of these
``generated/apps/<model>/…``    the same
``<model>/app<number>``         below the folder
anything else                   an app by itself, or one for each folder in it
==============================  =====================================================

Nothing of an app is run, and links are not followed. Its code is looked at once, to tell an app from a placeholder;
what has the place of an app and cannot be one is left out with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.languages import classify_folder
from referee.apps.placeholder_records import FolderLook, look_into_folder, note_placeholder
from referee.apps.service import App, ensure_app, get_app, locate_source, reserve_app
from referee.apps.tables import AppRow
from referee.core.errors import InvalidInput

__all__ = [
    "LOOSE_MODEL",
    "AppFolder",
    "FolderImport",
    "FoundApp",
    "ImportedApp",
    "LeftOut",
    "find_apps",
    "import_apps",
    "read_app_folder",
]

LOOSE_MODEL: Final = "imported"
"""Model of loose folders when nobody names one."""
_APP_FOLDER: Final = re.compile(r"app([1-9][0-9]{0,5})")
_LAYOUTS: Final = ("models", "generated/apps", "")
_MAX_APPS: Final = 10_000
_MAX_ENTRIES: Final = 100_000
"""Folders looked at."""
_MAX_LEFT_OUT: Final = 1_000
"""Named one by one; the rest is counted."""
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
    """Its ``placeholder`` says what is there instead of an app."""
    is_new: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that has the place of an app and is none that can be known."""

    path: str
    """For people: what cannot be printed is escaped."""
    reason: str


@dataclass(slots=True)
class FolderImport:
    """What became of a folder of apps."""

    apps: list[ImportedApp] = field(default_factory=list)
    """By path."""
    left_out: list[LeftOut] = field(default_factory=list)
    left_out_count: int = 0

    @property
    def placeholders(self) -> list[ImportedApp]:
        """Those that are no apps yet."""
        return [one for one in self.apps if one.app.placeholder is not None]

    def leave_out(self, path: Path, reason: str) -> None:
        """Note what is not taken over, and why."""
        self.left_out_count += 1
        if len(self.left_out) < _MAX_LEFT_OUT:
            shown = str(path).encode("utf-8", "backslashreplace").decode()
            self.left_out.append(LeftOut("".join(one if one.isprintable() else "�" for one in shown), reason))


@dataclass(slots=True)
class AppFolder:
    """What a folder on disk holds, before any of it is known."""

    path: Path
    apps: list[tuple[FoundApp, Path, FolderLook]] = field(default_factory=list)
    """Each with its resolved path and what is in it."""
    imported: FolderImport = field(default_factory=FolderImport)
    """What was left out so far."""


def read_app_folder(folder: str, *, allowed_roots: Sequence[Path]) -> AppFolder:
    """Look through a folder of apps, however long that takes: not within a transaction. Blocking.

    Args:
        folder: Absolute, or relative to the working folder.
        allowed_roots: Folders below which paths may lie; empty allows any.

    Raises:
        InvalidInput: The folder cannot be read, holds no app or too many.
    """
    read = AppFolder(locate_source(folder, allowed_roots=allowed_roots).path)
    for one in find_apps(read.path, read.imported):
        try:
            # Each is checked by itself: its name may not be UTF-8, and it may be a link out of the allowed folders.
            path = locate_source(str(one.path), allowed_roots=allowed_roots).path
            if one.model is not None:  # its name may be none that a model can have
                locate_source(str(path), allowed_roots=(), model=one.model, number=one.number)
        except InvalidInput as error:
            read.imported.leave_out(one.path, error.message)
            continue
        read.apps.append((one, path, look_into_folder(str(path))))
    if not read.apps:
        left_out = read.imported.left_out
        raise InvalidInput(
            "app.none_found",
            f"There is no app in {str(read.path)!r}.{f' {left_out[0].reason}' if left_out else ''}",
            "Name the folder of an app, one that holds MODEL/appN, or one whose folders are apps.",
        )
    return read


async def import_apps(
    session: AsyncSession,
    project_id: UUID,
    folder: AppFolder,
    *,
    model: str | None = None,
    template: str | None = None,
) -> FolderImport:
    """Make the apps of a folder known. Known ones stay who they are; whether each is a placeholder is told anew.

    Args:
        session: In a transaction.
        project_id: Whose.
        folder: As it was read before.
        model: Slug for loose folders; None: ``imported``.
        template: Slug of what they were asked to do, if it is known.
    """
    imported = FolderImport(
        left_out=list(folder.imported.left_out), left_out_count=folder.imported.left_out_count
    )
    for found, path, look in folder.apps:
        app, is_new = await _ensure(session, project_id, found, path, model or LOOSE_MODEL, template)
        await note_placeholder(session, app.app_id, look)
        imported.apps.append(ImportedApp(await get_app(session, project_id, app.app_id), is_new))
    return imported


def find_apps(folder: Path, imported: FolderImport | None = None) -> Iterator[FoundApp]:
    """Yield the apps that a folder is or holds, by path.

    Args:
        folder: Absolute.
        imported: Takes what is left out.

    Raises:
        InvalidInput: There are too many.
    """
    own = locate_source(str(folder), allowed_roots=())
    if own.model is not None:
        yield FoundApp(folder, own.model, own.number)
        return
    noted = imported or FolderImport()
    count = 0
    for app in _find_layouts(folder, noted):
        count += 1
        _check_count(count)
        yield app
    if count:
        return
    if any((folder / sign).exists() for sign in _SIGNS):
        yield FoundApp(folder, None, None)
        return
    for number, entry in enumerate(_list_folders(folder, noted), start=1):
        _check_count(number)
        yield FoundApp(entry, None, None)


def _find_layouts(folder: Path, noted: FolderImport) -> Iterator[FoundApp]:
    is_of_one_model = folder.parent.name in ("models", "apps") and folder.parent.parent.name != "models"
    if is_of_one_model:
        yield from _find_numbered(folder, noted)
        return
    for layout in _LAYOUTS:
        parent = folder / layout if layout else folder
        seen = FolderImport()
        found = [app for model in _list_folders(parent, seen) for app in _find_numbered(model, seen)]
        if found:
            for one in seen.left_out:
                noted.leave_out(Path(one.path), one.reason)
            yield from found
            return


def _find_numbered(folder: Path, noted: FolderImport) -> Iterator[FoundApp]:
    found = []
    for entry in _list_folders(folder, noted):
        match = _APP_FOLDER.fullmatch(entry.name)
        if match:
            found.append((int(match[1]), entry))
        else:
            noted.leave_out(entry, "Its name is not appN.")
    for number, entry in sorted(found):
        yield FoundApp(entry, folder.name, number)


def _list_folders(folder: Path, noted: FolderImport) -> list[Path]:
    """Return the folders in a folder by name, without links, hidden and vendored ones; [] when it cannot be read."""
    found = []
    try:
        for number, entry in enumerate(folder.iterdir()):
            if number >= _MAX_ENTRIES:
                noted.leave_out(folder, f"It holds more than {_MAX_ENTRIES:,} entries.")
                break
            if entry.name.startswith(".") or classify_folder(entry.name, frozenset()) == "vendored":
                continue
            if entry.is_symlink():
                noted.leave_out(entry, "It is a link, and links are not followed.")
            elif entry.is_dir():
                found.append(entry)
    except FileNotFoundError:
        return []
    except OSError as error:
        noted.leave_out(folder, f"It cannot be read: {error.strerror}.")
        return []
    return sorted(found)


def _check_count(count: int) -> None:
    if count > _MAX_APPS:
        raise InvalidInput(
            "app.too_many",
            f"The folder holds more than {_MAX_APPS:,} apps.",
            "Import the folders in it one by one.",
        )


async def _ensure(
    session: AsyncSession,
    project_id: UUID,
    found: FoundApp,
    path: Path,
    loose_model: str,
    template: str | None,
) -> tuple[App, bool]:
    """Return the app of a folder, and whether it was made for it."""
    if found.model is not None and found.number is not None:
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
        return app, known is None
    known = await session.scalar(
        select(AppRow.app_id).where(AppRow.project_id == project_id, AppRow.path == str(path)).limit(1)
    )
    if known is not None:
        return await get_app(session, project_id, known), False
    app = await reserve_app(session, project_id, loose_model, template)
    await session.execute(update(AppRow).where(AppRow.app_id == app.app_id).values(path=str(path)))
    await session.refresh(await session.get_one(AppRow, app.app_id))
    return await get_app(session, project_id, app.app_id), True
