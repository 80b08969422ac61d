"""The templates that come with Referee are whole: what the requirement of a template says holds for each."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

import referee.apps
from referee.apps import AppsRoom
from referee.apps.generation.prompts import render_backend_prompt, render_frontend_prompt
from referee.apps.known_templates import ensure_template, import_library, list_library
from referee.core.errors import NotFound
from referee.core.templates import parse_template

FOLDER = Path(referee.apps.__path__[0]) / "template_library"


def test_there_are_five() -> None:
    assert list_library() == ("expense-ledger", "help-desk", "poll-station", "recipe-box", "room-booking")


@pytest.mark.parametrize("slug", list_library())
def test_template_is_whole(slug: str) -> None:
    document = json.loads((FOLDER / f"{slug}.json").read_text("utf-8"))
    template = parse_template(document)
    routes = [(endpoint.method, endpoint.path) for endpoint in template.endpoints]

    assert template.slug == slug
    assert template.name
    assert template.category
    assert template.description
    assert (len(template.backend_requirements) >= 6, len(template.frontend_requirements) >= 6) == (True, True)
    assert len(template.admin_requirements) == 2
    assert len(routes) == len(set(routes)) >= 8
    assert all(path.startswith("/api/") for _, path in routes)
    assert all(
        endpoint.path.startswith("/api/admin/") == endpoint.is_admin for endpoint in template.endpoints
    )
    assert all(
        endpoint.request
        for endpoint in template.endpoints
        if endpoint.path in ("/api/login", "/api/register")
    )
    assert isinstance(document["data_model"]["fields"], dict)


@pytest.mark.parametrize("slug", list_library())
def test_every_requirement_and_endpoint_is_in_a_prompt(slug: str) -> None:
    template = parse_template(json.loads((FOLDER / f"{slug}.json").read_text("utf-8")))
    backend = render_backend_prompt(template)[-1].text
    frontend = render_frontend_prompt(template, ())[-1].text

    assert [
        one for one in (*template.backend_requirements, *template.admin_requirements) if one not in backend
    ] == []
    assert [one for one in template.frontend_requirements if one not in frontend] == []
    assert [one.path for one in template.endpoints if f"{one.method} {one.path}" not in backend] == []


async def test_library_is_imported_once_and_one_by_one_when_asked_for(
    room: AppsRoom, project_id: UUID
) -> None:
    one = await ensure_template(room.database, room.artifacts, project_id, "help-desk")
    everything = await import_library(room.database, room.artifacts, project_id)

    assert one in everything
    assert [known.slug for known in everything] == list(list_library())
    with pytest.raises(NotFound):
        await ensure_template(room.database, room.artifacts, project_id, "absent")
