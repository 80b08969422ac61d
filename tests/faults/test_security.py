"""A server that others reach: what one project may read, name and hear, and what nobody may send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from fastapi import FastAPI
from tests.faults.conftest import FLAWED

from referee.foundation.access import Principal, create_key, create_project, get_project
from referee.foundation.settings import Settings
from referee.foundation.store import open_database
from referee.web_app import create_web_app


@dataclass(frozen=True, slots=True)
class Served:
    """A server beyond loopback, and somebody with a key of each of two projects."""

    app: FastAPI
    ours: httpx.AsyncClient
    theirs: httpx.AsyncClient


Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[Served]]


async def _make_keys(settings: Settings) -> tuple[str, str]:
    database = await open_database(settings)
    try:
        ours = await get_project(database, "default")
        admin = Principal(ours.project_id, ours.slug, None, frozenset({"admin"}))
        theirs = await create_project(database, admin, "theirs", "Theirs")
        keys = [(await create_key(database, one, "test", ["admin"]))[1] for one in (ours, theirs)]
        return keys[0], keys[1]
    finally:
        await database.close()


@pytest.fixture
def serve(database_settings: Settings) -> Serve:
    """Return a function that serves beyond loopback, with keys for two projects."""

    @asynccontextmanager
    async def run(**overrides: object) -> AsyncIterator[Served]:
        settings = database_settings.model_copy(update={"host": "0.0.0.0", **overrides})  # noqa: S104 - the case
        app = create_web_app(settings)
        keys = await _make_keys(settings)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with app.router.lifespan_context(app):
            clients = [
                httpx.AsyncClient(
                    transport=transport, base_url="http://referee", headers={"Authorization": f"Bearer {key}"}
                )
                for key in keys
            ]
            async with clients[0], clients[1]:
                yield Served(app, *clients)

    return run


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    """A folder with one flawed file whose name ends in letters that no header can carry."""
    folder = tmp_path / "allowed" / "subject"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(FLAWED)
    return folder


async def _analyse(client: httpx.AsyncClient, path: Path, *tools: str) -> dict[str, Any]:
    answer = await client.post("/v1/analyses", json={"path": str(path), "tools": list(tools)})
    assert answer.status_code == 202, answer.text
    analysis_id = answer.json()["analysis_id"]
    async with asyncio.timeout(60):
        while True:
            found: dict[str, Any] = (await client.get(f"/v1/analyses/{analysis_id}")).json()
            if found["state"] not in ("queued", "running"):
                return found
            await asyncio.sleep(0.05)


async def test_server_that_others_reach_reads_no_folder_until_roots_are_named(
    serve: Serve, subject: Path
) -> None:
    async with serve() as served:
        answer = await served.ours.post("/v1/analyses", json={"path": str(subject)})
        form = await served.ours.post("/ui/analyses", data={"path": str(subject)})

    assert (answer.status_code, answer.json()["code"]) == (403, "source.roots_unset")
    assert form.status_code == 403


async def test_server_with_roots_tells_nothing_of_what_lies_outside(serve: Serve, subject: Path) -> None:
    (subject / "way-out").symlink_to("/etc")
    paths = [
        "/etc",
        "/no-such-folder",
        "/etc/passwd",
        "/etc/x/y",
        f"{subject}/../../other",
        f"{subject}/way-out",
    ]
    async with serve(allowed_roots=[subject.parent]) as served:
        answers = [await served.ours.post("/v1/analyses", json={"path": path}) for path in paths]
        inside = await served.ours.post("/v1/analyses", json={"path": str(subject), "tools": ["vulture"]})

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (422, "source.outside_roots")
    }
    assert inside.status_code == 202
