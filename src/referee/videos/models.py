"""Videos and what was found in them as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.videos.ball_models import BallModel, PitchModel
from referee.videos.shapes import (
    CameraView,
    Capture,
    Discipline,
    EventName,
    Handedness,
    Level,
    MetricCode,
    MotionEvent,
    PassKind,
    Report,
    Target,
    VideoFinding,
    VideoState,
)
from referee.videos.states import ChunkState, NoteKind, PassState, ProxyState
from referee.videos.targets import Compliance, PlayerTarget
from referee.videos.views import (
    PASS_FILES,
    Metric,
    Note,
    Pass,
    Revision,
    Share,
    Stretch,
    Video,
    VideoResults,
)

__all__ = [
    "AnalysisRequestModel",
    "ChunkModel",
    "CompletionModel",
    "EventModel",
    "EventsModel",
    "NoteModel",
    "NoteRequestModel",
    "PersonModel",
    "ResultsModel",
    "RevisionModel",
    "ShareModel",
    "ShareRequestModel",
    "TargetModel",
    "TargetsModel",
    "UploadModel",
    "UploadStateModel",
    "VideoChangeModel",
    "VideoCreatedModel",
    "VideoModel",
    "VideoRequestModel",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AthleteModel(_Model):
    """A click on the person meant."""

    t_s: float = Field(ge=0, lt=1e6, allow_inf_nan=False)
    x_px: float = Field(ge=0, lt=1e6, allow_inf_nan=False)
    y_px: float = Field(ge=0, lt=1e6, allow_inf_nan=False)

    @property
    def values(self) -> tuple[float, float, float]:
        """Seconds, x and y."""
        return self.t_s, self.x_px, self.y_px


class VideoRequestModel(_Model):
    """A video to make; its clip is put to the address of the answer."""

    file_name: str = Field(max_length=500, description="Name of the clip, for people.", examples=["clip.mp4"])
    size_bytes: int = Field(ge=1, le=1 << 50, description="Bytes of the clip.")
    title: str = Field(default="", max_length=500, description="Empty: the name of the clip.")
    player: str = Field(default="", max_length=500)
    notes: str = Field(default="", max_length=20_000)
    discipline: Discipline
    handedness: Handedness = Handedness.right
    camera_view: CameraView = CameraView.side
    capture_fps: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        allow_inf_nan=False,
        description="Frames a second when it was filmed; above the clip's own rate for slow motion.",
    )
    athlete: AthleteModel | None = None
    media_type: Literal[
        "video/mp4", "video/quicktime", "video/x-msvideo", "video/webm", "video/x-matroska"
    ] = "video/mp4"
    is_deep: bool = Field(default=False, description="Analyse every frame after the quick pass.")

    @property
    def capture(self) -> Capture:
        """What is said of the clip."""
        return Capture(
            self.discipline,
            self.handedness,
            self.camera_view,
            self.capture_fps,
            None if self.athlete is None else self.athlete.values,
        )


class VideoChangeModel(_Model):
    """What to change of a video; the rest stays. Analyse again to use what was changed."""

    title: str | None = Field(default=None, max_length=500)
    player: str | None = Field(default=None, max_length=500)
    notes: str | None = Field(default=None, max_length=20_000)
    discipline: Discipline | None = None
    handedness: Handedness | None = None
    camera_view: CameraView | None = None
    capture_fps: float | None = Field(default=None, gt=0, le=10_000, allow_inf_nan=False)
    athlete: AthleteModel | None = None
    pitch: PitchModel | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """What was sent; capture_fps, athlete and pitch can be set to nothing."""
        sent = self.model_dump(exclude_unset=True)
        nullable = {"capture_fps", "athlete", "pitch"}
        changes = {name: value for name, value in sent.items() if value is not None or name in nullable}
        if self.athlete is not None:
            changes["athlete"] = self.athlete.values
        if self.pitch is not None:
            changes["pitch"] = self.pitch.value
        return changes


class EventModel(_Model):
    """An instant of the movement."""

    name: EventName
    t_s: float = Field(ge=0, lt=1e6, allow_inf_nan=False, description="Seconds from the first frame.")
    uncertainty_s: float = Field(default=0.0, ge=0, lt=1e6, allow_inf_nan=False)
    is_edited: bool = Field(default=True, description="Whether a coach set it.")

    @classmethod
    def of(cls, event: MotionEvent) -> EventModel:
        """Return the shape of an event."""
        return cls(
            name=event.name, t_s=event.t_s, uncertainty_s=event.uncertainty_s, is_edited=event.is_edited
        )

    @property
    def value(self) -> MotionEvent:
        """The event as the coach sets it."""
        return MotionEvent(self.name, self.t_s, self.uncertainty_s, is_edited=True)


class TargetModel(_Model):
    """A coach's limits of a metric, in its unit."""

    code: MetricCode
    low: float = Field(allow_inf_nan=False, description="Level low up to here.")
    high: float = Field(allow_inf_nan=False, description="Level medium up to here, high beyond.")

    @classmethod
    def of(cls, target: Target) -> TargetModel:
        """Return the shape of a target."""
        return cls(code=target.code, low=target.low, high=target.high)

    @property
    def value(self) -> Target:
        """The target."""
        return Target(self.code, self.low, self.high)


