"""What pages, JSON and the earlier system's routes show of analysed videos, and to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update
from tests.answers import CheckedApp
from tests.videos.conftest import Bench
from tests.videos.recorded import CLIP, PROBE, outcome_of

from referee.app import open_application
from referee.foundation.access import Principal, create_project, get_project
from referee.foundation.settings import Settings
from referee.videos import passes
from referee.videos.dumping import dump
from referee.videos.recording import record_pass
from referee.videos.shapes import PassKind
from referee.videos.tables import VideoRow
from referee.web_app import create_web_app

HOSTILE = "<img src=x onerror=alert(1)> \u202egnp"


@dataclass(frozen=True, slots=True)
class Shown:
    """A server with two analysed videos of one player."""

    client: httpx.AsyncClient
    video_ids: tuple[UUID, UUID]
    revision_id: UUID

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Fetch an address with the ids in it."""
        address = path.format(video=self.video_ids[0], other=self.video_ids[1], job=self.revision_id)
        return await self.client.get(address, headers=headers)


async def analyse(settings: Settings) -> tuple[list[UUID], UUID]:
    """Put two finished analyses into the database, without a worker."""
    async with open_application(settings, is_worker=False) as application:
        project = await get_project(application.database, "default")
        admin = Principal(project.project_id, project.slug, None, frozenset({"admin"}))
        await create_project(application.database, admin, "theirs", "Theirs")
        bench = Bench(application, project.project_id)
        videos = []
        for title, value in ((HOSTILE, 31.5), ("Later", 12.0)):
            video = await bench.add(title=title, player="Asha", is_deep=False)
            async with application.database.transaction() as session:
                await session.execute(
                    update(VideoRow).where(VideoRow.video_id == video.video_id).values(probe_json=dump(PROBE))
                )
            await passes.begin(bench.room, project.project_id, video.revision.revision_id)
            outcome = outcome_of(value=value)
            await record_pass(
                bench.room, project.project_id, video.revision.revision_id, PassKind.quick, outcome
            )
            videos.append(video)
        return [video.video_id for video in videos], videos[0].revision.revision_id


@pytest.fixture
async def shown(database_settings: Settings) -> AsyncIterator[Shown]:
    video_ids, revision_id = await analyse(database_settings)
    app = create_web_app(database_settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(CheckedApp(app)), base_url="http://127.0.0.1:8765", timeout=60
        ) as client,
    ):
        yield Shown(client, (video_ids[0], video_ids[1]), revision_id)


async def test_results_are_the_same_on_page_as_json_and_for_older_clients(shown: Shown) -> None:
    results = (await shown.get("/v1/videos/{video}/results/quick")).json()
    job = (await shown.get("/api/coaches/plus/analysis-jobs/{job}")).json()
    page = (await shown.get("/ui/videos/{video}", Accept="text/html")).text
    (finding,) = results["findings"]
    assert (results["missing_artifacts"], job["missing_artifacts"]) == ([], [])
    assert (job["status"], job["stage"], job["progress_pct"]) == ("done", "DONE", 100.0)
    assert job["findings"][0] | {"metric": "front_knee_brace", "level": "high"} == job["findings"][0]
    assert job["findings"][0]["message"] == finding["message"] == "It bends by 32° after contact."
    assert job["report"]["text"] == results["report"]["text"]
    assert job["overall_level"] == job["report"]["overall_level"] == results["overall_level"] == "high"
    assert [metric["value"] for metric in results["metrics"]] == [31.5, None]
    assert "50 are needed" in results["metrics"][1]["reason"]
    assert finding["message"] in page
    assert 'data-seek="1.3"' in page
    assert "50 are needed" in page
    assert "<img src=x" not in page
    assert "\u202e" not in page
    picture = await shown.client.get(results["pictures"][0]["url"])
    assert (picture.headers["content-type"], picture.content) == ("image/jpeg", b"\xff\xd8\0picture")
    assert (await shown.get("/v1/videos/{video}/results/deep")).status_code == 404
    assert (await shown.get("/v1/videos/{video}/files/pdf")).content == b"\0quick pdf 31.5"
    assert (await shown.get("/v1/videos/{video}/files/..%2F..%2Fsession.key")).status_code == 404


