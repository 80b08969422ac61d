"""Alerts: rules over what the other rooms know, their firing, and telling people. This is the door.

Names are loaded when first asked for: the command line mounts this room's commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.alerts.room import AlertsRoom
    from referee.alerts.sampling import keep_samples
    from referee.alerts.workflows import register_alert_workflows

__all__ = ["AlertsRoom", "keep_samples", "register_alert_workflows"]

__getattr__ = open_door(
    __name__,
    {
        "room": ("AlertsRoom",),
        "sampling": ("keep_samples",),
        "workflows": ("register_alert_workflows",),
    },
)
