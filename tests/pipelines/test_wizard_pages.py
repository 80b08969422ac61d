"""Starting a pipeline on the pages: three steps without scripts, the file they stand for, presets, and the preview."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from tests.apps.strangers_folder import APP, write_files
from tests.web_site import open_site

from referee.analysis import ServiceGate
from referee.app import Application, open_application
from referee.apps import ModelEntry, import_models, import_template, list_apps
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.pipelines.pages import create_pages
from referee.pipelines.planning_api import create_planning_api
from referee.pipelines.presets_api import create_presets_api
from referee.pipelines.shell import register_in_shell
from referee.tools.inspecting import InstalledTools, ToolInspector

MODELS = (
    ModelEntry(model_name="m/pico", slug="pico", input_usd_per_mtok=0.5, output_usd_per_mtok=1.5),
    ModelEntry(model_name="m/nano", slug="nano"),
)
TEMPLATE = Path(__file__).parents[2] / "samples" / "templates" / "task-board.json"


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    """An application that carries out no job: nothing here waits for one."""
    async with open_application(database_settings, is_worker=False) as opened:
        yield opened


@pytest.fixture
async def project_id(application: Application) -> UUID:
    """The project ``default``, which knows two models and a template."""
    project_id = (await get_project(application.database, "default")).project_id
    async with application.database.transaction() as session:
        await import_models(session, project_id, MODELS, source="csv")
    await import_template(application.database, application.artifacts, project_id, TEMPLATE.read_bytes())
    return project_id


@pytest.fixture
async def site(application: Application, project_id: UUID) -> AsyncIterator[httpx.AsyncClient]:
    """Pages and answers of the room."""
    settings = application.settings
    async with open_site(
        settings,
        application.database,
        create_planning_api(lambda: application.pipelines),
        create_presets_api(lambda: application.pipelines),
        create_pages(
            lambda: application.pipelines,
            lambda: application.engine,
            ToolInspector(InstalledTools(settings.tools_path, advisories_dir=settings.advisories_dir)),
            ServiceGate(),
        ),
        register=[lambda shell: register_in_shell(shell, lambda: application.pipelines)],
    ) as client:
        yield client


def carried(text: str) -> dict[str, list[str]]:
    """Return the hidden fields of a page."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text):
        found.setdefault(name, []).append(unescape(value))
    return found


def written(text: str) -> str:
    """Return the pipeline file that a page shows."""
    match = re.search(r"<textarea[^>]*>(.*?)</textarea>", text, re.DOTALL)
    assert match is not None
    return unescape(match[1])


async def test_steps_keep_what_was_entered_and_end_in_the_file_it_stands_for(site: httpx.AsyncClient) -> None:
    first = await site.get("/ui/pipelines/new")
    assert 'value="pico"' in first.text and 'value="task-board"' in first.text
    assert "REFEREE_GENERATOR_URL" in first.text, (
        "that nobody could write an app is said before anything is chosen"
    )

    chosen: dict[str, str | list[str]] = {
        "mode": "generate", "models": ["pico", "nano"], "templates": "task-board", "repeats": "3", "name": "mine",
    }  # fmt: skip
    searched = await site.post(
        "/ui/pipelines/new", data=chosen | {"go": "generation", "search_models": "nan"}
    )
    assert carried(searched.text)["models"] == ["pico"], "what a search hides stays chosen"

    second = await site.post("/ui/pipelines/new", data=chosen | {"go": "analysis"})
    assert carried(second.text)["models"] == ["pico", "nano"]
    assert 'name="tools" value="bandit"' in second.text

    more = {
        "profile": "quick",
        "tools": "vulture",
        "cells_at_once": "4",
        "attempts": "2",
        "budget_usd": "2.5",
    }
    third = await site.post("/ui/pipelines/new", data=carried(second.text) | more | {"go": "review"})
    assert third.status_code == 200
    assert written(third.text) == (
        "name: mine\n"
        "generate:\n  models: [pico, nano]\n  templates: [task-board]\n  repeats: 3\n"
        "analysis:\n  profile: quick\n  tools: [vulture]\n"
        "limits:\n  cells_at_once: 4\n  attempts: 2\n"
        "budget_usd: 2.5\n"
    )
    assert "6 cells: 2 models × 1 template, 3 times each." in third.text
    assert "nano has no prices that are known." in third.text

    back = await site.post("/ui/pipelines/new", data=carried(third.text) | {"go": "generation"})
    assert re.search(r'value="pico" checked', back.text)
    assert carried(back.text)["budget_usd"] == ["2.5"]


