"""Videos as JSON routes: make, upload, analyse, read, remark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from referee.core.errors import InvalidInput
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.jobs import JobEngine
from referee.foundation.web.answers import (
    CursorParameter,
    IdempotencyKey,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter
from referee.foundation.web.openapi_problems import answers_with
from referee.videos import queries, remarks, result_queries, service, targets, uploading
from referee.videos.files import find_revision
from referee.videos.models import (
    AnalysisRequestModel,
    ChunkModel,
    CompletionModel,
    EventsModel,
    NoteModel,
    NoteRequestModel,
    ResultsModel,
    RevisionModel,
    ShareModel,
    ShareRequestModel,
    TargetsModel,
    UploadModel,
    UploadStateModel,
    VideoChangeModel,
    VideoCreatedModel,
    VideoModel,
    VideoRequestModel,
)
from referee.videos.room import GetRoom, VideosRoom
from referee.videos.shapes import PassKind
from referee.videos.views import Video

__all__ = ["GetEngine", "VideoId", "create_api", "read_results", "read_video"]

GetEngine: TypeAlias = Callable[[], JobEngine]
VideoFilter = Annotated[Filter, Depends(filter_parameter(queries.VIDEO_FIELDS))]
_RANGE = re.compile(r"bytes (\d{1,16})-(\d{1,16})/(\d{1,16}|\*)")


async def read_video_id(video_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(video_id, "video")


VideoId = Annotated[UUID, Depends(read_video_id)]
RevisionNumber = Annotated[
    int | None, Query(ge=1, le=1_000_000, description="Of the revision; else the present one.")
]

UploadToken = Annotated[str, Query(max_length=600, description="From the address that was given out.")]


def create_api(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the routes of videos."""
    router = APIRouter(prefix="/v1", tags=["videos"])
    _add_videos(router, room, engine)
    _add_uploads(router, room)
    _add_analyses(router, room, engine)
    _add_remarks(router, room)
    _add_targets(router, room)
    return router


