"""Verbs of videos: make, upload, complete, change, analyse again, retry, delete."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee import __version__
from referee.core.errors import Conflict
from referee.core.ids import new_id
from referee.foundation.jobs import JobEngine
from referee.foundation.store import record_artifacts
from referee.videos.dumping import dump
from referee.videos.queries import get_revision, get_video
from referee.videos.requests import (
    VideoRequest,
    check_capture,
    check_events,
    check_size,
    check_words,
    describe_request,
    insert_video,
    tell,
)
from referee.videos.room import VideosRoom
from referee.videos.shapes import MotionEvent, Target, VideoState
from referee.videos.states import ACTIVE_STATES
from referee.videos.tables import VideoChunkRow, VideoRevisionRow, VideoRow
from referee.videos.targets import find_targets
from referee.videos.uploading import (
    check_room_on_disk,
    count_received,
    hold_file,
    remove_upload,
    sign_upload,
    upload_path,
)
from referee.videos.views import Revision, Video

__all__ = [
    "ANALYZE",
    "Upload",
    "VideoRequest",
    "add_file",
    "analyze_again",
    "complete_upload",
    "create_video",
    "delete_video",
    "open_upload",
    "retry",
    "tell",
    "update_video",
]

ANALYZE: Final = "videos.analyze"
"""Kind of the job that carries a revision out."""
_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """Where to put a clip."""

    url: str
    """Path and query on this server."""
    expires_at: datetime
    received_bytes: int
    """Where to go on."""


async def create_video(room: VideosRoom, project_id: UUID, request: VideoRequest) -> Video:
    """Make a video that waits for its upload. The same idempotency key with the same request is the same video.

    Raises:
        InvalidInput: A text is too long, or a number out of range.
        PayloadTooLarge: The clip is larger than one may be, or than what is left of the project's quota.
        StorageFull: The disk could not hold it.
        Conflict: The idempotency key was used for another request.
    """
    check_size(room, request.size_bytes)
    await asyncio.to_thread(check_room_on_disk, room.settings, request.size_bytes)
    async with room.database.transaction() as session:
        video_id = await insert_video(session, room, project_id, request)
        return await get_video(session, project_id, video_id)


async def open_upload(room: VideosRoom, project_id: UUID, video_id: UUID) -> Upload:
    """Return a fresh address for a clip that waits; earlier ones are not taken any more.

    Raises:
        NotFound: The project has no such video.
        Conflict: The upload is complete, or was given up.
    """
    upload_id = new_id()
    expires_at = datetime.now(UTC) + timedelta(seconds=room.settings.video_upload_ttl_s)
    async with room.database.transaction() as session:
        video = await get_video(session, project_id, video_id)
        changed = await session.scalar(
            update(VideoRow)
            .where(
                VideoRow.video_id == video_id, VideoRow.uploaded_at.is_(None), VideoRow.upload_id.is_not(None)
            )
            .values(upload_id=upload_id, upload_expires_at=expires_at)
            .returning(VideoRow.video_id)
        )
        if changed is None:
            raise Conflict(
                "video.upload_closed",
                f"The video is {video.state}, and takes no upload.",
                "Make another video for another file.",
            )
    url = sign_upload(
        room.settings,
        video_id=video_id,
        upload_id=upload_id,
        size_bytes=video.size_bytes,
        expires_at=expires_at,
    )
    return Upload(url, expires_at, count_received(room.settings, video_id))


async def complete_upload(
    room: VideosRoom, engine: JobEngine, project_id: UUID, video_id: UUID, *, sha256: str | None = None
) -> Video:
    """Take a whole clip over and let its analysis wait. Sent again it answers the same.

    Raises:
        NotFound: The project has no such video.
        Conflict: Bytes are missing, somebody writes, or the checksum is another one.
        TooManyRequests: Too many analyses wait.
    """
    async with room.database.reading() as session:
        video = await get_video(session, project_id, video_id)
    if video.uploaded_at is not None:
        return _same(video, sha256)
    if video.upload_id is None or count_received(room.settings, video_id) != video.size_bytes:
        raise Conflict(
            "video.upload_incomplete",
            f"{count_received(room.settings, video_id):,} of {video.size_bytes:,} bytes have come.",
            "Send the rest, then complete it.",
            received_bytes=count_received(room.settings, video_id),
        )
    with hold_file(room.settings, video_id) as descriptor:
        found = await asyncio.to_thread(_digest, descriptor)
        if sha256 is not None and found != sha256.lower():
            raise _checksum_differs(found)
        artifact = await room.artifacts.adopt_file(
            upload_path(room.settings, video_id), found, video.media_type
        )
        async with room.database.transaction() as session:
            await record_artifacts(session, [artifact])
            await _take_over(session, engine, project_id, video_id, found)
            completed = await get_video(session, project_id, video_id)
        remove_upload(room.settings, video_id)
    _logger.info("video.uploaded", video_id=str(video_id), sha256=found, size_bytes=artifact.size_bytes)
    return completed


async def add_file(
    room: VideosRoom, engine: JobEngine, project_id: UUID, path: Path, request: VideoRequest
) -> Video:
    """Make a video of a file on this machine: the same file with the same words is the same video.

    Raises:
        NotFound: It cannot be read.
        InvalidInput: A text is too long, or a number out of range.
        PayloadTooLarge: The clip is larger than one may be, or than what is left of the quota.
        StorageFull: There is no room for a copy.
    """
    check_size(room, request.size_bytes)
    artifact = await room.artifacts.put_file(path, request.media_type)
    key = hashlib.sha256(json.dumps([artifact.sha256, describe_request(request)], sort_keys=True).encode())
    request = replace(request, idempotency_key=f"file:{key.hexdigest()}", size_bytes=artifact.size_bytes)
    async with room.database.transaction() as session:
        video_id = await insert_video(session, room, project_id, request)
        video = await get_video(session, project_id, video_id)
        if video.uploaded_at is None:
            await record_artifacts(session, [artifact])
            await _take_over(session, engine, project_id, video_id, artifact.sha256)
        return await get_video(session, project_id, video_id)


async def update_video(
    room: VideosRoom, project_id: UUID, video_id: UUID, *, changes: dict[str, Any]
) -> Video:
    """Change words of a video: title, player, notes and what is said of the capture.

    The present revision keeps what it was asked with; analyse again to use what was changed.

    Raises:
        NotFound: The project has no such video.
        InvalidInput: A text is too long, or a number out of range.
    """
    values = dict(changes)
    check_words(str(values.get("title", "x")), str(values.get("player", "")), str(values.get("notes", "")))
    if "athlete" in values:
        athlete = values.pop("athlete")
        values["athlete_json"] = None if athlete is None else list(athlete)
    if "pitch" in values:
        pitch = values.pop("pitch")
        values["pitch_json"] = None if pitch is None else dump(pitch)
    async with room.database.transaction() as session:
        video = await get_video(session, project_id, video_id)
        check_capture(
            replace(
                video.capture,
                capture_fps=values.get("capture_fps", video.capture_fps),
                athlete=changes.get("athlete", video.athlete),
                pitch=changes.get("pitch", video.pitch),
            )
        )
        if values:
            await session.execute(update(VideoRow).where(VideoRow.video_id == video_id).values(**values))
            await tell(session, project_id, video_id)
        return await get_video(session, project_id, video_id)


async def analyze_again(
    room: VideosRoom,
    engine: JobEngine,
    project_id: UUID,
    video_id: UUID,
    *,
    is_deep: bool | None = None,
    edited_events: Sequence[MotionEvent] | None = None,
    is_from_start: bool = False,
) -> Revision:
    """Make a new revision of a video's analysis, and let it wait. Earlier revisions stay as they are.

    Keypoints of the present revision are used again, unless another athlete is meant or the poses are to be
    estimated from the start; so other events, targets or words cost no new pose run.

    Args:
        room: Whose video.
        engine: Takes the job.
        project_id: Whose video.
        video_id: Which.
        is_deep: Whether the deep pass is wanted; None: as in the present revision.
        edited_events: Those that the coach set; None: as in the present revision.
        is_from_start: Estimate the poses anew.

    Raises:
        NotFound: The project has no such video.
        InvalidInput: An event is not on the clip, or named twice.
        Conflict: The clip has not come, or an analysis is under way.
        TooManyRequests: Too many analyses wait.
    """
    async with room.database.transaction() as session:
        await session.execute(
            select(VideoRow.video_id).where(VideoRow.video_id == video_id).with_for_update()
        )
        video = await get_video(session, project_id, video_id)
        present = video.revision
        if video.uploaded_at is None:
            raise Conflict(
                "video.not_uploaded", "The clip has not come.", "Upload it; then it is analysed by itself."
            )
        if present.state in ACTIVE_STATES:
            raise Conflict(
                "video.analysis_active", f"The analysis is {present.state}.", "Wait until it has ended."
            )
        events = present.edited_events if edited_events is None else tuple(edited_events)
        check_events(video, events)
        is_usable = not is_from_start and present.capture.athlete == video.athlete
        revision_id = await _insert_revision(
            session,
            video,
            number=present.number + 1,
            is_deep=present.is_deep if is_deep is None else is_deep,
            events=events,
            source_revision_id=present.revision_id if is_usable else None,
        )
        await _submit(session, engine, project_id, video_id, revision_id)
        return await get_revision(session, project_id, revision_id)


async def retry(room: VideosRoom, engine: JobEngine, project_id: UUID, video_id: UUID) -> Revision:
    """Let a failed analysis go on where it was: finished passes and chunks are kept.

    Raises:
        NotFound: The project has no such video.
        Conflict: It has not failed, or its clip has never come.
        TooManyRequests: Too many analyses wait.
    """
    async with room.database.transaction() as session:
        video = await get_video(session, project_id, video_id)
        revision_id = video.revision.revision_id
        changed = await session.scalar(
            update(VideoRevisionRow)
            .where(
                VideoRevisionRow.revision_id == revision_id,
                VideoRevisionRow.state == VideoState.failed.value,
                VideoRevisionRow.original_sha256.is_not(None),
            )
            .values(
                state=VideoState.queued.value,
                stage="QUEUED",
                reason="",
                reason_code="",
                finished_at=None,
                queued_at=func.clock_timestamp(),
            )
            .returning(VideoRevisionRow.revision_id)
        )
        if changed is None:
            raise Conflict(
                "video.not_retryable",
                f"The analysis is {video.state}, and its clip {'is here' if video.uploaded_at else 'never came'}.",
                "Only a failed analysis whose clip is here can go on.",
            )
        await session.execute(
            update(VideoChunkRow)
            .where(VideoChunkRow.revision_id == revision_id, VideoChunkRow.state != "done")
            .values(state="queued", attempts_count=0, reason="", done_share=0.0)
        )
        await _submit(session, engine, project_id, video.video_id, revision_id)
        return await get_revision(session, project_id, revision_id)


async def delete_video(room: VideosRoom, engine: JobEngine, project_id: UUID, video_id: UUID) -> None:
    """Delete a video with everything that was found in it; its job is cancelled first.

    Raises:
        NotFound: The project has no such video.
    """
    async with room.database.reading() as session:
        video = await get_video(session, project_id, video_id)
    if video.revision.is_active and video.revision.job_id is not None:
        await engine.cancel(video.revision.job_id)
    async with room.database.transaction() as session:
        await session.execute(
            delete(VideoRow).where(VideoRow.video_id == video_id, VideoRow.project_id == project_id)
        )
        await tell(session, project_id, video_id)
    remove_upload(room.settings, video_id)


async def _insert_revision(
    session: AsyncSession,
    video: Video,
    *,
    number: int,
    is_deep: bool,
    events: Sequence[MotionEvent],
    source_revision_id: UUID | None,
) -> UUID:
    revision_id = new_id()
    targets = await find_targets(session, video.project_id, video.player, video.discipline)
    await session.execute(
        insert(VideoRevisionRow).values(
            revision_id=revision_id,
            project_id=video.project_id,
            video_id=video.video_id,
            number=number,
            state=VideoState.queued.value,
            stage="QUEUED",
            is_deep=is_deep,
            source_revision_id=source_revision_id,
            capture_json=dump(video.capture),
            edited_events_json=[dump(replace(event, is_edited=True)) for event in events],
            targets_json=[dump(target) for target in targets],
            original_sha256=video.original_sha256,
            code_version=__version__,
            queued_at=func.clock_timestamp(),
        )
    )
    await session.execute(
        update(VideoRow).where(VideoRow.video_id == video.video_id).values(revisions_count=number)
    )
    return revision_id


async def _take_over(
    session: AsyncSession, engine: JobEngine, project_id: UUID, video_id: UUID, sha256: str
) -> None:
    """Let a worker see a clip: it is whole, and its analysis waits from this commit on."""
    taken = await session.scalar(
        update(VideoRow)
        .where(VideoRow.video_id == video_id, VideoRow.uploaded_at.is_(None))
        .values(
            original_sha256=sha256, uploaded_at=func.clock_timestamp(), upload_id=None, upload_expires_at=None
        )
        .returning(VideoRow.video_id)
    )
    if taken is None:  # another request completed it at the same time
        return
    video = await get_video(session, project_id, video_id)
    targets: Sequence[Target] = await find_targets(session, project_id, video.player, video.discipline)
    await session.execute(
        update(VideoRevisionRow)
        .where(VideoRevisionRow.revision_id == video.revision.revision_id)
        .values(
            state=VideoState.queued.value,
            stage="QUEUED",
            original_sha256=sha256,
            capture_json=dump(video.capture),
            targets_json=[dump(target) for target in targets],
            queued_at=func.clock_timestamp(),
        )
    )
    await _submit(session, engine, project_id, video_id, video.revision.revision_id)


async def _submit(
    session: AsyncSession, engine: JobEngine, project_id: UUID, video_id: UUID, revision_id: UUID
) -> None:
    number = await session.scalar(
        update(VideoRevisionRow)
        .where(VideoRevisionRow.revision_id == revision_id)
        .values(jobs_count=VideoRevisionRow.jobs_count + 1)
        .returning(VideoRevisionRow.jobs_count)
    )
    job = await engine.submit(
        session,
        kind=ANALYZE,
        arguments={"revision_id": str(revision_id), "video_id": str(video_id), "number": number},
        project_id=project_id,
        key=f"video:{revision_id}:{number}",
        title="Analyse a video",
    )
    await session.execute(
        update(VideoRevisionRow).where(VideoRevisionRow.revision_id == revision_id).values(job_id=job.job_id)
    )
    await tell(session, project_id, video_id)


def _same(video: Video, sha256: str | None) -> Video:
    if sha256 is not None and sha256.lower() != video.original_sha256:
        raise _checksum_differs(video.original_sha256 or "")
    return video


def _checksum_differs(found: str) -> Conflict:
    return Conflict(
        "video.checksum_differs",
        f"The bytes that came have the SHA-256 {found}, and another one was announced.",
        "Send the file again from its start.",
        sha256=found,
    )


def _digest(descriptor: int) -> str:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
