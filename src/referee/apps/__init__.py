"""Apps: generated web apps and the source of whatever is analysed.

The door. Other rooms import from here only.
"""

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
