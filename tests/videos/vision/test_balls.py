"""Balls in rendered clips whose truth is known, and what is no ball."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2
from tests.videos.deliveries import Ball, Scene, follow, make_pitch, make_scene
from tests.videos.skeletons import split

from referee.foundation.settings import Settings
from referee.videos.consistency import compute_consistency
from referee.videos.measuring import find_faults, measure, write_report
from referee.videos.shapes import BallTrack, Level, PassKind, ReleasePoint
from referee.videos.vision.installing import install_vision


@pytest.fixture(scope="module")
def python(vision_settings: Settings) -> Path:
    return asyncio.run(install_vision(vision_settings)).python


@pytest.fixture(scope="module")
def delivery(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A red ball at 17 m/s among a red shirt, red shoes and red bags."""
    return make_scene(python, tmp_path_factory.mktemp("delivery"), Ball(speed_m_s=17.0, fall_m_s=6.0))


def ball_of(scene: Scene, **changes: Any) -> BallTrack:
    ball = follow(scene, **changes).ball
    assert ball is not None
    return ball


def with_spots(scene: Scene, kept: Any) -> Scene:
    """Return the scene with the spots of some rows only."""
    with np.load(io.BytesIO(scene.keypoints), allow_pickle=False) as stored:
        rows = {name: stored[name] for name in stored.files}
    rows["ball"] = np.where(kept(rows["t_s"])[:, None, None], rows["ball"], 0)
    buffer = io.BytesIO()
    np.savez(buffer, **rows)
    return replace(scene, keypoints=buffer.getvalue())


def test_ball_is_followed_to_the_pixel_with_release_bounce_and_speed(delivery: Scene) -> None:
    ball = ball_of(delivery, pitch=make_pitch())
    assert ball.status == "measured"
    assert ball.colour == "red"
    assert ball.coverage_share > 0.95
    truth = dict(zip(np.round(delivery.truth["t_s"], 4), delivery.truth["xy"], strict=True))
    away = [
        np.hypot(*(truth[round(one.t_s, 4)] - (one.x_px, one.y_px)))
        for one in ball.points
        if one.t_s >= delivery.truth["release_s"]
    ]
    assert float(np.sqrt(np.mean(np.square(away)))) < 1.0
    assert ball.release is not None
    assert ball.release.t_s == pytest.approx(delivery.truth["release_s"], abs=1 / 60)
    assert ball.bounce is not None
    assert ball.bounce.t_s == pytest.approx(delivery.truth["bounce_s"], abs=0.01)
    assert ball.speed_m_s == pytest.approx(17.0, rel=0.02)
    assert ball.consistency is None


def test_speed_stays_in_pixels_without_a_pitch(delivery: Scene) -> None:
    ball = ball_of(delivery)
    assert ball.speed_m_s is None
    assert "four corners" in ball.speed_reason
    assert ball.speed_px_s == pytest.approx(2_530, rel=0.05)


def test_chunks_in_any_order_give_the_same_ball(delivery: Scene) -> None:
    parts = split(delivery.keypoints, 37)
    whole = measure(PassKind.deep, [delivery.keypoints], delivery.probe, delivery.capture)
    pieces = measure(PassKind.deep, parts[::-1], delivery.probe, delivery.capture)
    assert pieces.ball == whole.ball


@pytest.mark.parametrize(
    "ball",
    [Ball(colour="white"), Ball(colour="pink", shutter_s=1 / 250), Ball(noise=12.0), Ball(light=0.5)],
    ids=["white", "pink and blurred", "noisy", "dark"],
)
def test_ball_is_followed_in_other_colours_and_light(ball: Ball, python: Path, tmp_path: Path) -> None:
    found = ball_of(make_scene(python, tmp_path, ball), pitch=make_pitch())
    assert found.status == "measured"
    assert found.colour == ball.colour
    assert found.speed_m_s == pytest.approx(ball.speed_m_s, rel=0.03)


def test_red_shirt_shoes_and_bags_are_no_ball(python: Path, tmp_path: Path) -> None:
    scene = make_scene(python, tmp_path, Ball(has_ball=False))
    ball = ball_of(scene, pitch=make_pitch())
    assert ball.status == "insufficient_data"
    assert ball.reason_code == "no_ball"
    assert ball.speed_px_s is None
    measurement = follow(scene)
    findings = find_faults(measurement, scene.probe, scene.capture)
    assert "INSUFFICIENT_BALL_TRACKING" in {one.code for one in findings}
    report = write_report(measurement, findings, scene.probe, scene.capture)
    assert any("Insufficient data." in text for part in report.sections for text in part.paragraphs)


def test_ball_seen_on_few_frames_is_insufficient(delivery: Scene) -> None:
    release_s = delivery.truth["release_s"]
    seen = with_spots(delivery, lambda t_s: (t_s < release_s) | (t_s < release_s + 0.13))
    assert ball_of(seen).status == "insufficient_data"
    assert ball_of(seen).coverage_share < 0.4


def test_keypoints_without_spots_say_so(delivery: Scene) -> None:
    with np.load(io.BytesIO(delivery.keypoints), allow_pickle=False) as stored:
        rows = {name: stored[name] for name in stored.files if name != "ball"}
    buffer = io.BytesIO()
    np.savez(buffer, **rows)
    measurement = follow(replace(delivery, keypoints=buffer.getvalue()))
    assert measurement.ball is not None
    assert measurement.ball.reason_code == "not_looked_for"
    assert not [
        one for one in find_faults(measurement, delivery.probe, delivery.capture) if "BALL" in one.code
    ]


def test_release_points_that_differ_are_a_finding(delivery: Scene) -> None:
    own = ball_of(delivery).release
    assert own is not None
    near = tuple(replace(own, height_share=own.height_share + one) for one in (0.01, -0.01))
    alike = follow(delivery, earlier=near)
    assert alike.ball is not None
    assert alike.ball.consistency is not None
    assert alike.ball.consistency.score > 95
    assert "INCONSISTENT_RELEASE_POINT" not in {
        one.code for one in find_faults(alike, delivery.probe, delivery.capture)
    }
    far = tuple(replace(own, height_share=own.height_share + one) for one in (0.06, -0.06))
    finding = next(
        one
        for one in find_faults(follow(delivery, earlier=far), delivery.probe, delivery.capture)
        if one.code == "INCONSISTENT_RELEASE_POINT"
    )
    assert finding.severity is Level.medium
    assert "3 deliveries" in finding.message


def test_consistency_needs_three_deliveries_and_has_an_interval() -> None:
    points = [
        ReleasePoint(1.0, 60, 900.0, 400.0, 0.1 + x, 1.1 + y) for x, y in ((0, 0), (0.03, 0), (0, 0.03))
    ]
    assert compute_consistency(points[:2]) is None
    found = compute_consistency(points)
    assert found is not None
    assert found.score == pytest.approx(100 - 3 - 3)
    assert found.low == pytest.approx(max(0, 100 - 6 * 4 / chi2.ppf(0.025, 4)), abs=1e-6)
    assert found.high == pytest.approx(100 - 6 * 4 / chi2.ppf(0.975, 4), abs=1e-6)
