"""Apps: generated web apps and the source of whatever is analysed. This is the door.

Names are imported when first asked for: the command line mounts this room's commands,
and ``referee --help`` must not pay for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.apps.holding import AppSource, HeldApp, NothingToRun, hold_app, sweep_app_runs
    from referee.apps.known_templates import (
        KnownTemplate,
        find_template,
        get_template,
        import_template,
        load_template,
        read_template_file,
    )
    from referee.apps.room import AppsRoom
    from referee.apps.running import stop_people_runs
    from referee.apps.runs import AppFailed, AppRun, AppRunState, FailureKind
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
    "AppFailed",
    "AppRun",
    "AppRunState",
    "AppSource",
    "AppsRoom",
    "FailureKind",
    "HeldApp",
    "KnownTemplate",
    "NothingToRun",
    "SourceLimits",
    "SourceLocation",
    "count_apps",
    "ensure_app",
    "find_template",
    "get_app",
    "get_template",
    "hold_app",
    "import_template",
    "list_apps",
    "load_snapshot",
    "load_template",
    "locate_source",
    "read_template_file",
    "render_listing",
    "stop_people_runs",
    "sweep_app_runs",
    "sweep_snapshots",
    "take_snapshot",
]

__getattr__ = open_door(
    __name__,
    {
        "holding": ("AppSource", "HeldApp", "NothingToRun", "hold_app", "sweep_app_runs"),
        "room": ("AppsRoom",),
        "running": ("stop_people_runs",),
        "runs": ("AppFailed", "AppRun", "AppRunState", "FailureKind"),
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
        "known_templates": (
            "KnownTemplate",
            "find_template",
            "get_template",
            "import_template",
            "load_template",
            "read_template_file",
        ),
    },
)
