"""Routes of the earlier coaching system, so that its clients go on: sessions, uploads, jobs, goals, comparison."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from referee.core.errors import Conflict, NotFound
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import CursorParameter, IdempotencyKey, LimitParameter, PrincipalParameter
from referee.foundation.web.openapi_problems import answers_with
from referee.videos import legacy, queries, service
from referee.videos.api import GetEngine, read_video
from referee.videos.comparing import compare_videos
from referee.videos.comparing_api import ComparisonModel
from referee.videos.result_queries import find_results, get_best_results
from referee.videos.room import GetRoom, VideosRoom
from referee.videos.shapes import CameraView, Capture, Discipline, PassKind, Pitch
from referee.videos.tables import VideoRevisionRow, VideoRow

__all__ = ["create_legacy_api"]

SessionType = Literal["batting", "bowling", "fielding", "wicketkeeping", "keeping"]
SessionId = Annotated[UUID, Path(description="Of a session: the id of its video.")]
AnalysisJobId = Annotated[UUID, Path(description="Of a job: the id of its revision.")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")  # clients of that system send more than is needed


class SessionModel(BaseModel):
    """A session: a video under its earlier name."""

    id: UUID
    title: str
    notes: str
    session_type: str
    analysis_context: str
    camera_view: str
    player_ids: list[str]
    file_size_bytes: int
    status: Literal["pending", "uploaded", "processing", "ready", "failed"]
    created_at: str
    uploaded_at: str | None


class SessionPageModel(BaseModel):
    """Sessions, newest first."""

    items: list[SessionModel]
    total_count: int
    next_cursor: str | None


class AnalysisJobModel(BaseModel):
    """A job: a revision of a video's analysis under its earlier name."""

    model_config = ConfigDict(extra="allow")

    id: UUID
    session_id: UUID
    status: str
    stage: str
    progress_pct: float
    error_message: str | None
    missing_artifacts: list[str] = Field(description="What its passes were to give and is not recorded.")
    retryable: bool
    overall_level: str | None
    findings: list[dict[str, Any]] = Field(description="Each with metric, level, message and evidence.")
    report: dict[str, Any] | None = Field(description="With text, overall_level and sections.")


class InitiateModel(_Model):
    """A clip that is to be uploaded."""

    filename: str = Field(max_length=500)
    file_size_bytes: int = Field(ge=1, le=1 << 50)
    title: str = Field(default="", max_length=200)
    notes: str = Field(default="", max_length=10_000)
    session_type: SessionType = "batting"
    camera_view: CameraView = CameraView.side
    player_ids: list[str] = Field(default_factory=list, max_length=20)
    deep_enabled: bool = True


class InitiatedModel(BaseModel):
    """Where to put it."""

    session_id: UUID
    job_id: UUID
    upload_url: str
    method: Literal["PUT"]
    expires_in: int = Field(description="Seconds.")


class CompleteModel(_Model):
    """Says that a clip was sent."""

    session_id: UUID


class CornerModel(_Model):
    """A place in the picture, pixels."""

    x: float = Field(gt=-1e5, lt=1e5, allow_inf_nan=False)
    y: float = Field(gt=-1e5, lt=1e5, allow_inf_nan=False)


class PitchCalibrationModel(_Model):
    """Four corners of the pitch: top left, top right, bottom left, bottom right, and the lengths between them."""

    corners: list[CornerModel] = Field(min_length=4, max_length=4)
    across_m: float = Field(
        default=3.05, gt=0, le=200, allow_inf_nan=False, description="First to second, metres."
    )
    down_m: float = Field(
        default=20.12, gt=0, le=200, allow_inf_nan=False, description="First to third, metres."
    )

    @property
    def value(self) -> Pitch:
        """The pitch it describes."""
        a, b, c, d = ((one.x, one.y) for one in self.corners)
        return Pitch((a, b, c, d), self.across_m, self.down_m)


class BallTrackingModel(BaseModel):
    """The ball of a delivery."""

    status: Literal["measured", "insufficient_data"]
    reason: str | None
    detection_rate_percent: float
    total_frames: int = Field(description="On which the ball is to be seen.")
    frames_with_ball: int
    ball_color: str | None
    release_point: dict[str, Any] | None
    bounce_point: dict[str, Any] | None
    speed_px_per_s: float | None
    speed_m_per_s: float | None
    release_consistency: float | None = Field(description="Over three deliveries or more, else none.")
    deliveries_count: int | None


