"""Synthetic movements with known truth: a body in three dimensions, seen by a pinhole camera, with noise.

Limbs are placed so that what is measured is known exactly: the knee's angle, instants, the lag of shoulders behind
hips. What follows from the body as a whole (head, balance, elbow) is computed without camera and noise at 1000 frames
a second.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from referee.videos.measuring.angles import SEGMENTS
from referee.videos.shapes import CameraView, Capture, Discipline, Handedness, Probe

Array = NDArray[np.float64]
WIDTH, HEIGHT = 1920, 1080
CONTACT_S, RELEASE_S, IMPACT_S = 1.5, 1.65, 2.0


@dataclass(frozen=True)
class Delivery:
    """A right-hander's delivery or stroke, and the camera that saw it. Degrees, metres, seconds, pixels."""

    discipline: Discipline = Discipline.bowling
    knee_at_contact: float = 165.0
    collapse: float = 20.0
    lag_ms: float = 40.0
    head_sway_m: float = 0.02
    drift_m: float = 0.05
    elbow_drop_m: float = 0.15
    fps: float = 60.0
    noise_px: float = 0.0
    yaw_degrees: float = 0.0
    distance_m: float = 8.0
    zoom: float = 1.0
    lost_share: float = 0.0
    start_s: float = 0.0
    is_mirrored: bool = False
    border_px: float = 0.0
    hidden: Collection[int] = ()
    seed: int = 1


@dataclass(frozen=True)
class Synthetic:
    """Keypoints of a whole pass with what they were made from."""

    keypoints: bytes
    probe: Probe
    capture: Capture
    truth: dict[str, float] = field(default_factory=dict)


def make_synthetic(one: Delivery) -> Synthetic:
    """Return the keypoints that a camera would give of a movement."""
    random = np.random.default_rng(one.seed)
    duration = 2.5
    t_s = np.arange(0, duration, 1 / one.fps)
    t_s = t_s[random.random(len(t_s)) >= one.lost_share]
    body = make_body(one, t_s)
    seen, world = look(body, one)
    xy = seen + random.normal(size=seen.shape) * one.noise_px
    # Noise of a landmark in space, as large as in the picture.
    metres_per_px = one.distance_m / (focal(one))
    world = world + random.normal(size=world.shape) * one.noise_px * metres_per_px
    confidence = np.full(xy.shape[:2], 0.95)
    confidence[:, list(one.hidden)] = 0.0
    if one.is_mirrored:
        xy, world, confidence = mirror(xy, world, confidence)
    xy[..., 1] += one.border_px
    probe = Probe(
        duration_s=duration, frames_count=len(t_s), width_px=WIDTH, height_px=HEIGHT + int(2 * one.border_px),
        rotation_degrees=0, codec="h264", pixel_format="yuv420p", container="mp4", median_fps=one.fps,
        is_variable_rate=one.lost_share > 0, has_audio=False, key_frame_times_s=(0.0,), size_bytes=1000,
    )  # fmt: skip
    capture = Capture(
        discipline=one.discipline,
        handedness=Handedness.left if one.is_mirrored else Handedness.right,
        camera_view=CameraView.side,
    )
    return Synthetic(pack(t_s + one.start_s, xy, confidence, world), probe, capture, find_truth(one))


def pack(t_s: Array, xy: Array, confidence: Array, world: Array, frames: Array | None = None) -> bytes:
    """Return the npz of a pass."""
    buffer = io.BytesIO()
    count = len(t_s)
    np.savez(
        buffer,
        frame=np.arange(count, dtype=np.int32) if frames is None else frames.astype(np.int32),
        t_s=t_s.astype(np.float64),
        xy=xy.astype(np.float32),
        confidence=confidence.astype(np.float32),
        world=world.astype(np.float32),
        presence=np.ones(count, dtype=np.float32),
        is_corrupt=np.zeros(count, dtype=np.bool_),
    )
    return buffer.getvalue()


