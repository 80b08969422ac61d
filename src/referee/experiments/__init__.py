"""Experiments: datasets, configurations, metrics, charts, queues, and runs over them. This is the door.

Names are loaded when first asked for: the command line mounts this room's commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.experiments.room import ExperimentsRoom

__all__ = [
    "ExperimentsRoom",
]

__getattr__ = open_door(
    __name__,
    {
        "room": ("ExperimentsRoom",),
    },
)
