"""What this room registers in the app shell: templates, static files, side bar, live topics and "Jump to"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from referee.core.errors import RefereeError
from referee.foundation.access import Principal
from referee.foundation.web.filters import parse_filter
from referee.foundation.web.navigation import JumpHit, NavigationEntry
from referee.foundation.web.shell import Shell
from referee.videos import queries
from referee.videos.room import GetRoom
from referee.videos.tables import VideoRow

__all__ = ["register_in_shell"]


def register_in_shell(shell: Shell, room: GetRoom) -> None:
    """Register the room's pages, files and live topics."""

    async def count_videos(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await queries.count_videos(session, VideoRow.project_id == principal.project_id)

    async def may_hear(principal: Principal, rest: str) -> bool:
        async with room().database.reading() as session:
            try:
                await queries.get_video(session, principal.project_id, UUID(rest))
            except (RefereeError, ValueError):
                return False
        return True

    async def find_videos(principal: Principal, text: str, limit: int) -> Sequence[JumpHit]:
        if not text.strip():
            return []
        try:
            where = parse_filter(text, queries.VIDEO_FIELDS)
        except RefereeError:
            return []
        async with room().database.reading() as session:
            page = await queries.list_videos(session, principal.project_id, where=where, limit=limit)
        return [
            JumpHit(video.title, f"/ui/videos/{video.video_id}", "video", video.player)
            for video in page.items
        ]

    shell.register_templates("referee.videos")
    shell.assets.add_folder(Path(__file__).parent / "static", "videos/")
    shell.navigation.register(
        NavigationEntry(
            "Analyse", "Videos", "/ui/videos", icon="video", order=60, count=count_videos, key="v"
        )
    )
    shell.navigation.register_jump(find_videos)
    shell.live.register_topic("videos")
    shell.live.register_topic("video", may_hear)
