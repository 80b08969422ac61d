"""The jobs of videos: a revision, the chunks of its deep pass, and the clip that browsers play.

A worker's lease and heart-beats are the engine's: a live job is never declared stale, a dead worker's is taken over,
and its finished steps are not repeated. Passes and chunks run in child processes that die with their worker.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.foundation.jobs import ChildJob, ChildResult, Job, JobContext, JobEngine
from referee.foundation.store import record_artifacts
from referee.videos import chunks, passes
from referee.videos.folders import PREFIX, work_folder
from referee.videos.old_uploads import list_old_uploads
from referee.videos.outcomes import compute_pass
from referee.videos.queries import get_video
from referee.videos.recording import advance, fail_revision, record_pass
from referee.videos.requests import tell
from referee.videos.room import VideosRoom
from referee.videos.service import ANALYZE
from referee.videos.shapes import PassKind, VideoRefused, VideoState
from referee.videos.states import ChunkState, ProxyState
from referee.videos.tables import VideoChunkRow, VideoRevisionRow, VideoRow

__all__ = ["register_video_workflows"]

CHUNK: Final = "videos.chunk"
PROXY: Final = "videos.proxy"
_TIMEOUT_S: Final = 24 * 3600.0
_ACTION_PRIORITY: Final = 10
_OTHER_PRIORITY: Final = 100
_MAX_ATTEMPTS: Final = 30
"""A revision mostly waits for its chunks, and clips are read in processes of their own: workers that are lost under it
are hardly lost by its doing."""
_LEFTOVER_AGE_S: Final = 86_400.0
"""A folder of work older than this belongs to nobody: no chunk takes as long."""


def register_video_workflows(room: VideosRoom, engine: JobEngine) -> None:
    """Make the jobs known to the engine. Called before it starts."""

    async def analyze(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"state": await _analyze(room, context, UUID(str(arguments["revision_id"])))}

    async def chunk(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        revision_id, position = UUID(str(arguments["revision_id"])), int(str(arguments["position"]))
        for attempt in range(1, chunks.MAX_CHUNK_ATTEMPTS_COUNT + 1):
            state = await context.step(
                f"track_{attempt}", partial(chunks.run_chunk, room, context.project_id, revision_id, position)
            )
            if state != ChunkState.queued.value:
                break
        return {"state": state}

    async def proxy(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        video_id = UUID(str(arguments["video_id"]))
        await context.step("proxy", partial(_make_proxy, room, context.project_id, video_id))
        return {}

    async def end(session: AsyncSession, job: Job) -> None:
        """Say of a revision whose job failed or was cancelled what became of it. In the job's transaction."""
        if job.state not in ("failed", "cancelled"):
            return
        code = job.error.code if job.error is not None else f"video.{job.state}"
        reason = job.error.message if job.error is not None else f"Its job was {job.state}."
        await fail_revision(session, UUID(str(job.arguments["revision_id"])), code, reason or "It failed.")

    async def end_proxy(session: AsyncSession, job: Job) -> None:
        if job.state in ("failed", "cancelled"):
            reason = job.error.message if job.error is not None else f"Its job was {job.state}."
            await _store_proxy(session, job.project_id, UUID(str(job.arguments["video_id"])), reason=reason)

    async def sweep(_: JobContext, __: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"given_up_count": await _sweep(room)}

    waiting = room.settings.queue_max_count
    slots = room.settings.video_slots_count
    # A revision waits for its chunks on a queue of theirs, so it never waits for itself.
    engine.register_queue("videos", worker_concurrency=slots, max_waiting_count=waiting)
    engine.register_queue("video_chunks", worker_concurrency=slots, max_waiting_count=waiting)
    engine.register_queue("video_proxies", worker_concurrency=1, max_waiting_count=waiting)
    engine.register(
        ANALYZE, analyze, queue="videos", timeout_s=_TIMEOUT_S, max_attempts=_MAX_ATTEMPTS, on_end=end
    )
    engine.register(CHUNK, chunk, queue="video_chunks", timeout_s=_TIMEOUT_S)
    engine.register(PROXY, proxy, queue="video_proxies", timeout_s=_TIMEOUT_S, on_end=end_proxy)
    engine.register_schedule("sweep_videos", "17 * * * *", sweep)


async def _analyze(room: VideosRoom, context: JobContext, revision_id: UUID) -> str:
    of = (room, context.project_id, revision_id)
    state = await context.step("begin", partial(passes.begin, *of))
    if state in (VideoState.done.value, VideoState.failed.value):
        return str(state)
    await context.step("probe", partial(passes.probe, *of))
    spared = await context.step("reuse", partial(passes.reuse_keypoints, *of))
    if PassKind.quick.value not in spared:
        await context.step("quick", partial(passes.run_quick, *of))
    state = await context.step("finish_quick", partial(_finish, room, context, revision_id, PassKind.quick))
    if state == VideoState.done.value:
        return state
    if PassKind.deep.value not in spared:
        planned = await context.step("plan", partial(chunks.plan_deep, *of))
        ended = await context.run_children([_child(revision_id, one) for one in planned])
        await context.step("settle", partial(_settle_chunks, room, revision_id, ended))
    else:
        await context.step("go_deeper", partial(_go_deeper, room, revision_id))
    return await context.step("finish_deep", partial(_finish, room, context, revision_id, PassKind.deep))


