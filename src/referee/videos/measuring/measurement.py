"""Everything measured on a movement: events, metrics with intervals and evidence, or the reason why not.

An interval comes from measuring again on the smoothed motion with as much noise added as the filter took away, events
included, so that an uncertain instant widens what hangs on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from referee.videos.measuring.balls import follow_ball
from referee.videos.measuring.legacy import compute_legacy_scores
from referee.videos.measuring.levels import find_level, find_target, is_beyond
from referee.videos.measuring.metrics import METRICS, UNITS, Raw, Unmeasured
from referee.videos.measuring.motion import Motion, Rows, load_rows, prepare_motion, smooth_motion
from referee.videos.measuring.phases import Events, find_events
from referee.videos.shapes import (
    BallTrack,
    Capture,
    Discipline,
    EventName,
    Evidence,
    Measured,
    Measurement,
    MetricCode,
    MotionEvent,
    NotMeasurable,
    PassKind,
    Probe,
    ReleasePoint,
    Segment,
    Target,
)

__all__ = ["measure"]

DRAWS: Final = 40
MIN_HEIGHT_PX: Final = 150.0
MIN_FPS: Final = 12.0
"""Below this the movement between two samples is unknown."""
SURE_FPS: Final = 25.0
"""Below this, as in a quick pass of some clips, every level is uncertain."""
MIN_COVERAGE: Final = 0.7
BEFORE_S, AFTER_S = 3.5, 0.8
"""Real time around the last event that is measured again for intervals."""
MODEL_ERROR: Final = {MetricCode.front_knee_brace: 5.0}
"""Half of an interval that the pose model alone may be off by, in the metric's unit: angles of joints against a second
model had a median difference of 3 to 6 degrees.
"""
EVENT_ERROR_S: Final = 0.02
"""What events were off by on synthetic movements without noise."""
NOT_FOR: Final = {
    Discipline.keeping: {MetricCode.hip_shoulder_timing, MetricCode.elbow_drop},
    Discipline.fielding: {MetricCode.hip_shoulder_timing, MetricCode.elbow_drop},
}


@dataclass(slots=True)
class _Draws:
    """Values of all repeated measurements."""

    values: dict[MetricCode, list[float]]
    events: dict[EventName, list[float]]


def measure(
    kind: PassKind,
    tracks: Sequence[bytes],
    probe: Probe,
    capture: Capture,
    edited_events: Sequence[MotionEvent] = (),
    targets: Sequence[Target] = (),
    *,
    earlier_releases: Sequence[ReleasePoint] = (),
    seed: int = 0,
) -> Measurement:
    """Return everything that the keypoints of a pass say about the movement.

    Args:
        kind: Pass that the tracks come from.
        tracks: Keypoints (``referee.video.keypoints/1``) of the pass or its chunks, in any order.
        probe: The clip.
        capture: What the coach said about it.
        edited_events: Events the coach set; the others are found.
        targets: The coach's limits.
        earlier_releases: Of other deliveries of the same player, seen from the same side.
        seed: Of the repeated measurements behind the intervals.
    """
    rows = load_rows(tracks)
    motion = prepare_motion(rows, probe, capture)
    has_ball = kind is PassKind.deep and capture.discipline is Discipline.bowling
    if motion is None:
        ball = follow_ball(tracks, None, {}, probe, capture) if has_ball else None
        return _measure_nothing(kind, rows, probe, ball)
    events: Events = {one.name: motion.from_clip(one.t_s) for one in edited_events}
    if motion.fps >= MIN_FPS * 0.98:
        events = find_events(motion, capture.discipline, edited_events)
    draws = _repeat(motion, events, capture.discipline, edited_events, seed)
    measured = tuple(
        _measure_one(code, motion, events, draws, capture.discipline, find_target(code, targets))
        for code in MetricCode
    )
    return Measurement(
        kind=kind,
        events=_describe_events(motion, events, draws, edited_events),
        metrics=measured,
        legacy_scores=compute_legacy_scores(rows, probe),
        detection_share=motion.detection_share,
        coverage_share=motion.coverage_share,
        subject_height_px=float(np.median(motion.height_px)),
        warnings=_warn(motion, probe),
        ball=follow_ball(tracks, motion, events, probe, capture, earlier_releases) if has_ball else None,
    )


def _measure_nothing(kind: PassKind, rows: Rows, probe: Probe, ball: BallTrack | None) -> Measurement:
    reason = (
        "No athlete was seen from shoulders to hips. Film the whole body, larger and in better light, "
        "or point at the athlete."
    )
    return Measurement(
        kind=kind,
        events=(),
        metrics=tuple(NotMeasurable(code, "no_athlete", reason) for code in MetricCode),
        legacy_scores=compute_legacy_scores(rows, probe),
        detection_share=float(rows.is_found.mean()) if len(rows.is_found) else 0.0,
        coverage_share=0.0,
        subject_height_px=None,
        warnings=(reason,),
        ball=ball,
    )


def _measure_one(
    code: MetricCode, motion: Motion, events: Events, draws: _Draws, discipline: Discipline, target: Target
) -> Measured | NotMeasurable:
    try:
        _check(code, motion, discipline)
        raw = METRICS[code](motion, events, discipline)
    except Unmeasured as refused:
        return NotMeasurable(code, refused.code, refused.reason)
    low, high = _interval(code, raw, draws.values[code], motion)
    level = find_level(raw.value, target)
    is_crossing = any(low < limit < high for limit in (target.low, target.high))
    return Measured(
        code=code,
        value=raw.value,
        unit=UNITS[code],
        low=low,
        high=high,
        level=level,
        is_uncertain=is_crossing or motion.fps < SURE_FPS * 0.98,
        frames_count=len(raw.t_s),
        coverage_share=_coverage(motion, raw),
        evidence=_find_evidence(code, motion, raw),
        bad_segments=_find_segments(code, motion, raw, target),
        series=tuple(
            (motion.to_clip(float(t)), float(value)) for t, value in zip(raw.t_s, raw.series, strict=True)
        ),
        details=raw.details,
    )


def _check(code: MetricCode, motion: Motion, discipline: Discipline) -> None:
    if code in NOT_FOR.get(discipline, set()):
        raise Unmeasured("not_for_discipline", f"Not judged in {discipline.value}.")
    height = float(np.median(motion.height_px))
    if height < MIN_HEIGHT_PX:
        raise Unmeasured(
            "small_subject",
            f"The athlete is {height:.0f} pixels tall, fewer than {MIN_HEIGHT_PX:.0f}. Film from nearer or zoom in.",
        )
    if motion.fps < MIN_FPS * 0.98:
        raise Unmeasured(
            "low_frame_rate",
            f"{motion.fps:.0f} frames a second were looked at, fewer than {MIN_FPS:.0f}. "
            "Run the deep pass, or record at a higher rate.",
        )
    if motion.coverage_share < MIN_COVERAGE:
        raise Unmeasured(
            "low_coverage",
            f"The body is seen on {motion.coverage_share:.0%} of the pictures only. Film without anything in between.",
        )


def _repeat(
    motion: Motion, events: Events, discipline: Discipline, edited: Sequence[MotionEvent], seed: int
) -> _Draws:
    draws = _Draws({code: [] for code in MetricCode}, {name: [] for name in EventName})
    last = events.get(EventName.release, events.get(EventName.impact))
    if last is None or motion.fps < MIN_FPS * 0.98:
        return draws
    part = motion.cut(last - BEFORE_S, last + AFTER_S)
    random = np.random.default_rng(seed)
    for _ in range(DRAWS):
        noisy = smooth_motion(
            replace(
                part,
                raw=part.xy + random.normal(size=part.xy.shape) * part.noise_px[:, None],
                raw_world=part.world + random.normal(size=part.world.shape) * part.world_noise[:, None],
            )
        )
        found = find_events(noisy, discipline, edited)
        for name, time in found.items():
            draws.events[name].append(time)
        for code, compute in METRICS.items():
            try:
                draws.values[code].append(compute(noisy, found, discipline).value)
            except Unmeasured:
                continue
    return draws


def _interval(code: MetricCode, raw: Raw, values: list[float], motion: Motion) -> tuple[float, float]:
    """Return the 95 % interval: spread of the repeated measurements around the value, and the model's own error."""
    floor = MODEL_ERROR.get(code, 500 / motion.fps if code is MetricCode.hip_shoulder_timing else 0.0)
    if len(values) >= DRAWS // 4:
        below, middle, above = np.percentile(values, [2.5, 50, 97.5])
        down, up = float(middle - below), float(above - middle)
    else:
        down = up = floor or abs(raw.value)
    low = raw.value - float(np.hypot(down, floor))
    high = raw.value + float(np.hypot(up, floor))
    return (low if code is MetricCode.hip_shoulder_timing else max(0.0, low)), high


