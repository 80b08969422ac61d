"""Which folder a person may name, which app it is, and the list of apps."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from uuid import UUID

import pytest

from referee.apps import App, count_apps, ensure_app, get_app, list_apps, locate_source
from referee.core.errors import InvalidInput, NotFound, RefereeError
from referee.core.ids import new_id
from referee.foundation.access import create_project, find_local_principal, get_project
from referee.foundation.store import Database


async def default_project(database: Database) -> UUID:
    return (await get_project(database, "default")).project_id


async def ensure(database: Database, project_id: UUID, model: str, number: int, path: str = "/x") -> App:
    async with database.transaction() as session:
        return await ensure_app(session, project_id=project_id, model=model, number=number, path=Path(path))


async def test_app_is_the_same_one_however_often_and_moves_with_its_path(database: Database) -> None:
    project_id = await default_project(database)
    first = await ensure(database, project_id, "coder", 1, "/old")
    again = await ensure(database, project_id, "coder", 1, "/new")
    assert again.app_id == first.app_id
    assert again.path == "/new"
    async with database.reading() as session:
        assert await get_app(session, project_id, first.app_id) == again
        assert await count_apps(session, project_id) == 1


async def test_app_is_made_once_when_many_ask_at_once(database: Database) -> None:
    project_id = await default_project(database)
    made = await asyncio.gather(*(ensure(database, project_id, "coder", 1) for _ in range(8)))
    assert len({app.app_id for app in made}) == 1


async def test_projects_do_not_see_each_others_apps(database: Database) -> None:
    mine = await default_project(database)
    local = await find_local_principal(database, "default")
    other = (await create_project(database, local, "other", "Other")).project_id
    app = await ensure(database, mine, "coder", 1)
    async with database.reading() as session:
        assert (await list_apps(session, other)).items == ()
        with pytest.raises(NotFound) as refusal:
            await get_app(session, other, app.app_id)
    assert refusal.value.code == "app.not_found"


async def test_unknown_app_is_not_found(database: Database) -> None:
    project_id = await default_project(database)
    async with database.reading() as session:
        with pytest.raises(NotFound):
            await get_app(session, project_id, new_id())


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("coder", ["Pico-Coder", "big_coder", "coder-large"]),
        ("CODER", ["Pico-Coder", "big_coder", "coder-large"]),
        ("o-C", ["Pico-Coder"]),
        ("_", ["big_coder"]),
        ("%", []),
        ("", ["Pico-Coder", "aurora", "big_coder", "coder-large"]),
    ],
)
async def test_model_filter_matches_part_of_the_slug_in_any_case_and_nothing_else(
    database: Database, text: str, models: list[str]
) -> None:
    project_id = await default_project(database)
    for model in ("coder-large", "aurora", "Pico-Coder", "big_coder"):
        await ensure(database, project_id, model, 1)
    async with database.reading() as session:
        page = await list_apps(session, project_id, model=text)
    assert sorted(app.model for app in page.items) == models
    assert page.total_count == len(models)


async def test_pages_hold_every_app_once_and_tell_the_total(database: Database) -> None:
    project_id = await default_project(database)
    for model in ("b", "a"):
        for number in (10, 2, 1):
            await ensure(database, project_id, model, number)
    seen, cursor = list[tuple[str, int]](), None
    async with database.reading() as session:
        for _ in range(3):
            page = await list_apps(session, project_id, cursor=cursor, limit=2)
            seen += [(app.model, app.number) for app in page.items]
            assert page.total_count == 6
            cursor = page.next_cursor
    assert seen == [("a", 1), ("a", 2), ("a", 10), ("b", 1), ("b", 2), ("b", 10)]
    assert cursor is None


async def test_cursor_of_another_list_is_refused(database: Database) -> None:
    project_id = await default_project(database)
    async with database.reading() as session:
        with pytest.raises(InvalidInput) as refusal:
            await list_apps(session, project_id, cursor="nonsense")
    assert refusal.value.code == "page.cursor_invalid"


@pytest.mark.parametrize(
    ("folder", "model", "number"),
    [
        ("models/pico-coder/app1", "pico-coder", 1),
        ("generated/apps/vendor_big.v2/app12", "vendor_big.v2", 12),
        ("models/pico-coder/app0", None, None),
        ("models/pico coder/app1", None, None),
        ("models/pico-coder/app1/backend", None, None),
        ("shop", None, None),
    ],
)
def test_app_is_recognised_by_its_folder(
    tmp_path: Path, folder: str, model: str | None, number: int | None
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    found = locate_source(f"{tmp_path}/{folder}/", allowed_roots=[])
    assert (found.path, found.model, found.number) == (tmp_path / folder, model, number)


def test_named_app_wins_over_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "models/pico-coder/app1"
    folder.mkdir(parents=True)
    found = locate_source(str(folder), allowed_roots=[], model="other", number=7)
    assert (found.model, found.number) == ("other", 7)


@pytest.mark.parametrize(
    ("model", "number", "code"),
    [
        ("coder", None, "app.incomplete"),
        (None, 1, "app.incomplete"),
        ("../up", 1, "app.model_invalid"),
        ("", 1, "app.model_invalid"),
        ("m" * 121, 1, "app.model_invalid"),
        ("coder", 0, "app.number_invalid"),
        ("coder", 1_000_000, "app.number_invalid"),
    ],
)
def test_malformed_app_is_refused(tmp_path: Path, model: str | None, number: int | None, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        locate_source(str(tmp_path), allowed_roots=[], model=model, number=number)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "source.path_empty"),
        ("  ", "source.path_empty"),
        ("a\0b", "source.path_empty"),
        ("{folder}/absent", "source.absent"),
        ("{folder}/file.py", "source.not_folder"),
        ("{folder}/loop", "source.unreadable"),
    ],
)
def test_path_that_is_no_folder_is_refused(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "file.py").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InvalidInput) as refusal:
        locate_source(name.format(folder=tmp_path), allowed_roots=[])
    assert refusal.value.code == code
    assert refusal.value.hint


def test_folder_whose_name_is_not_utf8_is_refused_with_its_bytes(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    with pytest.raises(InvalidInput) as refusal:
        locate_source(str(folder), allowed_roots=[])
    assert refusal.value.code == "source.path_not_utf8"


def test_folder_outside_the_allowed_roots_is_refused_even_through_a_link(tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "allowed-not"
    (allowed / "app").mkdir(parents=True)
    other.mkdir()
    (allowed / "link").symlink_to(other)
    assert locate_source(str(allowed / "app"), allowed_roots=[allowed]).path == allowed / "app"
    assert locate_source(str(allowed), allowed_roots=[allowed]).path == allowed
    for path in (other, allowed / "link", allowed / ".." / "allowed-not"):
        with pytest.raises(RefereeError) as refusal:
            locate_source(str(path), allowed_roots=[allowed])
        assert refusal.value.code == "source.outside_roots"
