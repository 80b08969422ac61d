"""A clip on the command line: taken in, and followed to its end with the time that is left."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final
from uuid import UUID

from rich.console import Console
from rich.live import Live
from rich.text import Text

from referee.core.errors import NotFound
from referee.foundation.jobs import JobEngine
from referee.foundation.store import Database
from referee.foundation.web.formats import format_duration, format_share
from referee.videos.queries import get_video
from referee.videos.room import VideosRoom
from referee.videos.service import VideoRequest, add_file, analyze_again
from referee.videos.shapes import Capture, VideoState
from referee.videos.states import ProxyState
from referee.videos.views import Video

__all__ = ["add_clip", "follow_video"]

_LOOK_S: Final = 0.5
_PROXY_S: Final = 60.0
"""Of a few seconds it takes less; of a long one another worker goes on with it later."""
_ENDINGS: Final = {
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}


async def add_clip(
    room: VideosRoom,
    engine: JobEngine,
    project_id: UUID,
    clip: str,
    capture: Capture,
    *,
    title: str,
    player: str,
    is_deep: bool,
    is_again: bool,
) -> Video:
    """Make a video of a file on this machine; one that is there already is analysed again only when asked.

    Raises:
        NotFound: There is no such file.
        RefereeError: It is not taken.
    """
    path = Path(clip)
    if not path.is_file():
        raise NotFound("video.file_not_found", f"There is no file {clip[:300]!r}.", "Check the path.")
    request = VideoRequest(
        file_name=path.name,
        size_bytes=path.stat().st_size,
        capture=capture,
        title=title,
        player=player,
        media_type=_ENDINGS.get(path.suffix.lower(), "video/mp4"),
        is_deep=is_deep,
    )
    video = await add_file(room, engine, project_id, path, request)
    if is_again and video.state in (VideoState.done, VideoState.failed):
        await analyze_again(room, engine, project_id, video.video_id, is_deep=is_deep, is_from_start=True)
        async with room.database.reading() as session:
            return await get_video(session, project_id, video.video_id)
    return video


async def follow_video(database: Database, project_id: UUID, video_id: UUID, console: Console) -> Video:
    """Show progress until the analysis has ended; return the video.

    On a terminal the line is redrawn in place; elsewhere each new stage is one line.
    """
    told, began_s, began_share = "", time.monotonic(), 0.0
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            async with database.reading() as session:
                video = await get_video(session, project_id, video_id)
            revision = video.revision
            if not told:
                began_share = revision.progress_share
            line = _describe(video, time.monotonic() - began_s, began_share)
            if console.is_terminal:
                live.update(Text(line), refresh=True)
                told = line
            elif revision.stage != told:
                console.print(line)
                told = revision.stage
            if not revision.is_active:
                break
            await asyncio.sleep(_LOOK_S)
    return await _await_proxy(database, project_id, video)


async def _await_proxy(database: Database, project_id: UUID, video: Video) -> Video:
    """Wait a little for the clip that browsers play: this process may be the one that makes it."""
    until_s = time.monotonic() + _PROXY_S
    while video.proxy_state is ProxyState.queued and time.monotonic() < until_s:
        await asyncio.sleep(_LOOK_S)
        async with database.reading() as session:
            video = await get_video(session, project_id, video.video_id)
    return video


def _describe(video: Video, elapsed_s: float, began_share: float) -> str:
    revision = video.revision
    done = revision.progress_share - began_share
    left = "time left not known yet"
    if done > 0.02 and revision.is_active:
        left = f"{format_duration(elapsed_s * (1 - revision.progress_share) / done)} left"
    stage = revision.stage.replace("_", " ").lower() or revision.state.value
    return f"{stage}: {format_share(revision.progress_share, 0)}{f', {left}' if revision.is_active else ''}"
