from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.foundation.web.conftest import build_app, find_local_principal

from referee.core.errors import InvalidInput
from referee.foundation.settings import load_settings
from referee.foundation.web import create_shell


async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient) -> None:
    for path in ("/-/patterns", "/v1/examples", "/v1/nothing", "/v1/broken"):
        headers = (await client.get(path)).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
            "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


async def test_a_request_id_of_another_form_is_replaced(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/examples", headers={"X-Request-ID": "bad id"})
    assert len(answer.headers["x-request-id"]) == 32


async def test_large_answers_are_compressed_and_small_ones_are_not(client: httpx.AsyncClient) -> None:
    assert (await client.get("/-/patterns")).headers.get("content-encoding") == "gzip"
    assert (await client.get("/v1/examples")).headers.get("content-encoding") is None


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "localhost:9000", "[::1]:8765", "127.0.0.9"])
async def test_the_names_of_this_machine_are_served(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/v1/examples", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "", "[::"]
)
async def test_a_foreign_name_of_this_machine_is_refused(client: httpx.AsyncClient, host: str) -> None:
    answer = await client.get("/v1/examples", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "request.host_refused")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8765"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1:8765"},
    ],
)
async def test_changes_from_own_pages_and_programs_pass(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.post("/ui/theme", data={"theme": "dark"}, headers=headers)
    assert answer.status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "null"},
    ],
)
async def test_changes_from_pages_of_other_sites_are_refused(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.post("/ui/theme", data={"theme": "dark"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "request.origin_refused")


@pytest.fixture
async def narrow_client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(
        load_settings(home=tmp_path), find_local_principal=find_local_principal, max_body_bytes=1_000
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as opened:
        yield opened


async def test_an_announced_body_above_the_limit_is_refused(narrow_client: httpx.AsyncClient) -> None:
    answer = await narrow_client.post("/v1/examples", content=b"x" * 1_001)
    assert (answer.status_code, answer.json()["context"]) == (413, {"max_body_bytes": 1_000})


async def test_a_body_that_grows_above_the_limit_is_refused(narrow_client: httpx.AsyncClient) -> None:
    async def send_pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"[" * 100

    answer = await narrow_client.post(
        "/v1/examples", content=send_pieces(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "request.body_too_large")


async def test_only_the_path_that_takes_files_takes_more_and_not_without_a_limit(tmp_path: Path) -> None:
    app = build_app(
        load_settings(home=tmp_path),
        find_local_principal=find_local_principal,
        max_body_bytes=1_000,
        larger_bodies={"/v1/files": 2_000},
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        answers = [
            (await client.post(path, content=b"x" * size_bytes)).status_code
            for path, size_bytes in (("/v1/files", 2_000), ("/v1/files", 2_001), ("/v1/files/x", 1_001))
        ]

    assert answers == [404, 413, 413]


def test_a_server_beyond_loopback_must_check_keys(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has to check keys"):
        create_shell(load_settings(home=tmp_path, host="192.0.2.1"), title="Referee", version="0")
