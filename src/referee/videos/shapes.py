"""What a video, its passes and their results are: plain values that every module of the room agrees on.

All instants on a clip are seconds of presentation time from its first frame (``t_s``), never a frame's number times
a rate.
All positions are pixels of the upright picture, x to the right and y down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

__all__ = [
    "KEYPOINTS_SCHEMA",
    "LANDMARKS",
    "BallPoint",
    "BallTrack",
    "CameraView",
    "Capture",
    "Chunk",
    "Discipline",
    "EventName",
    "Evidence",
    "Handedness",
    "Level",
    "Measured",
    "Measurement",
    "MetricCode",
    "MotionEvent",
    "NotMeasurable",
    "PassKind",
    "Pitch",
    "Probe",
    "ReleaseConsistency",
    "ReleasePoint",
    "Report",
    "ReportSection",
    "Segment",
    "Target",
    "Track",
    "VideoFinding",
    "VideoRefused",
    "VideoState",
]

KEYPOINTS_SCHEMA: Final = "referee.video.keypoints/1"
"""Of the ``.npz`` of a pass or a chunk, rows in order of time, n of them, 33 landmarks in BlazePose order each:

``frame`` int32 (n), number in decoding order of the whole clip; ``t_s`` float64 (n); ``xy`` float32 (n, 33, 2);
``confidence`` float32 (n, 33), min(visibility, presence), 0 where nobody was found; ``world`` float32 (n, 33, 3),
metres from the mid-hip; ``presence`` float32 (n), of a person; ``is_corrupt`` bool (n), as the decoder flagged it.

In the deep pass of bowling also ``ball`` float32 (n, 28, 6), spots that may be a ball, by colour and then the best
first: x, y, radius in pixels, roundness, colour (0 red, 1 pink, 2 white), score; score 0 where there is none.
"""

LANDMARKS: Final = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle", "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
"""Names of the 33 landmarks, by index."""


class Discipline(StrEnum):
    """What the athlete does in the clip."""

    batting = "batting"
    bowling = "bowling"
    keeping = "keeping"
    fielding = "fielding"


class Handedness(StrEnum):
    """The hand that bowls, throws, or is lower on the bat's handle."""

    right = "right"
    left = "left"


class CameraView(StrEnum):
    """From where the camera looks at the athlete."""

    side = "side"
    front = "front"
    behind = "behind"
    other = "other"


class VideoState(StrEnum):
    """Where a video's analysis stands. ``done`` is refused by the database unless its results are there."""

    awaiting_upload = "awaiting_upload"
    queued = "queued"
    quick_running = "quick_running"
    quick_done = "quick_done"
    deep_running = "deep_running"
    done = "done"
    failed = "failed"


class PassKind(StrEnum):
    """``quick``: about 150 samples, full model. ``deep``: every frame, heavy model, in chunks."""

    quick = "quick"
    deep = "deep"


class MetricCode(StrEnum):
    """What is measured, by the definitions of the room's README."""

    head_stability = "head_stability"
    balance_drift = "balance_drift"
    front_knee_brace = "front_knee_brace"
    hip_shoulder_timing = "hip_shoulder_timing"
    elbow_drop = "elbow_drop"


class Level(StrEnum):
    """How far from the target: ``low`` is a small deviation."""

    low = "low"
    medium = "medium"
    high = "high"


class EventName(StrEnum):
    """Instants that bound the phases of a movement."""

    stance = "stance"
    backlift = "backlift"
    stride = "stride"
    impact = "impact"
    back_foot_contact = "back_foot_contact"
    front_foot_contact = "front_foot_contact"
    release = "release"
    follow_through = "follow_through"


class VideoRefused(Exception):
    """The clip cannot be analysed.

    Attributes:
        code: For machines: ``empty``, ``not_a_video``, ``no_video_stream``, ``unsupported_format``, ``too_large``,
            ``too_long``, ``cut``, ``timeout``, ``out_of_memory``, ``crashed``.
        reason: One sentence of what happened and one of what to do.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Probe:
    """What a clip's container and packets say, read in a child process without decoding all of it.

    ``frames_count`` counts packets of the picture stream; how many could be decoded is known only after a pass.
    ``problems`` are sentences for people (cut file, no times, odd rate), empty for a sound clip.
    """

    duration_s: float
    frames_count: int
    width_px: int
    height_px: int
    rotation_degrees: int
    codec: str
    pixel_format: str
    container: str
    median_fps: float
    is_variable_rate: bool
    has_audio: bool
    key_frame_times_s: tuple[float, ...]
    size_bytes: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pitch:
    """Where a rectangle of known size on the ground is seen: what turns pixels into metres.

    ``points_px`` are its corners in the picture: top left, top right, bottom left, bottom right. ``across_m`` is the
    length from the first to the second, ``down_m`` from the first to the third: a pitch is 20.12 m from stumps to
    stumps and 3.05 m wide.
    """

    points_px: tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
    across_m: float
    down_m: float


@dataclass(frozen=True, slots=True)
class Capture:
    """What the coach says about a clip. ``capture_fps`` above the clip's own rate means slow motion.

    ``athlete`` is a click (t_s, x_px, y_px) on the person meant, None to choose by score. ``pitch``: None without a
    scale, so speeds of the ball stay in pixels.
    """

    discipline: Discipline
    handedness: Handedness = Handedness.right
    camera_view: CameraView = CameraView.side
    capture_fps: float | None = None
    athlete: tuple[float, float, float] | None = None
    pitch: Pitch | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames from one key frame up to another, analysed by themselves. ``is_action`` ones go first."""

    index: int
    start_s: float
    end_s: float
    frames_count: int
    is_action: bool = False


