"""Clips on their way in: signed, in pieces, checked, once; and what is refused at the door."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.answers import CheckedApp
from tests.s3_server import S3Server
from tests.videos.recorded import CLIP

from referee.foundation.settings import Settings
from referee.web_app import create_web_app

SHA256 = hashlib.sha256(CLIP).hexdigest()
BODY = {"file_name": "nets.mp4", "size_bytes": len(CLIP), "discipline": "bowling", "player": "Asha"}


@pytest.fixture(params=["folder"])
async def client(
    database_settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[httpx.AsyncClient]:
    settings = database_settings
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        settings = server.apply(settings, uuid4().hex)
    app = create_web_app(settings.model_copy(update={"video_max_bytes": 20_000, "video_quota_bytes": 30_000}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(CheckedApp(app)), base_url="http://127.0.0.1:8765", timeout=60
        ) as opened,
    ):
        yield opened


async def create(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/v1/videos", json={**BODY, **changes})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def put(client: httpx.AsyncClient, url: str, data: bytes, start: int | None = None) -> httpx.Response:
    headers = {} if start is None else {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{len(CLIP)}"}
    return await client.put(url, content=data, headers=headers)


@pytest.mark.parametrize("client", ["folder", "s3"], indirect=True)
async def test_clip_comes_in_pieces_and_is_taken_over_once(client: httpx.AsyncClient, home: Path) -> None:
    created = await create(client)
    video_id, url = created["video"]["video_id"], created["upload"]["url"]
    assert created["video"]["state"] == "awaiting_upload"
    assert (await put(client, url, CLIP[:4_000], 0)).json()["received_bytes"] == 4_000
    gap = await put(client, url, CLIP[6_000:], 6_000)
    assert (gap.status_code, gap.json()["context"]["received_bytes"]) == (409, 4_000)
    early = await client.post(f"/v1/videos/{video_id}/complete", json={})
    assert (early.status_code, early.json()["code"]) == (409, "video.upload_incomplete")
    assert (await client.get("/v1/jobs?filter=kind:videos.analyze")).json()["total_count"] == 0
    again = (await client.post(f"/v1/videos/{video_id}/upload")).json()
    assert again["received_bytes"] == 4_000
    assert (await put(client, url, CLIP[4_000:], 4_000)).status_code == 409
    assert (await put(client, again["url"], CLIP[4_000:], 4_000)).json()["is_whole"] is True
    other = await client.post(f"/v1/videos/{video_id}/complete", json={"sha256": "0" * 64})
    assert (other.status_code, other.json()["code"]) == (409, "video.checksum_differs")
    done = [await client.post(f"/v1/videos/{video_id}/complete", json={"sha256": SHA256}) for _ in range(2)]
    assert [answer.status_code for answer in done] == [200, 200]
    assert done[0].json()["sha256"] == SHA256
    assert (await client.get("/v1/jobs?filter=kind:videos.analyze")).json()["total_count"] == 1
    assert list((home / "uploads").iterdir()) == []
    assert (await put(client, again["url"], CLIP)).status_code == 409
    part = await client.get(f"/v1/videos/{video_id}/files/original", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, CLIP[10:20])


async def test_simultaneous_completions_make_one_job(client: httpx.AsyncClient) -> None:
    created = await create(client)
    await put(client, created["upload"]["url"], CLIP)
    path = f"/v1/videos/{created['video']['video_id']}/complete"
    answers = await asyncio.gather(*(client.post(path, json={}) for _ in range(6)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert 200 in {answer.status_code for answer in answers}
    assert (await client.get("/v1/jobs?filter=kind:videos.analyze")).json()["total_count"] == 1


async def test_same_key_is_the_same_video(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "clip-1"}
    answers = [await client.post("/v1/videos", json=BODY, headers=headers) for _ in range(2)]
    assert len({answer.json()["video"]["video_id"] for answer in answers}) == 1
    other = await client.post("/v1/videos", json={**BODY, "title": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "video.key_reused")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"size_bytes": 30_000_000_000}, 413, "video.too_large"),
        ({"size_bytes": 0}, 422, "request.invalid"),
        ({"discipline": "mixed"}, 422, "request.invalid"),
        ({"capture_fps": 0}, 422, "request.invalid"),
        ({"title": "x" * 300}, 422, "video.text_too_long"),
        ({"athlete": {"t_s": -1, "x_px": 0, "y_px": 0}}, 422, "request.invalid"),
        ({"media_type": "application/x-mpegurl"}, 422, "request.invalid"),
        ({"owner": "me"}, 422, "request.invalid"),
    ],
)
async def test_bad_request_is_refused_before_a_byte_is_sent(
    client: httpx.AsyncClient, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.post("/v1/videos", json={**BODY, **changes})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_quota_size_and_forged_addresses(client: httpx.AsyncClient) -> None:
    created = await create(client)
    await create(client)
    over = await client.post("/v1/videos", json=BODY)
    assert (over.status_code, over.json()["code"]) == (413, "video.quota_exceeded")
    url = created["upload"]["url"]
    too_long = await put(client, url, CLIP + b"\0")
    assert (too_long.status_code, too_long.json()["code"]) == (413, "video.upload_too_long")
    forged = [
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        "/v1/video-uploads?token=x",
        url.replace("token=e", "token=f"),
    ]
    assert [(await put(client, one, CLIP)).status_code for one in forged] == [403, 403, 403]
    bad_range = await client.put(url, content=CLIP, headers={"Content-Range": "bytes x-y/z"})
    assert bad_range.status_code == 422
    assert (await client.delete(f"/v1/videos/{created['video']['video_id']}")).status_code == 204
    assert (await client.get(f"/v1/videos/{created['video']['video_id']}")).status_code == 404
    assert (await client.get("/v1/videos")).json()["total_count"] == 1


async def test_notes_targets_and_links(client: httpx.AsyncClient) -> None:
    created = await create(client)
    base = f"/v1/videos/{created['video']['video_id']}"
    note = await client.post(f"{base}/notes", json={"text": "Head falls away", "kind": "setup", "t_s": 1.5})
    assert note.status_code == 201
    assert (await client.post(f"{base}/notes", json={"text": "x", "kind": "catch"})).status_code == 422
    assert (await client.get(f"{base}/notes")).json()["items"][0]["text"] == "Head falls away"
    assert (await client.delete(f"{base}/notes/{note.json()['note_id']}")).status_code == 204
    limits = {
        "player": "Asha",
        "discipline": "bowling",
        "targets": [{"code": "elbow_drop", "low": 0.2, "high": 0.4}],
    }
    assert (await client.put("/v1/video-targets", json=limits)).json() == limits
    assert (await client.get("/v1/video-targets")).json() == [limits]
    share = (await client.post(f"{base}/shares", json={"valid_days": 1})).json()
    assert share["url"].startswith("/shared/videos/")
    assert (await client.get(f"{base}/shares")).json()["items"][0]["url"] is None
    assert (await client.delete(f"{base}/shares/{share['share_id']}")).status_code == 204
    assert (await client.get(f"{base}/shares")).json()["total_count"] == 0
    changed = await client.patch(base, json={"title": "Second net", "capture_fps": None})
    assert changed.json()["title"] == "Second net"
