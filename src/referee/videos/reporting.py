"""What passes and chunks share: the clip, what is kept of a track, and progress."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import func, text, update

from referee.core.errors import RefereeError
from referee.videos.queries import get_video
from referee.videos.requests import tell
from referee.videos.room import VideosRoom
from referee.videos.shapes import (
    Probe,
    Track,
)
from referee.videos.tables import VideoChunkRow, VideoRevisionRow
from referee.videos.views import Revision

__all__ = ["QUICK_SHARE", "Reporter", "describe_track", "hold_original", "read_probe"]

BEAT_S: Final = 0.5
"""Time between two writes of progress."""
QUICK_SHARE: Final = 0.5
"""Of a revision with a deep pass, how much its quick pass counts."""
_logger = structlog.get_logger(__name__)
_CHUNKS_SHARE: Final = text("""
UPDATE video_revisions SET progress_share = GREATEST(progress_share, LEAST(0.99, :start + :span * (
    SELECT COALESCE(sum(done_share * frames_count) / NULLIF(sum(frames_count), 0), 0)
    FROM video_chunks WHERE revision_id = :revision_id)))
WHERE revision_id = :revision_id AND state = 'deep_running'
""")


async def read_probe(room: VideosRoom, revision: Revision) -> Probe:
    """Return what the container of a revision's clip says."""
    async with room.database.reading() as session:
        video = await get_video(session, revision.project_id, revision.video_id)
    assert video.probe is not None  # noqa: S101 - the first step stores it
    return video.probe


def hold_original(room: VideosRoom, revision: Revision) -> AbstractAsyncContextManager[Path]:
    """Give the clip of a revision as a file of this machine, while the context lasts."""
    assert revision.original_sha256 is not None  # noqa: S101 - the database lets no other one run
    return room.artifacts.hold_file(revision.original_sha256)


def describe_track(track: Track) -> dict[str, Any]:
    """Return what is kept of a track besides its keypoints."""
    return {
        "decoded_count": track.decoded_count,
        "corrupt_count": track.corrupt_count,
        "detected_count": track.detected_count,
        "people_count": track.people_count,
        "cpu_s": track.cpu_s,
        "provenance": dict(track.provenance),
        "missing_segments": [],
    }


class Reporter:
    """Writes progress down at most twice a second; each write is also a chunk's heart-beat."""

    def __init__(
        self, room: VideosRoom, revision: Revision, whole_share: float, *, position: int | None = None
    ) -> None:
        self._room = room
        self._revision = revision
        self._whole_share = whole_share
        self._position = position
        self._next_s = 0.0

    async def report(self, share: float) -> None:
        """Take in a share from 0 to 1."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + BEAT_S
        revision_id = self._revision.revision_id
        try:
            async with self._room.database.transaction() as session:
                if self._position is None:
                    await session.execute(
                        update(VideoRevisionRow)
                        .where(
                            VideoRevisionRow.revision_id == revision_id,
                            VideoRevisionRow.state == "quick_running",
                        )
                        .values(progress_share=min(0.95, max(0.0, share)) * self._whole_share)
                    )
                else:
                    await session.execute(
                        update(VideoChunkRow)
                        .where(
                            VideoChunkRow.revision_id == revision_id,
                            VideoChunkRow.position == self._position,
                            VideoChunkRow.state == "running",
                        )
                        .values(done_share=min(1.0, max(0.0, share)), beat_at=func.clock_timestamp())
                    )
                    await session.execute(
                        _CHUNKS_SHARE,
                        {"revision_id": revision_id, "start": QUICK_SHARE, "span": 1 - QUICK_SHARE},
                    )
                await tell(session, self._revision.project_id, self._revision.video_id)
        except RefereeError as error:
            # Progress is not a fact: the next report makes up for a lost one.
            _logger.warning("video.progress_not_written", revision_id=str(revision_id), code=error.code)