@dataclass(frozen=True, slots=True)
class Track:
    """What one quick pass or one chunk gave.

    ``keypoints`` are the bytes of ``KEYPOINTS_SCHEMA``; ``provenance`` names runtime, model and decoder with
    versions and SHA-256. The same clip, models and wheel on the same machine give the same bytes.
    """

    kind: PassKind
    chunk_index: int | None
    keypoints: bytes
    decoded_count: int
    corrupt_count: int
    detected_count: int
    people_count: int
    cpu_s: float
    provenance: dict[str, str]


@dataclass(frozen=True, slots=True)
class MotionEvent:
    """An instant of the movement. ``is_edited``: the coach set it, so it is not looked for."""

    name: EventName
    t_s: float
    uncertainty_s: float
    is_edited: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """A frame that shows a value."""

    t_s: float
    frame: int
    value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the clip where a value was beyond its limit."""

    start_s: float
    end_s: float
    worst_value: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric with its 95 % interval. ``is_uncertain``: the interval crosses a limit of the level.

    ``series`` is (t_s, value) for the plots; ``details`` further numbers with the unit in the name.
    """

    code: MetricCode
    value: float
    unit: str
    low: float
    high: float
    level: Level
    is_uncertain: bool
    frames_count: int
    coverage_share: float
    evidence: tuple[Evidence, ...] = ()
    bad_segments: tuple[Segment, ...] = ()
    series: tuple[tuple[float, float], ...] = ()
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotMeasurable:
    """A metric that was not invented. ``reason`` is a sentence for the coach, ``reason_code`` for machines."""

    code: MetricCode
    reason_code: str
    reason: str


@dataclass(frozen=True, slots=True)
class BallPoint:
    """The ball on one frame, pixels of the upright picture."""

    t_s: float
    x_px: float
    y_px: float
    radius_px: float


@dataclass(frozen=True, slots=True)
class ReleasePoint:
    """Where the ball leaves the hand, from the front ankle, in shares of the athlete's height.

    ``across_share``: the way of the ball where the camera looks from the side, else to the right of the picture;
    ``height_share``: up.
    """

    t_s: float
    frame: int
    x_px: float
    y_px: float
    across_share: float
    height_share: float


@dataclass(frozen=True, slots=True)
class ReleaseConsistency:
    """How much the release points of several deliveries differ.

    ``score`` is 100 less the variances across and up, both in (percent of height)², never below 0; ``low`` and
    ``high`` are its 95 % interval. ``across_percent`` and ``height_percent``: standard deviations.
    """

    score: float
    low: float
    high: float
    deliveries_count: int
    across_percent: float
    height_percent: float


@dataclass(frozen=True, slots=True)
class BallTrack:
    """The ball of a delivery, or why it could not be followed.

    Frames are expected from the release until the ball leaves the picture, for 0.4 s at least. ``speed_px_s`` is the
    mean from release to bounce or end, real seconds, with the spread of single steps. ``speed_m_s`` has a 95 %
    interval and needs the coach's pitch; without one ``speed_reason`` says why. ``consistency`` needs three deliveries.
    """

    status: Literal["measured", "insufficient_data"]
    reason_code: str
    reason: str
    frames_expected_count: int
    frames_tracked_count: int
    coverage_share: float
    colour: str = ""
    points: tuple[BallPoint, ...] = ()
    release: ReleasePoint | None = None
    bounce: BallPoint | None = None
    speed_px_s: float | None = None
    speed_spread_px_s: float | None = None
    speed_m_s: float | None = None
    speed_low_m_s: float | None = None
    speed_high_m_s: float | None = None
    speed_reason: str = ""
    consistency: ReleaseConsistency | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything computed from the keypoints of a pass.

    ``legacy_scores``: the five of the earlier system, 0 to 1. ``ball``: of the deep pass of bowling, else None.
    """

    kind: PassKind
    events: tuple[MotionEvent, ...]
    metrics: tuple[Measured | NotMeasurable, ...]
    legacy_scores: dict[str, float | None]
    detection_share: float
    coverage_share: float
    subject_height_px: float | None
    warnings: tuple[str, ...] = ()
    ball: BallTrack | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A coach's limits for a metric, in its unit: up to ``low`` is level low, up to ``high`` medium, beyond it high."""

    code: MetricCode
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class VideoFinding:
    """A fault of technique, with what shows it and what to do. ``severity`` equals the level of its metric."""

    code: str
    metric: MetricCode | None
    title: str
    severity: Level
    is_uncertain: bool
    message: str
    why_it_matters: str
    cues: tuple[str, ...]
    drills: tuple[str, ...]
    confidence_share: float
    worst_frames: tuple[Evidence, ...] = ()
    bad_segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A heading and its paragraphs."""

    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a coach reads. ``wording`` says whether a model rephrased the sentences; it can never add one."""

    text: str
    overall_level: Literal["low", "medium", "high", "not_measurable"]
    sections: tuple[ReportSection, ...]
    top_issues: tuple[str, ...]
    drills: tuple[str, ...]
    one_week_plan: tuple[str, ...]
    reliability_warning: str | None = None
    wording: Literal["rules", "model"] = "rules"