def split(keypoints: bytes, size: int) -> list[bytes]:
    """Return the same rows as several chunks."""
    with np.load(io.BytesIO(keypoints)) as stored:
        rows = {name: stored[name] for name in stored.files}
    parts = []
    for start in range(0, len(rows["t_s"]), size):
        buffer = io.BytesIO()
        np.savez(buffer, **{name: value[start : start + size] for name, value in rows.items()})
        parts.append(buffer.getvalue())
    return parts


def mirror(xy: Array, world: Array, confidence: Array) -> tuple[Array, Array, Array]:
    """Return what a mirror shows: sides exchanged, as the pose model names them."""
    order = [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9] + [one + 1 if one % 2 else one - 1 for one in range(11, 33)]
    flipped, turned = xy[:, order].copy(), world[:, order].copy()
    flipped[..., 0] = WIDTH - flipped[..., 0]
    turned[..., 0] *= -1
    return flipped, turned, confidence[:, order]


def focal(one: Delivery) -> float:
    """Return the focal length in pixels: at 8 m a body of 1.75 m is about 600 pixels high."""
    return 600 / 1.75 * 8 * one.zoom


def look(body: Array, one: Delivery) -> tuple[Array, Array]:
    """Return pixels (n, 33, 2) and metres from the mid-hip (n, 33, 3) as a camera sees the body."""
    yaw = np.radians(one.yaw_degrees)
    x = np.cos(yaw) * body[..., 0] - np.sin(yaw) * body[..., 2]
    depth = np.sin(yaw) * body[..., 0] + np.cos(yaw) * body[..., 2]
    turned = np.stack([x, -body[..., 1], depth], axis=-1)
    away = one.distance_m + depth
    pixels = np.stack(
        [WIDTH / 2 + focal(one) * x / away, HEIGHT * 0.85 - focal(one) * body[..., 1] / away], axis=-1
    )
    return pixels, turned - turned[:, 23:25].mean(axis=1, keepdims=True)


def make_body(one: Delivery, t_s: Array) -> Array:
    """Return landmarks (n, 33, 3) in metres: x the way of the run, y up, z away from the camera."""
    return _bowl(one, t_s) if one.discipline is Discipline.bowling else _bat(one, t_s)


def find_truth(one: Delivery) -> dict[str, float]:
    """Return what has to be measured."""
    t_s = np.arange(0, 2.5, 0.001)
    body = make_body(one, t_s)
    if one.discipline is Discipline.bowling:
        start, head_start, drift_start, arm_start = (
            CONTACT_S,
            CONTACT_S - 0.5,
            CONTACT_S - 0.2,
            CONTACT_S - 0.25,
        )
        end = RELEASE_S
    else:
        start, head_start, drift_start, arm_start = 1.45, 0.8, 0.8, 1.5
        end = IMPACT_S
    height = 0.52 / 0.288
    head = body[:, [0, 7, 8], :2].mean(axis=1)
    inside = (t_s >= head_start) & (t_s <= end)
    line = np.polynomial.polynomial.polyfit(t_s[inside], head[inside], 1)
    rest = head[inside] - (line[0] + t_s[inside, None] * line[1])
    mass = _mass(body)[:, 0] - body[:, [27, 28], 0].mean(axis=1)
    span = (t_s >= drift_start) & (t_s <= end)
    arm = body[:, 13, 1] - body[:, 11, 1]
    lift = (t_s >= arm_start) & (t_s <= end)
    return {
        "head": 100 * float(np.sqrt((rest**2).sum(axis=1).mean())) / height,
        "drift": 100 * float(np.abs(mass[span] - mass[span][0]).max()) / height,
        "elbow": float((arm[lift][0] - arm[lift]).max()) / 0.52,
        "collapse": one.collapse,
        "knee": one.knee_at_contact,
        "lag": one.lag_ms,
        "contact_s": start + one.start_s,
        "end_s": end + one.start_s,
    }


