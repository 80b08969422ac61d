"""The deep pass: chunks that are analysed by themselves, each tried at most three times.

Every function may run again after a crash: what is stored already is not done again.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from referee.core.errors import RefereeError
from referee.foundation.store import record_artifacts
from referee.videos import result_queries
from referee.videos.folders import work_folder
from referee.videos.queries import get_revision
from referee.videos.reporting import Reporter, describe_track, hold_original, read_probe
from referee.videos.requests import tell
from referee.videos.room import VideosRoom
from referee.videos.shapes import (
    PassKind,
    Track,
    VideoRefused,
    VideoState,
)
from referee.videos.states import ChunkState
from referee.videos.tables import VideoChunkRow, VideoRevisionRow
from referee.videos.views import PASS_FILES

__all__ = ["MAX_CHUNK_ATTEMPTS_COUNT", "plan_deep", "run_chunk"]

MAX_CHUNK_ATTEMPTS_COUNT: Final = 3
"""A stretch that failed as often is named as missing."""
_logger = structlog.get_logger(__name__)


async def plan_deep(room: VideosRoom, project_id: UUID, revision_id: UUID) -> list[dict[str, Any]]:
    """Begin the deep pass: cut the clip into chunks, once, and return those that are to be done, action first."""
    async with room.database.reading() as session:
        revision = await get_revision(session, project_id, revision_id)
        quick = (await result_queries.list_passes(session, revision_id))[PassKind.quick]
    clip = await read_probe(room, revision)
    track = await _load_quick(room, quick.artifacts["keypoints"], quick.facts)
    chunks = await asyncio.to_thread(room.vision.plan_chunks, clip, track, revision.capture)
    async with room.database.transaction() as session:
        await session.execute(
            update(VideoRevisionRow)
            .where(
                VideoRevisionRow.revision_id == revision_id,
                VideoRevisionRow.state == VideoState.quick_done.value,
            )
            .values(
                state=VideoState.deep_running.value,
                stage="DEEP",
                deep_started_at=func.coalesce(VideoRevisionRow.deep_started_at, func.clock_timestamp()),
            )
        )
        rows = [
            {
                "revision_id": revision_id,
                "position": chunk.index,
                "project_id": project_id,
                "start_s": chunk.start_s,
                "end_s": chunk.end_s,
                "frames_count": chunk.frames_count,
                "is_action": chunk.is_action,
            }
            for chunk in chunks
        ]
        if rows:
            await session.execute(
                insert(VideoChunkRow).on_conflict_do_nothing(index_elements=["revision_id", "position"]), rows
            )
        await tell(session, project_id, revision.video_id)
        stretches = await result_queries.list_stretches(session, revision_id)
    return [
        {"position": one.position, "is_action": one.is_action}
        for one in sorted(stretches, key=lambda one: (not one.is_action, one.position))
        if one.state not in (ChunkState.done, ChunkState.failed)
    ]


async def run_chunk(room: VideosRoom, project_id: UUID, revision_id: UUID, position: int) -> str:
    """Estimate the poses of one chunk and keep them.

    Returns what became of it: ``done``, ``failed`` after its last attempt, or ``queued`` for another one.
    """
    attempt = await _begin_attempt(room, revision_id, position)
    if attempt is None:
        return await _read_chunk_state(room, revision_id, position)
    async with room.database.reading() as session:
        revision = await get_revision(session, project_id, revision_id)
        quick = (await result_queries.list_passes(session, revision_id))[PassKind.quick]
    clip = await read_probe(room, revision)
    track = await _load_quick(room, quick.artifacts["keypoints"], quick.facts)
    chunk = next(
        one for one in await asyncio.to_thread(room.vision.plan_chunks, clip, track, revision.capture)
        if one.index == position
    )  # fmt: skip
    reporter = Reporter(room, revision, 1.0, position=position)
    try:
        async with (
            hold_original(room, revision) as original,
            work_folder(room.settings, revision_id, f"chunk{position}") as work,
        ):
            found = await room.vision.track_chunk(
                original,
                clip,
                chunk,
                track,
                revision.capture,
                work=work,
                on_progress=reporter.report,
            )
    except (VideoRefused, RefereeError, OSError) as error:
        return await _end_attempt(room, revision_id, position, attempt, error)
    artifact = await room.artifacts.put_bytes(found.keypoints, PASS_FILES["keypoints"][0])
    async with room.database.transaction() as session:
        await record_artifacts(session, [artifact])
        await session.execute(
            update(VideoChunkRow)
            .where(
                VideoChunkRow.revision_id == revision_id,
                VideoChunkRow.position == position,
                VideoChunkRow.state != ChunkState.done.value,
            )
            .values(
                state=ChunkState.done.value,
                done_share=1.0,
                reason="",
                keypoints_sha256=artifact.sha256,
                facts_json=describe_track(found),
                finished_at=func.clock_timestamp(),
            )
        )
    _logger.info(
        "video.keypoints_saved", revision_id=str(revision_id), job_id=str(revision.job_id), kind="deep",
        chunk=position, key=artifact.sha256, frames=found.decoded_count, length_bytes=artifact.size_bytes,
    )  # fmt: skip
    return ChunkState.done.value


async def _begin_attempt(room: VideosRoom, revision_id: UUID, position: int) -> int | None:
    """Count an attempt at a chunk. None: it is done, or has failed too often.

    One that is still marked as running lost its worker, which says nothing of the clip, whose frames a process of
    their own reads: that attempt is made again and not counted. The engine bounds how often a job may lose its worker.
    """
    async with room.database.transaction() as session:
        row = await session.get(VideoChunkRow, (revision_id, position), with_for_update=True)
        if row is None or row.state in (ChunkState.done.value, ChunkState.failed.value):
            return None
        if row.state != ChunkState.running.value:
            row.attempts_count += 1
        row.state = ChunkState.running.value
        row.done_share = 0.0
        return row.attempts_count


async def _end_attempt(
    room: VideosRoom, revision_id: UUID, position: int, attempt: int, error: Exception
) -> str:
    reason = error.reason if isinstance(error, VideoRefused) else str(error) or type(error).__name__
    is_last = attempt >= MAX_CHUNK_ATTEMPTS_COUNT
    async with room.database.transaction() as session:
        await session.execute(
            update(VideoChunkRow)
            .where(
                VideoChunkRow.revision_id == revision_id,
                VideoChunkRow.position == position,
                VideoChunkRow.state != ChunkState.done.value,
            )
            .values(reason=reason, state=(ChunkState.failed if is_last else ChunkState.queued).value)
        )
    _logger.warning(
        "video.chunk_failed", revision_id=str(revision_id), chunk=position, attempt=attempt, reason=reason
    )
    return (ChunkState.failed if is_last else ChunkState.queued).value


async def _read_chunk_state(room: VideosRoom, revision_id: UUID, position: int) -> str:
    async with room.database.reading() as session:
        state = await session.scalar(
            select(VideoChunkRow.state).where(
                VideoChunkRow.revision_id == revision_id, VideoChunkRow.position == position
            )
        )
    return state or ChunkState.failed.value


async def _load_quick(room: VideosRoom, sha256: str, facts: Any) -> Track:
    return Track(
        kind=PassKind.quick,
        chunk_index=None,
        keypoints=await room.artifacts.read_bytes(sha256),
        decoded_count=facts.get("decoded_count", 0),
        corrupt_count=facts.get("corrupt_count", 0),
        detected_count=facts.get("detected_count", 0),
        people_count=facts.get("people_count", 0),
        cpu_s=facts.get("cpu_s", 0.0),
        provenance=dict(facts.get("provenance", {})),
    )
