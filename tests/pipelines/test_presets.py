"""Pipeline files that are kept: one of a name, at most one default, and only files that could be started."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from referee.core.errors import InvalidInput, NotFound
from referee.core.ids import new_id
from referee.foundation.access import get_project
from referee.foundation.store import Database
from referee.pipelines.presets import (
    PipelinePreset,
    delete_preset,
    find_default_preset,
    get_named_preset,
    get_preset,
    list_presets,
    save_preset,
)
from referee.pipelines.tables import PipelinePresetRow

FILE = "name: kept\nexisting: {apps: [a/app1]}\nanalysis: {tools: [vulture]}\n"


@pytest.fixture
async def project_id(database: Database) -> UUID:
    """The project ``default``."""
    return (await get_project(database, "default")).project_id


async def save(database: Database, project_id: UUID, name: str, **more: bool) -> PipelinePreset:
    """Keep the same file under a name."""
    async with database.transaction() as session:
        return await save_preset(
            session, project_id, name=name, definition_text=FILE, is_default=more.get("is_default")
        )


async def test_same_name_gets_the_new_text_and_keeps_its_place(database: Database, project_id: UUID) -> None:
    first = await save(database, project_id, " nightly ", is_default=True)
    async with database.transaction() as session:
        again = await save_preset(session, project_id, name="nightly", definition_text=FILE + "# new\n")

    assert (again.preset_id, again.name, again.is_default) == (first.preset_id, "nightly", True)
    assert again.definition_text.endswith("# new\n")
    assert again.updated_at > first.updated_at
    async with database.reading() as session:
        assert await get_named_preset(session, project_id, "nightly") == again
        assert (await list_presets(session, project_id)).total_count == 1


async def test_at_most_one_is_the_default_however_many_want_to_be(
    database: Database, project_id: UUID
) -> None:
    await asyncio.gather(*(save(database, project_id, f"p{number}", is_default=True) for number in range(8)))

    async with database.reading() as session:
        page = await list_presets(session, project_id)
        default = await find_default_preset(session, project_id)
    assert [preset for preset in page.items if preset.is_default] == [default]
    assert page.total_count == 8
    with pytest.raises(IntegrityError, match="uq_pipeline_presets__default"):
        async with database.transaction() as session:
            for name in ("x", "y"):
                session.add(
                    PipelinePresetRow(
                        preset_id=new_id(),
                        project_id=project_id,
                        name=name,
                        definition_text="",
                        is_default=True,
                    )
                )


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\x1b[31m", "a\u202eb"])
async def test_name_that_cannot_be_shown_is_refused(database: Database, project_id: UUID, name: str) -> None:
    with pytest.raises(InvalidInput, match="preset's name"):
        await save(database, project_id, name)


async def test_file_that_could_not_be_started_is_refused(database: Database, project_id: UUID) -> None:
    async with database.transaction() as session:
        with pytest.raises(InvalidInput, match="line 2"):
            await save_preset(
                session, project_id, name="bad", definition_text="name: x\nexisting: {apps: [7]}\n"
            )


async def test_preset_of_another_project_is_not_there(database: Database, project_id: UUID) -> None:
    mine = await save(database, project_id, "mine", is_default=True)
    other = new_id()
    async with database.transaction() as session:
        for read in (get_preset, delete_preset):
            with pytest.raises(NotFound):
                await read(session, other, mine.preset_id)
        with pytest.raises(NotFound):
            await get_named_preset(session, other, "mine")
        assert await find_default_preset(session, other) is None
        await delete_preset(session, project_id, mine.preset_id)
        assert (await list_presets(session, project_id)).items == ()


async def test_list_goes_on_where_it_was_cut(database: Database, project_id: UUID) -> None:
    for name in ("c", "a", "b"):
        await save(database, project_id, name)
    async with database.reading() as session:
        first = await list_presets(session, project_id, limit=2)
        rest = await list_presets(session, project_id, limit=2, cursor=first.next_cursor)
    assert [preset.name for preset in (*first.items, *rest.items)] == ["a", "b", "c"]
    assert rest.next_cursor is None