def _bowl(one: Delivery, t_s: Array) -> Array:
    body = np.zeros((len(t_s), 33, 3))
    run = 2.4 * (t_s - CONTACT_S) - 0.9 * _after(t_s - CONTACT_S + 0.05)
    pelvis = np.stack([run, np.full_like(run, 0.95), np.zeros_like(run)], axis=1)
    turn = _turn(t_s - (CONTACT_S + 0.04))
    # The last swing of the front foot falls below a quarter of its speed at contact: at 0.854 of its way in time.
    swing = 0.42
    front_x = 0.40 - 1.25 * (1 - _minimum_jerk((t_s - CONTACT_S) / swing + 0.8536))
    rear_x = -0.45 - 1.2 * (1 - _minimum_jerk((t_s - CONTACT_S + 0.2) / swing + 0.8536))
    _place_trunk(body, pelvis, turn, _turn(t_s - (CONTACT_S + 0.04) - one.lag_ms / 1000), one, t_s, CONTACT_S)
    _place_leg(body, 27, front_x, -0.1, _knee(one, t_s, CONTACT_S, RELEASE_S))
    _place_leg(body, 28, rear_x, 0.1, np.full_like(t_s, 150.0))
    _place_front_arm(body, _drop(t_s, CONTACT_S - 0.25, RELEASE_S, one.elbow_drop_m))
    spin = 16 * 0.14 * np.sqrt(pi) / 2 * _erf((t_s - RELEASE_S) / 0.14)
    _place_arm(body, 12, np.stack([np.sin(spin), np.cos(spin), np.zeros_like(spin)], axis=1))
    return body


def _bat(one: Delivery, t_s: Array) -> Array:
    body = np.zeros((len(t_s), 33, 3))
    forward = one.drift_m * 3 * _ease((t_s - 1.1) / 0.8)
    pelvis = np.stack([forward, np.full_like(forward, 0.92), np.zeros_like(forward)], axis=1)
    turn = 0.6 * _turn(t_s - (IMPACT_S - 0.12))
    shoulders = 0.6 * _turn(t_s - (IMPACT_S - 0.12) - one.lag_ms / 1000)
    _place_trunk(body, pelvis, turn, shoulders, one, t_s, 1.2)
    swing = 0.4
    front_x = 0.55 - 0.35 * (1 - _minimum_jerk((t_s - 1.45) / swing + 0.8536))
    _place_leg(body, 27, front_x, -0.1, _knee(one, t_s, 1.45, IMPACT_S))
    _place_leg(body, 28, np.full_like(t_s, -0.3), 0.1, np.full_like(t_s, 155.0))
    _place_front_arm(body, _drop(t_s, 1.5, IMPACT_S, one.elbow_drop_m))
    # Hands: still until 0.9 s, up until 1.5 s, down through impact.
    lift = 0.55 * _ease((t_s - 0.95) / 0.55) - 0.75 * 0.5 * (1 + _erf((t_s - IMPACT_S) / 0.09))
    reach = 0.1 + 0.35 * (1 + _erf((t_s - IMPACT_S) / 0.09))
    hands = pelvis + np.stack([reach, 0.1 + lift, np.zeros_like(lift)], axis=1)
    for wrist in (15, 16):
        for landmark in (wrist, wrist + 2, wrist + 4, wrist + 6):
            body[:, landmark] = hands + np.array([0, 0, 0.02 * (-1) ** wrist])
    body[:, 14] = (body[:, 12] + body[:, 16]) / 2
    return body


def _place_trunk(
    body: Array, pelvis: Array, hips: Array, shoulders: Array, one: Delivery, t_s: Array, drift_at: float
) -> None:
    for left, width, turn, up in ((23, 0.26, hips, 0.0), (11, 0.36, shoulders, 0.52)):
        across = np.stack([np.sin(turn), np.zeros_like(turn), -np.cos(turn)], axis=1) * width / 2
        body[:, left], body[:, left + 1] = pelvis + across, pelvis - across
        body[:, left : left + 2, 1] += up
    # The trunk's upper part leans by the drift, the head sways on top of it.
    lean = one.drift_m * _ease((t_s - drift_at) / 0.3)
    body[:, 11:13, 0] += lean[:, None]
    sway = one.head_sway_m * np.sin(2 * pi * 2.2 * (t_s - CONTACT_S))
    middle = body[:, 11:13].mean(axis=1)
    for landmark in range(11):
        body[:, landmark] = middle + np.array([0.08 if landmark == 0 else 0.0, 0.24, 0.0])
        body[:, landmark, 1] += sway
    body[:, 7, 2] -= 0.07
    body[:, 8, 2] += 0.07


