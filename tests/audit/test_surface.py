"""Pages, JSON and commands of decisions say the same, whatever a decision holds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from tests.audit.conftest import Decide, make_past
from tests.audit.historic import build_audit_database, insert
from tests.web_site import open_site

from referee.audit.api import create_api
from referee.audit.importing import import_audits
from referee.audit.lists import get_decision, list_trace
from referee.audit.pages import create_pages
from referee.audit.room import AuditRoom
from referee.audit.shell import register_in_shell
from referee.core.errors import NotFound
from referee.core.ids import new_id

HOSTILE = '<script>alert(1)</script> "quoted\\" \u202e'


@pytest.fixture
async def client(room: AuditRoom) -> AsyncIterator[httpx.AsyncClient]:
    async with open_site(
        room.settings, room.database, create_api(lambda: room), create_pages(lambda: room),
        register=[lambda shell: register_in_shell(shell, lambda: room)],
    ) as opened:  # fmt: skip
        yield opened


@pytest.fixture
async def hostile(room: AuditRoom, project_id: UUID, tmp_path: Path) -> None:
    """Decisions of now, with texts that no page may take at their word."""
    path = build_audit_database(tmp_path / "audit.db", "v44", rows=())
    finding = {"kind": HOSTILE, "severity": "CRITICAL", "code": HOSTILE, "message": HOSTILE}
    payload = json.dumps({"reason": HOSTILE, "findings": [finding], "actions": [{"action_type": HOSTILE}]})
    with closing(sqlite3.connect(path)) as connection, connection:
        for event in ("ALLOWED", "BLOCKED", "ERROR"):
            insert(connection, [(HOSTILE, f"SUPERVISOR_{event}", payload)])
        connection.execute(
            "UPDATE task_audits SET source_event_ts = datetime('now', '-90 seconds'), "
            "supervisor_processed_at = datetime('now', '-30 seconds')"
        )
    await import_audits(room.database, project_id, path)


async def test_decision_is_found_in_lists_traces_and_by_its_id(
    client: httpx.AsyncClient, hostile: None
) -> None:
    first = (await client.get("/v1/decisions", params={"limit": 2})).json()
    rest = (await client.get("/v1/decisions", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    trace = (await client.get("/v1/decision-trace", params={"subject": HOSTILE, "limit": 2})).json()
    one = (await client.get(f"/v1/decisions/decision_{UUID(first['items'][0]['decision_id']).hex}")).json()

    assert [item["kind"] for item in first["items"] + rest["items"]] == ["error", "blocked", "allowed"]
    assert [item["kind"] for item in trace["items"]] == ["allowed", "blocked"]
    assert one == first["items"][0]
    assert (one["reason"], one["lag_ms"], one["findings"][0]["severity"]) == (HOSTILE, 60_000, "critical")


async def test_numbers_of_a_window(client: httpx.AsyncClient, hostile: None) -> None:
    lag = (await client.get("/v1/decision-lag")).json()
    reasons = (await client.get("/v1/decision-reasons", params={"window": "7d"})).json()
    types = (await client.get("/v1/decision-types")).json()
    levels = (await client.get("/v1/supervisor-levels")).json()

    assert (lag["lags_count"], lag["p50_ms"], lag["query_method"], lag["columns_coverage_share"]) == (
        3, 60_000, "columns", 1,
    )  # fmt: skip
    assert [(one["word"], one["count"]) for one in reasons["items"]] == [(HOSTILE, 1)]
    assert {one["word"]: one["count"] for one in types["items"]} == {"allowed": 1, "blocked": 1, "error": 1}
    assert (levels["lag_level"], levels["failure_level"], levels["level"]) == ("warn", "critical", "critical")


async def test_scan_by_a_person_shows_its_findings_until_the_work_is_done(
    client: httpx.AsyncClient, hostile: None
) -> None:
    dry = (await client.post("/v1/lead-scans", json={"is_dry_run": True})).json()
    assert (await client.get("/v1/lead-findings")).json()["total_count"] == 0
    real = (await client.post("/v1/lead-scans", json={})).json()
    found = (await client.get("/v1/lead-findings")).json()["items"]
    done = (await client.post(f"/v1/lead-findings/{found[0]['fingerprint']}/close")).json()

    assert {one["code"] for one in dry["found"]} == {"high_risk_allow", "decision_lag"}
    assert {one["fingerprint"] for one in real["found"]} == {one["fingerprint"] for one in found}
    assert (done["follow_up_state"], (await client.get("/v1/lead-scans")).json()["total_count"]) == (
        "done",
        1,
    )


async def test_pages_show_hostile_texts_as_texts(client: httpx.AsyncClient, hostile: None) -> None:
    await client.post("/v1/lead-scans", json={})
    decision_id = (await client.get("/v1/decisions")).json()["items"][0]["decision_id"]

    for path in (
        "/ui/decisions",
        f"/ui/decisions/{decision_id}",
        "/ui/decision-lag?window=7d",
        "/ui/lead-findings",
    ):
        answer = await client.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text, path
        assert "&lt;script&gt;alert" in answer.text, path


async def test_trace_link_of_a_decision_leads_to_the_decisions_about_it(
    client: httpx.AsyncClient, decide: Decide
) -> None:
    ids = await decide(make_past("paused", 'task "7" \\ x'), make_past("blocked", "other"))
    page = (await client.get(f"/ui/decisions/{ids[0]}")).text
    link = page.split("<dt>About</dt>")[1].split('href="')[1].split('"')[0]

    rows = (await client.get(link)).text

    assert f"/ui/decisions/{ids[0]}" in rows
    assert f"/ui/decisions/{ids[1]}" not in rows


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/decisions/nonsense", 422), ("/v1/decisions/00000000-0000-7000-8000-000000000000", 404),
        ("/v1/decision-lag?window=1y", 422), ("/v1/decision-trace", 422), ("/v1/decisions?cursor=x", 422),
        ("/v1/decision-trace?subject=a&cursor=x", 422), ("/v1/lead-findings?cursor=x", 422),
        ("/v1/lead-scans?cursor=x", 422), ("/v1/decisions?filter=nothing:x", 422),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_says_why(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_another_project_sees_nothing(room: AuditRoom, decide: Decide) -> None:
    (decision_id,) = await decide(make_past("blocked", "a"))

    async with room.database.reading() as session:
        with pytest.raises(NotFound):
            await get_decision(session, new_id(), decision_id)
        assert (await list_trace(session, new_id(), "a")).total_count == 0
