"""From metrics to findings: a fault where a level is medium or high, with what shows it and what to do."""

from __future__ import annotations

from typing import Final

from referee.videos.measuring.advice import ADVICE, RELEASE, UNTRACKED, VISIBILITY, Advice
from referee.videos.shapes import (
    BallTrack,
    CameraView,
    Capture,
    Evidence,
    Level,
    Measured,
    Measurement,
    MetricCode,
    NotMeasurable,
    Probe,
    VideoFinding,
)

__all__ = ["describe_ball", "describe_value", "find_faults"]

MANY_UNMEASURED: Final = 2
"""With more metrics than this not measurable for want of sight, that itself is the finding."""
CONSISTENT_SCORE: Final = 85.0
"""From here on release points are alike; 70 and 50 bound the levels below."""
UNSEEN: Final = ("no_athlete", "low_coverage", "small_subject", "low_frame_rate", "window_too_short")
_ORDER: Final = {Level.high: 0, Level.medium: 1, Level.low: 2}


def find_faults(measurement: Measurement, probe: Probe, capture: Capture) -> tuple[VideoFinding, ...]:
    """Return the faults of technique, the worst first; none when all levels are low.

    A metric that is not measurable is never a fault.
    """
    del probe
    found = [
        _describe_fault(one, measurement, capture)
        for one in measurement.metrics
        if isinstance(one, Measured) and one.level is not Level.low
    ]
    if measurement.ball is not None:
        found += _describe_ball(measurement.ball)
    found.sort(key=lambda one: (_ORDER[one.severity], one.is_uncertain))
    unseen = [one for one in measurement.metrics if isinstance(one, NotMeasurable) and _is_unseen(one)]
    if len(unseen) > MANY_UNMEASURED:
        found.append(_describe_unseen(unseen, measurement))
    return tuple(found)


def _describe_ball(ball: BallTrack) -> list[VideoFinding]:
    """Return what is to be said of the ball: that it was not followed, or that its release points differ."""
    if ball.status == "insufficient_data":
        if ball.reason_code == "not_looked_for":
            return []
        message = f"The ball was followed on {ball.coverage_share:.0%} of its frames. {ball.reason}"
        return [_advise(UNTRACKED, Level.medium, message, confidence_share=1.0)]
    found = ball.consistency
    if found is None or ball.release is None or found.score >= CONSISTENT_SCORE:
        return []
    level = Level.low if found.score >= 70 else Level.medium if found.score >= 50 else Level.high
    is_uncertain = found.low < CONSISTENT_SCORE < found.high
    message = (
        f"Release points of {found.deliveries_count} deliveries differ by {found.across_percent:.1f} % of the height "
        f"across and {found.height_percent:.1f} % up: {found.score:.0f} of 100 "
        f"(95 % interval {found.low:.0f} to {found.high:.0f}), below {CONSISTENT_SCORE:.0f}."
    )
    point = ball.release
    frame = Evidence(point.t_s, point.frame, 100 * point.height_share, "height of the release, % of height")
    return [
        _advise(
            RELEASE, level, message, confidence_share=round(ball.coverage_share, 3),
            is_uncertain=is_uncertain, worst_frames=(frame,),
        )
    ]  # fmt: skip


def _advise(
    advice: Advice,
    level: Level,
    message: str,
    *,
    confidence_share: float,
    is_uncertain: bool = False,
    worst_frames: tuple[Evidence, ...] = (),
) -> VideoFinding:
    return VideoFinding(
        code=advice.code,
        metric=None,
        title=advice.title,
        severity=level,
        is_uncertain=is_uncertain,
        message=message,
        why_it_matters=advice.why_it_matters,
        cues=advice.cues,
        drills=advice.drills,
        confidence_share=confidence_share,
        worst_frames=worst_frames,
    )


