"""Videos, the revisions of their analysis, what each pass gave, and what coaches add.

A revision is one analysis with its inputs: another discipline, other events or the deep pass make a new one. What
a pass gave is written once: triggers of the migration refuse every later change, and the state ``done`` without
findings, report and verified artifacts.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base
from referee.videos.shapes import CameraView, Discipline, Handedness, Level, MetricCode, PassKind, VideoState
from referee.videos.states import ChunkState, NoteKind, PassState, ProxyState

__all__ = [
    "VideoChunkRow",
    "VideoEventRow",
    "VideoFindingRow",
    "VideoGoalRow",
    "VideoMetricRow",
    "VideoNoteRow",
    "VideoPassRow",
    "VideoPictureRow",
    "VideoRevisionRow",
    "VideoRow",
    "VideoShareRow",
    "VideoTargetRow",
]


def _one_of(column: str, words: type[StrEnum]) -> str:
    listed = ", ".join(f"'{word.value}'" for word in words)
    return f"{column} IN ({listed})"


class VideoRow(Base):
    """One clip: what the coach says about it, its upload, and what was read from the file."""

    __tablename__ = "videos"
    __table_args__ = (
        UniqueConstraint("project_id", "idempotency_key"),
        UniqueConstraint("sequence"),
        Index("ix_videos__project_id_sequence", "project_id", "sequence"),
        Index("ix_videos__project_id_player", "project_id", "player"),
        CheckConstraint(_one_of("discipline", Discipline), name="discipline_known"),
        CheckConstraint(_one_of("handedness", Handedness), name="handedness_known"),
        CheckConstraint(_one_of("camera_view", CameraView), name="camera_view_known"),
        CheckConstraint(_one_of("proxy_state", ProxyState), name="proxy_state_known"),
        CheckConstraint("size_bytes > 0", name="size_positive"),
        CheckConstraint("capture_fps IS NULL OR capture_fps > 0", name="capture_fps_positive"),
        CheckConstraint("(uploaded_at IS NULL) = (original_sha256 IS NULL)", name="upload_whole"),
        CheckConstraint("proxy_state <> 'done' OR proxy_sha256 IS NOT NULL", name="proxy_there"),
    )

    video_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """Order of creation."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    title: Mapped[str]
    player: Mapped[str] = mapped_column(default="", server_default=text("''"))
    notes: Mapped[str] = mapped_column(default="", server_default=text("''"))
    discipline: Mapped[str]
    handedness: Mapped[str]
    camera_view: Mapped[str]
    capture_fps: Mapped[float | None]
    athlete_json: Mapped[list[JsonValue] | None]
    """A click on the person meant: seconds, x and y in pixels; NULL: chosen by score."""
    pitch_json: Mapped[dict[str, JsonValue] | None]
    """Four points of the pitch with their distances; NULL: the ball's speed stays in pixels."""
    file_name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """As announced; the upload is complete with exactly so many."""
    upload_id: Mapped[UUID | None]
    """Of the one upload address that is taken now."""
    upload_expires_at: Mapped[datetime | None]
    original_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    uploaded_at: Mapped[datetime | None]
    probe_json: Mapped[dict[str, JsonValue] | None]
    proxy_state: Mapped[str] = mapped_column(default="none", server_default=text("'none'"))
    proxy_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    """The clip in a form that every browser plays."""
    proxy_reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    revisions_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """The number of the present revision."""
    idempotency_key: Mapped[str | None]
    request_digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class VideoRevisionRow(Base):
    """One analysis of a video, with its inputs."""

    __tablename__ = "video_revisions"
    __table_args__ = (
        UniqueConstraint("video_id", "number"),
        Index("ix_video_revisions__project_id_state", "project_id", "state"),
        Index("ix_video_revisions__job_id", "job_id"),
        CheckConstraint(_one_of("state", VideoState), name="state_known"),
        CheckConstraint("progress_share BETWEEN 0 AND 1", name="progress_range"),
        CheckConstraint(
            "state <> 'failed' OR (reason <> '' AND reason_code <> '')", name="failure_explained"
        ),
        CheckConstraint(
            "state IN ('awaiting_upload', 'failed') OR original_sha256 IS NOT NULL", name="upload_first"
        ),
        CheckConstraint(
            "state <> 'done' OR (progress_share = 1 AND finished_at IS NOT NULL)", name="done_whole"
        ),
    )

    revision_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    video_id: Mapped[UUID] = mapped_column(ForeignKey("videos.video_id", ondelete="CASCADE"))
    number: Mapped[int]
    state: Mapped[str]
    stage: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """What is done now, for people and for clients of the earlier system."""
    progress_share: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    is_deep: Mapped[bool]
    source_revision_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("video_revisions.revision_id", ondelete="CASCADE")
    )
    """The revision whose keypoints this one computes again from; NULL: poses are estimated."""
    capture_json: Mapped[dict[str, JsonValue]]
    edited_events_json: Mapped[list[JsonValue]]
    targets_json: Mapped[list[JsonValue]]
    original_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    code_version: Mapped[str]
    jobs_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Jobs that were submitted for it; part of their keys."""
    job_id: Mapped[UUID | None]
    reason_code: Mapped[str] = mapped_column(default="", server_default=text("''"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    queued_at: Mapped[datetime | None]
    quick_started_at: Mapped[datetime | None]
    quick_done_at: Mapped[datetime | None]
    deep_started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class VideoPassRow(Base):
    """What one pass of a revision gave."""

    __tablename__ = "video_passes"
    __table_args__ = (
        CheckConstraint(_one_of("kind", PassKind), name="kind_known"),
        CheckConstraint(_one_of("state", PassState), name="state_known"),
        CheckConstraint(
            "state <> 'done' OR (keypoints_sha256 IS NOT NULL AND overlay_sha256 IS NOT NULL"
            " AND results_sha256 IS NOT NULL AND report_sha256 IS NOT NULL AND pdf_sha256 IS NOT NULL"
            " AND report_json IS NOT NULL AND findings_count IS NOT NULL AND overall_level IS NOT NULL"
            " AND verified_at IS NOT NULL AND finished_at IS NOT NULL)",
            name="done_whole",
        ),
        CheckConstraint(
            "ball_json IS NULL OR ball_json ->> 'status' IN ('measured', 'insufficient_data')",
            name="ball_known",
        ),
    )

    revision_id: Mapped[UUID] = mapped_column(
        ForeignKey("video_revisions.revision_id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    state: Mapped[str] = mapped_column(default="running", server_default=text("'running'"))
    keypoints_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    overlay_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    """The keypoints in the form that pages draw."""
    results_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    report_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    pdf_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    report_json: Mapped[dict[str, JsonValue] | None]
    overall_level: Mapped[str | None]
    findings_count: Mapped[int | None]
    legacy_scores_json: Mapped[dict[str, JsonValue] | None]
    facts_json: Mapped[dict[str, JsonValue] | None]
    """Frames decoded, corrupt and with a person, seconds that are missing, warnings, provenance."""
    ball_json: Mapped[dict[str, JsonValue] | None]
    """Of the deep pass of bowling, without which it is not done; its points stand in the results."""
    verified_at: Mapped[datetime | None]
    """When all its artifacts were read again, before the transaction that finished it."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class VideoChunkRow(Base):
    """Frames of the deep pass that are analysed by themselves."""

    __tablename__ = "video_chunks"
    __table_args__ = (
        CheckConstraint(_one_of("state", ChunkState), name="state_known"),
        CheckConstraint("state <> 'done' OR keypoints_sha256 IS NOT NULL", name="done_whole"),
        CheckConstraint("state <> 'failed' OR reason <> ''", name="failure_explained"),
        CheckConstraint("end_s >= start_s AND frames_count >= 0", name="span_forward"),
    )

    revision_id: Mapped[UUID] = mapped_column(
        ForeignKey("video_revisions.revision_id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    start_s: Mapped[float]
    end_s: Mapped[float]
    frames_count: Mapped[int]
    is_action: Mapped[bool]
    state: Mapped[str] = mapped_column(default="queued", server_default=text("'queued'"))
    attempts_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    done_share: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    keypoints_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    facts_json: Mapped[dict[str, JsonValue] | None]
    beat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


def _of_pass() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["revision_id", "kind"], ["video_passes.revision_id", "video_passes.kind"], ondelete="CASCADE"
    )


class VideoEventRow(Base):
    """An instant of the movement, as a pass found it or the coach set it."""

    __tablename__ = "video_events"
    __table_args__ = (_of_pass(), CheckConstraint("uncertainty_s >= 0", name="uncertainty_range"))

    revision_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    t_s: Mapped[float]
    uncertainty_s: Mapped[float]
    is_edited: Mapped[bool]


class VideoMetricRow(Base):
    """A metric of a pass: measured with its interval, or the reason why not."""

    __tablename__ = "video_metrics"
    __table_args__ = (
        _of_pass(),
        Index("ix_video_metrics__project_id_code", "project_id", "code"),
        CheckConstraint(_one_of("code", MetricCode), name="code_known"),
        CheckConstraint(f"level IS NULL OR {_one_of('level', Level)}", name="level_known"),
        CheckConstraint(
            "(value IS NULL AND level IS NULL AND reason_code <> '' AND reason <> '')"
            " OR (value IS NOT NULL AND low IS NOT NULL AND high IS NOT NULL AND level IS NOT NULL"
            " AND reason_code = '')",
            name="measured_or_explained",
        ),
    )

    revision_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    position: Mapped[int]
    value: Mapped[float | None]
    unit: Mapped[str] = mapped_column(default="", server_default=text("''"))
    low: Mapped[float | None]
    high: Mapped[float | None]
    level: Mapped[str | None]
    is_uncertain: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    frames_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    coverage_share: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    reason_code: Mapped[str] = mapped_column(default="", server_default=text("''"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    detail_json: Mapped[dict[str, JsonValue]]
    """Evidence, bad segments, further numbers; the series stands in the results."""


class VideoFindingRow(Base):
    """A fault of technique that a pass found."""

    __tablename__ = "video_findings"
    __table_args__ = (
        _of_pass(),
        Index("ix_video_findings__project_id_code", "project_id", "code"),
        CheckConstraint(_one_of("severity", Level), name="severity_known"),
        CheckConstraint("confidence_share BETWEEN 0 AND 1", name="confidence_range"),
    )

    revision_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    code: Mapped[str]
    metric: Mapped[str | None]
    title: Mapped[str]
    severity: Mapped[str]
    is_uncertain: Mapped[bool]
    message: Mapped[str]
    why_it_matters: Mapped[str]
    cues_json: Mapped[list[JsonValue]]
    drills_json: Mapped[list[JsonValue]]
    confidence_share: Mapped[float]
    worst_frames_json: Mapped[list[JsonValue]]
    bad_segments_json: Mapped[list[JsonValue]]


class VideoPictureRow(Base):
    """A frame with the skeleton drawn on it, as JPEG."""

    __tablename__ = "video_pictures"
    __table_args__ = (_of_pass(),)

    revision_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    t_s: Mapped[float]
    caption: Mapped[str]
    sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"))


class VideoTargetRow(Base):
    """A coach's limits of a metric, for one player or for all."""

    __tablename__ = "video_targets"
    __table_args__ = (
        UniqueConstraint("project_id", "player", "discipline", "code"),
        CheckConstraint(_one_of("discipline", Discipline), name="discipline_known"),
        CheckConstraint(_one_of("code", MetricCode), name="code_known"),
    )

    target_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    player: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """Empty: for every player without one of his own."""
    discipline: Mapped[str]
    code: Mapped[str]
    low: Mapped[float]
    high: Mapped[float]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class VideoGoalRow(Base):
    """Goals for a video as clients of the earlier system set them: scores from 0 to 1, and zones."""

    __tablename__ = "video_goals"

    video_id: Mapped[UUID] = mapped_column(
        ForeignKey("videos.video_id", ondelete="CASCADE"), primary_key=True
    )
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    goals_json: Mapped[dict[str, JsonValue]]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class VideoNoteRow(Base):
    """What a coach writes about a video, or about an instant of it."""

    __tablename__ = "video_notes"
    __table_args__ = (
        Index("ix_video_notes__video_id", "video_id", "note_id"),
        CheckConstraint(_one_of("kind", NoteKind), name="kind_known"),
        CheckConstraint("kind = 'note' OR t_s IS NOT NULL", name="marker_at_an_instant"),
        CheckConstraint("t_s IS NULL OR t_s >= 0", name="instant_range"),
    )

    note_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    video_id: Mapped[UUID] = mapped_column(ForeignKey("videos.video_id", ondelete="CASCADE"))
    kind: Mapped[str]
    t_s: Mapped[float | None]
    text: Mapped[str]
    tags_json: Mapped[list[JsonValue]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class VideoShareRow(Base):
    """A link that shows one video to whoever has it, until it expires."""

    __tablename__ = "video_shares"
    __table_args__ = (
        UniqueConstraint("token_digest"),
        Index("ix_video_shares__video_id", "video_id"),
    )

    share_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    video_id: Mapped[UUID] = mapped_column(ForeignKey("videos.video_id", ondelete="CASCADE"))
    token_digest: Mapped[str]
    """SHA-256 of the token; the token itself is told once and kept nowhere."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
