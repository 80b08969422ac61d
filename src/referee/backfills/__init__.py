"""Backfills: resumable rewrites of old rows, with dry run, provenance and undo. This is the door.

Names are loaded when first asked for: the command line mounts this room's commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.backfills.contract import Answer, Backfill, Parameter, Poison
    from referee.backfills.old_results.workflows import register_result_imports
    from referee.backfills.registry import backfill_names, create_backfill, list_backfills
    from referee.backfills.room import BackfillsRoom
    from referee.backfills.workflows import register_backfill_workflows

__all__ = [
    "Answer",
    "Backfill",
    "BackfillsRoom",
    "Parameter",
    "Poison",
    "backfill_names",
    "create_backfill",
    "list_backfills",
    "register_backfill_workflows",
    "register_result_imports",
]

__getattr__ = open_door(
    __name__,
    {
        "contract": ("Answer", "Backfill", "Parameter", "Poison"),
        "old_results.workflows": ("register_result_imports",),
        "registry": ("backfill_names", "create_backfill", "list_backfills"),
        "room": ("BackfillsRoom",),
        "workflows": ("register_backfill_workflows",),
    },
)
