"""Generations as jobs, over HTTP and on pages; and an app that a model wrote, started in the sandbox."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import httpx
import pytest
from tests.apps.conftest import fetch_json
from tests.apps.generation.conftest import NOTES, Write
from tests.apps.generation.replies import BACKEND, FRONTEND
from tests.llm_server import LlmServer, Response, Script, answer, in_turn, serve_llm
from tests.web_site import open_web_client

from referee.app import open_application
from referee.apps import (
    ModelEntry,
    create_generation,
    get_app,
    get_generation,
    hold_app,
    import_models,
    import_template,
)
from referee.apps.running import read_app_source
from referee.foundation.access import get_project
from referee.foundation.settings import Settings

HOSTILE = "<script>alert(1)</script>\n\n" + BACKEND
Client: TypeAlias = Callable[..., AbstractAsyncContextManager[tuple[httpx.AsyncClient, LlmServer]]]


@pytest.fixture
def serve(database_settings: Settings) -> Client:
    """Opens the whole application, whose generator answers by a script."""

    @asynccontextmanager
    async def open_client(
        *script: Response | Script,
    ) -> AsyncIterator[tuple[httpx.AsyncClient, LlmServer]]:
        with serve_llm(in_turn(*script)) as server:
            settings = database_settings.model_copy(update={"generator_url": server.url})
            async with open_web_client(settings) as client:
                yield client, server

    return open_client


async def wait_for_end(client: httpx.AsyncClient, generation_id: str) -> dict[str, Any]:
    """Return a generation when it has ended."""
    async with asyncio.timeout(60):
        while True:
            found: dict[str, Any] = (await client.get(f"/v1/generations/{generation_id}")).json()
            if found["finished_at"] is not None:
                return found
            await asyncio.sleep(0.05)


async def test_app_is_asked_for_over_http_and_shown(serve: Client) -> None:
    async with serve(answer(HOSTILE), answer(FRONTEND)) as (client, server):
        csv = "model_name,input_usd_per_mtok,output_usd_per_mtok\nmaker/pico,2,10\n"
        imported = await client.post("/v1/models", content=csv, headers={"content-type": "text/csv"})
        assert imported.json() == {
            "created_count": 1,
            "updated_count": 0,
            "unchanged_count": 0,
            "problems": [],
        }
        await client.post("/v1/templates", json=NOTES)
        accepted = await client.post(
            "/v1/generations", json={"model": "maker_pico", "template": "notes", "seed": 5}
        )
        assert accepted.status_code == 202
        generation = await wait_for_end(client, accepted.json()["generation_id"])
        path = f"/v1/generations/{generation['generation_id']}"

        assert (generation["state"], generation["seed"]) == ("succeeded", 5)
        assert accepted.headers["location"] == path
        listed = (await client.get("/v1/generations", params={"app_id": generation["app_id"]})).json()
        assert [one["generation_id"] for one in listed["items"]] == [generation["generation_id"]]
        said = await client.get(f"{path}/artifacts/{generation['calls'][0]['reply_sha256']}")
        files = await client.get(f"{path}/artifacts/{generation['source_sha256']}")
        assert said.text == HOSTILE
        assert said.headers["content-disposition"].startswith("attachment")
        with tarfile.open(fileobj=io.BytesIO(files.content)) as archive:
            assert "backend/app.py" in archive.getnames()
        assert (await client.get(f"{path}/artifacts/{'0' * 64}")).status_code == 404

        page = await client.get(
            f"/ui/apps/{generation['app_id']}/generation", headers={"accept": "text/html"}
        )
        assert page.status_code == 200
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
        assert "<script>alert" not in page.text
        job = (await client.get(f"/v1/jobs/{generation['job_id']}")).json()
        assert (job["state"], job["kind"]) == ("succeeded", "apps.generate")
        assert "authorization" not in server.requests[0].headers


async def test_page_of_an_app_that_was_not_written_says_why(serve: Client) -> None:
    async with serve(answer("Nothing to see here.")) as (client, _):
        await client.post("/v1/models", json={"data": [{"id": "pico"}]})
        accepted = await client.post("/v1/generations", json={"model": "pico", "template": "help-desk"})
        generation = await wait_for_end(client, accepted.json()["generation_id"])
        page = await client.get(
            f"/ui/apps/{generation['app_id']}/generation", headers={"accept": "text/html"}
        )

    assert generation["failure"] == "no_code"
    assert "Not written: no code" in page.text
    assert "cost" in page.text.lower()
    assert "not known" in page.text


async def test_what_cannot_be_asked_for_is_said(serve: Client) -> None:
    asked = {"model": "pico", "template": "help-desk"}
    bodies: list[dict[str, object]] = [
        {**asked, "model": "absent"},
        {**asked, "template": "absent"},
        {**asked, "temperature": 3},
        {**asked, "number": 0},
    ]
    async with serve(answer("x")) as (client, server):
        await client.post("/v1/models", json={"data": [{"id": "pico"}]})
        refused = [await client.post("/v1/generations", json=body) for body in bodies]
        apps = (await client.get("/v1/apps")).json()

    assert [one.status_code for one in refused] == [404, 404, 422, 422]
    assert [one.json()["code"] for one in refused[:2]] == ["model.not_found", "template.not_found"]
    assert (apps["total_count"], server.requests) == (0, [])


async def test_without_a_server_nothing_is_asked_for(database_settings: Settings) -> None:
    async with open_web_client(database_settings) as client:
        await client.post("/v1/models", json={"data": [{"id": "pico"}]})
        refused = await client.post("/v1/generations", json={"model": "pico", "template": "help-desk"})
        apps = (await client.get("/v1/apps")).json()

    assert (refused.status_code, refused.json()["code"]) == (503, "generation.not_configured")
    assert apps["total_count"] == 0


async def test_generation_of_a_cancelled_job_is_cancelled(database_settings: Settings) -> None:
    with serve_llm(in_turn(Response(is_silent=True))) as server:
        settings = database_settings.model_copy(update={"generator_url": server.url})
        async with open_application(settings, is_worker=True) as application:
            project = await get_project(application.database, "default")
            document = json.dumps(NOTES).encode()
            await import_template(application.database, application.artifacts, project.project_id, document)
            async with application.database.transaction() as session:
                entry = ModelEntry(model_name="pico", slug="pico")
                await import_models(session, project.project_id, [entry], source="test")
                generation = await create_generation(
                    session,
                    project_id=project.project_id,
                    model="pico",
                    template="notes",
                    engine=application.engine,
                )
            async with asyncio.timeout(30):
                while not server.requests:
                    await asyncio.sleep(0.05)
            assert generation.job_id is not None
            await application.engine.cancel(generation.job_id)
            async with application.database.reading() as session:
                ended = await get_generation(session, project.project_id, generation.generation_id)

    assert (ended.state, ended.reason) == ("cancelled", "Its job was cancelled.")


@pytest.mark.slow
async def test_app_that_a_model_wrote_starts(write: Write, project_id: UUID, tmp_path: Path) -> None:
    """Installs Flask, so it needs a package index."""
    async with write(answer(BACKEND), answer(FRONTEND)) as writing:
        generation = await writing.run()
        async with writing.room.database.reading() as session:
            app = await get_app(session, project_id, generation.app_id)
        source = await read_app_source(writing.room, project_id, app.path)
        async with hold_app(writing.room, source, holder="a test") as held:
            targets = {target.name: target.url for target in held.running.targets}
            notes = await fetch_json(held.running.network, f"{targets['backend']}/health", tmp_path)

    assert (source.app_id, notes) == (generation.app_id, {"status": "ok"})
    assert set(targets) == {"backend", "frontend"}
