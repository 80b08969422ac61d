"""The five metrics of a movement, from its motion and events: values with the unit of the room's README.

A metric that cannot be had raises ``Unmeasured`` with the reason; nothing is ever replaced by a middle value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from referee.videos.measuring.angles import centre_of_mass, compute_lag_s, included_angles, turn_about_trunk
from referee.videos.measuring.motion import Array, Motion
from referee.videos.measuring.phases import Events
from referee.videos.shapes import Discipline, EventName, MetricCode

__all__ = ["METRICS", "UNITS", "Raw", "Unmeasured"]

UNITS: Final = {
    MetricCode.head_stability: "% of height",
    MetricCode.balance_drift: "% of height",
    MetricCode.front_knee_brace: "degrees",
    MetricCode.hip_shoulder_timing: "ms",
    MetricCode.elbow_drop: "trunk lengths",
}
MIN_TIMING_FPS: Final = 50.0
MIN_TURN_SPEED: Final = 120.0
"""Degrees a second: slower turns are within what one camera gets wrong."""
MIN_LIKENESS: Final = 0.5
MIN_WINDOW_SAMPLES: Final = 4
ACTION = "An action needs a run-up, a stroke or a throw in the clip, seen from head to foot."


class Unmeasured(Exception):
    """A metric cannot be had. ``code`` for machines, the text a sentence for the coach."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Raw:
    """A value with what shows it. ``t_s`` (n) real times and ``series`` (n) values in ``value``'s unit."""

    value: float
    t_s: Array
    series: Array
    details: dict[str, float] = field(default_factory=dict)


def _head_stability(motion: Motion, events: Events, discipline: Discipline) -> Raw:
    part, end = _window(motion, events, discipline, before_contact_s=0.5)
    weights = np.where(np.isfinite(part.xy[:, [0, 7, 8], 0]), part.confidence[:, [0, 7, 8]], 0)[..., None]
    total = weights.sum(axis=1)
    head = (np.nan_to_num(part.xy[:, [0, 7, 8]]) * weights).sum(axis=1) / np.where(total > 0, total, np.nan)
    is_known = _need(np.isfinite(head).all(axis=1), "The head is hidden.")
    times = part.t_s[is_known] - part.t_s[0]
    line = np.polynomial.polynomial.polyfit(times, head[is_known], 1)
    away = np.linalg.norm(head[is_known] - (line[0] + times[:, None] * line[1]), axis=1)
    share = 100 * away / part.height_px[is_known]
    details = {}
    foot = float(_at(motion, motion.point("front_ankle")[:, 0], end))
    face = float(_at(motion, motion.xy[:, 0, 0], end))
    if np.isfinite(foot + face):
        details["head_to_front_foot_percent_of_height"] = (
            100 * (face - foot) / float(_at(motion, motion.height_px, end))
        )
    return Raw(float(np.sqrt((share**2).mean())), part.t_s[is_known], share, details)


def _balance_drift(motion: Motion, events: Events, discipline: Discipline) -> Raw:
    part, end = _window(motion, events, discipline, before_contact_s=0.2)
    is_bowling = discipline is Discipline.bowling
    start = events[EventName.front_foot_contact] - 0.2 if is_bowling else events[EventName.stance]
    feet = motion.xy[:, [27, 28], 0]
    path = 100 * (centre_of_mass(motion)[:, 0] - feet.mean(axis=1)) / motion.height_px
    is_in = (motion.t_s >= part.t_s[0]) & (motion.t_s <= part.t_s[-1])
    _need(np.isfinite(path[is_in]), "Trunk or feet are hidden.")
    is_known = is_in & np.isfinite(path)
    # Feet and trunk are fast at both ends of the window, so their values are taken between samples.
    first, last = _at(motion, path, start), _at(motion, path, end)
    ahead = path[is_known]
    times = np.array([start, *motion.t_s[is_known], end])
    drift = np.array([first, *ahead, last]) - first
    reach = 100 * np.ptp(feet[is_known], axis=1) / 2 / motion.height_px[is_known]
    details = {
        "change_to_event_percent_of_height": last - first,
        "start_percent_of_height": first,
        "outside_feet_share": float((np.abs(ahead) > reach).mean()),
    }
    return Raw(float(np.abs(drift).max()), times, np.abs(drift), details)


def _front_knee_brace(motion: Motion, events: Events, discipline: Discipline) -> Raw:
    start, end = _knee_span(events, discipline)
    # Filtered at 10 Hz: at 6 Hz the bend after contact runs into the value at contact.
    hip, knee, ankle = (motion.point(f"front_{joint}", is_fast=True) for joint in ("hip", "knee", "ankle"))
    angles = included_angles(hip, knee, ankle)
    is_in = (motion.t_s >= start - 1.5 / motion.fps) & (motion.t_s <= end + 1.5 / motion.fps)
    is_known = is_in & np.isfinite(angles)
    _need(is_known[is_in], "The front leg is hidden.")
    at_start, at_end = _at(motion, angles, start), _at(motion, angles, end)
    inside = (motion.t_s >= start) & (motion.t_s <= end) & np.isfinite(angles)
    least = min(at_start, at_end, float(angles[inside].min()) if inside.any() else at_start)
    times = motion.t_s[is_known]
    collapse = np.clip(at_start - angles[is_known], 0, None)
    flexion, extension = at_start - least, at_end - least
    details = {
        "at_contact_degrees": at_start,
        "minimum_degrees": least,
        "at_event_degrees": at_end,
        # Portus: flexor 0, flexor-extender 1, extender 2, constant brace 3.
        "brace_class": float(PORTUS[(flexion > 10, extension > 10)]),
    }
    return Raw(flexion, times, collapse, details)