def _place_leg(body: Array, ankle: int, x: Array, z: float, angle: Array) -> None:
    """Place an ankle, and the knee so that its angle is the one wanted; the leg is as long as that needs."""
    body[:, ankle] = np.stack([x, np.full_like(x, 0.08), np.full_like(x, z)], axis=1)
    hip, foot = body[:, ankle - 4], body[:, ankle]
    way = foot[:, :2] - hip[:, :2]
    forward = np.stack([-way[:, 1], way[:, 0]], axis=1)
    bend = 0.5 / np.tan(np.radians(angle) / 2)
    body[:, ankle - 2, :2] = (hip[:, :2] + foot[:, :2]) / 2 + forward * bend[:, None]
    body[:, ankle - 2, 2] = (hip[:, 2] + foot[:, 2]) / 2
    for landmark, ahead in ((ankle + 2, -0.06), (ankle + 4, 0.16)):
        body[:, landmark] = foot + np.array([ahead, -0.05, 0.0])


def _place_front_arm(body: Array, drop: Array) -> None:
    body[:, 13] = body[:, 11] + np.array([0.2, 0.1, 0.0])
    body[:, 13, 1] -= drop
    for landmark in (15, 17, 19, 21):
        body[:, landmark] = body[:, 13] + np.array([0.15, 0.12, 0.0])


def _place_arm(body: Array, shoulder: int, way: Array) -> None:
    body[:, shoulder + 2] = body[:, shoulder] + 0.28 * way
    for landmark in (shoulder + 4, shoulder + 6, shoulder + 8, shoulder + 10):
        body[:, landmark] = body[:, shoulder] + 0.55 * way


def _knee(one: Delivery, t_s: Array, start: float, end: float) -> Array:
    return one.knee_at_contact - one.collapse * _ease((t_s - start) / (0.8 * (end - start)))


def _drop(t_s: Array, start: float, end: float, drop_m: float) -> Array:
    return drop_m * _ease((t_s - start) / (end - start))


def _turn(t_s: Array) -> Array:
    """Return a turn of 100 degrees around the time 0, within about 0.3 s."""
    return np.asarray(np.radians(100) * 0.5 * (1 + _erf(t_s / 0.1)) - np.radians(20))


def _erf(values: Array) -> Array:
    return np.asarray(erf(values))


def _ease(share: Array) -> Array:
    """Return a smooth step from 0 to 1 as the share goes from 0 to 1."""
    inside = np.clip(share, 0, 1)
    return inside * inside * (3 - 2 * inside)


def _minimum_jerk(share: Array) -> Array:
    inside = np.clip(share, 0, 1)
    return inside**3 * (10 - 15 * inside + 6 * inside**2)


def _after(t_s: Array) -> Array:
    """Return t where positive, with a soft start."""
    return np.asarray(0.05 * np.log1p(np.exp(np.clip(t_s / 0.05, -50, 50))))


def _mass(body: Array) -> Array:
    total = np.zeros((len(body), 3))
    for share, start, end, where in SEGMENTS:
        first, last = body[:, list(start)].mean(axis=1), body[:, list(end)].mean(axis=1)
        total += share * (first + where * (last - first))
    return total / sum(one[0] for one in SEGMENTS)


def make(**values: Any) -> Synthetic:
    """Return a delivery with other values than the usual ones: ``make(fps=30, noise_px=4)``."""
    return make_synthetic(replace(Delivery(), **values))
