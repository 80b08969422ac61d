"""The ball of a delivery: which of the spots on the frames are it, when it leaves the hand, and how fast it is.

A path is followed from two spots that move, by where the last step leads; what stands still, what moves with the body
and what is not on a smooth path is no ball. Times are presentation times throughout.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from referee.videos.consistency import compute_consistency
from referee.videos.measuring.ball_speeds import find_bounce, measure_speeds
from referee.videos.measuring.motion import Array, Motion
from referee.videos.measuring.phases import Events
from referee.videos.shapes import (
    BallPoint,
    BallTrack,
    CameraView,
    Capture,
    EventName,
    Probe,
    ReleasePoint,
)

__all__ = ["MIN_BALL_COVERAGE", "follow_ball"]

MIN_BALL_COVERAGE: Final = 0.4
"""Of the frames on which the ball is to be seen; below it nothing is said of the ball."""
COLOURS: Final = ("red", "pink", "white")
MIN_POINTS: Final = 5
MIN_SPEED: Final = 1.5
MAX_SPEED: Final = 160.0
"""Trunk lengths a second: 160 are about 80 m/s."""
MAX_GAP_S: Final = 0.15
MAX_SEEDS: Final = 40_000
MIN_WAY: Final = 1.0
"""Trunk lengths from the first to the last point."""
MAX_BEND: Final = 0.3
"""Mean change of a step over the step, without the sharpest turn, which may be the bounce."""
BODY_REACH: Final = 0.4
"""Trunk lengths from a landmark within which a spot may be part of the athlete."""
MIN_FREE_SHARE: Final = 0.5
HAND_REACH: Final = 0.45
"""Trunk lengths from the wrist within which the ball is in the hand."""
TRACED_S: Final = 0.12
"""How far a flight is traced back to the hand."""
EXPECTED_S: Final = 0.4
"""Real time for which a delivery is to be seen at least."""
BEFORE_S, AFTER_S = 0.4, 2.5
"""Real time around the release in which the ball is looked for."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Spots:
    """Spots of all frames: ``t_s`` (n) real times, ``values`` (n, k, 6) as in the keypoints."""

    t_s: Array
    values: Array


@dataclass(frozen=True, slots=True)
class _Path:
    """A path through spots: ``t_s`` (m), ``xy`` (m, 2), ``radius`` (m), ``rows`` (m) of the frames."""

    t_s: Array
    xy: Array
    radius: Array
    rows: Integers
    colour: int
    score: float

    def after(self, t_s: float) -> _Path:
        """Return the part that is not before a time."""
        kept = self.t_s >= t_s - 1e-9
        return replace(
            self, t_s=self.t_s[kept], xy=self.xy[kept], radius=self.radius[kept], rows=self.rows[kept]
        )


def follow_ball(
    tracks: Sequence[bytes],
    motion: Motion | None,
    events: Events,
    probe: Probe,
    capture: Capture,
    earlier: Sequence[ReleasePoint] = (),
) -> BallTrack:
    """Return the ball of a delivery, or why nothing can be said of it.

    Args:
        tracks: Keypoints of the deep pass with their spots, in any order.
        motion: Of the athlete; None: nobody was seen.
        events: Real times; of them the release by the pose, around which the ball is looked for.
        probe: The clip.
        capture: What the coach said of it, the pitch among it.
        earlier: Release points of other deliveries of the same player and camera view.
    """
    spots = _load_spots(tracks, 1.0 if motion is None else motion.slow_motion)
    if spots is None:
        return _nothing(
            "not_looked_for",
            "The keypoints of this revision were estimated without looking for a ball. "
            "Analyse again with the poses estimated anew.",
        )
    if motion is None:
        return _nothing(
            "no_athlete", "No athlete was seen, so no ball of theirs was followed. Film the whole body."
        )
    release_s = events.get(EventName.release)
    path = _find_path(spots, motion, release_s)
    if path is None:
        return _nothing(
            "no_ball",
            "No ball was seen to leave the hand and fly. Film with a red, pink or white ball that stands out, at 60 "
            "frames a second or more and a short shutter time.",
            expected=_count_expected(spots, None, release_s, probe),
        )
    released_s = _find_release(path, motion)
    flight = path if released_s is None else path.after(released_s)
    expected = _count_expected(spots, flight, released_s, probe)
    share = min(1.0, len(flight.rows) / expected) if expected else 0.0
    if len(flight.rows) < MIN_POINTS or share < MIN_BALL_COVERAGE:
        return _nothing(
            "low_tracking",
            f"The ball was followed on {share:.0%} of the frames on which it is to be seen, less than "
            f"{MIN_BALL_COVERAGE:.0%}. Film nearer, with more light and a short shutter time.",
            expected=expected,
            tracked=len(flight.rows),
        )
    bounce = find_bounce(flight.t_s, flight.xy)
    speeds = measure_speeds(
        flight.t_s, flight.xy, bounce, _find_foot(motion, released_s), released_s, capture
    )
    release = None if released_s is None else _describe_release(flight, motion, released_s, capture)
    points = tuple(
        BallPoint(motion.to_clip(float(t)), float(x), float(y), float(radius))
        for t, (x, y), radius in zip(path.t_s, path.xy, path.radius, strict=True)
    )
    return BallTrack(
        status="measured",
        reason_code="",
        reason="",
        frames_expected_count=expected,
        frames_tracked_count=len(flight.rows),
        coverage_share=share,
        colour=COLOURS[path.colour],
        points=points,
        release=release,
        bounce=None
        if bounce is None
        else BallPoint(motion.to_clip(bounce[0]), bounce[1], bounce[2], float(np.median(flight.radius))),
        speed_px_s=speeds.px_s,
        speed_spread_px_s=speeds.spread_px_s,
        speed_m_s=speeds.m_s,
        speed_low_m_s=speeds.low_m_s,
        speed_high_m_s=speeds.high_m_s,
        speed_reason=speeds.reason,
        consistency=None if release is None else compute_consistency([*earlier, release]),
    )


