"""Keys as JSON and on their page: shown once, refused from when they are revoked, made by an admin only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tests.web_site import open_site

from referee.core.errors import Unauthorized
from referee.foundation.access import authenticate
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.foundation.web.key_pages import create_key_pages, register_keys_in_shell
from referee.foundation.web.keys_api import create_keys_api


@pytest.fixture
async def site(settings: Settings, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The pages and routes of keys, asked by an admin."""
    routers = create_keys_api(lambda: database), create_key_pages(lambda: database)
    async with open_site(settings, database, *routers, register=[register_keys_in_shell]) as opened:
        yield opened


async def test_a_key_is_made_listed_without_its_secret_and_ended(
    site: httpx.AsyncClient, database: Database
) -> None:
    expires_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    made = await site.post("/v1/keys", json={"name": "ci", "scopes": ["read"], "expires_at": expires_at})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key = made.json()
    assert (await authenticate(database, key["secret"])).scopes == {"read"}

    listed = await site.get("/v1/keys")
    assert [one["key_id"] for one in listed.json()["items"]] == [key["key_id"]]
    assert key["secret"] not in listed.text + (await site.get("/ui/keys")).text

    for _ in range(2):
        ended = await site.post(f"/v1/keys/{key['key_id']}/revoke")
        assert ended.json()["revoked_at"] is not None
    with pytest.raises(Unauthorized):
        await authenticate(database, key["secret"])


@pytest.mark.parametrize(
    ("body", "prefix", "scopes"),
    [
        ({"kind": "ingestion"}, "hh_ingst_", ["ingest"]),
        ({"kind": "data_plane"}, "hh_fgdp_", ["charts_read", "charts_write"]),
        ({}, "rfr_", ["write"]),
    ],
)
async def test_each_kind_has_its_form_and_its_scopes(
    site: httpx.AsyncClient, body: dict[str, str], prefix: str, scopes: list[str]
) -> None:
    key = (await site.post("/v1/keys", json={"name": "a", **body})).json()
    assert key["secret"].startswith(prefix)
    assert key["scopes"] == scopes


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": " "}, "request.invalid"),
        ({"name": "a\u0007"}, "access.name_invalid"),
        ({"name": "a", "kind": "ingestion", "scopes": ["admin"]}, "access.scope_unknown"),
        ({"name": "a", "scopes": ["charts_read"]}, "access.scope_unknown"),
        ({"name": "a", "expires_at": "2001-01-01T00:00:00Z"}, "access.expiry_invalid"),
        ({"name": "a", "expires_at": "2030-01-01T00:00:00"}, "request.invalid"),
    ],
)
async def test_what_no_key_can_be_is_refused(
    site: httpx.AsyncClient, body: dict[str, object], code: str
) -> None:
    answer = await site.post("/v1/keys", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_the_page_shows_a_secret_once_and_ends_a_key(
    site: httpx.AsyncClient, database: Database
) -> None:
    form = {"name": "<b>agents", "right": "ingestion:ingest", "expires_on": "2099-01-31"}
    made = await site.post("/ui/keys", data=form)
    assert "&lt;b&gt;agents" in made.text
    secret = made.text.split('<code id="secret">')[1].split("<")[0]
    assert (await authenticate(database, secret)).scopes == {"ingest"}
    again = await site.get("/ui/keys")
    assert secret not in again.text
    assert "2099-01-31" in again.text

    key_id = (await site.get("/v1/keys")).json()["items"][0]["key_id"]
    assert (await site.post(f"/ui/keys/{key_id}/revoke")).status_code == 303
    assert "revoked" in (await site.get("/ui/keys")).text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "", "right": "project:read"}, "The key needs a name."),
        ({"name": "a", "right": "project:root"}, "does not say what the key may do"),
        ({"name": "a", "right": "project:read", "expires_on": "soon"}, "is none"),
        (
            {"name": "a", "right": "project:read", "expires_on": "2001-01-01"},
            "must expire at a future instant",
        ),
    ],
)
async def test_the_page_says_what_is_wrong_and_keeps_what_was_entered(
    site: httpx.AsyncClient, form: dict[str, str], said: str
) -> None:
    answer = await site.post("/ui/keys", data=form)
    assert answer.status_code == 422
    assert said in answer.text
    assert f'value="{form["name"]}"' in answer.text
    assert (await site.get("/v1/keys")).json()["total_count"] == 0


async def test_only_an_admin_sees_or_makes_keys(settings: Settings, database: Database) -> None:
    routers = create_keys_api(lambda: database), create_key_pages(lambda: database)
    async with open_site(settings, database, *routers, scopes=frozenset({"write"})) as site:
        answers = [
            await site.get("/v1/keys"),
            await site.post("/v1/keys", json={"name": "a"}),
            await site.post("/v1/keys/01a22b0d-8f77-7000-99cc-16fcf2b1cc6f/revoke"),
            await site.get("/ui/keys"),
            await site.post("/ui/keys", data={"name": "a", "right": "project:admin"}),
            await site.post("/ui/keys/01a22b0d-8f77-7000-99cc-16fcf2b1cc6f/revoke"),
        ]
    assert [answer.status_code for answer in answers] == [403] * 6
