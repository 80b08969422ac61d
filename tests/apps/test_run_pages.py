"""Runs of apps and templates through pages and API: started, looked at, stopped, refused."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from tests.apps.conftest import ANSWER_OK, SERVER, WriteApp, read_source
from tests.web_site import open_site

from referee.apps import AppsRoom, ensure_app
from referee.apps.api import create_api
from referee.apps.holding import hold_app
from referee.apps.judgements import AppAnalysis, AppSummary, AppVersion
from referee.apps.pages import create_pages
from referee.apps.run_api import create_run_api
from referee.apps.shell import register_in_shell

TEMPLATE = Path(__file__).parents[2] / "samples" / "templates" / "task-board.json"
LOUD = """
print("\\x1b[31mred\\x1b[0m <b>bold</b> \\x1b]0;title\\x07\\u202egnp", flush=True)
print("10 %\\r20 %\\rdone", flush=True)
"""
CRASH = "import sys\nprint('KeyError: <API_KEY>', flush=True)\nsys.exit(3)\n"


class NoJudgements:
    """Where no app was ever analysed."""

    async def summarise(
        self, session: AsyncSession, project_id: UUID, app_ids: Sequence[UUID]
    ) -> Mapping[UUID, AppSummary]:
        """Return nothing."""
        return {}

    async def list_analyses(
        self, session: AsyncSession, project_id: UUID, app_id: UUID, *, limit: int
    ) -> Sequence[AppAnalysis]:
        """Return nothing."""
        return ()

    async def list_versions(
        self, session: AsyncSession, project_id: UUID, app_id: UUID, *, limit: int
    ) -> Sequence[AppVersion]:
        """Return nothing."""
        return ()


@pytest.fixture
async def site(room: AppsRoom) -> AsyncIterator[httpx.AsyncClient]:
    """Pages and answers of the apps room."""
    async with open_site(
        room.settings,
        room.database,
        create_api(lambda: room, NoJudgements()),
        create_run_api(lambda: room),
        create_pages(lambda: room, NoJudgements()),
        register=[lambda shell: register_in_shell(shell, lambda: room.database)],
    ) as client:
        yield client


@pytest.fixture
async def reader(room: AppsRoom) -> AsyncIterator[httpx.AsyncClient]:
    """The same for somebody who may only read."""
    async with open_site(
        room.settings,
        room.database,
        create_run_api(lambda: room),
        create_pages(lambda: room, NoJudgements()),
        register=[lambda shell: register_in_shell(shell, lambda: room.database)],
        scopes=frozenset({"read"}),
    ) as client:
        yield client


async def make_app(room: AppsRoom, project_id: UUID, folder: Path) -> UUID:
    """Make an app known."""
    async with room.database.transaction() as session:
        app = await ensure_app(session, project_id=project_id, model="quiet-model", number=1, path=folder)
    return app.app_id


async def wait_for(site: httpx.AsyncClient, app_run_id: str, *states: str) -> dict[str, Any]:
    """Return a run once it is in one of these states."""
    async with asyncio.timeout(30):
        while (run := (await site.get(f"/v1/app-runs/{app_run_id}")).json())["state"] not in states:
            await asyncio.sleep(0.05)
    return dict(run)


async def test_app_is_started_shown_and_stopped(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, site: httpx.AsyncClient
) -> None:
    app_id = await make_app(room, project_id, write_app(LOUD + SERVER.format(answer=ANSWER_OK.strip())))

    started = await site.post(f"/v1/apps/{app_id}/runs", json={"hours": 1})
    run_id = started.json()["app_run_id"]
    run = await wait_for(site, run_id, "running", "failed")
    page = (await site.get(f"/ui/app-runs/{run_id}")).text
    log = (await site.get(f"/v1/app-runs/{run_id}/logs/backend", params={"limit_bytes": 12})).json()
    live = (await site.get("/v1/app-runs", params={"is_live": True, "app_id": str(app_id)})).json()
    stopped = (await site.post(f"/v1/app-runs/{run_id}/stop")).json()
    after = (await site.get("/v1/app-runs", params={"is_live": True})).json()

    assert (started.status_code, started.headers["location"]) == (202, f"/v1/app-runs/{run_id}")
    assert (run["state"], run["leases"][0]["holder"], run["logs"]) == ("running", "a person", ["backend"])
    assert "red &lt;b&gt;bold&lt;/b&gt; ⟨U+202E⟩gnp\ndone\n" in page
    assert "Stop app" in page
    assert (log["next_offset"], log["size_bytes"] > 12) == (12, True)
    assert [one["app_run_id"] for one in live["items"]] == [run_id]
    assert (stopped["state"], after["total_count"]) == ("stopped", 0)


async def test_page_of_an_app_says_where_it_answers_and_its_run_with_which_command(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, site: httpx.AsyncClient
) -> None:
    folder = write_app()
    recipe = (folder / "referee.toml").read_text()
    (folder / "referee.toml").write_text(recipe.replace("main.py", "main.py --at {host}:{port}"))
    app_id = await make_app(room, project_id, folder)
    run_id = (await site.post(f"/v1/apps/{app_id}/runs")).json()["app_run_id"]
    (target,) = (await wait_for(site, run_id, "running", "failed"))["targets"]

    pages = [(await site.get(f"/ui/apps/{app_id}{part}")).text for part in ("", "/runs", "/versions")]
    run = (await site.get(f"/ui/app-runs/{run_id}")).text
    listed = (await site.get("/ui/app-runs?is_live=true")).text
    stopped = await site.post(f"/ui/app-runs/{run_id}/stop")

    assert [f"<code>{target['url']}</code> (backend)" in page for page in pages] == [True] * 3
    assert f"python main.py --at {target['url'].removeprefix('http://')}</code>" in run
    assert f"backend {target['url']}" in listed
    assert (stopped.status_code, stopped.headers["location"]) == (303, f"/ui/app-runs/{run_id}")


async def test_app_that_crashes_says_why_on_its_page(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, site: httpx.AsyncClient
) -> None:
    app_id = await make_app(room, project_id, write_app(CRASH))

    answer = await site.post(f"/ui/apps/{app_id}/runs", data={"hours": "1"})
    await wait_for(site, answer.headers["location"].rpartition("/")[2], "failed")
    page = (await site.get(answer.headers["location"])).text

    assert answer.status_code == 303
    assert "The app does not run: crashed" in page
    assert "KeyError: &lt;API_KEY&gt;" in page
    assert "Start again" in page


async def test_app_that_a_tool_uses_is_not_stopped(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, site: httpx.AsyncClient
) -> None:
    source = await read_source(room, project_id, write_app())
    async with hold_app(room, source, holder="analysis 7") as held:
        refused = await site.post(f"/v1/app-runs/{held.run.app_run_id}/stop")
        page = await site.post(f"/ui/app-runs/{held.run.app_run_id}/stop")

    assert (refused.status_code, refused.json()["code"]) == (409, "app_run.in_use")
    assert (page.status_code, "The app is used by analysis 7." in page.text) == (409, True)


async def test_folder_without_an_app_is_refused_beside_the_form(
    room: AppsRoom, project_id: UUID, tmp_path: Path, site: httpx.AsyncClient
) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "shapes.py").write_text("SIDES = 4\n")
    app_id = await make_app(room, project_id, tmp_path / "library")

    answer = await site.post(f"/v1/apps/{app_id}/runs")
    page = await site.post(f"/ui/apps/{app_id}/runs", data={"hours": "1"})

    assert (answer.status_code, answer.json()["code"]) == (422, "app.nothing_to_run")
    assert (page.status_code, "Nothing in this folder can be started." in page.text) == (422, True)


async def test_hours_outside_the_range_are_refused(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, site: httpx.AsyncClient
) -> None:
    app_id = await make_app(room, project_id, write_app())
    html = {"Accept": "text/html"}
    words = [
        (await site.post(f"/ui/apps/{app_id}/runs", data={"hours": word}, headers=html)).status_code
        for word in ("<b>", "nan", "-1", "0", "1e999")
    ]
    page = await site.post(f"/ui/apps/{app_id}/runs", data={"hours": "721"})
    answer = await site.post(f"/v1/apps/{app_id}/runs", json={"hours": 0})
    assert (page.status_code, answer.status_code) == (422, 422)
    assert "at most 720 hours" in page.text
    assert words == [422] * 5
    assert (await site.get("/v1/app-runs")).json()["total_count"] == 0


async def test_reader_starts_and_stops_nothing(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, reader: httpx.AsyncClient
) -> None:
    app_id = await make_app(room, project_id, write_app())
    paths = [
        f"/v1/apps/{app_id}/runs",
        f"/ui/apps/{app_id}/runs",
        f"/v1/app-runs/{app_id}/stop",
        "/v1/templates",
    ]
    assert [(await reader.post(path)).status_code for path in paths] == [403, 403, 403, 403]


async def test_source_and_versions_of_an_app_that_was_run(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, site: httpx.AsyncClient
) -> None:
    app_id = await make_app(room, project_id, write_app(CRASH))
    before = (await site.get(f"/v1/apps/{app_id}/source")).json()
    run_id = (await site.post(f"/v1/apps/{app_id}/runs")).json()["app_run_id"]
    run = await wait_for(site, run_id, "failed")

    source = (await site.get(f"/v1/apps/{app_id}/source")).json()
    versions = (await site.get(f"/v1/apps/{app_id}/versions")).json()["items"]
    tree = (await site.get(f"/ui/apps/{app_id}/source")).text

    assert (before["version"], before["files"]) == (None, [])
    assert [file["path"] for file in source["files"]] == ["main.py", "referee.toml"]
    assert [(one["source_digest"], one["runs_count"]) for one in versions] == [(run["source_digest"], 1)]
    assert re.findall(r"<code>(main.py|referee.toml)</code>", tree) == ["main.py", "referee.toml"]


async def test_template_is_kept_once_and_found_by_slug_and_id(site: httpx.AsyncClient) -> None:
    document = TEMPLATE.read_bytes()
    first, second = [await site.post("/v1/templates", content=document) for _ in range(2)]
    listed = (await site.get("/v1/templates")).json()
    names = ["task-board", first.json()["template_id"], f"template_{first.json()['template_id']}"]
    found = [(await site.get(f"/v1/templates/{name}")).json() for name in names]

    assert (first.status_code, second.status_code) == (201, 200)
    assert (listed["total_count"], found[0]["slug"]) == (1, "task-board")
    assert found[0] == found[1] == found[2]
    assert len(found[0]["endpoints"]) == len(json.loads(document)["api_endpoints"]) + len(
        json.loads(document).get("admin_api_endpoints", [])
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"slug": "x"'])
async def test_what_is_no_template_is_refused(site: httpx.AsyncClient, body: bytes) -> None:
    answer = await site.post("/v1/templates", content=body)
    assert (answer.status_code, answer.json()["code"].partition(".")[0]) == (422, "template")


async def test_what_is_not_there_is_not_found(site: httpx.AsyncClient) -> None:
    unknown = UUID(int=7)
    paths = [
        f"/v1/app-runs/{unknown}",
        f"/ui/app-runs/{unknown}",
        f"/v1/app-runs/{unknown}/logs/backend",
        "/v1/templates/none",
        f"/v1/apps/{unknown}/source",
        f"/ui/apps/{unknown}/runs",
    ]
    assert [(await site.get(path)).status_code for path in paths] == [404] * len(paths)
