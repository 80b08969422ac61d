"""Seeing: what a clip is, where its athlete is on every frame, and pictures of it. See ``README.md`` beside this file.

Nothing is decoded in this process: every function starts a child process in the sandbox with limits of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.videos.vision.installing import Vision, VisionState, install_vision, vision_state
    from referee.videos.vision.limits import DEFAULT_LIMITS, VideoLimits
    from referee.videos.vision.passes import (
        PersonBox,
        cut_pictures,
        list_people,
        make_proxy,
        probe_video,
        track_chunk,
        track_quick,
    )
    from referee.videos.vision.planning import plan_chunks

__all__ = [
    "DEFAULT_LIMITS",
    "PersonBox",
    "VideoLimits",
    "Vision",
    "VisionState",
    "cut_pictures",
    "install_vision",
    "list_people",
    "make_proxy",
    "plan_chunks",
    "probe_video",
    "track_chunk",
    "track_quick",
    "vision_state",
]

__getattr__ = open_door(
    __name__,
    {
        "installing": ("Vision", "VisionState", "install_vision", "vision_state"),
        "limits": ("DEFAULT_LIMITS", "VideoLimits"),
        "passes": (
            "PersonBox",
            "cut_pictures",
            "list_people",
            "make_proxy",
            "probe_video",
            "track_chunk",
            "track_quick",
        ),
        "planning": ("plan_chunks",),
    },
)
