"""A server that others reach: what one project may read, name and hear, and what nobody may send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from tests.answers import CheckedApp
from tests.faults.conftest import FLAWED
from tests.web_site import open_web_app

from referee.backfills.audit_worlds import create_audit_database
from referee.core.errors import Conflict
from referee.core.ids import format_id
from referee.foundation.access import Principal, create_key, create_project, get_project
from referee.foundation.settings import Settings
from referee.foundation.store import open_database


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
        try:
            theirs = await create_project(database, admin, "theirs", "Theirs")
        except Conflict:  # the second server of a test
            theirs = await get_project(database, "theirs")
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
        async with open_web_app(settings) as app:
            keys = await _make_keys(settings)
            transport = httpx.ASGITransport(CheckedApp(app))
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
    return await _wait_for(client, answer.json()["analysis_id"])


async def _wait_for(client: httpx.AsyncClient, analysis_id: str) -> dict[str, Any]:
    async with asyncio.timeout(120):
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


async def test_server_that_others_reach_does_not_read_a_folder_again_without_roots(
    serve: Serve, subject: Path
) -> None:
    async with serve(allowed_roots=[subject.parent]) as served:
        analysis = await _analyse(served.ours, subject, "vulture")
    async with serve() as served:
        answer = await served.ours.post(f"/v1/analyses/{analysis['analysis_id']}/retry")

    assert (answer.status_code, answer.json()["code"]) == (403, "source.roots_unset")


async def test_no_route_gives_one_project_what_is_anothers(serve: Serve, subject: Path) -> None:
    async with serve(allowed_roots=[subject.parent]) as served:
        ids = await _make_everything(served.ours, subject)
        paths = [
            (method.upper(), path)
            for path, methods in served.app.openapi()["paths"].items()
            for method in methods
            if "{" in path
        ] + [
            (method, route.path)
            for route in _routes(served.app)
            for method in route.methods or ()
            if "{" in route.path and route.path.startswith("/ui/")
        ]
        asked = [(method, path, _fill(path, ids)) for method, path in paths]
        theirs = {
            (method, path): (await _ask(served.theirs, method, url, ids)).status_code
            for method, path, url in asked
            if url is not None
        }
        ours = {
            (method, path): (await _ask(served.ours, "GET", url, ids)).status_code
            for method, path, url in asked
            if url is not None and method == "GET"
        }

    assert len(theirs) > 20
    assert {key: status for key, status in theirs.items() if status != 404} == {}
    assert {key: status for key, status in ours.items() if status != 200} == {}


async def test_lists_of_one_project_count_nothing_of_another(serve: Serve, subject: Path) -> None:
    async with serve(allowed_roots=[subject.parent]) as served:
        await _make_everything(served.ours, subject)
        lists = [
            path
            for path, methods in served.app.openapi()["paths"].items()
            if "get" in methods and "{" not in path and path.startswith("/v1/")
        ]
        told = {path: await served.theirs.get(path) for path in lists}
        counts = {
            path: _sum_counts(answer.json()) for path, answer in told.items() if "total_count" in answer.text
        }
        overview, found = told["/v1/overview"].json(), await served.theirs.get("/ui/jump?q=subject")

    assert {path: count for path, count in counts.items() if path not in SHARED and count} == {}
    assert set(overview["analyses"].values()) | set(overview["findings"].values()) == {0}
    assert found.json() == []


def _sum_counts(value: Any) -> int:
    """Return every ``total_count`` in an answer together, however deep."""
    if isinstance(value, list):
        return sum(map(_sum_counts, value))
    if not isinstance(value, dict):
        return 0
    return sum(one if name == "total_count" else _sum_counts(one) for name, one in value.items())


async def test_equal_source_of_another_project_is_not_answered_from_its_results(
    serve: Serve, subject: Path
) -> None:
    async with serve(allowed_roots=[subject.parent]) as served:
        await _analyse(served.ours, subject, "vulture")
        again = await _analyse(served.ours, subject, "vulture")
        theirs = await _analyse(served.theirs, subject, "vulture")

    assert [run["is_from_cache"] for one in (again, theirs) for run in one["tool_runs"]] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    "text", ["\0", "\ud800", "\udc80", "a" * 5_000, "../" * 600, "\u202e\u0007", "1e999"]
)
async def test_odd_text_is_refused_or_taken_and_never_a_fault(serve: Serve, subject: Path, text: str) -> None:
    async with serve(allowed_roots=[subject.parent]) as served:
        analysis = await _analyse(served.ours, subject, "vulture")
        found = (await served.ours.get("/v1/findings")).json()["items"][0]["finding_id"]
        bodies = [
            {"path": text},
            {"path": str(subject), "tools": [text]},
            {"path": str(subject), "profile": text},
            {"path": str(subject), "model": text, "number": 1},
            {"path": str(subject), "model": "m", "number": 10**400},
            {"path": str(subject), "tools": ["vulture"], "parameters": {"vulture": {"exclude": [text]}}},
            {"path": str(subject), "tools": ["vulture"], "parameters": {text: {text: text}}},
            {
                "path": str(subject),
                "tools": ["vulture"],
                "parameters": {"vulture": {"min_confidence": float("nan")}},
            },
        ]
        answers = [
            await served.ours.post(
                "/v1/analyses", content=json.dumps(body), headers={"Content-Type": "application/json"}
            )
            for body in bodies
        ]
        answers.append(
            await served.ours.post(
                f"/v1/findings/{found}/dismiss",
                content=json.dumps({"reason": text}),
                headers={"Content-Type": "application/json"},
            )
        )
        quoted = quote(text.encode("utf-8", "surrogatepass"))
        for path in (
            "/v1/analyses?filter={}",
            "/v1/findings?filter=message:{}",
            "/v1/findings?cursor={}",
            "/v1/findings/{}",
            "/v1/analyses/{}/export",
            f"/v1/analyses/{analysis['analysis_id']}/export?format={{}}",
            "/v1/apps?filter=model:{}",
            "/v1/artifacts/{}?analysis_id={}",
            "/v1/analysis-tools/{}",
            "/ui/jump?q={}",
            "/ui/findings?filter={}&item={}",
            "/ui/live?topics={}",
            "/ui/login?next={}",
            "/problems/{}",
            "/static/{}/{}",
        ):
            answers.append(await served.ours.get(path.replace("{}", quoted)))

    assert {
        str(answer.request.url)[:120]: answer.text[:300] for answer in answers if answer.status_code >= 500
    } == {}


async def test_body_of_very_deep_json_is_refused(serve: Serve) -> None:
    async with serve() as served:
        answers = [
            await served.ours.post(
                "/v1/analyses", content=content, headers={"Content-Type": "application/json"}
            )
            for content in ("[" * 1_000_000, '{"path":' * 200_000, '{"path": 1' + "0" * 10_000 + "}")
        ]

    assert {answer.status_code for answer in answers} <= {400, 403, 422}


SHARED = frozenset(
    {
        "/v1/alert-sources", "/v1/alerts", "/v1/analysis-tools", "/v1/backfills", "/v1/keys", "/v1/probes",
        "/v1/services", "/v1/workers",
    }
)  # fmt: skip
"""Lists of what belongs to the server, not to a project; and each project has keys and alert rules of its own."""


def _routes(app: FastAPI) -> list[APIRoute]:
    routers = [getattr(route, "original_router", app.router) for route in app.routes]
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


async def _make_everything(client: httpx.AsyncClient, subject: Path) -> dict[str, str]:
    """Return an id of every kind of thing that one project has."""
    answer = await client.post(
        "/v1/analyses", json={"path": str(subject), "tools": ["vulture"], "model": "m", "number": 1}
    )
    analysis_id = answer.json()["analysis_id"]
    await _wait_for(client, analysis_id)
    artifacts = (await client.get(f"/v1/analyses/{analysis_id}/manifest")).json()["entries"]
    template = await client.post(
        "/v1/templates", json={"slug": "ours", "backend_requirements": ["It works."]}
    )
    definition = {"name": "ours", "existing": {"apps": ["m/app1"]}, "analysis": {"tools": ["vulture"]}}
    pipeline = await client.post("/v1/pipelines", json={"definition": definition})
    preset = await client.post(
        "/v1/pipeline-presets", json={"name": "ours", "definition": "name: x\nexisting: {apps: [m/app1]}\n"}
    )
    report = await client.post(
        "/v1/reports", json={"kind": "tool_analysis", "pipeline_id": pipeline.json()["pipeline_id"]}
    )
    async with asyncio.timeout(120):
        while (await client.get(report.headers["location"])).json()["state"] != "completed":
            await asyncio.sleep(0.1)
    create_audit_database(subject.parent / "audit.db", 20)
    backfill = await client.post(
        "/v1/backfill-runs",
        json={"backfill": "audit-decisions", "database": str(subject.parent / "audit.db"), "is_dry": True},
    )
    imported = await client.post("/v1/result-imports", json={"source": str(subject.parent), "is_dry": True})
    alert = await client.post("/v1/alerts", json={"name": "ours", "condition": "error_rate > 5%"})
    channel = await client.post(
        "/v1/alert-channels", json={"name": "ours", "kind": "email", "address": "ours@example.org"}
    )
    await client.post(f"/v1/alert-channels/{channel.json()['channel']['channel_id']}/test")
    deliveries = (await client.get("/v1/alert-deliveries")).json()["items"]
    clip = {"file_name": "ours.mp4", "size_bytes": 10, "discipline": "batting"}
    video = await client.post("/v1/videos", json=clip)
    return {
        "video_id": video.json()["video"]["video_id"],
        "analysis_id": analysis_id,
        "rule_id": alert.json()["rule_id"],
        "channel_id": channel.json()["channel"]["channel_id"],
        "delivery_id": deliveries[0]["delivery_id"],
        "backfill_run_id": backfill.json()["backfill_run_id"],
        "result_import_id": imported.json()["result_import_id"],
        "report_id": report.json()["report_id"],
        "file_name": "data",
        "template": format_id("template", UUID(template.json()["template_id"])),
        "pipeline_id": pipeline.json()["pipeline_id"],
        "preset_id": preset.json()["preset_id"],
        "finding_id": (await client.get("/v1/findings")).json()["items"][0]["finding_id"],
        "app_id": (await client.get("/v1/apps")).json()["items"][0]["app_id"],
        "job_id": (await client.get("/v1/jobs")).json()["items"][0]["job_id"],
        "sha256": artifacts[0]["sha256"],
    }


def _fill(path: str, ids: dict[str, str]) -> str | None:
    """Return a path with ids in it; None for one that names something else."""
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value)
    return None if "{" in path else path


async def _ask(client: httpx.AsyncClient, method: str, url: str, ids: dict[str, str]) -> httpx.Response:
    form = {"batch_size": "10"} if url.endswith("/tune") else {"reason": "x", "is_linked": "true"}
    query = {"analysis_id": ids["analysis_id"]}
    if url.startswith("/ui/"):
        return await client.request(method, url, params=query, data=form if method == "POST" else None)
    body: dict[str, object] = {"reason": "x"} if url.endswith("/dismiss") else {"is_linked": True}
    if url.endswith("/runs"):
        body = {"hours": 1}
    elif url.endswith("/extend"):
        body = {"models": ["n"]}
    elif method == "PATCH" and "/backfill-runs/" in url:
        body = {"batch_size": 10}
    elif method == "PUT" and "/alerts/" in url:
        body = {"name": "theirs", "condition": "error_rate > 5%"}
    elif url.endswith("/mute"):
        body = {"until": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    elif "/videos/" in url:
        body = {"text": "x"} if url.endswith("/notes") else {"events": []} if url.endswith("/events") else {}
    return await client.request(method, url, params=query, json=None if method == "GET" else body)