def _nothing(code: str, reason: str, *, expected: int = 0, tracked: int = 0) -> BallTrack:
    return BallTrack(
        status="insufficient_data",
        reason_code=code,
        reason=reason,
        frames_expected_count=expected,
        frames_tracked_count=tracked,
        coverage_share=min(1.0, tracked / expected) if expected else 0.0,
    )


def _load_spots(tracks: Sequence[bytes], slow_motion: float) -> _Spots | None:
    times, values = [], []
    for one in tracks:
        with np.load(io.BytesIO(one), allow_pickle=False) as stored:
            if "ball" not in stored.files:
                return None
            times.append(stored["t_s"].astype(np.float64))
            values.append(stored["ball"].astype(np.float64))
    if not times or not sum(map(len, times)):
        return None
    t_s, order = np.unique(np.concatenate(times), return_index=True)
    return _Spots(t_s / slow_motion, np.concatenate(values)[order])


def _find_path(spots: _Spots, motion: Motion, release_s: float | None) -> _Path | None:
    """Return the best path of a ball, None when there is none."""
    inside = np.arange(len(spots.t_s))
    if release_s is not None:
        inside = np.flatnonzero((spots.t_s >= release_s - BEFORE_S) & (spots.t_s <= release_s + AFTER_S))
    if len(inside) < MIN_POINTS:
        return None
    t_s, values = spots.t_s[inside], spots.values[inside]
    trunk = float(np.median(motion.scale_px))
    is_usable = (values[..., 5] > 0) & ~_find_still(values)
    best: _Path | None = None
    used = np.zeros(is_usable.shape, dtype=np.bool_)
    tries = 0
    for first in range(len(t_s) - 1):
        for second in range(first + 1, min(first + 3, len(t_s))):
            for one, other in _pair(values, t_s, is_usable, first, second, trunk):
                if used[first, one] and used[second, other]:
                    continue
                tries += 1
                if tries > MAX_SEEDS:
                    return best
                steps = _extend(values, t_s, is_usable, [(first, one), (second, other)])
                path = _judge(values, t_s, inside, steps, motion, trunk, release_s)
                if path is None:
                    continue
                for row, spot in steps:
                    used[row, spot] = True
                if best is None or path.score > best.score:
                    best = path
    return best


def _find_still(values: Array) -> NDArray[np.bool_]:
    """Return which spots stand where spots of the same colour stand on many frames."""
    count, kinds, _ = values.shape
    is_spot = values[..., 5] > 0
    rows, columns = np.nonzero(is_spot)
    found = values[rows, columns]
    cells = np.rint(found[:, :2] / 4).astype(np.int64)
    keys = (cells[:, 0] * 100_003 + cells[:, 1]) * 4 + found[:, 4].astype(np.int64)
    distinct = np.unique(np.stack([keys, rows], axis=1), axis=0)[:, 0] if len(keys) else keys
    names, counts = np.unique(distinct, return_counts=True)
    many = np.zeros(len(keys), dtype=np.int64)
    for across in (-1, 0, 1):
        for down in (-1, 0, 1):
            near = keys + (across * 100_003 + down) * 4
            place = np.clip(np.searchsorted(names, near), 0, max(0, len(names) - 1))
            if len(names):
                many += np.where(names[place] == near, counts[place], 0)
    is_still = np.zeros((count, kinds), dtype=np.bool_)
    is_still[rows, columns] = many >= max(6, 0.12 * count)
    return is_still


