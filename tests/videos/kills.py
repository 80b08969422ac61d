"""Kill workers with ``kill -9`` at random instants of passes, and compare with an analysis that nobody killed.

The worker is a process of its own with the room's real jobs, rows and artifacts; only the camera is synthetic.
``python -m tests.videos.kills <settings as JSON>`` is that worker.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from tests.videos.recorded import CLIP, request_of
from tests.videos.synthetic import SyntheticVision, compute

from referee.foundation.access import get_project
from referee.foundation.jobs import JobEngine
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import Database, open_artifacts, open_database
from referee.videos import VideosRoom, register_video_workflows, service
from referee.videos.queries import get_video
from referee.videos.result_queries import find_missing, list_passes
from referee.videos.shapes import PassKind, VideoState

__all__ = ["KillCount", "run_video_kills"]

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class KillCount:
    """What came of it."""

    kills: int = 0
    kills_amid_work: int = 0
    """Kills at which an analysis was under way."""
    videos: int = 0
    differing_digests: int = 0
    """Artifacts of passes that are not those of the undisturbed analysis."""
    done_without_parts: int = 0
    folders_left: int = 0
    states_at_kill: dict[str, int] = field(default_factory=dict)


def open_room(settings: Settings, database: Database) -> tuple[VideosRoom, JobEngine]:
    """Return the room with the synthetic camera, and an engine that knows its jobs."""
    room = VideosRoom(
        settings=settings,
        database=database,
        artifacts=open_artifacts(settings),
        vision=SyntheticVision(0.05),
        compute=compute,
    )
    engine = JobEngine(settings, database)
    register_video_workflows(room, engine)
    return room, engine


async def run_video_kills(
    settings: Settings, *, kills: int, seed: int, tell: Callable[[str], None] = print
) -> KillCount:
    """Kill a worker so many times while clips are analysed, and return what was counted."""
    chance, count = random.Random(seed), KillCount()
    database = await open_database(settings)
    room, engine = open_room(settings, database)
    await engine.start(is_worker=False)
    try:
        project_id = (await get_project(database, "default")).project_id
        url = settings.database_url or database.url
        whole = await _add(room, engine, project_id, "undisturbed")
        worker = start_worker(settings, url)
        try:
            await _wait_until_ended(database, project_id, whole)
            expected = await _read_digests(database, project_id, whole)
            while count.kills < kills:
                video_id = await _add(room, engine, project_id, f"killed {count.videos}")
                count.videos += 1
                while count.kills < kills and await _read_state(database, project_id, video_id) not in _ENDED:
                    await asyncio.sleep(chance.uniform(0.05, 1.5))
                    state = await _read_state(database, project_id, video_id)
                    worker.kill()
                    worker.wait()
                    count.kills += 1
                    count.kills_amid_work += state not in _ENDED
                    count.states_at_kill[state] = count.states_at_kill.get(state, 0) + 1
                    count.done_without_parts += await _count_hollow(database, project_id, video_id)
                    worker = start_worker(settings, url)
                    if count.kills % 10 == 0:
                        tell(f"{count.kills} kills, {count.videos} videos, states {count.states_at_kill}")
                await _wait_until_ended(database, project_id, video_id)
                count.done_without_parts += await _count_hollow(database, project_id, video_id)
                found = await _read_digests(database, project_id, video_id)
                count.differing_digests += sum(found.get(name) != digest for name, digest in expected.items())
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
        count.folders_left = len(list(settings.scratch_dir.glob("video-*")))
    finally:
        await engine.stop()
        await database.close()
    return count


_ENDED = (VideoState.done.value, VideoState.failed.value)


def start_worker(settings: Settings, database_url: str | None) -> subprocess.Popen[bytes]:
    """Start a worker of its own."""
    given = {
        "home": str(settings.home),
        "database_url": settings.database_url,
        "lease_ttl_s": 2.0,
        "lease_beat_s": 0.3,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.videos.kills", json.dumps(given)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
    )


async def _add(room: VideosRoom, engine: JobEngine, project_id: UUID, title: str) -> UUID:
    path = room.settings.home / "clip.mp4"
    path.write_bytes(CLIP)
    video = await service.add_file(
        room, engine, project_id, path, request_of(len(CLIP), title=title, is_deep=True)
    )
    return video.video_id


async def _read_state(database: Database, project_id: UUID, video_id: UUID) -> str:
    async with database.reading() as session:
        return (await get_video(session, project_id, video_id)).state.value


async def _wait_until_ended(database: Database, project_id: UUID, video_id: UUID) -> None:
    deadline_s = time.monotonic() + 120
    while await _read_state(database, project_id, video_id) not in _ENDED:
        if time.monotonic() > deadline_s:
            raise TimeoutError("The analysis did not come to its end.")
        await asyncio.sleep(0.1)


async def _count_hollow(database: Database, project_id: UUID, video_id: UUID) -> int:
    """Return 1 for a video that is done and lacks a part."""
    async with database.reading() as session:
        video = await get_video(session, project_id, video_id)
        missing = find_missing(video.revision, await list_passes(session, video.revision.revision_id))
        hollow = await session.scalar(
            text("SELECT count(*) FROM video_passes p WHERE state = 'done' AND findings_count <> "
                 "(SELECT count(*) FROM video_findings f WHERE f.revision_id = p.revision_id AND f.kind = p.kind)")
        )  # fmt: skip
    return int(video.state is VideoState.done and bool(missing)) + int(hollow or 0)


async def _read_digests(database: Database, project_id: UUID, video_id: UUID) -> dict[str, str]:
    async with database.reading() as session:
        video = await get_video(session, project_id, video_id)
        found = await list_passes(session, video.revision.revision_id)
    return {
        f"{kind} {name}": found[kind].artifacts.get(name, "")
        for kind in PassKind
        if kind in found
        for name in ("keypoints", "overlay", "results", "report", "pdf")
    }


async def work(settings: Settings) -> None:
    """Carry out jobs until somebody ends this process."""
    database = await open_database(settings)
    _, engine = open_room(settings, database)
    await engine.start(is_worker=True, worker_kind="worker")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await engine.stop()
    await database.close()


if __name__ == "__main__":
    asyncio.run(work(load_settings(**json.loads(sys.argv[1]))))
