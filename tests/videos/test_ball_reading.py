"""Balls of three deliveries as pages, JSON, CSV and the earlier system's routes show them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update
from tests.answers import CheckedApp
from tests.videos.conftest import Bench
from tests.videos.recorded import PROBE, outcome_of

from referee.app import open_application
from referee.foundation.access import Principal, create_project, get_project
from referee.foundation.settings import Settings
from referee.videos import passes
from referee.videos.dumping import dump
from referee.videos.outcomes import Outcome
from referee.videos.queries import get_video
from referee.videos.recording import record_pass
from referee.videos.releases import list_releases
from referee.videos.shapes import BallPoint, BallTrack, PassKind, ReleasePoint
from referee.videos.tables import VideoRevisionRow, VideoRow
from referee.web_app import create_web_app

HEIGHTS = (1.10, 1.13, 1.10)
PITCH = {
    "points": [{"x_px": x, "y_px": y} for x, y in ((100, 600), (1100, 600), (60, 700), (1150, 700))],
    "across_m": 20.12,
    "down_m": 3.05,
}


def deep_outcome(height_share: float) -> Outcome:
    """Return what a deep pass of bowling might have found."""
    whole = outcome_of(PassKind.deep)
    points = tuple(BallPoint(1.4 + step / 60, 500.0 + 40 * step, 300.0, 6.0) for step in range(3))
    ball = BallTrack(
        "measured", "", "", 20, 18, 0.9, colour="red", points=points,
        release=ReleasePoint(1.4, 84, 500.0, 300.0, 0.1, height_share), speed_px_s=2400.0, speed_spread_px_s=30.0,
        speed_reason="Point at four corners of the pitch to have the speed in metres.",
    )  # fmt: skip
    measurement = replace(whole.measurement, ball=ball)
    results = {
        "measurement": dump(measurement),
        "findings": [dump(one) for one in whole.findings],
        "report": dump(whole.report),
    }
    files = {**whole.files, "results": json.dumps(results).encode()}
    return replace(whole, measurement=measurement, files=files)


async def bowl(settings: Settings) -> list[UUID]:
    """Put three finished deliveries of one player into the database, without a worker."""
    async with open_application(settings, is_worker=False) as application:
        project = await get_project(application.database, "default")
        admin = Principal(project.project_id, project.slug, None, frozenset({"admin"}))
        await create_project(application.database, admin, "theirs", "Theirs")
        bench = Bench(application, project.project_id)
        videos = []
        for number, height in enumerate(HEIGHTS):
            video = await bench.add(title=f"Ball {number}", player="Asha", is_deep=True)
            revision_id = video.revision.revision_id
            async with application.database.transaction() as session:
                await session.execute(
                    update(VideoRow).where(VideoRow.video_id == video.video_id).values(probe_json=dump(PROBE))
                )
            await passes.begin(bench.room, project.project_id, revision_id)
            await record_pass(bench.room, project.project_id, revision_id, PassKind.quick, outcome_of())
            async with application.database.transaction() as session:
                await session.execute(
                    update(VideoRevisionRow)
                    .where(VideoRevisionRow.revision_id == revision_id)
                    .values(state="deep_running")
                )
            await record_pass(
                bench.room, project.project_id, revision_id, PassKind.deep, deep_outcome(height)
            )
            videos.append(video.video_id)
        async with application.database.reading() as session:
            last = await get_video(session, project.project_id, videos[-1])
            earlier = await list_releases(session, last, last.revision.capture)
            assert [one.height_share for one in earlier] == list(HEIGHTS[:2])
            nobody = await list_releases(session, replace(last, player=""), last.revision.capture)
            assert nobody == ()
        return videos


@pytest.fixture
async def client(database_settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, list[UUID]]]:
    videos = await bowl(database_settings)
    app = create_web_app(database_settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(CheckedApp(app)), base_url="http://127.0.0.1:8765", timeout=60
        ) as opened,
    ):
        yield opened, videos


async def test_ball_is_the_same_everywhere(client: tuple[httpx.AsyncClient, list[UUID]]) -> None:
    http, (first, *_) = client
    results = (await http.get(f"/v1/videos/{first}/results/deep")).json()
    assert results["ball"]["status"] == "measured"
    assert results["ball"]["speed_px_s"] == 2400.0
    assert "points" not in results["ball"]
    assert (await http.get(f"/v1/videos/{first}/results/quick")).json()["ball"] is None
    table = (await http.get(f"/v1/videos/{first}/files/ball")).text
    assert table.split("\r\n")[:2] == ["t_s,x_px,y_px,radius_px", "1.400000,500.00,300.00,6.00"]
    job = results["revision"]["revision_id"]
    earlier = (await http.get(f"/api/coaches/plus/analysis-jobs/{job}/ball-tracking")).json()
    assert (earlier["detection_rate_percent"], earlier["release_consistency"]) == (90.0, None)
    whole = (await http.get(f"/api/coaches/plus/analysis-jobs/{job}")).json()
    assert whole["ball_tracking"] == earlier
    page = (await http.get(f"/ui/videos/{first}")).text
    assert "red ball on 18 of 20 frames" in page
    assert "three deliveries of one player" in page


async def test_player_has_a_consistency_over_three_deliveries(
    client: tuple[httpx.AsyncClient, list[UUID]],
) -> None:
    http, _ = client
    query = {"player": "Asha", "discipline": "bowling"}
    found = (await http.get("/v1/video-players", params=query)).json()["release_consistency"]
    assert found["deliveries_count"] == 3
    assert found["score"] == pytest.approx(97.0)
    assert "97 of 100 over 3 deliveries" in (await http.get("/ui/videos/players", params=query)).text
    nobody = (await http.get("/v1/video-players", params={"player": ""})).json()
    assert nobody["release_consistency"] is None


async def test_pitch_is_kept_and_a_line_is_refused(client: tuple[httpx.AsyncClient, list[UUID]]) -> None:
    http, (first, second, _) = client
    kept = await http.patch(f"/v1/videos/{first}", json={"pitch": PITCH})
    assert kept.json()["pitch"] == PITCH
    line = {**PITCH, "points": [{"x_px": x, "y_px": 600} for x in (0, 100, 200, 300)]}
    refused = await http.patch(f"/v1/videos/{first}", json={"pitch": line})
    assert refused.status_code == 422
    assert refused.json()["code"] == "video.pitch_invalid"
    assert (await http.patch(f"/v1/videos/{first}", json={"pitch": None})).json()["pitch"] is None
    corners = [{"x": one["x_px"], "y": one["y_px"]} for one in PITCH["points"]]  # type: ignore[attr-defined]
    await http.post(f"/api/coaches/plus/sessions/{second}/pitch-calibration", json={"corners": corners})
    assert (await http.get(f"/v1/videos/{second}")).json()["pitch"]["down_m"] == 20.12


async def test_another_project_sees_and_changes_no_ball(client: tuple[httpx.AsyncClient, list[UUID]]) -> None:
    http, (first, *_) = client
    job = (await http.get(f"/v1/videos/{first}/results/deep")).json()["revision"]["revision_id"]
    corners = [{"x": one["x_px"], "y": one["y_px"]} for one in PITCH["points"]]  # type: ignore[attr-defined]
    theirs = {"Cookie": "referee_project=theirs"}
    asked = [
        await http.get(f"/api/coaches/plus/analysis-jobs/{job}/ball-tracking", headers=theirs),
        await http.get(f"/v1/videos/{first}/files/ball", headers=theirs),
        await http.patch(f"/v1/videos/{first}", json={"pitch": PITCH}, headers=theirs),
        await http.post(
            f"/api/coaches/plus/sessions/{first}/pitch-calibration", json={"corners": corners}, headers=theirs
        ),
    ]
    assert [one.status_code for one in asked] == [404] * 4
    assert (await http.get(f"/v1/videos/{first}")).json()["pitch"] is None
    found = await http.get("/v1/video-players", params={"player": "Asha"}, headers=theirs)
    assert found.json()["release_consistency"] is None