def _pair(
    values: Array, t_s: Array, is_usable: NDArray[np.bool_], first: int, second: int, trunk: float
) -> list[tuple[int, int]]:
    """Return the pairs of spots on two frames that one ball could be."""
    ones, others = np.flatnonzero(is_usable[first]), np.flatnonzero(is_usable[second])
    if not len(ones) or not len(others):
        return []
    before, after = values[first, ones][:, None], values[second, others][None]
    away = np.linalg.norm(after[..., :2] - before[..., :2], axis=-1)
    speed = away / (t_s[second] - t_s[first]) / trunk
    ratio = after[..., 2] / before[..., 2]
    is_possible = (
        (speed >= MIN_SPEED)
        & (speed <= MAX_SPEED)
        & (ratio > 0.5)
        & (ratio < 2)
        & (after[..., 4] == before[..., 4])
    )
    return [(int(ones[one]), int(others[other])) for one, other in np.argwhere(is_possible)]


def _extend(
    values: Array, t_s: Array, is_usable: NDArray[np.bool_], start: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the path that goes on from two spots, each the nearest to where the last step leads."""
    steps = list(start)
    row = steps[-1][0] + 1
    while row < len(t_s):
        (before, one), (last, other) = steps[-2], steps[-1]
        if t_s[row] - t_s[last] > MAX_GAP_S:
            break
        here = values[last, other]
        velocity = (here[:2] - values[before, one, :2]) / (t_s[last] - t_s[before])
        spots = np.flatnonzero(
            is_usable[row]
            & (values[row, :, 4] == here[4])
            & (np.abs(np.log(np.maximum(values[row, :, 2], 1e-6) / here[2])) < np.log(2))
        )
        if len(spots):
            step = velocity * (t_s[row] - t_s[last])
            reach = 0.35 * float(np.hypot(*step)) + 1.5 * here[2] + 2
            positions = values[row, spots, :2]
            away = np.linalg.norm(positions - (here[:2] + step), axis=1)
            if step[1] > 0:  # a ball that falls may have bounced
                up = np.array([step[0], -0.6 * step[1]])
                away = np.minimum(away, np.linalg.norm(positions - (here[:2] + up), axis=1) + 0.3 * reach)
            nearest = int(np.argmin(away))
            if away[nearest] <= reach:
                steps.append((row, int(spots[nearest])))
        row += 1
    return steps


def _judge(
    values: Array,
    t_s: Array,
    inside: Integers,
    steps: list[tuple[int, int]],
    motion: Motion,
    trunk: float,
    release_s: float | None,
) -> _Path | None:
    """Return a path with how much it is like a ball's, None when it is none."""
    if len(steps) < MIN_POINTS:
        return None
    rows = np.array([row for row, _ in steps])
    found = values[rows, [spot for _, spot in steps]]
    xy, times = found[:, :2], t_s[rows]
    if float(np.linalg.norm(xy - xy[0], axis=1).max()) < MIN_WAY * trunk:
        return None
    moves = np.diff(xy, axis=0) / np.diff(times)[:, None]
    turns = np.linalg.norm(np.diff(moves, axis=0), axis=1) / np.maximum(
        np.linalg.norm(moves[:-1], axis=1), 1e-6
    )
    if len(turns) > 3:
        turns = np.sort(turns)[:-1]
    bend = float(turns.mean())
    free = _free_of_body(times, xy, motion)
    if bend > MAX_BEND or free.mean() < MIN_FREE_SHARE or not free[-1]:
        return None
    if release_s is not None and not (times[0] <= release_s + 0.3 and times[-1] > release_s):
        return None
    score = float((0.3 + found[:, 5]).sum()) * (1 - bend)
    return _Path(times, xy, found[:, 2], inside[rows], int(found[0, 4]), score)


def _free_of_body(times: Array, xy: Array, motion: Motion) -> NDArray[np.bool_]:
    """Return at which times a path is further from every landmark than a part of the body can be."""
    is_free = np.ones(len(times), dtype=np.bool_)
    for index, (time, point) in enumerate(zip(times, xy, strict=True)):
        row = int(np.abs(motion.t_s - time).argmin())
        if abs(motion.t_s[row] - time) > 0.1:
            continue
        away = np.linalg.norm(motion.raw[row] - point, axis=1)
        if np.isfinite(away).any():
            is_free[index] = np.nanmin(away) > BODY_REACH * motion.scale_px[row]
    return is_free


def _wrist_at(motion: Motion, time: float) -> Array:
    path = motion.point("rear_wrist", is_fast=True)
    return np.array([np.interp(time, motion.t_s, path[:, axis]) for axis in range(2)])


def _find_release(path: _Path, motion: Motion) -> float | None:
    """Return when the ball leaves the bowling hand, real time; None when hand and flight do not meet.

    The first steps of the flight, clear of the hand, are traced back to where they come nearest to the wrist: the hand
    is slower than the ball from that instant on.
    """
    trunk = float(np.median(motion.scale_px))
    away = np.array(
        [np.linalg.norm(_wrist_at(motion, t) - p) for t, p in zip(path.t_s, path.xy, strict=True)]
    )
    held = np.flatnonzero(away < HAND_REACH * trunk)
    first = int(held[-1]) + 1 if len(held) else 0
    fit = _fit_start(path, first)
    if fit is None:
        return None
    back = path.t_s[first] - np.arange(0, TRACED_S, 0.001)
    apart = np.array([np.linalg.norm(np.polyval(fit, one) - _wrist_at(motion, float(one))) for one in back])
    if not np.isfinite(apart).any():
        return None
    nearest = int(np.argmin(np.where(np.isfinite(apart), apart, np.inf)))
    return float(back[nearest]) if apart[nearest] < HAND_REACH * trunk else None


def _fit_start(path: _Path, first: int) -> Array | None:
    """Return the straight line (2, 2) through the first steps from a point on; None with fewer than three points."""
    part = slice(first, first + 4)
    if len(path.t_s[part]) < 3:
        return None
    return np.asarray(np.polyfit(path.t_s[part], path.xy[part], 1))


def _count_expected(spots: _Spots, flight: _Path | None, released_s: float | None, probe: Probe) -> int:
    """Return the number of frames on which the ball is to be seen."""
    start = released_s if released_s is not None else None if flight is None else float(flight.t_s[0])
    if start is None:
        return 0
    end = start + EXPECTED_S
    if flight is not None and len(flight.t_s) > 1:
        end = max(end, float(flight.t_s[-1]))
        step = np.abs(flight.xy[-1] - flight.xy[-2])
        x, y = flight.xy[-1]
        margin = 2 * step + flight.radius[-1] + 2
        if (
            x < margin[0]
            or y < margin[1]
            or x > probe.width_px - margin[0]
            or y > probe.height_px - margin[1]
        ):
            end = float(flight.t_s[-1])
    return int(((spots.t_s >= start - 1e-9) & (spots.t_s <= end + 1e-9)).sum())


def _find_foot(motion: Motion, released_s: float | None) -> Array | None:
    """Return where the front foot stands at the release, pixels; None when it is not seen."""
    if released_s is None:
        return None
    heel, ankle = motion.point("front_heel"), motion.point("front_ankle")
    row = int(np.abs(motion.t_s - released_s).argmin())
    foot = heel[row] if np.isfinite(heel[row]).all() else ankle[row]
    return np.asarray(foot) if np.isfinite(foot).all() else None


def _describe_release(
    flight: _Path, motion: Motion, released_s: float, capture: Capture
) -> ReleasePoint | None:
    row = int(np.abs(motion.t_s - released_s).argmin())
    ankle = motion.point("front_ankle")[row]
    if not np.isfinite(ankle).all():
        return None
    fit = _fit_start(flight, int(flight.t_s[0] < released_s + 1e-3))
    if fit is None:
        return None
    x, y = (float(one) for one in np.polyval(fit, released_s))
    height = float(motion.height_px[row])
    is_leftward = capture.camera_view is CameraView.side and flight.xy[-1, 0] < flight.xy[0, 0]
    return ReleasePoint(
        t_s=motion.to_clip(released_s),
        frame=int(motion.frame[row]),
        x_px=x,
        y_px=y,
        across_share=(-1 if is_leftward else 1) * (x - float(ankle[0])) / height,
        height_share=(float(ankle[1]) - y) / height,
    )