def _coverage(motion: Motion, raw: Raw) -> float:
    span = float(raw.t_s[-1] - raw.t_s[0])
    return min(1.0, len(raw.t_s) / max(1.0, span * motion.fps + 1))


def _find_evidence(code: MetricCode, motion: Motion, raw: Raw) -> tuple[Evidence, ...]:
    """Return up to five instants that show the value best, at least 50 ms apart, the strongest first."""
    strength = np.abs(raw.series)
    chosen: list[int] = []
    for index in np.argsort(-strength, kind="stable"):
        if all(abs(raw.t_s[index] - raw.t_s[other]) >= 0.05 for other in chosen):
            chosen.append(int(index))
        if len(chosen) == 5:
            break
    return tuple(
        Evidence(
            t_s=motion.to_clip(float(raw.t_s[index])),
            frame=int(motion.frame[np.abs(motion.t_s - raw.t_s[index]).argmin()]),
            value=float(raw.series[index]),
            note=NOTES[code],
        )
        for index in chosen
    )


NOTES: Final = {
    MetricCode.head_stability: "distance of the head from its straight path",
    MetricCode.balance_drift: "shift of the centre of mass against the feet",
    MetricCode.front_knee_brace: "bend of the front knee since contact",
    MetricCode.hip_shoulder_timing: "speed of the shoulders' turn less that of the hips",
    MetricCode.elbow_drop: "fall of the front elbow since the start",
}


