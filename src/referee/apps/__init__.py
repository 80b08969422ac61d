"""Apps: generated web apps and the source of whatever is analysed. This is the door.

Names are imported when first asked for: the command line mounts this room's commands,
and ``referee --help`` must not pay for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.apps.service import (
        App,
        SourceLocation,
        count_apps,
        ensure_app,
        get_app,
        list_apps,
        locate_source,
    )
    from referee.apps.sources import (
        SourceLimits,
        load_snapshot,
        render_listing,
        sweep_snapshots,
        take_snapshot,
    )

__all__ = [
    "App",
    "SourceLimits",
    "SourceLocation",
    "count_apps",
    "ensure_app",
    "get_app",
    "list_apps",
    "load_snapshot",
    "locate_source",
    "render_listing",
    "sweep_snapshots",
    "take_snapshot",
]

__getattr__ = open_door(
    __name__,
    {
        "service": (
            "App",
            "SourceLocation",
            "count_apps",
            "ensure_app",
            "get_app",
            "list_apps",
            "locate_source",
        ),
        "sources": (
            "SourceLimits",
            "load_snapshot",
            "render_listing",
            "sweep_snapshots",
            "take_snapshot",
        ),
    },
)
