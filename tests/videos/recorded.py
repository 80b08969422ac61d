"""What a pass gives, without a camera: small, whole, and the same each time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from referee.videos.dumping import dump
from referee.videos.outcomes import Outcome
from referee.videos.service import VideoRequest
from referee.videos.shapes import (
    BallTrack,
    Capture,
    Discipline,
    EventName,
    Evidence,
    Level,
    Measured,
    Measurement,
    MetricCode,
    MotionEvent,
    NotMeasurable,
    PassKind,
    Probe,
    Report,
    ReportSection,
    VideoFinding,
)

CLIP = b"\0clip of certain bytes" * 500
BALL = BallTrack("insufficient_data", "no_ball", "No ball was seen. Film it nearer.", 24, 0, 0.0)
PROBE = Probe(4.0, 120, 1280, 720, 0, "h264", "yuv420p", "mov", 30.0, False, True, (0.0, 2.0), len(CLIP))


def request_of(size_bytes: int, **changes: Any) -> VideoRequest:
    """Return a request for a clip."""
    asked = VideoRequest(file_name="clip.mp4", size_bytes=size_bytes, capture=Capture(Discipline.bowling))
    return replace(asked, **changes)


def outcome_of(kind: PassKind = PassKind.quick, *, value: float = 31.5) -> Outcome:
    """Return what a pass might have found."""
    measurement = Measurement(
        kind=kind,
        events=(MotionEvent(EventName.front_foot_contact, 1.2, 0.02), MotionEvent(EventName.release, 1.4, 0.01)),
        metrics=(
            Measured(
                MetricCode.front_knee_brace, value, "°", value - 4, value + 4, Level.high, False, 60, 0.95,
                evidence=(Evidence(1.3, 39, value),), series=((1.2, 170.0), (1.3, 140.0)),
                details={"at_contact_deg": 170.0},
            ),
            NotMeasurable(MetricCode.hip_shoulder_timing, "rate_too_low", "It has 30 frames a second; 50 are needed."),
        ),
        legacy_scores={"front_knee_brace_score": 0.4, "elbow_drop_score": None},
        detection_share=0.98,
        coverage_share=0.95,
        subject_height_px=420.0,
        warnings=("The camera moves.",),
        ball=BALL if kind is PassKind.deep else None,
    )  # fmt: skip
    finding = VideoFinding(
        "KNEE_COLLAPSE", MetricCode.front_knee_brace, "The front knee bends", Level.high, False,
        f"It bends by {value:.0f}° after contact.", "Speed is lost.", ("Brace",), ("Step-ups",), 0.8,
        worst_frames=(Evidence(1.3, 39, value),),
    )  # fmt: skip
    report = Report(
        "The front knee bends.", "high", (ReportSection("Knee", ("It bends.",)),), ("The front knee bends",),
        ("Step-ups",), ("Day 1: step-ups",),
    )  # fmt: skip
    results = {"measurement": dump(measurement), "findings": [dump(finding)], "report": dump(report)}
    files = {name: f"\0{kind} {name} {value}".encode() for name in ("keypoints", "overlay", "report", "pdf")}
    return Outcome(
        measurement=measurement,
        findings=(finding,),
        report=report,
        files={**files, "results": json.dumps(results).encode()},
        pictures=((1.3, "The front knee bends", b"\xff\xd8\0picture"),),
        facts={"decoded_count": 120, "missing_segments": [], "provenance": {"model": "full"}},
    )
