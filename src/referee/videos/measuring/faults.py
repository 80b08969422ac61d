"""From metrics to findings: a fault where a level is medium or high, with what shows it and what to do."""

from __future__ import annotations

from typing import Final

from referee.videos.measuring.advice import ADVICE, VISIBILITY
from referee.videos.shapes import (
    CameraView,
    Capture,
    Level,
    Measured,
    Measurement,
    MetricCode,
    NotMeasurable,
    Probe,
    VideoFinding,
)

__all__ = ["describe_value", "find_faults"]

MANY_UNMEASURED: Final = 2
"""With more metrics than this not measurable for want of sight, that itself is the finding."""
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
    found.sort(key=lambda one: (_ORDER[one.severity], one.is_uncertain))
    unseen = [one for one in measurement.metrics if isinstance(one, NotMeasurable) and _is_unseen(one)]
    if len(unseen) > MANY_UNMEASURED:
        found.append(_describe_unseen(unseen, measurement))
    return tuple(found)


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
    return VideoFinding(
        code=VISIBILITY.code,
        metric=None,
        title=VISIBILITY.title,
        severity=Level.medium,
        is_uncertain=False,
        message=f"{len(unseen)} of {len(measurement.metrics)} metrics cannot be measured. {reasons[0]}",
        why_it_matters=VISIBILITY.why_it_matters,
        cues=VISIBILITY.cues,
        drills=VISIBILITY.drills,
        confidence_share=1.0,
    )


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