class JobRequestModel(_Model):
    """Another analysis."""

    deep_enabled: bool = True


class MetricGoalModel(_Model):
    """A score to reach, 0 to 1."""

    code: str = Field(max_length=100)
    target_score: float = Field(ge=0, le=1, allow_inf_nan=False)


class ZoneGoalModel(_Model):
    """A share of balls that are to land in a zone, 0 to 1."""

    zone_id: str = Field(max_length=100)
    target_accuracy: float = Field(ge=0, le=1, allow_inf_nan=False)


class GoalsModel(_Model):
    """Goals of a session. All of one scale: shares from 0 to 1."""

    zones: list[ZoneGoalModel] = Field(default_factory=list, max_length=50)
    metrics: list[MetricGoalModel] = Field(default_factory=list, max_length=50)


class OutcomesModel(BaseModel):
    """How far goals are met; what has no score counts nowhere."""

    zones: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    overall_compliance_pct: float | None


class CompareJobsModel(_Model):
    """Two jobs, the earlier one first."""

    job_ids: list[UUID] = Field(min_length=2, max_length=2)


class StreamModel(BaseModel):
    """Where a clip plays from."""

    url: str


class DeletedModel(BaseModel):
    """How many sessions were deleted."""

    deleted_count: int


def create_legacy_api(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the routes under their earlier addresses."""
    router = APIRouter(prefix=legacy.PREFIX, tags=["videos"])
    _add_sessions(router, room, engine)
    _add_jobs(router, room, engine)
    _add_goals(router, room)
    return router


def _add_sessions(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/sessions")
    async def list_coaching_sessions(
        principal: PrincipalParameter, limit: LimitParameter = DEFAULT_LIMIT, cursor: CursorParameter = None
    ) -> SessionPageModel:
        """List sessions, newest first."""
        async with room().database.reading() as session:
            page = await queries.list_videos(session, principal.project_id, cursor=cursor, limit=limit)
        return SessionPageModel(
            items=[SessionModel(**legacy.describe_session(video)) for video in page.items],
            total_count=page.total_count,
            next_cursor=page.next_cursor,
        )

    # Before the one by id, which would take the word for an id.
    @router.delete("/sessions/bulk")
    async def delete_coaching_sessions(
        principal: PrincipalParameter,
        status: Annotated[Literal["failed", "pending"], Query(description="Which to delete.")] = "failed",
        older_than_days: Annotated[
            float, Query(ge=0, le=36_500, allow_inf_nan=False, description="Days since it was made.")
        ] = 30.0,
    ) -> DeletedModel:
        """Delete sessions that failed, or whose clip never came, and are older; up to 500 at once."""
        principal.require("write")
        state = {"failed": "failed", "pending": "awaiting_upload"}[status]
        oldest = datetime.now(UTC) - timedelta(days=older_than_days)
        conditions = (VideoRevisionRow.state == state, VideoRow.created_at < oldest)
        async with room().database.reading() as session:
            page = await queries.list_videos(session, principal.project_id, conditions=conditions, limit=500)
        for video in page.items:
            await service.delete_video(room(), engine(), principal.project_id, video.video_id)
        return DeletedModel(deleted_count=len(page.items))

    @router.get("/sessions/{coaching_session_id}")
    async def get_coaching_session(
        coaching_session_id: SessionId, principal: PrincipalParameter
    ) -> SessionModel:
        """Return a session."""
        video = await read_video(room(), principal.project_id, coaching_session_id)
        return SessionModel(**legacy.describe_session(video))

    @router.delete("/sessions/{coaching_session_id}", status_code=204)
    async def delete_coaching_session(coaching_session_id: SessionId, principal: PrincipalParameter) -> None:
        """Delete a session with everything that was found in it."""
        principal.require("write")
        await service.delete_video(room(), engine(), principal.project_id, coaching_session_id)

    @router.post("/videos/upload/initiate", status_code=201, responses=answers_with(409, 413, 507))
    async def initiate_upload(
        body: InitiateModel, principal: PrincipalParameter, idempotency_key: IdempotencyKey = None
    ) -> InitiatedModel:
        """Make a session and return the address to put its clip to. Size and quota are checked here."""
        principal.require("write")
        request = _read_request(body, idempotency_key)
        video = await service.create_video(room(), principal.project_id, request)
        upload = await service.open_upload(room(), principal.project_id, video.video_id)
        return InitiatedModel(
            session_id=video.video_id,
            job_id=video.revision.revision_id,
            upload_url=upload.url,
            method="PUT",
            expires_in=int(room().settings.video_upload_ttl_s),
        )

    @router.post("/videos/upload/complete", responses=answers_with(404, 409, 429, 507))
    async def complete_coaching_upload(
        body: CompleteModel, principal: PrincipalParameter
    ) -> AnalysisJobModel:
        """Take a whole clip over and let its analysis wait. Sent again it answers the same."""
        principal.require("write")
        video = await service.complete_upload(room(), engine(), principal.project_id, body.session_id)
        return await _read_job(room(), principal.project_id, video.revision.revision_id)

    @router.post("/sessions/{coaching_session_id}/pitch-calibration")
    async def calibrate_pitch(
        coaching_session_id: SessionId, body: PitchCalibrationModel, principal: PrincipalParameter
    ) -> PitchCalibrationModel:
        """Keep four corners of the pitch in the picture. The next job has speeds in metres."""
        principal.require("write")
        await service.update_video(
            room(), principal.project_id, coaching_session_id, changes={"pitch": body.value}
        )
        return body

    @router.get("/videos/{coaching_session_id}/stream-url", responses=answers_with(409))
    async def get_stream_url(coaching_session_id: SessionId, principal: PrincipalParameter) -> StreamModel:
        """Return where the clip plays from. It takes ranges."""
        video = await read_video(room(), principal.project_id, coaching_session_id)
        if video.original_sha256 is None:
            raise Conflict("video.not_uploaded", "The clip has not come.", "Upload it first.")
        return StreamModel(url=f"/v1/videos/{video.video_id}/files/clip")


def _add_jobs(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/sessions/{coaching_session_id}/analysis-jobs")
    async def list_analysis_jobs(
        coaching_session_id: SessionId,
        principal: PrincipalParameter,
        limit: Annotated[int, Query(ge=1, le=50, description="Jobs in the answer at most.")] = 10,
    ) -> list[AnalysisJobModel]:
        """List the jobs of a session with what they found, newest first."""
        async with room().database.reading() as session:
            video = await queries.get_video(session, principal.project_id, coaching_session_id)
            page = await queries.list_revisions(
                session, principal.project_id, coaching_session_id, limit=limit
            )
            return [AnalysisJobModel(**await legacy.describe_job(session, video, one)) for one in page.items]

    @router.post(
        "/sessions/{coaching_session_id}/analysis-jobs", status_code=202, responses=answers_with(409, 429)
    )
    async def create_analysis_job(
        coaching_session_id: SessionId, body: JobRequestModel, principal: PrincipalParameter
    ) -> AnalysisJobModel:
        """Analyse a session again. What was found before stays in its own job."""
        principal.require("write")
        revision = await service.analyze_again(
            room(), engine(), principal.project_id, coaching_session_id, is_deep=body.deep_enabled
        )
        return await _read_job(room(), principal.project_id, revision.revision_id)

    @router.get("/analysis-jobs/{analysis_job_id}")
    async def get_analysis_job(
        analysis_job_id: AnalysisJobId, principal: PrincipalParameter
    ) -> AnalysisJobModel:
        """Return a job: state, findings, report, addresses of its files, and what is missing."""
        return await _read_job(room(), principal.project_id, analysis_job_id)

    @router.post("/analysis-jobs/{analysis_job_id}/retry", status_code=202, responses=answers_with(409, 429))
    async def retry_analysis_job(
        analysis_job_id: AnalysisJobId, principal: PrincipalParameter
    ) -> AnalysisJobModel:
        """Let a failed job go on where it was."""
        principal.require("write")
        async with room().database.reading() as session:
            revision = await queries.get_revision(session, principal.project_id, analysis_job_id)
        await service.retry(room(), engine(), principal.project_id, revision.video_id)
        return await _read_job(room(), principal.project_id, analysis_job_id)

    @router.get("/analysis-jobs/{analysis_job_id}/ball-tracking", responses=answers_with(404))
    async def get_ball_tracking(
        analysis_job_id: AnalysisJobId, principal: PrincipalParameter
    ) -> BallTrackingModel:
        """Return the ball of a bowling job's deep pass, or why it could not be followed."""
        async with room().database.reading() as session:
            revision = await queries.get_revision(session, principal.project_id, analysis_job_id)
            results = await find_results(session, revision.revision_id, PassKind.deep)
        described = None if results is None else legacy.describe_ball_tracking(results)
        if described is None:
            raise NotFound(
                "video.ball_not_found",
                "The job has no ball: it is followed in the deep pass of bowling.",
                "Wait until the deep pass is finished, or ask for one.",
            )
        return BallTrackingModel(**described)

    @router.post("/analysis-jobs/{analysis_job_id}/export-pdf", responses=answers_with(409))
    async def export_analysis_pdf(
        analysis_job_id: AnalysisJobId, principal: PrincipalParameter
    ) -> StreamModel:
        """Return where the report lies as PDF; it is made with each pass."""
        job = await _read_job(room(), principal.project_id, analysis_job_id)
        url = (job.model_extra or {}).get("pdf_url")
        if url is None:
            raise Conflict(
                "video.report_not_there", "The job has no report.", "Wait until a pass is finished."
            )
        return StreamModel(url=str(url))

    @router.post("/compare-jobs", responses=answers_with(404))
    async def compare_analysis_jobs(body: CompareJobsModel, principal: PrincipalParameter) -> ComparisonModel:
        """Compare the sessions of two jobs, synchronised on an event that both have."""
        async with room().database.reading() as session:
            first, second = [
                await queries.get_revision(session, principal.project_id, one) for one in body.job_ids
            ]
        return ComparisonModel.of(
            await compare_videos(room(), principal.project_id, first.video_id, second.video_id)
        )


def _add_goals(router: APIRouter, room: GetRoom) -> None:
    @router.post("/analysis-jobs/{analysis_job_id}/set-goals")
    async def set_analysis_goals(
        analysis_job_id: AnalysisJobId, body: GoalsModel, principal: PrincipalParameter
    ) -> GoalsModel:
        """Set the goals of a job's session, as shares from 0 to 1."""
        principal.require("write")
        async with room().database.reading() as session:
            revision = await queries.get_revision(session, principal.project_id, analysis_job_id)
        await legacy.put_goals(room(), principal.project_id, revision.video_id, body.model_dump(mode="json"))
        return body

    @router.post("/analysis-jobs/{analysis_job_id}/calculate-compliance")
    async def calculate_compliance(
        analysis_job_id: AnalysisJobId, principal: PrincipalParameter
    ) -> OutcomesModel:
        """Return how far the goals are met."""
        return await _read_outcomes(room(), principal.project_id, analysis_job_id)

    @router.get("/analysis-jobs/{analysis_job_id}/outcomes")
    async def get_analysis_outcomes(
        analysis_job_id: AnalysisJobId, principal: PrincipalParameter
    ) -> OutcomesModel:
        """Return how far the goals are met."""
        return await _read_outcomes(room(), principal.project_id, analysis_job_id)


async def _read_job(room: VideosRoom, project_id: UUID, revision_id: UUID) -> AnalysisJobModel:
    async with room.database.reading() as session:
        revision = await queries.get_revision(session, project_id, revision_id)
        video = await queries.get_video(session, project_id, revision.video_id)
        return AnalysisJobModel(**await legacy.describe_job(session, video, revision))


async def _read_outcomes(room: VideosRoom, project_id: UUID, revision_id: UUID) -> OutcomesModel:
    async with room.database.reading() as session:
        revision = await queries.get_revision(session, project_id, revision_id)
        goals = await legacy.find_goals(session, revision.video_id)
        results = await get_best_results(session, revision)
    return OutcomesModel(**legacy.compute_outcomes(goals, results))


def _read_request(body: InitiateModel, key: str | None) -> service.VideoRequest:
    discipline = Discipline.keeping if body.session_type == "wicketkeeping" else Discipline(body.session_type)
    return service.VideoRequest(
        file_name=body.filename,
        size_bytes=body.file_size_bytes,
        capture=Capture(discipline, camera_view=body.camera_view),
        title=body.title,
        player=", ".join(body.player_ids)[:200],
        notes=body.notes,
        is_deep=body.deep_enabled,
        idempotency_key=key,
    )
