"""Passes as durable jobs: order, chunks that fail, retries, new revisions, kills."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from sqlalchemy import update
from tests.videos.kills import open_room, run_video_kills
from tests.videos.recorded import CLIP, request_of
from tests.videos.synthetic import CHUNKS_COUNT, SyntheticVision

from referee.core.errors import Conflict
from referee.foundation.access import get_project
from referee.foundation.jobs import JobEngine
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.videos import VideosRoom, chunks, register_video_workflows, service, targets
from referee.videos.queries import get_video
from referee.videos.result_queries import find_missing, find_results, list_passes, list_stretches
from referee.videos.shapes import (
    Discipline,
    EventName,
    MetricCode,
    MotionEvent,
    PassKind,
    Target,
    VideoState,
)
from referee.videos.tables import VideoChunkRow
from referee.videos.views import Video


@dataclass(slots=True)
class Working:
    """A room whose jobs are carried out here."""

    room: VideosRoom
    engine: JobEngine
    project_id: UUID
    vision: SyntheticVision

    async def add(self, data: bytes = CLIP, **changes: object) -> Video:
        """Add a clip."""
        path = self.room.settings.home / "clip.mp4"
        path.write_bytes(data)
        request = request_of(len(data), **changes)
        return await service.add_file(self.room, self.engine, self.project_id, path, request)

    async def settle(self, video_id: UUID) -> Video:
        """Return a video when its analysis has ended."""
        async with asyncio.timeout(60):
            while True:
                async with self.room.database.reading() as session:
                    video = await get_video(session, self.project_id, video_id)
                if not video.revision.is_active:
                    return video
                await asyncio.sleep(0.03)


@pytest.fixture
async def working(database_settings: Settings, database: Database) -> AsyncIterator[Working]:
    room, _ = open_room(database_settings, database)
    vision = SyntheticVision(0.0)
    room = replace(room, vision=vision)
    engine = JobEngine(database_settings, database)
    register_video_workflows(room, engine)
    await engine.start(is_worker=True)
    project = await get_project(database, "default")
    yield Working(room, engine, project.project_id, vision)
    await engine.stop()


async def test_quick_then_deep_action_first_and_everything_is_kept(working: Working) -> None:
    video = await working.settle((await working.add(is_deep=True)).video_id)
    assert (video.state, video.revision.reason) == (VideoState.done, "")
    assert working.vision.seen[0] == "quick"
    assert "chunk3" in working.vision.seen[1:3]  # both slots take one at once
    assert sorted(working.vision.seen[1:]) == [f"chunk{index}" for index in range(CHUNKS_COUNT)]
    async with working.room.database.reading() as session:
        passes = await list_passes(session, video.revision.revision_id)
        quick = await find_results(session, video.revision.revision_id, PassKind.quick)
        deep = await find_results(session, video.revision.revision_id, PassKind.deep)
    assert find_missing(video.revision, passes) == ()
    assert quick is not None
    assert deep is not None
    assert quick.done.artifacts["keypoints"] != deep.done.artifacts["keypoints"]
    assert deep.done.facts["decoded_count"] == 200 * CHUNKS_COUNT
    assert [path.name for path in working.room.settings.scratch_dir.glob("video-*")] == []


async def test_chunk_that_fails_three_times_is_named_as_missing_seconds(working: Working) -> None:
    working.vision.broken = {2}
    video = await working.settle((await working.add(is_deep=True)).video_id)
    async with working.room.database.reading() as session:
        deep = await find_results(session, video.revision.revision_id, PassKind.deep)
        stretches = await list_stretches(session, video.revision.revision_id)
    assert video.state is VideoState.done
    assert deep is not None
    (missing,) = deep.done.facts["missing_segments"]
    assert (round(missing["start_s"], 1), round(missing["end_s"], 1)) == (13.3, 20.0)
    assert "The decoder ended" in missing["reason"]
    assert [one.attempts_count for one in stretches] == [1, 1, 3, 1, 1, 1]
    assert working.vision.seen.count("broken2") == 3


async def test_chunk_whose_worker_is_lost_is_made_again_and_not_counted(working: Working) -> None:
    working.vision.broken = {2}
    video = await working.settle((await working.add(is_deep=True)).video_id)
    revision_id = video.revision.revision_id
    async with working.room.database.transaction() as session:
        await session.execute(
            update(VideoChunkRow)
            .where(VideoChunkRow.revision_id == revision_id, VideoChunkRow.position == 2)
            .values(state="queued", attempts_count=0)
        )
    working.vision.broken, working.vision.lost = set(), {2}
    for _ in range(chunks.MAX_CHUNK_ATTEMPTS_COUNT + 1):
        with pytest.raises(asyncio.CancelledError):
            await chunks.run_chunk(working.room, working.project_id, revision_id, 2)
    working.vision.lost = set()
    assert await chunks.run_chunk(working.room, working.project_id, revision_id, 2) == "done"
    async with working.room.database.reading() as session:
        stretches = await list_stretches(session, revision_id)
    assert [one.attempts_count for one in stretches] == [1] * CHUNKS_COUNT


async def test_failed_analysis_keeps_what_it_has_and_retry_goes_on(working: Working) -> None:
    working.vision.broken = set(range(CHUNKS_COUNT))
    video = await working.settle((await working.add(is_deep=True)).video_id)
    assert video.state is VideoState.failed
    assert video.revision.reason_code == "video.deep_pass_empty"
    assert "deep_findings" in video.revision.reason
    assert "quick_findings" not in video.revision.reason
    working.vision.broken, working.vision.seen = set(), []
    await service.retry(working.room, working.engine, working.project_id, video.video_id)
    again = await working.settle(video.video_id)
    assert (again.state, again.revision.number) == (VideoState.done, 1)
    assert "quick" not in working.vision.seen
    with pytest.raises(Conflict):
        await service.retry(working.room, working.engine, working.project_id, video.video_id)


async def test_file_that_is_no_clip_fails_with_its_reason(working: Working) -> None:
    video = await working.settle((await working.add(b"#EXTM3U\0a.mp4")).video_id)
    assert (video.state, video.revision.reason_code) == (VideoState.failed, "not_a_video")
    assert video.revision.reason.startswith(
        "The file is a playlist. Upload the clip itself. Missing: quick_keypoints"
    )


async def test_edited_events_and_targets_compute_again_without_a_pose_run(working: Working) -> None:
    first = await working.settle((await working.add(is_deep=True)).video_id)
    working.vision.seen = []
    limits = [Target(MetricCode.front_knee_brace, 5.0, 10.0)]
    await targets.put_targets(working.room, working.project_id, "", Discipline.bowling, limits)
    events = [MotionEvent(EventName.release, 2.5, 0.0)]
    await service.analyze_again(
        working.room, working.engine, working.project_id, first.video_id, edited_events=events
    )
    second = await working.settle(first.video_id)
    assert (second.state, second.revision.number) == (VideoState.done, 2)
    assert working.vision.seen == []
    assert second.revision.targets == tuple(limits)
    assert second.revision.edited_events[0].is_edited
    async with working.room.database.reading() as session:
        before = await find_results(session, first.revision.revision_id, PassKind.deep)
        after = await find_results(session, second.revision.revision_id, PassKind.deep)
    assert before is not None
    assert after is not None
    assert before.metrics[0].value != after.metrics[0].value
    assert before.done.artifacts["keypoints"] == after.done.artifacts["keypoints"]


async def test_quick_analysis_goes_deeper_without_another_quick_pass(working: Working) -> None:
    first = await working.settle((await working.add()).video_id)
    working.vision.seen = []
    await service.analyze_again(
        working.room, working.engine, working.project_id, first.video_id, is_deep=True
    )
    second = await working.settle(first.video_id)
    assert second.state is VideoState.done
    assert "quick" not in working.vision.seen
    assert len(working.vision.seen) == CHUNKS_COUNT


async def test_deleting_a_video_ends_its_analysis(working: Working) -> None:
    working.vision.look_s = 0.5
    video = await working.add(is_deep=True)
    await asyncio.sleep(0.3)
    await service.delete_video(working.room, working.engine, working.project_id, video.video_id)
    async with working.room.database.reading() as session:
        assert await list_passes(session, video.revision.revision_id) == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_killed_workers_change_nothing(database_settings: Settings) -> None:
    count = await run_video_kills(database_settings, kills=8, seed=7)
    assert (count.differing_digests, count.done_without_parts, count.folders_left) == (0, 0, 0)
    assert count.kills_amid_work >= 5