class RevisionModel(_Model):
    """One analysis of a video."""

    revision_id: UUID
    video_id: UUID
    number: int = Field(description="Counts up from 1 in a video.")
    state: VideoState
    stage: str = Field(description="What is done now, such as QUICK, DEEP or AGGREGATING.")
    progress_share: float = Field(description="0 to 1.")
    is_deep: bool
    source_revision_id: UUID | None = Field(description="Whose keypoints it computes again from.")
    handedness: Handedness
    discipline: Discipline
    camera_view: CameraView
    edited_events: list[EventModel]
    targets: list[TargetModel]
    reason_code: str
    reason: str = Field(description="Why it failed, and everything that is missing.")
    job_id: UUID | None
    code_version: str
    created_at: datetime
    queued_at: datetime | None
    quick_started_at: datetime | None
    quick_done_at: datetime | None
    deep_started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, revision: Revision) -> RevisionModel:
        """Return the shape of a revision."""
        return cls(
            revision_id=revision.revision_id,
            video_id=revision.video_id,
            number=revision.number,
            state=revision.state,
            stage=revision.stage,
            progress_share=revision.progress_share,
            is_deep=revision.is_deep,
            source_revision_id=revision.source_revision_id,
            handedness=revision.capture.handedness,
            discipline=revision.capture.discipline,
            camera_view=revision.capture.camera_view,
            edited_events=[EventModel.of(one) for one in revision.edited_events],
            targets=[TargetModel.of(one) for one in revision.targets],
            reason_code=revision.reason_code,
            reason=revision.reason,
            job_id=revision.job_id,
            code_version=revision.code_version,
            created_at=revision.created_at,
            queued_at=revision.queued_at,
            quick_started_at=revision.quick_started_at,
            quick_done_at=revision.quick_done_at,
            deep_started_at=revision.deep_started_at,
            finished_at=revision.finished_at,
        )


class ClipModel(_Model):
    """What was read from the file."""

    duration_s: float
    frames_count: int
    width_px: int
    height_px: int
    rotation_degrees: int
    codec: str
    median_fps: float
    is_variable_rate: bool
    has_audio: bool
    problems: list[str] = Field(description="Sentences about a cut or odd file; empty for a sound one.")


class VideoModel(_Model):
    """One clip with the present revision of its analysis."""

    video_id: UUID
    title: str
    player: str
    notes: str
    discipline: Discipline
    handedness: Handedness
    camera_view: CameraView
    capture_fps: float | None
    athlete: AthleteModel | None
    pitch: PitchModel | None = None
    file_name: str
    media_type: str
    size_bytes: int
    sha256: str | None = Field(description="Of the clip, once it has come.")
    uploaded_at: datetime | None
    clip: ClipModel | None
    proxy_state: ProxyState = Field(description="Of the clip that every browser plays.")
    state: VideoState
    overall_level: str | None
    revision: RevisionModel
    created_at: datetime

    @classmethod
    def of(cls, video: Video) -> VideoModel:
        """Return the shape of a video."""
        probe, athlete = video.probe, video.athlete
        names = (
            "duration_s", "frames_count", "width_px", "height_px", "rotation_degrees", "codec", "median_fps",
            "is_variable_rate", "has_audio",
        )  # fmt: skip
        return cls(
            video_id=video.video_id,
            title=video.title,
            player=video.player,
            notes=video.notes,
            discipline=video.discipline,
            handedness=video.handedness,
            camera_view=video.camera_view,
            capture_fps=video.capture_fps,
            athlete=None
            if athlete is None
            else AthleteModel(t_s=athlete[0], x_px=athlete[1], y_px=athlete[2]),
            pitch=None if video.pitch is None else PitchModel.of(video.pitch),
            file_name=video.file_name,
            media_type=video.media_type,
            size_bytes=video.size_bytes,
            sha256=video.original_sha256,
            uploaded_at=video.uploaded_at,
            clip=None
            if probe is None
            else ClipModel(**{name: getattr(probe, name) for name in names}, problems=list(probe.problems)),
            proxy_state=video.proxy_state,
            state=video.state,
            overall_level=video.overall_level,
            revision=RevisionModel.of(video.revision),
            created_at=video.created_at,
        )


class UploadModel(_Model):
    """Where to put a clip."""

    method: Literal["PUT"] = "PUT"
    url: str = Field(description="Path and query on this server; whoever has it may send this one clip.")
    expires_at: datetime
    received_bytes: int = Field(description="Go on here with Content-Range, or send all of it without.")


