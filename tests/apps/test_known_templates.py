"""Templates that are known: the same document once, each version kept, the latest found by its slug."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from referee.apps import AppsRoom, find_template, get_template, import_template, load_template
from referee.apps.known_templates import list_templates, read_template_file
from referee.core.errors import InvalidInput, NotFound
from referee.core.ids import format_id

DOCUMENT = {"slug": "notes", "name": "Notes", "backend_requirements": ["Notes are kept."]}


async def test_same_document_is_one_template(room: AppsRoom, project_id: UUID) -> None:
    data = json.dumps(DOCUMENT).encode()

    first = await import_template(room.database, room.artifacts, project_id, data)
    second = await import_template(room.database, room.artifacts, project_id, data)

    async with room.database.reading() as session:
        page = await list_templates(session, project_id)
        loaded = await load_template(session, room.artifacts, project_id, first.template_id)
    assert (first, page.total_count, loaded.backend_requirements) == (second, 1, ("Notes are kept.",))


async def test_slug_means_the_latest_version_and_an_id_the_very_one(room: AppsRoom, project_id: UUID) -> None:
    old = await import_template(room.database, room.artifacts, project_id, json.dumps(DOCUMENT).encode())
    changed = json.dumps({**DOCUMENT, "name": "Better notes"}).encode()
    new = await import_template(room.database, room.artifacts, project_id, changed)

    async with room.database.reading() as session:
        by_slug = await find_template(session, project_id, "notes")
        by_id = await get_template(session, project_id, format_id("template", old.template_id))
    assert (by_slug, by_id) == (new, old)


async def test_unknown_template_is_said_with_what_to_do(room: AppsRoom, project_id: UUID) -> None:
    async with room.database.reading() as session:
        with pytest.raises(NotFound, match="no template 'notes'") as refused:
            await get_template(session, project_id, "notes")

    assert "referee template import" in refused.value.hint


async def test_template_of_another_project_is_not_there(room: AppsRoom, project_id: UUID) -> None:
    known = await import_template(room.database, room.artifacts, project_id, json.dumps(DOCUMENT).encode())

    async with room.database.reading() as session:
        with pytest.raises(NotFound):
            await load_template(session, room.artifacts, UUID(int=1), known.template_id)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"x" * 1_000_001])
async def test_what_is_no_json_leaves_nothing_behind(room: AppsRoom, project_id: UUID, data: bytes) -> None:
    with pytest.raises(InvalidInput):
        await import_template(room.database, room.artifacts, project_id, data)

    async with room.database.reading() as session:
        assert (await list_templates(session, project_id)).total_count == 0


async def test_file_that_cannot_be_read_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        await read_template_file(tmp_path / "absent.json")