@pytest.mark.parametrize(
    ("entered", "expected"),
    [
        ({"mode": "generate", "templates": "task-board"}, "No model was chosen."),
        ({"mode": "existing"}, "No app was chosen."),
        (
            {"models": "pico", "templates": "task-board", "repeats": "many"},
            "The repeats are no whole number.",
        ),
        (
            {"models": "pico", "templates": "task-board", "budget_usd": "nan"},
            "The budget is no amount of dollars.",
        ),
        (
            {"models": "<script>alert(1)</script>", "templates": "task-board"},
            "The pipeline file is not usable",
        ),
        ({"models": "pico", "templates": "task-board", "tools": "rm -rf"}, "rm -rf"),
        ({"models": "x" * 3_000}, "The field models has more than 2,000 characters."),
    ],
)
async def test_what_cannot_be_done_is_said_beside_the_form(
    site: httpx.AsyncClient, entered: dict[str, str], expected: str
) -> None:
    answer = await site.post("/ui/pipelines/new", data=entered | {"go": "review"})
    assert answer.status_code == 422
    assert expected in unescape(answer.text)
    assert "<script>alert" not in answer.text
    assert 'action="/ui/pipelines/new"' in answer.text


async def test_preview_looks_into_a_folder_and_keeps_nothing(
    site: httpx.AsyncClient, application: Application, project_id: UUID, tmp_path: Path
) -> None:
    write_files(tmp_path / "models/a/app1", {"main.py": APP})
    write_files(tmp_path / "models/a/app2", {"README.md": "soon\n"})
    (tmp_path / "models/a/app3").symlink_to(tmp_path)
    definition = {"name": "theirs", "existing": {"folder": str(tmp_path)}, "analysis": {"tools": ["vulture"]}}

    answer = await site.post("/v1/pipelines/plan", json={"definition": definition})

    assert answer.status_code == 200
    found = answer.json()
    assert (found["cells_count"], found["models_count"], found["mode"]) == (2, 1, "existing")
    assert found["placeholders"] == [{"name": "a/app2", "reason": "It holds no file with code."}]
    assert (found["cost"]["cost_usd"], found["time"]["seconds"], found["design"]["difference"]) == (
        0.0,
        None,
        None,
    )
    assert found["left_out"] == [f"{tmp_path}/models/a/app3: It is a link, and links are not followed."]
    assert found["summary"]["Placeholders"] == "1 of these apps is none yet and will be skipped."
    async with application.database.reading() as session:
        assert (await list_apps(session, project_id)).total_count == 0


async def test_preset_is_saved_used_and_deleted(site: httpx.AsyncClient) -> None:
    text = "name: kept\nexisting: {apps: [a/app1]}\n"
    name = "<b>nightly</b> & more"
    saved = await site.post(
        "/ui/pipeline-presets", data={"definition": text, "preset_name": name, "is_default": "true"}
    )
    assert saved.status_code == 303
    shown = await site.get(saved.headers["location"])
    assert written(shown.text) == text
    assert "<b>nightly" not in shown.text
    (kept,) = (await site.get("/v1/pipeline-presets")).json()["items"]
    assert (kept["name"], kept["is_default"], kept["definition_text"]) == (name, True, text)

    refused = await site.post("/ui/pipeline-presets", data={"definition": "nonsense", "preset_name": "bad"})
    assert (refused.status_code, written(refused.text)) == (422, "nonsense")

    assert (await site.post(f"/ui/pipeline-presets/{kept['preset_id']}/delete")).status_code == 303
    assert (await site.get(f"/v1/pipeline-presets/{kept['preset_id']}")).status_code == 404


async def test_file_is_started_as_it_stands(site: httpx.AsyncClient) -> None:
    text = "name: started\r\ngenerate: {models: [pico], templates: [task-board]}\r\n"
    started = await site.post("/ui/pipelines", data={"definition": text})
    assert started.status_code == 303
    page = await site.get(started.headers["location"])
    assert "started" in page.text

    wrong = await site.post("/ui/pipelines", data={"definition": "name: x\n"})
    assert wrong.status_code == 422
    assert "exactly one of generate and existing" in wrong.text