class VideoCreatedModel(_Model):
    """A video, and where to put its clip; no address for one whose clip has come."""

    video: VideoModel
    upload: UploadModel | None


class UploadStateModel(_Model):
    """How much of a clip has come."""

    received_bytes: int
    size_bytes: int
    is_whole: bool = Field(description="Whether it can be completed.")


class CompletionModel(_Model):
    """Says that all bytes were sent."""

    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-fA-F]{64}$", description="Of the clip; compared with what came."
    )


class AnalysisRequestModel(_Model):
    """Another analysis, as a new revision."""

    is_deep: bool | None = Field(default=None, description="Null: as in the present revision.")
    is_from_start: bool = Field(default=False, description="Estimate the poses anew.")


class EventsModel(_Model):
    """Events that a coach sets; the others are found again."""

    events: list[EventModel] = Field(max_length=20)


class TargetsModel(_Model):
    """The limits of one player in one discipline; an empty player stands for everybody."""

    player: str = Field(default="", max_length=200)
    discipline: Discipline
    targets: list[TargetModel] = Field(max_length=20)

    @classmethod
    def of_all(cls, targets: tuple[PlayerTarget, ...]) -> list[TargetsModel]:
        """Return limits by player and discipline."""
        groups: dict[tuple[str, Discipline], list[TargetModel]] = {}
        for one in targets:
            groups.setdefault((one.player, one.discipline), []).append(TargetModel.of(one.target))
        return [
            cls(player=player, discipline=discipline, targets=limits)
            for (player, discipline), limits in groups.items()
        ]


class ChunkModel(_Model):
    """A stretch of the deep pass."""

    position: int
    start_s: float
    end_s: float
    frames_count: int
    is_action: bool
    state: ChunkState
    attempts_count: int
    done_share: float
    reason: str

    @classmethod
    def of(cls, stretch: Stretch) -> ChunkModel:
        """Return the shape of a chunk."""
        return cls(**{name: getattr(stretch, name) for name in cls.model_fields})


class EvidenceModel(_Model):
    """A frame that shows a value."""

    t_s: float
    frame: int
    value: float
    note: str = ""


class SegmentModel(_Model):
    """A stretch of the clip where a value was beyond its limit."""

    start_s: float
    end_s: float
    worst_value: float


class MetricModel(_Model):
    """A metric: a value with its 95 % interval, or the reason why there is none."""

    code: MetricCode
    value: float | None
    unit: str
    low: float | None = Field(description="Lower end of the 95 % interval.")
    high: float | None = Field(description="Upper end of the 95 % interval.")
    level: Level | None
    is_uncertain: bool = Field(description="Whether the interval crosses a limit of the level.")
    frames_count: int
    coverage_share: float
    reason_code: str = Field(description="Why it is not measurable; empty when it is.")
    reason: str
    evidence: list[EvidenceModel]
    bad_segments: list[SegmentModel]
    details: dict[str, float]

    @classmethod
    def of(cls, metric: Metric) -> MetricModel:
        """Return the shape of a metric."""
        return cls(
            code=MetricCode(metric.code),
            value=metric.value,
            unit=metric.unit,
            low=metric.low,
            high=metric.high,
            level=None if metric.level is None else Level(metric.level),
            is_uncertain=metric.is_uncertain,
            frames_count=metric.frames_count,
            coverage_share=metric.coverage_share,
            reason_code=metric.reason_code,
            reason=metric.reason,
            evidence=metric.detail.get("evidence", []),
            bad_segments=metric.detail.get("bad_segments", []),
            details=metric.detail.get("details", {}),
        )


class VideoFindingModel(_Model):
    """A fault of technique, with what shows it and what to do."""

    code: str
    metric: MetricCode | None
    title: str
    severity: Level
    is_uncertain: bool
    message: str
    why_it_matters: str
    cues: list[str]
    drills: list[str]
    confidence_share: float
    worst_frames: list[EvidenceModel]
    bad_segments: list[SegmentModel]

    @classmethod
    def of(cls, finding: VideoFinding) -> VideoFindingModel:
        """Return the shape of a finding."""
        return cls.model_validate(
            {
                **{name: getattr(finding, name) for name in cls.model_fields},
                "cues": list(finding.cues),
                "drills": list(finding.drills),
                "worst_frames": [
                    EvidenceModel(t_s=one.t_s, frame=one.frame, value=one.value, note=one.note)
                    for one in finding.worst_frames
                ],
                "bad_segments": [
                    SegmentModel(start_s=one.start_s, end_s=one.end_s, worst_value=one.worst_value)
                    for one in finding.bad_segments
                ],
            }
        )


