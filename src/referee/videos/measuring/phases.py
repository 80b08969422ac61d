"""The instants that bound the phases of a movement, found in the paths of wrists and ankles.

An instant is where a speed passes a limit or a path has its top, between samples, so that the frame rate does not
move it. A coach's own instants are kept as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from referee.videos.measuring.motion import Array, Motion
from referee.videos.shapes import Discipline, EventName, MotionEvent

__all__ = ["Events", "find_events"]

Events = dict[EventName, float]
"""Real time of each event found, seconds."""

LANDED_SHARE = 0.25
"""A foot has landed when its speed falls below this share of its peak."""
STILL_SPEED = 0.3
"""Trunk lengths a second; below it everywhere for 0.3 s is the stance."""
STILL_S = 0.3


def find_events(motion: Motion, discipline: Discipline, edited: Sequence[MotionEvent]) -> Events:
    """Return the events of a movement; those that cannot be found are absent."""
    fixed = {one.name: motion.from_clip(one.t_s) for one in edited}
    find = _find_bowling if discipline is Discipline.bowling else _find_batting
    found = find(motion, fixed)
    if discipline in (Discipline.keeping, Discipline.fielding):
        found.pop(EventName.backlift, None)
    return {**found, **fixed}


def _find_bowling(motion: Motion, fixed: Events) -> Events:
    found: Events = {}
    wrist = motion.point("rear_wrist", is_fast=True)
    around = fixed.get(EventName.release) or _peak_time(motion, _speed(motion, wrist), *_span(motion))
    if around is None:
        return found
    ankle = _speed(motion, motion.point("front_ankle", is_fast=True))
    landed = fixed.get(EventName.front_foot_contact) or _landing(motion, ankle, around - 0.7, around + 0.1)
    if landed is None:
        return found
    found[EventName.front_foot_contact] = landed
    release = fixed.get(EventName.release) or _top_time(motion, -wrist[:, 1], landed - 0.05, landed + 0.35)
    if release is not None and release > landed:
        found[EventName.release] = release
        found[EventName.follow_through] = release + 0.3
    rear = _speed(motion, motion.point("rear_ankle", is_fast=True))
    back = _landing(motion, rear, landed - 0.75, landed - 0.05)
    if back is not None and back < landed:
        found[EventName.back_foot_contact] = back
    return found


def _find_batting(motion: Motion, fixed: Events) -> Events:
    found: Events = {}
    hands = motion.point("mid_wrist", is_fast=True)
    impact = fixed.get(EventName.impact) or _peak_time(motion, _speed(motion, hands), *_span(motion))
    if impact is None:
        return found
    found[EventName.impact] = impact
    found[EventName.follow_through] = impact + 0.3
    stance = fixed.get(EventName.stance) or _find_stance(motion, impact)
    if stance is None:
        return found
    found[EventName.stance] = stance
    top = _top_time(motion, -hands[:, 1], stance, impact - 0.03)
    if top is not None:
        found[EventName.backlift] = top
    stride = _landing(motion, _speed(motion, motion.point("front_ankle", is_fast=True)), stance, impact + 0.1)
    if stride is not None:
        found[EventName.stride] = stride
    return found


def _span(motion: Motion) -> tuple[float, float]:
    """Return the times between which a peak may lie: ends of a clip are where people start and stop cameras."""
    start, end = float(motion.t_s[0]), float(motion.t_s[-1])
    margin = min(0.3, 0.1 * (end - start))
    return start + margin, end - margin


def _speed(motion: Motion, path: Array) -> Array:
    """Return the speed of a path, trunk lengths a second."""
    velocity = np.gradient(path, motion.t_s, axis=0)
    return np.asarray(np.linalg.norm(velocity, axis=1) / motion.scale_px, dtype=np.float64)


def _peak_time(motion: Motion, values: Array, start_s: float, end_s: float) -> float | None:
    """Return when values are highest within a span, refined by a parabola."""
    inside = np.flatnonzero((motion.t_s >= start_s) & (motion.t_s <= end_s) & np.isfinite(values))
    if len(inside) < 3:
        return None
    return _refine(motion.t_s, values, int(inside[np.argmax(values[inside])]))


_top_time = _peak_time


def _refine(t_s: Array, values: Array, index: int) -> float:
    if not 0 < index < len(values) - 1 or not np.isfinite(values[index - 1 : index + 2]).all():
        return float(t_s[index])
    before, here, after = values[index - 1 : index + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(t_s[index] + np.clip(shift, -0.5, 0.5) * (t_s[1] - t_s[0]))


def _landing(motion: Motion, speed: Array, start_s: float, end_s: float) -> float | None:
    """Return when a foot comes to rest after its fastest moment of a span."""
    inside = np.flatnonzero((motion.t_s >= start_s) & (motion.t_s <= end_s) & np.isfinite(speed))
    if len(inside) < 3:
        return None
    peak = int(inside[np.argmax(speed[inside])])
    limit = LANDED_SHARE * speed[peak]
    after = np.flatnonzero(speed[peak:] < limit)
    if not len(after) or speed[peak] < STILL_SPEED:
        return None
    index = peak + int(after[0])
    if motion.t_s[index] > end_s + 0.15:
        return None
    upper, lower = speed[index - 1], speed[index]
    share = (upper - limit) / (upper - lower) if upper > lower else 1.0
    return float(motion.t_s[index - 1] + share * (motion.t_s[index] - motion.t_s[index - 1]))


def _find_stance(motion: Motion, impact_s: float) -> float | None:
    """Return the end of the last stillness before the stroke, or of the quietest third of a second."""
    joints = [*range(11, 17), *range(23, 29)]
    speeds = np.stack([_speed(motion, motion.xy[:, one]) for one in joints], axis=1)
    with np.errstate(all="ignore"):
        fastest = np.nanmax(np.where(np.isfinite(speeds).any(axis=1, keepdims=True), speeds, np.inf), axis=1)
    width = max(2, round(STILL_S * motion.fps))
    inside = np.flatnonzero((motion.t_s >= impact_s - 3.0) & (motion.t_s <= impact_s - 0.25))
    if len(inside) < width + 1:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(fastest[inside], width).max(axis=1)
    if not np.isfinite(windows).any():
        return None
    still = np.flatnonzero(windows < STILL_SPEED)
    start = int(still[-1]) if len(still) else int(np.argmin(windows))
    return float(motion.t_s[inside[start + width - 1]])
