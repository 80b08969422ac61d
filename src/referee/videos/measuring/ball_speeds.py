"""How fast a ball is, where it bounces, and how much release points differ: from its path alone.

Source:
    R. Hartley, A. Zisserman (2004), Multiple View Geometry, section 4.1, for the homography of four points.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from referee.videos.measuring.motion import Array
from referee.videos.shapes import CameraView, Capture, Pitch

__all__ = ["Speeds", "find_bounce", "make_homography", "measure_speeds"]

MIN_TURN: Final = 0.35
"""At a bounce the fall turns into at least this share of its speed upwards, less the ball's weight."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Speeds of a flight, real seconds; metres only where the coach gave a pitch."""

    px_s: float
    spread_px_s: float
    m_s: float | None = None
    low_m_s: float | None = None
    high_m_s: float | None = None
    reason: str = ""


def find_bounce(t_s: Array, xy: Array) -> tuple[float, float, float] | None:
    """Return time, x and y of the bounce: where straight ends of fall and rise meet; None when there is none."""
    if len(t_s) < 5:
        return None
    falls = np.diff(xy[:, 1]) / np.diff(t_s)
    found: tuple[float, int] | None = None
    for index in range(1, len(falls) - 1):
        before = float(np.median(falls[max(0, index - 2) : index]))
        after = float(np.median(falls[index + 1 : index + 3]))
        turn = before - after
        is_bounce = before > 0 and after < before * (1 - MIN_TURN) and turn > MIN_TURN * np.abs(falls).max()
        if is_bounce and falls[index - 1] > 0 and (found is None or turn > found[0]):
            found = (turn, index)
    if found is None:
        return None
    # The step that holds the bounce lies between points index and index + 1.
    index = found[1]
    falling, rising = slice(max(0, index - 2), index + 1), slice(index + 1, index + 4)
    if len(t_s[rising]) < 2 or len(t_s[falling]) < 2:
        return None
    fall, rise = (np.polyfit(t_s[part], xy[part, 1], 1) for part in (falling, rising))
    if fall[0] <= rise[0]:
        return None
    time = float(np.clip((rise[1] - fall[1]) / (fall[0] - rise[0]), t_s[index - 1], t_s[index + 1]))
    x = float(np.interp(time, t_s, xy[:, 0]))
    return time, x, float(np.polyval(fall, time))


def measure_speeds(
    t_s: Array,
    xy: Array,
    bounce: tuple[float, float, float] | None,
    foot: Array | None,
    released_s: float | None,
    capture: Capture,
) -> Speeds:
    """Return the speeds of a flight up to its bounce, or its end.

    In metres: from the side, along the middle of the pitch below the ball; from behind or in front, from the front foot
    at the release to the bounce, the only two instants at which the ball's place on the ground is known.
    """
    until = np.inf if bounce is None else bounce[0]
    kept = t_s <= until
    if kept.sum() < 3:
        kept = np.ones(len(t_s), dtype=np.bool_)
    steps = np.linalg.norm(np.diff(xy[kept], axis=0), axis=1)
    speeds = steps / np.diff(t_s[kept])
    pixels = Speeds(float(steps.sum() / (t_s[kept][-1] - t_s[kept][0])), float(np.std(speeds)))
    if capture.pitch is None:
        return _without(pixels, "Point at four corners of the pitch to have the speed in metres.")
    if capture.camera_view is CameraView.side:
        return _from_side(pixels, t_s[kept], xy[kept], capture.pitch)
    if bounce is None or foot is None or released_s is None:
        return _without(
            pixels, "From this view the speed needs the release and the bounce, and one was not seen."
        )
    return _between(pixels, released_s, foot, bounce, float(np.median(np.diff(t_s))), capture.pitch)


def _without(pixels: Speeds, reason: str) -> Speeds:
    return Speeds(pixels.px_s, pixels.spread_px_s, reason=reason)


def _from_side(pixels: Speeds, t_s: Array, xy: Array, pitch: Pitch) -> Speeds:
    """Fit a straight line to the way along the middle of the pitch over time."""
    corners = np.array(pitch.points_px)
    left, right = corners[[0, 2]].mean(axis=0), corners[[1, 3]].mean(axis=0)
    along = (xy[:, 0] - left[0]) / (right[0] - left[0])
    below = np.stack([xy[:, 0], left[1] + along * (right[1] - left[1])], axis=1)
    metres = _map(make_homography(pitch), below)[:, 0]
    slope, start = np.polyfit(t_s, metres, 1)
    rest = metres - (slope * t_s + start)
    freedom = max(1, len(t_s) - 2)
    error = float(np.sqrt((rest**2).sum() / freedom / ((t_s - t_s.mean()) ** 2).sum()))
    speed, half = abs(float(slope)), _student(freedom) * error
    return Speeds(pixels.px_s, pixels.spread_px_s, speed, max(0.0, speed - half), speed + half)


def _student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's distribution, within 4 % from 2 degrees of freedom on.

    Source:
        M. Abramowitz, I. A. Stegun (1964), 26.7.5.
    """
    z = NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + terms[0] / freedom + terms[1] / freedom**2 + terms[2] / freedom**3


def _between(
    pixels: Speeds,
    released_s: float,
    foot: Array,
    bounce: tuple[float, float, float],
    step_s: float,
    pitch: Pitch,
) -> Speeds:
    """Divide the way from the front foot to the bounce by its time; both instants are known to half a frame."""
    seconds = bounce[0] - released_s
    if seconds < 3 * step_s:
        return _without(pixels, "The ball bounced too soon after the release for a speed in metres.")
    start, end = _map(make_homography(pitch), np.array([foot, bounce[1:]]))
    way = float(np.linalg.norm(end - start))
    # The hand is up to half a metre from the foot along the pitch.
    low, high = max(0.0, way - 0.5) / (seconds + step_s), (way + 0.5) / (seconds - step_s)
    return Speeds(pixels.px_s, pixels.spread_px_s, way / seconds, low, high)


def make_homography(pitch: Pitch) -> Array:
    """Return the matrix (3, 3) from pixels to metres on the ground: the first corner is (0, 0)."""
    targets = [(0.0, 0.0), (pitch.across_m, 0.0), (0.0, pitch.down_m), (pitch.across_m, pitch.down_m)]
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(pitch.points_px, targets, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y, -u])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y, -v])
    # The solution of an under-determined system of rank 8: the last right singular vector.
    return np.asarray(np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3), dtype=np.float64)


def _map(matrix: Array, points: Array) -> Array:
    raised = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.T
    return np.asarray(raised[:, :2] / raised[:, 2:], dtype=np.float64)