class SectionModel(_Model):
    """A heading and its paragraphs."""

    title: str
    paragraphs: list[str]


class VideoReportModel(_Model):
    """What a coach reads."""

    text: str
    overall_level: str
    sections: list[SectionModel]
    top_issues: list[str]
    drills: list[str]
    one_week_plan: list[str]
    reliability_warning: str | None
    wording: str

    @classmethod
    def of(cls, report: Report) -> VideoReportModel:
        """Return the shape of a report."""
        return cls(
            text=report.text,
            overall_level=report.overall_level,
            sections=[
                SectionModel(title=one.title, paragraphs=list(one.paragraphs)) for one in report.sections
            ],
            top_issues=list(report.top_issues),
            drills=list(report.drills),
            one_week_plan=list(report.one_week_plan),
            reliability_warning=report.reliability_warning,
            wording=report.wording,
        )


class PictureModel(_Model):
    """A frame with the skeleton drawn."""

    t_s: float
    caption: str
    url: str


class ComplianceModel(_Model):
    """How far the goals are met, from 0 to 1; what could not be measured counts nowhere."""

    share: float | None
    shares: dict[str, float | None]

    @classmethod
    def of(cls, compliance: Compliance) -> ComplianceModel:
        """Return the shape of a compliance."""
        return cls(share=compliance.share, shares=dict(compliance.shares))


class ResultsModel(_Model):
    """What one finished pass of a revision found."""

    revision: RevisionModel
    kind: PassKind
    state: PassState
    overall_level: str | None
    events: list[EventModel]
    metrics: list[MetricModel]
    findings: list[VideoFindingModel]
    report: VideoReportModel | None
    compliance: ComplianceModel
    ball: BallModel | None = Field(default=None, description="Of the deep pass of bowling.")
    legacy_scores: dict[str, float | None] = Field(description="The five of the earlier system, 0 to 1.")
    facts: dict[str, Any] = Field(description="Frames, missing seconds, warnings, provenance.")
    files: dict[str, str] = Field(description="Addresses of the pass's artifacts.")
    pictures: list[PictureModel]
    missing_artifacts: list[str]

    @classmethod
    def of(
        cls, revision: Revision, results: VideoResults, compliance: Compliance, missing: tuple[str, ...]
    ) -> ResultsModel:
        """Return the shape of results."""
        done: Pass = results.done
        base = f"/v1/videos/{revision.video_id}/files"
        query = f"?revision={revision.number}&pass={done.kind}"
        return cls(
            revision=RevisionModel.of(revision),
            kind=done.kind,
            state=done.state,
            overall_level=done.overall_level,
            events=[EventModel.of(one) for one in results.events],
            metrics=[MetricModel.of(one) for one in results.metrics],
            findings=[VideoFindingModel.of(one) for one in results.findings],
            report=None if done.report is None else VideoReportModel.of(done.report),
            compliance=ComplianceModel.of(compliance),
            ball=None if done.ball is None else BallModel.of(done.ball),
            legacy_scores=dict(done.legacy_scores),
            facts=dict(done.facts),
            files={name: f"{base}/{name}{query}" for name in PASS_FILES},
            pictures=[
                PictureModel(t_s=one.t_s, caption=one.caption, url=f"{base}/picture-{one.position}{query}")
                for one in results.pictures
            ],
            missing_artifacts=list(missing),
        )


class NoteRequestModel(_Model):
    """A note, or a marker at an instant."""

    text: str = Field(min_length=1, max_length=5_000)
    kind: NoteKind = NoteKind.note
    t_s: float | None = Field(default=None, ge=0, lt=1e6, allow_inf_nan=False)
    tags: list[str] = Field(default_factory=list, max_length=20)


class NoteModel(NoteRequestModel):
    """What a coach wrote."""

    note_id: UUID
    video_id: UUID
    created_at: datetime

    @classmethod
    def of(cls, note: Note) -> NoteModel:
        """Return the shape of a note."""
        return cls(
            note_id=note.note_id,
            video_id=note.video_id,
            kind=note.kind,
            t_s=note.t_s,
            text=note.text,
            tags=list(note.tags),
            created_at=note.created_at,
        )


class ShareRequestModel(_Model):
    """A link to make."""

    valid_days: float = Field(default=14.0, gt=0, le=365, allow_inf_nan=False)


class ShareModel(_Model):
    """A link that shows one video to whoever has it."""

    share_id: UUID
    video_id: UUID
    url: str | None = Field(description="Told once, when it is made.")
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, share: Share, url: str | None = None) -> ShareModel:
        """Return the shape of a share."""
        return cls(
            share_id=share.share_id,
            video_id=share.video_id,
            url=url,
            created_at=share.created_at,
            expires_at=share.expires_at,
            revoked_at=share.revoked_at,
        )


class PersonModel(_Model):
    """A person at an instant, as a box on the upright picture."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float