def _find_segments(code: MetricCode, motion: Motion, raw: Raw, target: Target) -> tuple[Segment, ...]:
    """Return the stretches beyond the first limit; those less than 0.1 s apart are one."""
    if code is MetricCode.hip_shoulder_timing:
        return ()
    is_bad = np.array([is_beyond(float(value), target.low, target) for value in raw.series])
    found: list[Segment] = []
    for index in np.flatnonzero(is_bad):
        time, value = motion.to_clip(float(raw.t_s[index])), float(raw.series[index])
        if found and time - found[-1].end_s <= 0.1 * motion.slow_motion + 1 / motion.fps:
            found[-1] = Segment(found[-1].start_s, time, max(found[-1].worst_value, value))
        else:
            found.append(Segment(time, time, value))
    return tuple(found)


def _describe_events(
    motion: Motion, events: Events, draws: _Draws, edited: Sequence[MotionEvent]
) -> tuple[MotionEvent, ...]:
    fixed = {one.name: one for one in edited}
    found = []
    for name, time in sorted(events.items(), key=lambda item: item[1]):
        if name in fixed:
            found.append(replace(fixed[name], is_edited=True))
            continue
        values = draws.events[name]
        spread = (
            float(np.percentile(np.abs(np.array(values) - time), 95)) if len(values) >= DRAWS // 4 else 0.05
        )
        uncertainty = float(np.hypot(np.hypot(spread, EVENT_ERROR_S), 0.5 / motion.fps))
        shown = min(motion.to_clip(time), motion.to_clip(float(motion.t_s[-1])))
        found.append(MotionEvent(name, shown, motion.to_clip(uncertainty)))
    return tuple(found)


def _warn(motion: Motion, probe: Probe) -> tuple[str, ...]:
    warnings = list(probe.problems)
    if motion.detection_share < 0.6:
        warnings.append(f"The athlete was seen on {motion.detection_share:.0%} of the pictures only.")
    if MIN_FPS <= motion.fps < SURE_FPS * 0.98:
        warnings.append(
            f"Only {motion.fps:.0f} pictures a second were looked at, so every level is uncertain."
        )
    if motion.slow_motion > 1:
        warnings.append(
            f"Slow motion: times of the movement are {motion.slow_motion:.2g} times shorter than the clip's."
        )
    return tuple(warnings)