PORTUS: Final = {(True, False): 0, (True, True): 1, (False, True): 2, (False, False): 3}
"""Class of the front leg by flexion and extension of more than ten degrees (Portus et al. 2004)."""


def _hip_shoulder_timing(motion: Motion, events: Events, discipline: Discipline) -> Raw:
    if motion.fps < MIN_TIMING_FPS:
        raise Unmeasured(
            "low_frame_rate",
            f"{motion.fps:.0f} frames a second are too few to see which turns first. Record at 60 or more.",
        )
    if discipline is Discipline.bowling:
        end = _event(events, EventName.release) + 0.1
        start = events.get(EventName.back_foot_contact, end - 0.55) - 0.1
    else:
        end = _event(events, EventName.impact) + 0.1
        start = max(events.get(EventName.backlift, end - 0.6), end - 0.8)
    part = motion.cut(start, end)
    hips, shoulders = turn_about_trunk(part.world, 23), turn_about_trunk(part.world, 11)
    is_known = _need(np.isfinite(hips) & np.isfinite(shoulders), "Hips or shoulders are hidden.", share=0.95)
    hips, shoulders, times = hips[is_known], shoulders[is_known], part.t_s[is_known]
    hip_speed, shoulder_speed = np.abs(np.gradient(hips, times)), np.abs(np.gradient(shoulders, times))
    if min(hip_speed.max(), shoulder_speed.max()) < MIN_TURN_SPEED:
        raise Unmeasured(
            "no_clear_turn", "Hips or shoulders hardly turn in this view, so their order cannot be told."
        )
    lag, likeness = compute_lag_s(hip_speed, shoulder_speed, 1 / part.fps, 0.2)
    if likeness < MIN_LIKENESS:
        raise Unmeasured(
            "no_clear_turn",
            "The turns of hips and shoulders are too unlike each other to compare their order.",
        )
    peaks = times[np.argmax(shoulder_speed)] - times[np.argmax(hip_speed)]
    separation = hips - shoulders
    details = {
        "likeness_share": likeness,
        "peak_to_peak_ms": 1000 * float(peaks),
        "relative_separation_change_degrees": float(np.ptp(separation)),
    }
    return Raw(1000 * lag, times, shoulder_speed - hip_speed, details)


def _elbow_drop(motion: Motion, events: Events, discipline: Discipline) -> Raw:
    if discipline is Discipline.bowling:
        start = _event(events, EventName.front_foot_contact) - 0.25
        end = _event(events, EventName.release)
    else:
        start, end = _event(events, EventName.backlift), _event(events, EventName.impact)
    height = (motion.point("front_shoulder")[:, 1] - motion.point("front_elbow")[:, 1]) / motion.scale_px
    is_in = (motion.t_s >= start - 1e-9) & (motion.t_s <= end + 1e-9)
    is_known = is_in & np.isfinite(height)
    _need(is_known[is_in], "The front arm is hidden.")
    first = float(_at(motion, height, start))
    drop = np.clip(first - height[is_known], 0, None)
    details = {"start_trunk_lengths": first, "end_trunk_lengths": float(_at(motion, height, end))}
    return Raw(float(drop.max()), motion.t_s[is_known], drop, details)


METRICS: Final[dict[MetricCode, Callable[[Motion, Events, Discipline], Raw]]] = {
    MetricCode.head_stability: _head_stability,
    MetricCode.balance_drift: _balance_drift,
    MetricCode.front_knee_brace: _front_knee_brace,
    MetricCode.hip_shoulder_timing: _hip_shoulder_timing,
    MetricCode.elbow_drop: _elbow_drop,
}


def _event(events: Events, name: EventName) -> float:
    if name not in events:
        words = name.value.replace("_", " ")
        raise Unmeasured(
            f"no_{name.value}",
            f"The {words} was not found. Set it on the event strip if it can be seen. {ACTION}",
        )
    return events[name]


def _window(
    motion: Motion, events: Events, discipline: Discipline, *, before_contact_s: float
) -> tuple[Motion, float]:
    """Return the part of the motion that a metric judges, and the real time of its last event."""
    if discipline is Discipline.bowling:
        end = _event(events, EventName.release)
        start = _event(events, EventName.front_foot_contact) - before_contact_s
    else:
        start, end = _event(events, EventName.stance), _event(events, EventName.impact)
    part = motion.cut(start, end)
    if len(part.t_s) < MIN_WINDOW_SAMPLES or part.t_s[0] > start + 0.15 or end - start < 0.05:
        raise Unmeasured(
            "window_too_short", "The clip shows too little of the movement before its last event."
        )
    return part, end


def _knee_span(events: Events, discipline: Discipline) -> tuple[float, float]:
    if discipline is Discipline.bowling:
        return _event(events, EventName.front_foot_contact), _event(events, EventName.release)
    end = _event(events, EventName.impact)
    if EventName.stride in events:
        return min(events[EventName.stride], end - 0.05), end
    return _event(events, EventName.stance), end


def _need(is_known: NDArray[np.bool_], hidden: str, *, share: float = 0.7) -> NDArray[np.bool_]:
    """Return the mask, or refuse when less than a share of the window is known."""
    if len(is_known) < MIN_WINDOW_SAMPLES or is_known.mean() < share:
        raise Unmeasured("low_coverage", f"{hidden} Film so that the whole body can be seen until the end.")
    return is_known


def _at(motion: Motion, values: Array, t_s: float) -> float:
    """Return a series' value at a time, linear between samples."""
    is_known = np.isfinite(values)
    if not is_known.any():
        return float("nan")
    return float(np.interp(t_s, motion.t_s[is_known], values[is_known]))
