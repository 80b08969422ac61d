"""Backfills on a server: durable jobs with the same numbers on page and as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.backfills.conftest import CONTENT, run_sql
from tests.web_site import open_web_client

from referee.foundation.settings import Settings


@pytest.fixture
async def client(database_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with open_web_client(database_settings) as opened:
        yield opened


async def start(client: httpx.AsyncClient, path: Path, **changes: object) -> dict[str, Any]:
    body = {"backfill": "audit-decisions", "database": str(path), **changes}
    answer = await client.post("/v1/backfill-runs", json=body)
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


async def wait_for(client: httpx.AsyncClient, run_id: str, *states: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found: dict[str, Any] = (await client.get(f"/v1/backfill-runs/{run_id}")).json()
            if found["state"] in states:
                return found
            await asyncio.sleep(0.1)


async def test_plan_run_and_undo_on_a_server(client: httpx.AsyncClient, audit_file: Path) -> None:
    before = run_sql(str(audit_file), CONTENT)
    plan = await start(client, audit_file, is_dry=True)
    planned = await wait_for(client, plan["backfill_run_id"], "finished", "failed")
    assert run_sql(str(audit_file), CONTENT) == before
    run = await start(client, audit_file, plan_run_id=plan["backfill_run_id"])
    done = await wait_for(client, run["backfill_run_id"], "finished", "failed")
    assert done["run"]["counts"] == done["run"]["predicted"] == planned["run"]["predicted"]
    page = await client.get(f"/ui/backfills/{run['backfill_run_id']}")
    assert f"{done['run']['counts']['filled_count']:,}" in page.text.replace("\u202f", ",")
    assert (await client.post(f"/v1/backfill-runs/{run['backfill_run_id']}/undo")).status_code == 202
    await wait_for(client, run["backfill_run_id"], "undone", "failed")
    assert run_sql(str(audit_file), CONTENT) == before


async def test_run_is_paused_and_goes_on(client: httpx.AsyncClient, audit_file: Path) -> None:
    run_id = (await start(client, audit_file, batch_size=50, throttle_ms=50))["backfill_run_id"]
    await wait_for(client, run_id, "running")
    async with asyncio.timeout(30):
        while (await client.post(f"/v1/backfill-runs/{run_id}/pause")).status_code != 202:
            await asyncio.sleep(0.1)
    paused = await wait_for(client, run_id, "paused")
    assert 0 < paused["run"]["counts"]["seen_count"] < paused["run"]["selected_count"]
    assert (await client.patch(f"/v1/backfill-runs/{run_id}", json={"throttle_ms": 0})).status_code == 200
    assert (await client.post(f"/v1/backfill-runs/{run_id}/resume")).status_code == 202
    done = await wait_for(client, run_id, "finished")
    assert done["run"]["counts"]["seen_count"] == done["run"]["selected_count"]
    assert (await client.post(f"/v1/backfill-runs/{run_id}/pause")).status_code == 409


@pytest.mark.parametrize(
    ("database", "status", "code"),
    [
        ("audit.db", 422, "backfill.path_relative"),
        ("/nowhere/audit.db", 404, "backfill.database_not_found"),
        ("postgresql://me:secret@127.0.0.1/x", 422, "backfill.password_in_address"),
        ("env:HOME", 422, "backfill.database_not_allowed"),
        ("own", 409, "backfill.table_missing"),
    ],
)
async def test_database_that_is_not_to_be_opened_is_refused_at_the_door(
    client: httpx.AsyncClient, database: str, status: int, code: str
) -> None:
    answer = await client.post(
        "/v1/backfill-runs", json={"backfill": "audit-decisions", "database": database}
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "secret" not in answer.text


async def test_failed_rows_are_tried_again_by_a_run_of_their_own(
    client: httpx.AsyncClient, audit_file: Path
) -> None:
    run_id = (await start(client, audit_file))["backfill_run_id"]
    done = await wait_for(client, run_id, "finished", "failed")
    failed_count = done["run"]["counts"]["failed_count"]
    page = (await client.get(f"/ui/backfills/{run_id}")).text
    assert failed_count > 0
    assert "Retry failed rows" in page
    run_sql(str(audit_file), "UPDATE task_audits SET payload = '{}', created_at = '2026-01-01' WHERE 1")
    answers = [await client.post(f"/v1/backfill-runs/{run_id}/retry") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    retry_id = answers[0].json()["backfill_run_id"]
    assert answers[1].json()["backfill_run_id"] == retry_id != run_id
    retried = await wait_for(client, retry_id, "finished", "failed")
    assert (retried["run"]["counts"]["seen_count"], retried["run"]["counts"]["failed_count"]) == (
        failed_count,
        0,
    )
    again = await client.post(f"/v1/backfill-runs/{retry_id}/retry")
    assert (again.status_code, again.json()["code"]) == (409, "backfill.nothing_to_retry")


async def test_run_that_works_shows_its_rows_in_the_list(client: httpx.AsyncClient, audit_file: Path) -> None:
    run_id = (await start(client, audit_file, batch_size=50, throttle_ms=80))["backfill_run_id"]
    async with asyncio.timeout(30):
        while not (await client.get(f"/v1/backfill-runs/{run_id}")).json()["progress"]:
            await asyncio.sleep(0.1)
    page = (await client.get("/ui/backfills")).text
    assert (await client.get(f"/v1/backfill-runs/{run_id}")).json()["state"] == "running"
    assert "unknown" not in page.lower().split("<tbody", 1)[1].split("</tbody", 1)[0]


async def test_another_request_goes_on_with_an_open_run_as_it_says_itself(
    client: httpx.AsyncClient, audit_file: Path
) -> None:
    before = run_sql(str(audit_file), CONTENT)
    first_id = (await start(client, audit_file, max_failure_share=0, batch_size=50))["backfill_run_id"]
    stopped = await wait_for(client, first_id, "finished", "failed")
    assert (stopped["state"], stopped["run"]["max_failure_share"]) == ("failed", 0)

    second_id = (await start(client, audit_file, max_failure_share=0.5, batch_size=70))["backfill_run_id"]
    done = await wait_for(client, second_id, "finished", "failed")

    assert (done["state"], done["run"]["run_no"]) == ("finished", stopped["run"]["run_no"])
    assert (done["run"]["max_failure_share"], done["run"]["batch_size"]) == (0.5, 70)
    assert done["run"]["counts"]["seen_count"] > stopped["run"]["counts"]["seen_count"]
    assert (await client.post(f"/v1/backfill-runs/{second_id}/undo")).status_code == 202
    await wait_for(client, second_id, "undone", "failed")
    assert run_sql(str(audit_file), CONTENT) == before
