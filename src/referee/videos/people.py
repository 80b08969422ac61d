"""Who is seen at an instant, so that the coach can click the athlete."""

from __future__ import annotations

import asyncio
from typing import Final

from referee.core.errors import Conflict, InvalidInput, TooManyRequests
from referee.videos.folders import work_folder
from referee.videos.room import VideosRoom
from referee.videos.shapes import VideoRefused
from referee.videos.views import Video

__all__ = ["list_people"]

_SLOTS: Final = asyncio.Semaphore(2)
"""Each look decodes and detects in a child process for up to a second."""


async def list_people(
    room: VideosRoom, video: Video, t_s: float
) -> tuple[tuple[float, float, float, float], ...]:
    """Return the boxes (x, y, width, height in pixels) of the people at an instant.

    Raises:
        Conflict: The clip has not come.
        InvalidInput: The clip cannot be read there.
        TooManyRequests: Others look at the same time.
    """
    if video.original_sha256 is None:
        raise Conflict("video.not_uploaded", "The clip has not come.", "Upload it first.")
    if _SLOTS.locked():
        raise TooManyRequests(
            "video.people_busy", "Others look for people now.", "Try again in a second.", retry_after_s=1
        )
    async with (
        _SLOTS,
        room.artifacts.hold_file(video.original_sha256) as original,
        work_folder(room.settings, video.video_id, f"people{int(t_s * 1000)}") as work,
    ):
        try:
            return await room.vision.list_people(original, t_s, work=work)
        except VideoRefused as refused:
            raise InvalidInput("video.refused", refused.reason, refusal=refused.code) from refused
