"""Probes: Referee tries itself out on a schedule and keeps what came of it. This is the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.operations.probes.room import ProbesRoom
    from referee.operations.probes.watching import PROBE_VALUES
    from referee.operations.probes.workflows import register_probes

__all__ = ["PROBE_VALUES", "ProbesRoom", "register_probes"]

__getattr__ = open_door(
    __name__,
    {
        "room": ("ProbesRoom",),
        "watching": ("PROBE_VALUES",),
        "workflows": ("register_probes",),
    },
)
