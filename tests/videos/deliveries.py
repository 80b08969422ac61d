"""Deliveries whose ball is known: a synthetic bowler, a ball thrown from the hand, rendered as a clip and looked at."""

from __future__ import annotations

import io
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.videos.skeletons import HEIGHT, RELEASE_S, WIDTH, Delivery, focal, make_body, make_synthetic

from referee.videos.measuring import measure
from referee.videos.shapes import Capture, Measurement, PassKind, Pitch, Probe, ReleasePoint

__all__ = ["Ball", "Scene", "follow", "make_pitch", "make_scene", "run_ball_trials"]

RENDER = Path(__file__).parent / "render_delivery.py"
RADIUS_M = 0.036
OPEN_STEPS = 8
SHOWN_S = (1.3, 2.2)
"""What is rendered of a delivery: nothing happens to the ball before and after."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ball:
    """A ball and how it is filmed. Metres, seconds, degrees, grey levels of 255."""

    colour: str = "red"
    speed_m_s: float = 22.0
    fall_m_s: float = 4.5
    restitution: float = 0.6
    shutter_s: float = 1 / 1000
    noise: float = 2.0
    light: float = 1.0
    has_ball: bool = True
    has_body: bool = True
    rise_m: float = 0.0
    """Of the release point, against the usual one."""


@dataclass(frozen=True)
class Scene:
    """Keypoints with spots of a rendered clip, and what is true of its ball."""

    keypoints: bytes
    probe: Probe
    capture: Capture
    truth: dict[str, Any] = field(default_factory=dict)


def make_scene(
    python: Path, folder: Path, ball: Ball, *, fps: float = 60.0, seed: int = 1, lost_share: float = 0.0
) -> Scene:
    """Render a delivery seen from the side at 20 m and look for its ball."""
    delivery = Delivery(fps=fps, noise_px=1.0, distance_m=20.0, seed=seed, lost_share=lost_share)
    synthetic = make_synthetic(delivery)
    with np.load(io.BytesIO(synthetic.keypoints), allow_pickle=False) as stored:
        rows = {name: stored[name] for name in stored.files}
    is_shown = (rows["t_s"] >= SHOWN_S[0]) & (rows["t_s"] <= SHOWN_S[1])
    t_s = rows["t_s"][is_shown]
    at_release = _wrist(delivery, np.array([RELEASE_S]), ball)[0]
    opened = t_s[:, None] + np.linspace(0, ball.shutter_s, OPEN_STEPS)[None]
    places = np.array([_fly(one, at_release, delivery, ball) for one in opened.ravel()])
    pixels = _look(places, delivery).reshape(len(t_s), OPEN_STEPS, 2)
    if not ball.has_ball:
        pixels = np.full_like(pixels, np.nan)
    scene = {
        "t_s": t_s, "size": np.array([WIDTH, HEIGHT]), "ball": pixels, "body": rows["xy"][is_shown].astype(np.float64),
        "radius_px": RADIUS_M * focal(delivery) / 20.0, "trunk_px": 0.52 * focal(delivery) / 20.0,
        "colour": ball.colour, "light": ball.light, "noise": ball.noise, "seed": seed, "has_body": ball.has_body,
        "ground_px": int(HEIGHT * 0.85),
    }  # fmt: skip
    source, clip, spots = (folder / name for name in ("scene.npz", "clip.mp4", "spots.npz"))
    np.savez(source, **scene)
    subprocess.run(
        [str(python), str(RENDER), str(source), str(clip), str(spots)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    with np.load(spots, allow_pickle=False) as seen:
        # The clip begins with its first picture.
        assert np.abs(seen["t_s"] - (t_s - t_s[0])).max() < 1e-4
        rows["ball"] = np.zeros((len(is_shown), *seen["ball"].shape[1:]), dtype=np.float32)
        rows["ball"][is_shown] = seen["ball"]
    buffer = io.BytesIO()
    np.savez(buffer, **rows)
    middle = pixels.mean(axis=1)
    inside = (t_s >= RELEASE_S) & (middle[:, 0] > 0) & (middle[:, 0] < WIDTH)
    truth = {
        "xy": middle, "t_s": t_s, "inside": inside, "release_s": RELEASE_S,
        "release_px": _look(at_release[None], delivery)[0],
        "bounce_s": RELEASE_S + _time_to_ground(float(at_release[1]), ball.fall_m_s),
        "speed_m_s": ball.speed_m_s,
    }  # fmt: skip
    return Scene(buffer.getvalue(), synthetic.probe, synthetic.capture, truth)


def make_pitch() -> Pitch:
    """Return a rectangle upright in the ball's plane as the camera at 20 m sees it: 12 m long, as high as stumps."""
    one = Delivery(distance_m=20.0)
    hand = float(make_body(one, np.array([RELEASE_S]))[0, 16, 2])
    corners = np.array([[-6.0, 0.711, hand], [6.0, 0.711, hand], [-6.0, 0.0, hand], [6.0, 0.0, hand]])
    (a, b), (c, d), (e, f), (g, h) = _look(corners, one).tolist()
    return Pitch(((a, b), (c, d), (e, f), (g, h)), across_m=12.0, down_m=0.711)