def _add_videos(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/videos")
    async def list_videos(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: VideoFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[VideoModel]:
        """List videos, newest first."""
        async with room().database.reading() as session:
            page = await queries.list_videos(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, VideoModel.of)

    @router.post("/videos", status_code=201, responses=answers_with(409, 413, 507))
    async def create_video(
        body: VideoRequestModel,
        principal: PrincipalParameter,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> VideoCreatedModel:
        """Make a video and return the address to put its clip to. Size, quota and disk are checked here."""
        principal.require("write")
        video = await service.create_video(room(), principal.project_id, _read_request(body, idempotency_key))
        response.headers["Location"] = f"/v1/videos/{video.video_id}"
        upload = None
        if video.upload_id is not None:
            upload = _show_upload(await service.open_upload(room(), principal.project_id, video.video_id))
        return VideoCreatedModel(video=VideoModel.of(video), upload=upload)

    @router.get("/videos/{video_id}")
    async def get_video(video_id: VideoId, principal: PrincipalParameter) -> VideoModel:
        """Return a video with the present revision of its analysis."""
        return VideoModel.of(await read_video(room(), principal.project_id, video_id))

    @router.patch("/videos/{video_id}")
    async def change_video(
        video_id: VideoId, body: VideoChangeModel, principal: PrincipalParameter
    ) -> VideoModel:
        """Change what is said of a video. Analyse again to use it."""
        principal.require("write")
        return VideoModel.of(
            await service.update_video(room(), principal.project_id, video_id, changes=body.changes)
        )

    @router.delete("/videos/{video_id}", status_code=204)
    async def delete_video(video_id: VideoId, principal: PrincipalParameter) -> None:
        """Delete a video with everything that was found in it."""
        principal.require("write")
        await service.delete_video(room(), engine(), principal.project_id, video_id)

    @router.post("/videos/{video_id}/upload", responses=answers_with(409))
    async def open_upload(video_id: VideoId, principal: PrincipalParameter) -> UploadModel:
        """Return a fresh address for a clip that has not come; earlier ones end."""
        principal.require("write")
        return _show_upload(await service.open_upload(room(), principal.project_id, video_id))

    @router.post("/videos/{video_id}/complete", responses=answers_with(409, 429, 507))
    async def complete_upload(
        video_id: VideoId, body: CompletionModel, principal: PrincipalParameter
    ) -> VideoModel:
        """Take a whole clip over and let its analysis wait. Sent again it answers the same."""
        principal.require("write")
        return VideoModel.of(
            await service.complete_upload(
                room(), engine(), principal.project_id, video_id, sha256=body.sha256
            )
        )


def _add_uploads(router: APIRouter, room: GetRoom) -> None:
    path = uploading.UPLOADS_PATH.removeprefix("/v1")

    @router.put(
        path,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
        responses=answers_with(403, 409, 413, 507),
    )
    async def put_upload(request: Request, token: UploadToken) -> UploadStateModel:
        """Write bytes of a clip: all of them, or with Content-Range a piece that goes on where the last ended.

        The signed address is the right to send; no key is asked for. What has come stays when a request is cut.
        """
        claim = uploading.read_claim(room().settings, token)
        start = _read_start(request, claim.size_bytes)
        received_bytes = await uploading.receive(room(), claim, request.stream(), start=start)
        return _show_received(received_bytes, claim.size_bytes)

    @router.get(path, responses=answers_with(403))
    async def get_upload(token: UploadToken) -> UploadStateModel:
        """Return how much of a clip has come."""
        claim = uploading.read_claim(room().settings, token)
        return _show_received(uploading.count_received(room().settings, claim.video_id), claim.size_bytes)


def _add_analyses(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/videos/{video_id}/revisions")
    async def list_video_revisions(
        request: Request,
        response: Response,
        video_id: VideoId,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[RevisionModel]:
        """List the analyses of a video, newest first."""
        async with room().database.reading() as session:
            page = await queries.list_revisions(
                session, principal.project_id, video_id, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, RevisionModel.of)

    @router.post("/videos/{video_id}/revisions", status_code=202, responses=answers_with(409, 429))
    async def analyze_video_again(
        video_id: VideoId, body: AnalysisRequestModel, principal: PrincipalParameter
    ) -> RevisionModel:
        """Analyse again as a new revision; earlier ones stay. Keypoints are used again where they can be."""
        principal.require("write")
        revision = await service.analyze_again(
            room(),
            engine(),
            principal.project_id,
            video_id,
            is_deep=body.is_deep,
            is_from_start=body.is_from_start,
        )
        return RevisionModel.of(revision)

    @router.put("/videos/{video_id}/events", status_code=202, responses=answers_with(409, 429))
    async def put_video_events(
        video_id: VideoId, body: EventsModel, principal: PrincipalParameter
    ) -> RevisionModel:
        """Set events as a coach sees them and compute again, as a new revision without a new pose run."""
        principal.require("write")
        events = [event.value for event in body.events]
        return RevisionModel.of(
            await service.analyze_again(
                room(), engine(), principal.project_id, video_id, edited_events=events
            )
        )

    @router.post("/videos/{video_id}/retry", status_code=202, responses=answers_with(409, 429))
    async def retry_video(video_id: VideoId, principal: PrincipalParameter) -> RevisionModel:
        """Let a failed analysis go on where it was; finished passes and chunks are kept."""
        principal.require("write")
        return RevisionModel.of(await service.retry(room(), engine(), principal.project_id, video_id))

    @router.get("/videos/{video_id}/chunks")
    async def list_video_chunks(
        request: Request,
        response: Response,
        video_id: VideoId,
        principal: PrincipalParameter,
        revision: RevisionNumber = None,
        limit: LimitParameter = DEFAULT_LIMIT,
    ) -> PageModel[ChunkModel]:
        """List the stretches of the deep pass with what became of them, the first ones in order of time."""
        video = await read_video(room(), principal.project_id, video_id)
        found = await find_revision(room(), video, revision)
        async with room().database.reading() as session:
            chunks = await result_queries.list_stretches(session, found.revision_id)
        page = Page(tuple(chunks[:limit]), len(chunks), limit, None)
        return answer_page(request, response, page, ChunkModel.of)

    @router.get("/videos/{video_id}/results/{pass_kind}")
    async def get_video_results(
        video_id: VideoId,
        pass_kind: Annotated[PassKind, Path(description="quick or deep.")],
        principal: PrincipalParameter,
        revision: RevisionNumber = None,
    ) -> ResultsModel:
        """Return metrics with intervals, findings with evidence, and the report of a finished pass."""
        video = await read_video(room(), principal.project_id, video_id)
        return await read_results(room(), video, pass_kind, revision)


def _add_remarks(router: APIRouter, room: GetRoom) -> None:
    @router.get("/videos/{video_id}/notes")
    async def list_video_notes(
        request: Request,
        response: Response,
        video_id: VideoId,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[NoteModel]:
        """List notes and markers on a video, newest first."""
        async with room().database.reading() as session:
            page = await remarks.list_notes(
                session, principal.project_id, video_id, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, NoteModel.of)

    @router.post("/videos/{video_id}/notes", status_code=201)
    async def create_video_note(
        video_id: VideoId, body: NoteRequestModel, principal: PrincipalParameter
    ) -> NoteModel:
        """Write a note on a video, or mark an instant of it."""
        principal.require("write")
        return NoteModel.of(
            await remarks.create_note(
                room(),
                principal.project_id,
                video_id,
                text=body.text,
                kind=body.kind,
                t_s=body.t_s,
                tags=body.tags,
            )
        )

    @router.delete("/videos/{video_id}/notes/{note_id}", status_code=204)
    async def delete_video_note(video_id: VideoId, note_id: UUID, principal: PrincipalParameter) -> None:
        """Remove a note."""
        principal.require("write")
        await remarks.delete_note(room(), principal.project_id, video_id, note_id)

    @router.get("/videos/{video_id}/shares")
    async def list_video_shares(
        request: Request, response: Response, video_id: VideoId, principal: PrincipalParameter
    ) -> PageModel[ShareModel]:
        """List the links of a video that are not withdrawn. Their addresses are told when they are made."""
        async with room().database.reading() as session:
            shares = await remarks.list_shares(session, principal.project_id, video_id)
        page = Page(shares, len(shares), remarks.MAX_SHARES_COUNT, None)
        return answer_page(request, response, page, ShareModel.of)

    @router.post("/videos/{video_id}/shares", status_code=201)
    async def create_video_share(
        video_id: VideoId, body: ShareRequestModel, principal: PrincipalParameter
    ) -> ShareModel:
        """Make a link that shows a video to whoever has it, until it expires."""
        principal.require("write")
        share, url = await remarks.create_share(
            room(), principal.project_id, video_id, valid_days=body.valid_days
        )
        return ShareModel.of(share, url)

    @router.delete("/videos/{video_id}/shares/{share_id}", status_code=204)
    async def revoke_video_share(video_id: VideoId, share_id: UUID, principal: PrincipalParameter) -> None:
        """Withdraw a link."""
        principal.require("write")
        await remarks.revoke_share(room(), principal.project_id, video_id, share_id)


def _add_targets(router: APIRouter, room: GetRoom) -> None:
    @router.get("/video-targets")
    async def list_video_targets(
        principal: PrincipalParameter,
        player: Annotated[str | None, Query(max_length=200, description="Only of this player.")] = None,
    ) -> list[TargetsModel]:
        """Return coaches' limits of metrics, by player and discipline."""
        async with room().database.reading() as session:
            found = await targets.list_targets(session, principal.project_id, player=player)
        return TargetsModel.of_all(found)

    @router.put("/video-targets")
    async def put_video_targets(body: TargetsModel, principal: PrincipalParameter) -> TargetsModel:
        """Replace the limits of a player in a discipline; analyses from now on use them."""
        principal.require("write")
        stored = await targets.put_targets(
            room(), principal.project_id, body.player, body.discipline, [one.value for one in body.targets]
        )
        mine = tuple(one for one in stored if one.discipline == body.discipline)
        found = TargetsModel.of_all(mine)
        return found[0] if found else TargetsModel(player=body.player, discipline=body.discipline, targets=[])


async def read_video(room: VideosRoom, project_id: UUID, video_id: UUID) -> Video:
    """Return a video, for route and page."""
    async with room.database.reading() as session:
        return await queries.get_video(session, project_id, video_id)


async def read_results(room: VideosRoom, video: Video, kind: PassKind, number: int | None) -> ResultsModel:
    """Return what a pass found, with the compliance and what is missing, for route and page.

    Raises:
        NotFound: There is no such revision, or the pass is not finished.
    """
    revision = await find_revision(room, video, number)
    async with room.database.reading() as session:
        results = await result_queries.get_results(session, revision, kind)
        passes = await result_queries.list_passes(session, revision.revision_id)
    compliance = targets.compute_compliance(revision.targets, results.metrics)
    return ResultsModel.of(revision, results, compliance, result_queries.find_missing(revision, passes))


def _read_request(body: VideoRequestModel, key: str | None) -> service.VideoRequest:
    return service.VideoRequest(
        file_name=body.file_name,
        size_bytes=body.size_bytes,
        capture=body.capture,
        title=body.title,
        player=body.player,
        notes=body.notes,
        media_type=body.media_type,
        is_deep=body.is_deep,
        idempotency_key=key,
    )


def _read_start(request: Request, size_bytes: int) -> int | None:
    header = request.headers.get("content-range")
    if header is None:
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.group(3) not in ("*", str(size_bytes)):
        raise InvalidInput(
            "video.content_range_invalid",
            f"{header[:80]!r} is not a range of this clip.",
            f"Write it as 'bytes 0-8388607/{size_bytes}'.",
        )
    return int(match.group(1))


def _show_received(received_bytes: int, size_bytes: int) -> UploadStateModel:
    return UploadStateModel(
        received_bytes=received_bytes, size_bytes=size_bytes, is_whole=received_bytes == size_bytes
    )


def _show_upload(upload: service.Upload) -> UploadModel:
    return UploadModel(url=upload.url, expires_at=upload.expires_at, received_bytes=upload.received_bytes)
