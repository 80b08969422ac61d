"""What a pass does: estimate poses, keep them, compute from them, and hand the outcome to ``recording``.

Every function may run again after a crash: what is stored already is not done again.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.foundation.store import record_artifacts
from referee.videos import result_queries
from referee.videos.dumping import dump
from referee.videos.folders import work_folder
from referee.videos.queries import get_revision, get_video
from referee.videos.reporting import QUICK_SHARE, Reporter, describe_track, hold_original, read_probe
from referee.videos.requests import tell
from referee.videos.room import VideosRoom
from referee.videos.shapes import (
    PassKind,
    VideoRefused,
    VideoState,
)
from referee.videos.tables import VideoPassRow, VideoRevisionRow, VideoRow
from referee.videos.views import PASS_FILES, Revision

__all__ = ["begin", "probe", "reuse_keypoints", "run_quick"]

_logger = structlog.get_logger(__name__)


async def begin(room: VideosRoom, project_id: UUID, revision_id: UUID) -> str:
    """Let a waiting revision run. Returns its state: one that has begun before goes on where it is."""
    async with room.database.transaction() as session:
        begun = await session.scalar(
            update(VideoRevisionRow)
            .where(
                VideoRevisionRow.revision_id == revision_id, VideoRevisionRow.state == VideoState.queued.value
            )
            .values(
                state=VideoState.quick_running.value,
                stage="QUICK",
                progress_share=0.0,
                quick_started_at=func.coalesce(VideoRevisionRow.quick_started_at, func.clock_timestamp()),
            )
            .returning(VideoRevisionRow.state)
        )
        revision = await get_revision(session, project_id, revision_id)
        if begun is not None:
            await tell(session, project_id, revision.video_id)
    return revision.state.value


async def probe(room: VideosRoom, project_id: UUID, revision_id: UUID) -> dict[str, Any]:
    """Read what the container says, once for a video, and return it.

    Raises:
        InvalidInput: The clip cannot be analysed.
    """
    async with room.database.reading() as session:
        revision = await get_revision(session, project_id, revision_id)
        video = await get_video(session, project_id, revision.video_id)
    if video.probe is None:
        try:
            async with hold_original(room, revision) as original:
                found = await room.vision.probe(original)
        except VideoRefused as refused:
            raise await _refuse(room, revision, refused) from refused
        async with room.database.transaction() as session:
            await session.execute(
                update(VideoRow).where(VideoRow.video_id == video.video_id).values(probe_json=dump(found))
            )
            await tell(session, project_id, video.video_id)
        return {"duration_s": found.duration_s, "frames_count": found.frames_count}
    return {"duration_s": video.probe.duration_s, "frames_count": video.probe.frames_count}


async def reuse_keypoints(room: VideosRoom, project_id: UUID, revision_id: UUID) -> list[str]:
    """Take over the keypoints that the source revision has, and return the kinds of passes that are spared."""
    async with room.database.transaction() as session:
        revision = await get_revision(session, project_id, revision_id)
        if revision.source_revision_id is None:
            return []
        source = await result_queries.list_passes(session, revision.source_revision_id)
        known = await result_queries.list_passes(session, revision_id)
        spared = [
            kind
            for kind, found in source.items()
            if kind in revision.kinds and found.finished_at is not None and "keypoints" in found.artifacts
        ]
        for kind in spared:
            if kind not in known:
                await _keep_keypoints(
                    session, revision, kind, source[kind].artifacts["keypoints"], source[kind].facts
                )
    return [kind.value for kind in spared]


async def run_quick(room: VideosRoom, project_id: UUID, revision_id: UUID) -> str:
    """Estimate the poses of the quick pass and keep them. Returns the digest of the keypoints.

    Raises:
        InvalidInput: The clip cannot be analysed.
    """
    async with room.database.reading() as session:
        revision = await get_revision(session, project_id, revision_id)
        known = (await result_queries.list_passes(session, revision_id)).get(PassKind.quick)
    if known is not None and "keypoints" in known.artifacts:
        return known.artifacts["keypoints"]
    clip = await read_probe(room, revision)
    reporter = Reporter(room, revision, 1.0 if not revision.is_deep else QUICK_SHARE)
    async with (
        hold_original(room, revision) as original,
        work_folder(room.settings, revision_id, "quick") as work,
    ):
        try:
            track = await room.vision.track_quick(
                original, clip, revision.capture, work=work, on_progress=reporter.report
            )
        except VideoRefused as refused:
            raise await _refuse(room, revision, refused) from refused
    artifact = await room.artifacts.put_bytes(track.keypoints, PASS_FILES["keypoints"][0])
    async with room.database.transaction() as session:
        await record_artifacts(session, [artifact])
        await _keep_keypoints(session, revision, PassKind.quick, artifact.sha256, describe_track(track))
    _logger.info(
        "video.keypoints_saved", revision_id=str(revision_id), job_id=str(revision.job_id), kind="quick",
        key=artifact.sha256, frames=track.decoded_count, length_bytes=artifact.size_bytes,
    )  # fmt: skip
    return artifact.sha256


async def _keep_keypoints(
    session: AsyncSession, revision: Revision, kind: PassKind, sha256: str, facts: Any
) -> None:
    await session.execute(
        insert(VideoPassRow)
        .values(
            revision_id=revision.revision_id,
            kind=kind.value,
            project_id=revision.project_id,
            keypoints_sha256=sha256,
            facts_json=dict(facts),
        )
        .on_conflict_do_nothing(index_elements=["revision_id", "kind"])
    )


async def _refuse(room: VideosRoom, revision: Revision, refused: VideoRefused) -> InvalidInput:
    """Note the code of a refusal, and return the error that ends the job."""
    async with room.database.transaction() as session:
        await session.execute(
            update(VideoRevisionRow)
            .where(VideoRevisionRow.revision_id == revision.revision_id, VideoRevisionRow.state != "done")
            .values(reason_code=refused.code)
        )
    return InvalidInput("video.refused", refused.reason, refusal=refused.code)
