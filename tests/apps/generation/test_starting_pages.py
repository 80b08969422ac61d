"""Having apps written from the pages: refused without a server, estimated from what was, started all or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from html import unescape
from typing import TypeAlias
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select, update
from tests.apps.generation.conftest import NOTES
from tests.apps.test_run_pages import NoJudgements
from tests.web_site import open_site

from referee.app import Application, open_application
from referee.apps import ModelEntry, create_generation, import_models, import_template
from referee.apps.generation.expectations import expect_cost
from referee.apps.model_pages import create_catalogue_pages
from referee.apps.pages import create_pages
from referee.apps.shell import register_in_shell
from referee.apps.tables import GenerationRow
from referee.foundation.access import get_project
from referee.foundation.settings import Settings

OpenSite: TypeAlias = Callable[..., AbstractAsyncContextManager[tuple[httpx.AsyncClient, Application, UUID]]]

SERVER_URL = "http://127.0.0.1:9/v1"
MODELS = (
    ModelEntry(model_name="m/pico", slug="pico", input_usd_per_mtok=2.0, output_usd_per_mtok=10.0),
    ModelEntry(model_name="m/nano", slug="nano"),
)


@pytest.fixture
def open_pages(database_settings: Settings) -> OpenSite:
    """Opens the pages over an application that carries out no job, which knows two models and a template."""

    @asynccontextmanager
    async def open_them(**changes: object) -> AsyncIterator[tuple[httpx.AsyncClient, Application, UUID]]:
        settings = database_settings.model_copy(update=changes)
        async with open_application(settings, is_worker=False) as application:
            project_id = (await get_project(application.database, "default")).project_id
            async with application.database.transaction() as session:
                await import_models(session, project_id, MODELS, source="csv")
            document = httpx.Request("POST", "http://x", json=NOTES).content
            await import_template(application.database, application.artifacts, project_id, document)
            async with open_site(
                application.settings,
                application.database,
                create_catalogue_pages(lambda: application.apps, NoJudgements(), lambda: application.engine),
                create_pages(lambda: application.apps, NoJudgements()),
                register=[lambda shell: register_in_shell(shell, lambda: application.database)],
            ) as client:
                yield client, application, project_id

    return open_them


async def count_generations(application: Application) -> int:
    """Return how many generations there are."""
    async with application.database.reading() as session:
        return await session.scalar(select(func.count()).select_from(GenerationRow)) or 0


async def test_without_a_server_the_form_says_so_and_nothing_is_made(open_pages: OpenSite) -> None:
    async with open_pages(generator_url=None) as (client, application, _):
        shown = await client.get("/ui/apps/generate?model=pico&template=notes")
        assert "No server whose models write apps is configured." in shown.text
        assert 'value="pico" checked' in shown.text

        refused = await client.post("/ui/apps/generate", data={"models": "pico", "template": "notes"})
        assert refused.status_code == 503
        assert "Set REFEREE_GENERATOR_URL" in refused.text
        assert await count_generations(application) == 0


async def test_apps_are_asked_for_all_or_none(open_pages: OpenSite) -> None:
    async with open_pages(generator_url=SERVER_URL) as (client, application, _):
        wrong = await client.post(
            "/ui/apps/generate", data={"models": ["pico", "unknown"], "template": "notes"}
        )
        assert wrong.status_code == 404
        assert await count_generations(application) == 0

        many = {"models": ["pico", "nano"], "template": "notes", "count": "2", "seed": "7"}
        started = await client.post("/ui/apps/generate", data=many)
        assert (started.status_code, started.headers["location"]) == (303, "/ui/apps")
        async with application.database.reading() as session:
            rows = await session.execute(select(GenerationRow.model, GenerationRow.seed))
            assert sorted(tuple(row) for row in rows) == [("nano", 7), ("nano", 8), ("pico", 7), ("pico", 8)]

        one = await client.post("/ui/apps/generate", data={"models": "pico", "template": "notes"})
        assert (await client.get(one.headers["location"])).status_code == 200


@pytest.mark.parametrize(
    ("entered", "expected"),
    [
        ({"template": "notes"}, "A model or a template is missing."),
        ({"models": "pico", "template": "notes", "count": "101"}, "no whole number up to 100"),
        ({"models": "pico", "template": "notes", "count": "0"}, "takes 1 to 100"),
        ({"models": "pico", "template": "notes", "seed": "-1"}, "The seed is no whole number"),
        ({"models": "pico", "template": "notes", "temperature": "nan"}, "A temperature is between 0 and 2."),
        ({"models": "pico", "template": "<img src=x>"}, "'<img src=x>'"),
    ],
)
async def test_what_cannot_be_done_is_said(
    open_pages: OpenSite, entered: dict[str, str], expected: str
) -> None:
    async with open_pages(generator_url=SERVER_URL) as (client, application, _):
        answer = await client.post("/ui/apps/generate", data=entered)
        assert 400 <= answer.status_code < 500
        assert expected in unescape(answer.text)
        assert "<img src=x" not in answer.text
        assert await count_generations(application) == 0


async def test_cost_is_expected_from_what_earlier_apps_took_and_unknown_before(open_pages: OpenSite) -> None:
    async with open_pages(generator_url=SERVER_URL, generator_budget_usd=0.05) as (
        client,
        application,
        project_id,
    ):
        asked = {"models": "pico", "template": "notes", "count": "10", "go": "estimate"}
        assert "No app has been written yet" in (await client.post("/ui/apps/generate", data=asked)).text
        nano = await client.post("/ui/apps/generate", data=asked | {"models": "nano"})
        assert "nano has no prices that are known. Without prices no budget can be kept." in nano.text

        async with application.database.transaction() as session:
            made = await create_generation(session, project_id=project_id, model="pico", template="notes")
            await session.execute(
                update(GenerationRow)
                .where(GenerationRow.generation_id == made.generation_id)
                .values(
                    state="failed",
                    failure="syntax_error",
                    finished_at=func.now(),
                    prompt_tokens=1_000,
                    completion_tokens=2_000,
                )
            )
        said = (await client.post("/ui/apps/generate", data=asked)).text
        assert "About 0.2200 USD. From the tokens that 1 earlier generation took." in said
        assert "more than the budget" in said
        async with application.database.reading() as session:
            cost = await expect_cost(session, project_id, {("pico", "another"): 1})
            strange = await expect_cost(session, project_id, {("pico", "notes"): 1, ("nobody", "notes"): 1})
        assert cost.cost_usd == pytest.approx(0.022)
        assert (strange.cost_usd, strange.unknown_models) == (None, ("nobody",))
