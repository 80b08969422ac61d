"""Videos, revisions and what passes gave, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from referee.videos.shapes import (
    BallTrack,
    CameraView,
    Capture,
    Discipline,
    Handedness,
    MotionEvent,
    PassKind,
    Pitch,
    Probe,
    Report,
    Target,
    VideoFinding,
    VideoState,
)
from referee.videos.states import ACTIVE_STATES, ChunkState, NoteKind, PassState, ProxyState

__all__ = [
    "PASS_FILES",
    "Metric",
    "Note",
    "Pass",
    "Picture",
    "Revision",
    "Share",
    "Stretch",
    "Video",
    "VideoResults",
]

PASS_FILES: Mapping[str, tuple[str, str]] = {
    "keypoints": ("application/zip", "keypoints.npz"),
    "overlay": ("application/gzip", "overlay.json.gz"),
    "results": ("application/json", "results.json"),
    "report": ("application/json", "report.json"),
    "pdf": ("application/pdf", "report.pdf"),
}
"""Artifacts that a pass needs to be done: name → media type, name to save it under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One analysis of a video."""

    revision_id: UUID
    project_id: UUID
    video_id: UUID
    number: int
    state: VideoState
    stage: str
    progress_share: float
    is_deep: bool
    source_revision_id: UUID | None
    capture: Capture
    edited_events: tuple[MotionEvent, ...]
    targets: tuple[Target, ...]
    original_sha256: str | None
    code_version: str
    job_id: UUID | None
    reason_code: str
    reason: str
    created_at: datetime
    queued_at: datetime | None
    quick_started_at: datetime | None
    quick_done_at: datetime | None
    deep_started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_active(self) -> bool:
        """Whether it changes by itself."""
        return self.state in ACTIVE_STATES

    @property
    def kinds(self) -> tuple[PassKind, ...]:
        """The passes it was asked for."""
        return (PassKind.quick, PassKind.deep) if self.is_deep else (PassKind.quick,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """One clip with its present revision."""

    video_id: UUID
    sequence: int
    project_id: UUID
    title: str
    player: str
    notes: str
    discipline: Discipline
    handedness: Handedness
    camera_view: CameraView
    capture_fps: float | None
    athlete: tuple[float, float, float] | None
    pitch: Pitch | None
    file_name: str
    media_type: str
    size_bytes: int
    upload_id: UUID | None
    upload_expires_at: datetime | None
    original_sha256: str | None
    uploaded_at: datetime | None
    probe: Probe | None
    proxy_state: ProxyState
    proxy_sha256: str | None
    proxy_reason: str
    created_at: datetime
    revision: Revision
    overall_level: str | None = None
    """Of the best finished pass of the present revision."""

    @property
    def state(self) -> VideoState:
        """That of the present revision."""
        return self.revision.state

    @property
    def capture(self) -> Capture:
        """What the coach says about the clip."""
        return Capture(
            self.discipline, self.handedness, self.camera_view, self.capture_fps, self.athlete, self.pitch
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass of a revision gave, or what there is of it so far."""

    revision_id: UUID
    kind: PassKind
    state: PassState
    artifacts: Mapping[str, str]
    """Name in ``PASS_FILES`` → SHA-256, those that are recorded."""
    report: Report | None
    overall_level: str | None
    findings_count: int | None
    legacy_scores: Mapping[str, float | None]
    facts: Mapping[str, Any]
    ball: BallTrack | None = None
    """Without its points; None: of another discipline, or of the quick pass."""
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A chunk of the deep pass and what became of it."""

    position: int
    start_s: float
    end_s: float
    frames_count: int
    is_action: bool
    state: ChunkState
    attempts_count: int
    done_share: float
    reason: str
    keypoints_sha256: str | None
    facts: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of a pass: a value with its interval, or the reason why there is none."""

    code: str
    value: float | None
    unit: str
    low: float | None
    high: float | None
    level: str | None
    is_uncertain: bool
    frames_count: int
    coverage_share: float
    reason_code: str
    reason: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A frame with the skeleton drawn on it."""

    position: int
    t_s: float
    caption: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoResults:
    """Everything a pass found, read back from its rows."""

    done: Pass
    events: tuple[MotionEvent, ...]
    metrics: tuple[Metric, ...]
    findings: tuple[VideoFinding, ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a coach wrote."""

    note_id: UUID
    video_id: UUID
    kind: NoteKind
    t_s: float | None
    text: str
    tags: tuple[str, ...] = field(default=())
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A link to one video."""

    share_id: UUID
    video_id: UUID
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
