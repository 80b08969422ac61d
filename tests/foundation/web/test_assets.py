from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import httpx
import pytest

import referee.foundation.web.assets as assets_module

VENDOR = Path(assets_module.__file__).parent / "static" / "vendor"
LISTED = tomllib.loads((VENDOR / "vendor.toml").read_text())


@pytest.mark.parametrize("entry", LISTED["file"], ids=lambda entry: str(entry["path"]))
def test_a_vendored_file_is_the_one_that_was_recorded(entry: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]


def test_every_vendored_file_is_listed_with_a_licence() -> None:
    named = {entry["path"] for entry in LISTED["file"]}
    licences = {entry["licence_path"] for entry in LISTED["file"] + LISTED["derived"]}
    assert {path.name for path in VENDOR.iterdir()} == named | licences | {"vendor.toml"}


async def test_a_file_under_its_digest_is_kept_for_a_year(client: httpx.AsyncClient) -> None:
    url = assets_module.Assets().url("tokens.css")
    answer = await client.get(url)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/css")
    again = await client.get(url, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_a_file_under_an_old_digest_is_the_present_one_and_not_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/-/static/000000000000/app.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("path", ["../shell.py", "%2e%2e/shell.py", "nothing.css", "vendor/../../shell.py"])
async def test_nothing_but_static_files_is_sent(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/-/static/000000000000/{path}")).status_code == 404