def describe_ball(ball: BallTrack) -> tuple[str, ...]:
    """Return sentences about the ball: what was measured with its unit, or why nothing was."""
    if ball.status == "insufficient_data":
        return (f"Insufficient data. {ball.reason}",)
    lines = [
        f"The {ball.colour} ball was followed on {ball.frames_tracked_count} of {ball.frames_expected_count} frames "
        f"({ball.coverage_share:.0%})."
    ]
    if ball.speed_m_s is not None and ball.speed_low_m_s is not None and ball.speed_high_m_s is not None:
        lines.append(
            f"Speed up to the bounce: {ball.speed_m_s:.1f} m/s (95 % interval {ball.speed_low_m_s:.1f} to "
            f"{ball.speed_high_m_s:.1f}), {3.6 * ball.speed_m_s:.0f} km/h."
        )
    elif ball.speed_px_s is not None:
        lines.append(f"Speed in the picture: {ball.speed_px_s:.0f} pixels a second. {ball.speed_reason}")
    if ball.release is not None:
        lines.append(
            f"Release at {ball.release.t_s:.3f} s, {100 * ball.release.height_share:.0f} % of the height above the "
            "front ankle."
        )
    else:
        lines.append("The ball was not seen to leave the bowling hand, so there is no point of release.")
    if ball.bounce is not None:
        lines.append(f"Bounce at {ball.bounce.t_s:.3f} s.")
    found = ball.consistency
    if found is not None:
        lines.append(
            f"Release consistency over {found.deliveries_count} deliveries: {found.score:.0f} of 100 (95 % interval "
            f"{found.low:.0f} to {found.high:.0f})."
        )
    elif ball.release is not None:
        lines.append("Release consistency: insufficient data, it needs three deliveries of the player.")
    return tuple(lines)


def _is_unseen(one: NotMeasurable) -> bool:
    return one.reason_code in UNSEEN or one.reason_code.startswith("no_")


def _describe_fault(one: Measured, measurement: Measurement, capture: Capture) -> VideoFinding:
    advice = ADVICE[one.code]
    doubt = " The interval crosses a limit, so the level is uncertain." if one.is_uncertain else ""
    return VideoFinding(
        code=advice.code,
        metric=one.code,
        title=advice.title,
        severity=one.level,
        is_uncertain=one.is_uncertain,
        message=f"{describe_value(one)}: level {one.level.value}.{doubt}",
        why_it_matters=advice.why_it_matters,
        cues=advice.cues,
        drills=advice.drills,
        confidence_share=_confidence(one, measurement, capture),
        worst_frames=one.evidence,
        bad_segments=one.bad_segments,
    )


def _describe_unseen(unseen: list[NotMeasurable], measurement: Measurement) -> VideoFinding:
    reasons = list(dict.fromkeys(one.reason for one in unseen))
    message = f"{len(unseen)} of {len(measurement.metrics)} metrics cannot be measured. {reasons[0]}"
    return _advise(VISIBILITY, Level.medium, message, confidence_share=1.0)


def describe_value(one: Measured) -> str:
    """Return a value in words: name, number, unit and interval."""
    name = one.code.value.replace("_", " ").capitalize()
    digits = 2 if one.code is MetricCode.elbow_drop else 0 if one.unit in ("ms", "degrees") else 1
    low, high = (f"{value:.{digits}f}" for value in (one.low, one.high))
    return f"{name} {one.value:.{digits}f} {one.unit} (95 % interval {low} to {high})"


def _confidence(one: Measured, measurement: Measurement, capture: Capture) -> float:
    """Return how far a finding can be relied on: detection, coverage of the window, and the camera's view."""
    camera = {CameraView.side: 1.0, CameraView.front: 0.6, CameraView.behind: 0.6, CameraView.other: 0.4}
    share = 0.4 * measurement.detection_share + 0.3 * one.coverage_share + 0.3 * camera[capture.camera_view]
    return round(min(1.0, share) * (0.7 if one.is_uncertain else 1.0), 3)