def follow(scene: Scene, earlier: tuple[ReleasePoint, ...] = (), **changes: Any) -> Measurement:
    """Return what the deep pass measures on a scene."""
    capture = replace(scene.capture, **changes)
    return measure(PassKind.deep, [scene.keypoints], scene.probe, capture, earlier_releases=earlier)


def run_ball_trials(python: Path, folder: Path, count: int, **values: Any) -> dict[str, float]:
    """Return errors of random deliveries: RMS of place, release, bounce and speed, and how many were not measured."""
    errors: dict[str, list[float]] = {}
    missing = 0
    fps = values.pop("fps", 60.0)
    for seed in range(count):
        random = np.random.default_rng(seed)
        ball = Ball(speed_m_s=random.uniform(17, 30), fall_m_s=random.uniform(4, 7), **values)
        scene = make_scene(python, folder, ball, fps=fps, seed=seed)
        found = follow(scene, pitch=make_pitch()).ball
        assert found is not None
        if found.status != "measured":
            missing += 1
            continue
        errors.setdefault("coverage_share", []).append(found.coverage_share)
        places = {round(one.t_s, 4): (one.x_px, one.y_px) for one in found.points}
        for time, place in zip(scene.truth["t_s"], scene.truth["xy"], strict=True):
            if time >= RELEASE_S and round(float(time), 4) in places:
                away = np.hypot(*(np.array(places[round(float(time), 4)]) - place))
                errors.setdefault("place_px", []).append(float(away))
        if found.release is not None:
            errors.setdefault("release_s", []).append(found.release.t_s - RELEASE_S)
            away = np.array([found.release.x_px, found.release.y_px]) - scene.truth["release_px"]
            errors.setdefault("release_px", []).append(float(np.hypot(*away)))
        if found.bounce is not None:
            errors.setdefault("bounce_s", []).append(found.bounce.t_s - scene.truth["bounce_s"])
        if found.speed_m_s is not None:
            errors.setdefault("speed_share", []).append(found.speed_m_s / ball.speed_m_s - 1)
    means = {"coverage_share"}
    told = {
        name: float(np.mean(found) if name in means else np.sqrt(np.mean(np.square(found))))
        for name, found in errors.items()
    }
    counts = {f"{name}_count": float(len(errors.get(name, ()))) for name in ("release_s", "bounce_s")}
    return told | counts | {"not_measured_count": float(missing)}


def _wrist(delivery: Delivery, t_s: Array, ball: Ball) -> Array:
    """Return where the fingers of the bowling hand are, metres."""
    body = make_body(delivery, t_s)
    return np.asarray(body[:, 16] + np.array([0.0, 0.08 + ball.rise_m, 0.0]))


def _fly(t_s: float, start: Array, delivery: Delivery, ball: Ball) -> Array:
    if t_s < RELEASE_S:
        return np.asarray(_wrist(delivery, np.array([t_s]), ball)[0])
    passed = t_s - RELEASE_S
    ground_s = _time_to_ground(float(start[1]), ball.fall_m_s)
    x = start[0] + ball.speed_m_s * passed
    if passed <= ground_s:
        y = start[1] - ball.fall_m_s * passed - 4.905 * passed**2
    else:
        up = ball.restitution * (ball.fall_m_s + 9.81 * ground_s)
        y = RADIUS_M + up * (passed - ground_s) - 4.905 * (passed - ground_s) ** 2
    return np.array([x, max(RADIUS_M, y), start[2]])


def _time_to_ground(height_m: float, fall_m_s: float) -> float:
    way = height_m - RADIUS_M
    return float((-fall_m_s + np.sqrt(fall_m_s**2 + 4 * 4.905 * way)) / (2 * 4.905))


def _look(places: Array, one: Delivery) -> Array:
    away = one.distance_m + places[:, 2]
    return np.stack(
        [
            WIDTH / 2 + focal(one) * places[:, 0] / away,
            HEIGHT * 0.85 - focal(one) * places[:, 1] / away,
        ],
        axis=1,
    )
