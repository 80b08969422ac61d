from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.foundation.web.conftest import KEY, READ_KEY, build_app

from referee.core.clock import ManualClock
from referee.core.errors import IntegrityError, Unauthorized
from referee.foundation.access import Principal
from referee.foundation.settings import load_settings
from referee.foundation.web.sessions import ensure_session_secret, is_loopback_host

HTML = {"Accept": "text/html"}


async def log_in(client: httpx.AsyncClient, key: str = KEY, next: str = "/-/patterns") -> httpx.Response:
    return await client.post("/ui/login", data={"key": key, "next": next})


async def test_without_a_key_nothing_but_public_paths_is_served(open_client: httpx.AsyncClient) -> None:
    statuses = {
        path: (await open_client.get(path)).status_code for path in ("/v1/examples", "/problems", "/ui/login")
    }
    assert statuses == {"/v1/examples": 401, "/problems": 200, "/ui/login": 200}


async def test_an_unknown_path_does_not_tell_whether_it_exists(open_client: httpx.AsyncClient) -> None:
    assert (await open_client.get("/v1/nothing")).status_code == 401


async def test_a_bearer_key_is_let_in(open_client: httpx.AsyncClient) -> None:
    answer = await open_client.get("/v1/examples", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("value", ["Bearer wrong", "Basic cmZyOng=", "Bearer ", "rfr_good"])
async def test_any_other_authorization_is_refused(open_client: httpx.AsyncClient, value: str) -> None:
    answer = await open_client.get("/v1/examples", headers={"Authorization": value})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_key_that_may_only_read_changes_nothing(open_client: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {READ_KEY}"}
    order = {"tools": [], "name": "x"}
    assert (await open_client.get("/v1/examples", headers=headers)).status_code == 200
    assert (await open_client.post("/v1/examples", json=order, headers=headers)).status_code == 403


async def test_a_page_leads_to_the_login_and_back(open_client: httpx.AsyncClient) -> None:
    answer = await open_client.get("/-/patterns?filter=tool:x", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/ui/login?next=%2F-%2Fpatterns%3Ffilter%3Dtool%3Ax",
    )


async def test_logging_in_sets_a_cookie_that_scripts_cannot_read(open_client: httpx.AsyncClient) -> None:
    answer = await log_in(open_client)
    cookie = answer.headers["set-cookie"]
    assert (answer.status_code, answer.headers["location"]) == (303, "/-/patterns")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert KEY not in cookie
    assert (await open_client.get("/-/patterns", headers=HTML)).status_code == 200


async def test_the_cookie_is_secure_over_https(open_app: FastAPI) -> None:
    transport = httpx.ASGITransport(open_app)
    async with httpx.AsyncClient(transport=transport, base_url="https://referee.example") as client:
        assert "Secure" in (await log_in(client)).headers["set-cookie"]


async def test_a_wrong_key_shows_the_form_again(open_client: httpx.AsyncClient) -> None:
    answer = await log_in(open_client, key="rfr_wrong")
    assert answer.status_code == 401
    assert "The API key is not known." in answer.text
    assert "rfr_wrong" not in answer.text


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "/\n"]
)
async def test_logging_in_never_leads_to_another_site(open_client: httpx.AsyncClient, target: str) -> None:
    assert (await log_in(open_client, next=target)).headers["location"] == "/"


async def test_a_change_in_a_session_needs_its_token(open_client: httpx.AsyncClient) -> None:
    await log_in(open_client)
    answer = await open_client.post("/ui/forms", data={"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (403, "request.csrf_token_invalid")


async def test_the_token_may_come_as_form_field_or_header(open_client: httpx.AsyncClient) -> None:
    await log_in(open_client)
    page = (await open_client.get("/-/patterns", headers=HTML)).text
    (token,) = re.findall(r'<meta name="csrf-token" content="([^"]+)">', page)
    by_field = await open_client.post("/ui/forms", data={"name": "x", "csrf_token": token})
    by_header = await open_client.post("/ui/forms", data={"name": "y"}, headers={"X-CSRF-Token": token})
    assert (by_field.json(), by_header.json()) == ({"name": "x"}, {"name": "y"})


async def test_a_forged_or_cut_cookie_is_no_session(open_client: httpx.AsyncClient) -> None:
    await log_in(open_client)
    genuine = open_client.cookies["referee_session"]
    open_client.cookies.clear()
    for forged in (genuine[:-1], genuine.replace(".", "x."), genuine.split(".")[0], "", "a.b", "é.é"):
        cookie = f"referee_session={forged}".encode()
        answer = await open_client.get("/v1/examples", headers=[(b"cookie", cookie)])
        assert answer.status_code == 401


async def test_a_session_ends_after_its_time(open_client: httpx.AsyncClient, clock: ManualClock) -> None:
    await log_in(open_client)
    clock.advance(timedelta(hours=12, seconds=1))
    assert (await open_client.get("/v1/examples")).status_code == 401


async def test_logging_out_forgets_the_session(open_client: httpx.AsyncClient) -> None:
    await log_in(open_client)
    page = (await open_client.get("/-/patterns", headers=HTML)).text
    (token,) = re.findall(r'<meta name="csrf-token" content="([^"]+)">', page)
    await open_client.post("/ui/logout", data={"csrf_token": token})
    assert (await open_client.get("/v1/examples")).status_code == 401


async def test_a_session_ends_when_its_key_is_revoked(tmp_path: Path) -> None:
    revoked: list[Principal] = []

    async def confirm(principal: Principal) -> None:
        if principal in revoked:
            raise Unauthorized("access.key_revoked", "The API key was revoked.")

    app = build_app(load_settings(home=tmp_path, host="192.0.2.1"), confirm_session=confirm)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://referee.example"
    ) as client:
        await log_in(client)
        before = (await client.get("/v1/examples")).status_code
        revoked.append(app.state.shell.sessions.read(client.cookies["referee_session"]).principal)
        after = await client.get("/v1/examples")
    assert (before, after.status_code, after.json()["code"]) == (200, 401, "access.key_revoked")


async def test_on_loopback_the_cookie_chooses_the_project(client: httpx.AsyncClient) -> None:
    client.cookies["referee_project"] = "second"
    assert (await client.get("/v1/examples")).json()["items"][1] == "second"


async def test_a_cookie_of_a_project_that_is_gone_falls_back_to_the_default(
    client: httpx.AsyncClient,
) -> None:
    client.cookies["referee_project"] = "gone"
    assert (await client.get("/v1/examples")).json()["items"][1] == "default"


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("192.0.2.1", False),
        ("::", False),
        ("box.lan", False),
    ],
)
def test_only_this_machine_counts_as_loopback(host: str, is_loopback: bool) -> None:
    assert is_loopback_host(host) is is_loopback


def test_the_session_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "session.key"
    first = ensure_session_secret(path)
    assert (len(first), ensure_session_secret(path), stat.S_IMODE(path.stat().st_mode)) == (32, first, 0o600)


def test_a_cut_session_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.key"
    path.write_bytes(b"")
    with pytest.raises(IntegrityError, match="only 0 bytes"):
        ensure_session_secret(path)


def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "session.key"
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(ensure_session_secret, [path] * 32))
    assert (len(secrets), [file.name for file in tmp_path.iterdir()]) == (1, ["session.key"])
