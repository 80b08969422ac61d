"""Videos: a clip gets a quick and a deep pass, findings with evidence, and a report never lost. This is the door.

Names are loaded when first asked for: the command line mounts this room's commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.videos.room import InstalledVision, VideosRoom
    from referee.videos.workflows import register_video_workflows

__all__ = ["InstalledVision", "VideosRoom", "register_video_workflows"]

__getattr__ = open_door(
    __name__, {"room": ("InstalledVision", "VideosRoom"), "workflows": ("register_video_workflows",)}
)
