"""Apps on disk are known with the model and number that their folders name; loose ones get the next number."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
from tests.apps.strangers_folder import APP, PLACEHOLDERS, make_strangers_folder

from referee.apps import import_apps, list_apps, read_app_folder, reserve_app
from referee.apps.service import APP_FIELDS
from referee.core.errors import InvalidInput
from referee.foundation.store import Database
from referee.foundation.web.filters import parse_filter


def make(root: Path, *folders: str) -> None:
    """Make folders that hold a small app."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / "app.py").write_text("x = 1\n")


async def take(
    database: Database, project_id: UUID, folder: Path, roots: Sequence[Path] = ()
) -> list[tuple[str, int, bool]]:
    """Import a folder, and return models, numbers and what was new."""
    async with database.transaction() as session:
        imported = await import_apps(session, project_id, read_app_folder(str(folder), allowed_roots=roots))
    return [(one.app.model, one.app.number, one.is_new) for one in imported.apps]


@pytest.mark.parametrize("named", ["", "models", "models/a", "models/a/app2"])
async def test_layout_of_models_is_recognised_from_wherever_it_is_named(
    database: Database, project_id: UUID, tmp_path: Path, named: str
) -> None:
    make(tmp_path, "models/a/app2", "models/a/app10", "models/b/app1", "models/b/notes")
    found = await take(database, project_id, tmp_path / named)
    everything = [("a", 2, True), ("a", 10, True), ("b", 1, True)]
    of_a = everything[:2]
    assert found == {"models/a/app2": of_a[:1], "models/a": of_a}.get(named, everything)


async def test_layout_of_generated_apps_and_none_above_are_recognised(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    make(tmp_path, "one/generated/apps/maker_x/app3", "two/y/app1")
    assert await take(database, project_id, tmp_path / "one") == [("maker_x", 3, True)]
    assert await take(database, project_id, tmp_path / "two") == [("y", 1, True)]


async def test_loose_folders_get_numbers_and_keep_them(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    make(tmp_path, "box/first", "box/second")
    assert await take(database, project_id, tmp_path / "box") == [
        ("imported", 1, True),
        ("imported", 2, True),
    ]
    make(tmp_path, "box/another")
    assert sorted(await take(database, project_id, tmp_path / "box")) == [
        ("imported", 1, False),
        ("imported", 2, False),
        ("imported", 3, True),
    ]
    assert await take(database, project_id, tmp_path / "box/first") == [("imported", 1, False)]


async def test_links_are_not_followed_and_nothing_is_said_so(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    make(tmp_path, "outside/app1")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "linked").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidInput, match="There is no app"):
        await take(database, project_id, tmp_path / "models")


async def test_folder_outside_the_roots_is_refused(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    make(tmp_path, "models/a/app1")
    with pytest.raises(InvalidInput, match="outside the folders"):
        await take(database, project_id, tmp_path / "models", [tmp_path / "elsewhere"])


async def test_numbers_that_are_reserved_at_the_same_time_are_all_different(
    database: Database, project_id: UUID
) -> None:
    async def reserve() -> int:
        async with database.transaction() as session:
            return (await reserve_app(session, project_id, "pico", "notes")).number

    numbers = await asyncio.gather(*(reserve() for _ in range(8)))

    async with database.reading() as session:
        page = await list_apps(session, project_id)
    assert sorted(numbers) == list(range(1, 9)) == [app.number for app in page.items]


async def test_strangers_folder_is_taken_over_whole_with_placeholders_and_junk_named(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    models = make_strangers_folder(tmp_path)
    for _ in range(2):  # again it is the same
        async with database.transaction() as session:
            imported = await import_apps(
                session, project_id, read_app_folder(str(tmp_path), allowed_roots=())
            )

    assert len(imported.apps) == 20
    found = {f"{one.app.model}/app{one.app.number}": one.app.placeholder for one in imported.placeholders}
    assert found == {path: kind for path, (kind, _) in PLACEHOLDERS.items()}
    left = {one.path.removeprefix(f"{models}/"): one.reason for one in imported.left_out}
    assert left == {
        "<img src=x onerror=alert(1)>/app1": "'<img src=x onerror=alert(1)>' is not a model slug.",
        "ash/app0": "Its name is not appN.",
        "ash/notes": "Its name is not appN.",
        "birch/app9": "It is a link, and links are not followed.",
        "elm/app\\udcff7": "Its name is not appN.",
        "linked": "It is a link, and links are not followed.",
    }
    async with database.reading() as session:
        where = parse_filter("is:placeholder", APP_FIELDS)
        page = await list_apps(session, project_id, where=where)
    assert page.total_count == 5
    assert all(app.placeholder_reason for app in page.items)


async def test_placeholder_that_was_written_meanwhile_is_an_app(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    folder = tmp_path / "generated/apps/a/app1"
    folder.mkdir(parents=True)

    async def read() -> str | None:
        async with database.transaction() as session:
            imported = await import_apps(
                session, project_id, read_app_folder(str(tmp_path), allowed_roots=())
            )
        return imported.apps[0].app.placeholder

    assert await read() == "empty"
    (folder / "main.py").write_text(APP)
    assert await read() is None


async def test_loose_folders_of_a_stranger_are_apps_or_placeholders(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    make(tmp_path, "box/first")
    (tmp_path / "box" / "first" / "app.py").write_text(APP)
    (tmp_path / "box" / "nothing").mkdir()
    (tmp_path / "box" / "node_modules" / "x").mkdir(parents=True)
    async with database.transaction() as session:
        imported = await import_apps(
            session, project_id, read_app_folder(str(tmp_path / "box"), allowed_roots=())
        )
    assert [one.app.placeholder for one in imported.apps] == [None, "empty"]