async def test_goals_of_older_clients_are_on_one_scale(shown: Shown) -> None:
    base = f"/api/coaches/plus/analysis-jobs/{shown.revision_id}"
    goals = {
        "zones": [{"zone_id": "good", "target_accuracy": 0.8}],
        "metrics": [
            {"code": "front_knee_brace_score", "target_score": 0.5},
            {"code": "elbow_drop_score", "target_score": 0.5},
        ],
    }
    assert (await shown.client.post(f"{base}/set-goals", json=goals)).json() == goals
    outcomes = (await shown.client.post(f"{base}/calculate-compliance")).json()
    assert outcomes["overall_compliance_pct"] == 80.0
    assert [one["is_met"] for one in outcomes["metrics"]] == [False, None]
    assert outcomes["zones"][0]["status"] == "insufficient_data"
    percent = {"metrics": [{"code": "front_knee_brace_score", "target_score": 80}]}
    assert (await shown.client.post(f"{base}/set-goals", json=percent)).status_code == 422
    assert (await shown.client.delete("/api/coaches/plus/sessions/bulk")).json() == {"deleted_count": 0}


async def test_two_videos_are_compared_on_their_event_and_followed_over_time(shown: Shown) -> None:
    compared = (await shown.get("/v1/video-comparison?baseline={video}&candidate={other}")).json()
    knee, timing = compared["changes"]
    assert (compared["sync_event"], compared["baseline_t_s"]) == ("release", 1.4)
    assert (knee["difference"], knee["verdict"]) == (-19.5, "better")
    assert round(knee["high"] - knee["difference"], 2) == 5.66
    assert (timing["verdict"], timing["difference"]) == ("not_comparable", None)
    assert compared["persistent"] == ["KNEE_COLLAPSE"]
    summary = (await shown.get("/v1/video-players?player=Asha")).json()
    values = [point["value"] for point in summary["trend"] if point["code"] == "front_knee_brace"]
    assert (summary["videos_count"], values) == (2, [31.5, 12.0])
    page = (await shown.get("/ui/videos/compare?baseline={video}&candidate={other}")).text
    assert "Synchronised on release" in page
    assert "↓ better" in page
    assert "Asha" in (await shown.get("/ui/videos/players?player=Asha&discipline=bowling")).text


async def test_link_shows_one_video_and_nobody_else_sees_any(shown: Shown) -> None:
    made = (await shown.client.post(f"/v1/videos/{shown.video_ids[0]}/shares", json={})).json()
    page = await shown.client.get(made["url"])
    assert "It bends by 32° after contact." in page.text
    assert (await shown.client.get(f"{made['url']}/files/pdf")).content == b"\0quick pdf 31.5"
    part = await shown.client.get(f"{made['url']}/files/clip", headers={"Range": "bytes=0-4"})
    assert (part.status_code, part.content) == (206, b"\0clip")
    for odd in ("bytes=99999999-", "bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=-0"):
        whole = await shown.get("/v1/videos/{video}/files/original", Range=odd)
        assert (whole.status_code, len(whole.content)) == (200, len(CLIP))
    await shown.client.delete(f"/v1/videos/{shown.video_ids[0]}/shares/{made['share_id']}")
    assert (await shown.client.get(made["url"])).status_code == 404
    paths = (
        "/v1/videos/{video}",
        "/v1/videos/{video}/results/quick",
        "/v1/videos/{video}/files/clip",
        "/v1/videos/{video}/revisions",
        "/v1/videos/{video}/people/0",
        "/v1/video-comparison?baseline={video}&candidate={other}",
        "/api/coaches/plus/analysis-jobs/{job}",
        "/api/coaches/plus/analysis-jobs/{job}/outcomes",
        "/api/coaches/plus/sessions/{video}",
        "/api/coaches/plus/sessions/{video}/analysis-jobs",
        "/api/coaches/plus/videos/{video}/stream-url",
        "/ui/videos/{video}",
        "/ui/videos/compare?baseline={video}&candidate={other}",
    )
    told = {path: (await shown.get(path, Cookie="referee_project=theirs")).status_code for path in paths}
    assert told == dict.fromkeys(paths, 404)
    summary = await shown.get("/v1/video-players?player=Asha", Cookie="referee_project=theirs")
    assert summary.json()["videos_count"] == 0