def _child(revision_id: UUID, planned: dict[str, JsonValue]) -> ChildJob:
    position = int(str(planned["position"]))
    return ChildJob(
        name=f"chunk-{position}",
        kind=CHUNK,
        arguments={"revision_id": str(revision_id), "position": position},
        title=f"Chunk {position + 1} of a video",
        priority=_ACTION_PRIORITY if planned["is_action"] else _OTHER_PRIORITY,
    )


async def _finish(room: VideosRoom, context: JobContext, revision_id: UUID, kind: PassKind) -> str:
    known = await advance(room, context.project_id, revision_id, kind)
    if known is not None:
        return known
    outcome = await compute_pass(room, context.project_id, revision_id, kind)
    state = await record_pass(room, context.project_id, revision_id, kind, outcome)
    if kind is PassKind.quick:
        # Only now: it would take the cores from the first page of results.
        await _ask_for_proxy(room, context.engine, context.project_id, revision_id)
    return state


async def _settle_chunks(room: VideosRoom, revision_id: UUID, ended: list[ChildResult]) -> int:
    """Name the seconds of chunks whose jobs came to nothing. Returns how many."""
    reasons = {int(one.name.removeprefix("chunk-")): one.error for one in ended if one.error is not None}
    async with room.database.transaction() as session:
        for position, error in reasons.items():
            await session.execute(
                update(VideoChunkRow)
                .where(
                    VideoChunkRow.revision_id == revision_id,
                    VideoChunkRow.position == position,
                    VideoChunkRow.state != ChunkState.done.value,
                )
                .values(state=ChunkState.failed.value, reason=error.message if error else "It failed.")
            )
    return len(reasons)


async def _go_deeper(room: VideosRoom, revision_id: UUID) -> None:
    async with room.database.transaction() as session:
        await session.execute(
            update(VideoRevisionRow)
            .where(
                VideoRevisionRow.revision_id == revision_id,
                VideoRevisionRow.state == VideoState.quick_done.value,
            )
            .values(state=VideoState.deep_running.value, stage="DEEP")
        )


async def _ask_for_proxy(room: VideosRoom, engine: JobEngine, project_id: UUID, revision_id: UUID) -> None:
    async with room.database.transaction() as session:
        video_id = await session.scalar(
            update(VideoRow)
            .where(
                VideoRow.proxy_state.in_((ProxyState.none.value, ProxyState.failed.value)),
                VideoRow.video_id.in_(
                    select(VideoRevisionRow.video_id).where(VideoRevisionRow.revision_id == revision_id)
                ),
            )
            .values(proxy_state=ProxyState.queued.value)
            .returning(VideoRow.video_id)
        )
        if video_id is not None:
            await engine.submit(
                session,
                kind=PROXY,
                arguments={"video_id": str(video_id)},
                project_id=project_id,
                key=f"video:proxy:{revision_id}",
                title="Make a clip that browsers play",
            )


async def _make_proxy(room: VideosRoom, project_id: UUID, video_id: UUID) -> None:
    async with room.database.reading() as session:
        video = await get_video(session, project_id, video_id)
    if video.proxy_state is ProxyState.done or video.probe is None or video.original_sha256 is None:
        return
    async with (
        room.artifacts.hold_file(video.original_sha256) as original,
        work_folder(room.settings, video_id, "proxy") as work,
    ):
        try:
            path = await room.vision.make_proxy(original, video.probe, work=work)
        except VideoRefused as refused:
            async with room.database.transaction() as session:
                await _store_proxy(session, project_id, video_id, reason=refused.reason)
            return
        artifact = await room.artifacts.put_file(path, "video/mp4")
    async with room.database.transaction() as session:
        await record_artifacts(session, [artifact])
        await _store_proxy(session, project_id, video_id, sha256=artifact.sha256)


async def _store_proxy(
    session: AsyncSession, project_id: UUID, video_id: UUID, *, sha256: str | None = None, reason: str = ""
) -> None:
    state = ProxyState.failed if sha256 is None else ProxyState.done
    await session.execute(
        update(VideoRow)
        .where(VideoRow.video_id == video_id, VideoRow.proxy_state != ProxyState.done.value)
        .values(proxy_state=state.value, proxy_sha256=sha256, proxy_reason=reason)
    )
    await tell(session, project_id, video_id)


async def _sweep(room: VideosRoom) -> int:
    """Give up uploads that nobody goes on with, and remove folders of work that nobody has. Returns how many."""
    count = 0
    for old in await list_old_uploads(room.database, room.settings, room.settings.video_upload_keep_days):
        async with room.database.transaction() as session:
            await session.execute(
                update(VideoRow).where(VideoRow.video_id == old.video_id).values(upload_id=None)
            )
            await fail_revision(
                session,
                old.revision_id,
                "video.upload_given_up",
                "The upload was begun and not gone on with.",
            )
        old.path.unlink(missing_ok=True)
        count += 1
    await asyncio.to_thread(_remove_leftovers, room)
    return count


def _remove_leftovers(room: VideosRoom) -> None:
    for folder in room.settings.scratch_dir.glob(f"{PREFIX}*"):
        if folder.stat().st_mtime < time.time() - _LEFTOVER_AGE_S:
            shutil.rmtree(folder, ignore_errors=True)
