"""Keys that clients make, what they let through, and projects as clients see them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from referee.foundation.access import KeyKind, create_key, get_project, list_keys, revoke_key
from referee.foundation.store import Database

TAIL = r"[0-9A-Za-z]{24}_[0-9A-Za-z_-]{64}"
SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def make_key(store: Database, scope: str) -> dict[str, str]:
    _, secret = await create_key(store, await get_project(store, "default"), scope, [scope])
    return bearer(secret)


async def make_ingestion_key(client: httpx.AsyncClient, project_id: UUID) -> tuple[str, str]:
    answer = await client.post(f"/v1/projects/{project_id}/ingestion_api_keys", json={"name": "agents"})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["key_id"], answer.json()["data"]["key_value"]


async def test_ingestion_key_has_the_form_that_clients_check(
    client: httpx.AsyncClient, project_id: UUID, store: Database
) -> None:
    answer = await client.post(
        f"/v1/projects/{project_id}/ingestion_api_keys", json={"name": "agents", "description": "of team a"}
    )
    data = answer.json()["data"]
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert re.fullmatch(f"hh_ingst_{TAIL}", data["key_value"])
    assert (data["name"], data["description"]) == ("agents", "of team a")
    assert (data["root_scope_type"], data["root_scope_id"]) == ("project", str(project_id))
    (kept,) = (await list_keys(store, await get_project(store, "default"))).items
    assert (kept.kind, kept.scopes) == (KeyKind.ingestion, frozenset({"ingest"}))
    async with store.reading() as session:
        row = await session.scalar(text("SELECT CAST(to_jsonb(api_keys) AS text) FROM api_keys"))
    assert data["key_value"][20:] not in str(row)


NOT_SENDING = [
    ("GET", "/v1/datasets"),
    ("GET", "/v1/projects"),
    ("POST", "/v1/analyses"),
    ("POST", "/v1/events/export"),
    ("POST", "/projects"),
    ("GET", "/ui/"),
]
SENDING = [
    ("POST", "/opentelemetry/v1/traces"),
    ("POST", "/v1/traces"),
    ("POST", "/session/start"),
    ("POST", "/events"),
    ("PUT", "/events"),
    ("POST", "/events/batch"),
]


async def ask(client: httpx.AsyncClient, secret: str, asked: list[tuple[str, str]]) -> list[int]:
    return [
        (await client.request(method, path, headers=bearer(secret), json={})).status_code
        for method, path in asked
    ]


async def test_ingestion_key_may_do_nothing_but_send(client: httpx.AsyncClient, project_id: UUID) -> None:
    _, secret = await make_ingestion_key(client, project_id)
    assert await ask(client, secret, NOT_SENDING) == [403] * len(NOT_SENDING)
    assert {401, 403}.isdisjoint(await ask(client, secret, SENDING))


async def test_revoked_ingestion_key_is_refused_at_once(
    client: httpx.AsyncClient, project_id: UUID, store: Database
) -> None:
    key_id, secret = await make_ingestion_key(client, project_id)
    await revoke_key(store, await get_project(store, "default"), UUID(key_id.removeprefix("key_")))
    answer = await client.post("/session/start", headers=bearer(secret), json={})
    assert (answer.status_code, answer.json()["errorCode"]) == (401, "access.key_revoked")


async def test_mistyped_key_is_told_from_an_unknown_one(client: httpx.AsyncClient, project_id: UUID) -> None:
    _, secret = await make_ingestion_key(client, project_id)
    other = "A" if secret[20] != "A" else "B"
    answer = await client.post("/session/start", headers=bearer(secret[:20] + other + secret[21:]), json={})
    assert answer.json()["errorCode"] == "access.key_malformed"


async def test_data_plane_key_keeps_its_permissions_and_expiry(
    client: httpx.AsyncClient, project_id: UUID
) -> None:
    asked = {"name": "boards", "permissions": ["charts:read"], "expires_at": SOON}
    answer = await client.post(f"/v1/projects/{project_id}/fine_grained_api_keys", json=asked)
    data = answer.json()["data"]
    assert re.fullmatch(f"hh_fgdp_{TAIL}", data["key_value"])
    assert data["permissions"] == ["charts:read"]
    assert datetime.fromisoformat(data["expires_at"]) == datetime.fromisoformat(SOON)
    headers = bearer(data["key_value"])
    charts = f"/v1/projects/{project_id}/charts"
    assert (await client.post(charts, headers=headers, json={})).status_code == 403
    assert (await client.get("/v1/datasets", headers=headers)).status_code == 403


UNUSABLE: list[dict[str, object]] = [
    {"permissions": []},
    {"permissions": ["everything"]},
    {"permissions": ["charts:fly"]},
    {"expires_at": "2020-01-01T00:00:00Z"},
    {"expires_at": "soon"},
    {"expires_at": None},
    {"name": ""},
    {"name": "a\u202eb"},
    {"name": "x" * 201},
    {"name": "\u0000"},
    {"description": "x" * 1_001},
]


async def test_data_plane_key_that_could_not_be_used_is_refused(
    client: httpx.AsyncClient, project_id: UUID
) -> None:
    asked = {"name": "boards", "permissions": ["charts:read"], "expires_at": SOON}
    path = f"/v1/projects/{project_id}/fine_grained_api_keys"
    answers = [await client.post(path, json={**asked, **change}) for change in UNUSABLE]
    assert [(answer.status_code, bool(answer.json()["message"])) for answer in answers] == [(400, True)] * 11


@pytest.mark.parametrize("kind", ["ingestion_api_keys", "fine_grained_api_keys"])
async def test_only_an_admin_of_the_project_makes_keys(
    client: httpx.AsyncClient, project_id: UUID, store: Database, kind: str
) -> None:
    asked = {"name": "x", "permissions": ["charts:read"], "expires_at": SOON}
    path = f"/v1/projects/{project_id}/{kind}"
    assert (await client.post(path, json=asked, headers=await make_key(store, "write"))).status_code == 403
    admin = await make_key(store, "admin")
    assert (await client.post(path, json=asked, headers=admin)).status_code == 200
    assert (await client.post(f"/v1/projects/{uuid4()}/{kind}", json=asked, headers=admin)).status_code == 404


async def test_projects_are_changed_by_admins_only(
    client: httpx.AsyncClient, store: Database, project_id: UUID
) -> None:
    body = {"name": "x", "project_id": str(project_id)}
    answers = [
        await client.request(method, path, params={"name": "x"}, json=body, headers=headers)
        for headers in (await make_key(store, "read"), await make_key(store, "write"))
        for method in ("POST", "PUT", "DELETE")
        for path in ("/projects", "/v1/projects")
    ]
    assert [(one.status_code, one.json()["message"]) for one in answers] == [(403, "Forbidden route")] * 12


async def test_admin_makes_changes_and_deletes_a_project(client: httpx.AsyncClient, store: Database) -> None:
    admin = await make_key(store, "admin")
    made = await client.post(
        "/projects", json={"project": {"name": "Team Ä", "description": "agents"}}, headers=admin
    )
    assert made.status_code == 200, made.text
    one = made.json()
    assert (one["name"], one["description"], one["slug"]) == ("Team Ä", "agents", "team-a")
    assert one["org_id"] == one["workspace_id"] == one["id"]
    assert (await client.post("/v1/projects", json={"name": "Team A"}, headers=admin)).status_code == 409
    changed = await client.put("/v1/projects", json={"project_id": one["id"], "name": "B"}, headers=admin)
    assert (changed.json()["name"], changed.json()["description"]) == ("B", "agents")
    assert (await client.get(f"/v1/projects/{one['id']}", headers=admin)).json() == changed.json()
    gone = await client.delete("/projects", params={"name": "B"}, headers=admin)
    assert gone.json() == {"success": True, "id": one["id"], "name": "B"}
    assert (await client.get(f"/projects/{one['id']}", headers=admin)).status_code == 404


async def test_project_that_holds_something_stays(client: httpx.AsyncClient, store: Database) -> None:
    assert (await client.delete("/v1/projects", params={"name": "default"})).status_code == 409
    project = (await client.post("/v1/projects", json={"name": "full"})).json()
    async with store.transaction() as session:
        await session.execute(
            text("INSERT INTO datapoints (datapoint_id, project_id) VALUES (gen_random_uuid(), :project_id)"),
            {"project_id": UUID(project["id"])},
        )
    answer = await client.delete("/v1/projects", params={"name": "full"})
    assert (answer.status_code, answer.json()["errorCode"]) == (409, "project.not_empty")


async def test_projects_are_listed_bare_without_v1_and_only_those_of_the_key(
    client: httpx.AsyncClient, store: Database, project_id: UUID
) -> None:
    await client.post("/v1/projects", json={"name": "other"})
    reader = await make_key(store, "read")
    listed = (await client.get("/v1/projects", headers=reader)).json()["projects"]
    assert [project["id"] for project in listed] == [str(project_id)]
    assert (await client.get("/projects", headers=reader)).json() == listed
    assert [one["slug"] for one in (await client.get("/projects")).json()] == ["default", "other"]
    assert (await client.get("/projects", params={"name": "other"}, headers=reader)).json() == []
    assert (await client.get("/projects/not-an-id", headers=reader)).status_code == 404


async def test_requests_after_a_project_was_deleted_say_that_it_is_gone(client: httpx.AsyncClient) -> None:
    await client.post("/v1/projects", json={"name": "brief"})
    client.cookies.set("referee_project", "brief")
    before = await client.get("/ui/", headers={"Accept": "text/html"})
    await client.delete("/v1/projects", params={"name": "brief"})
    after = await client.get("/ui/", headers={"Accept": "text/html"})
    assert (before.status_code, after.status_code) == (200, 200)


async def test_project_with_a_name_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    names = ["", "   ", "…", "x" * 201, "\u202e", 7, None]
    answers = [await client.post("/v1/projects", json={"name": name}) for name in names]
    assert [answer.status_code for answer in answers] == [400] * len(names)
