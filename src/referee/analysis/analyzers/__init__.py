"""Analyzers: processes on other machines that run services of this server's analyses. This is the door.

Names are loaded when first asked for: the command line mounts this room's command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.analysis.analyzers.queries import find_remote_services
    from referee.analysis.analyzers.replicas import keep_replicas
    from referee.analysis.analyzers.waiting import REMOTE_SERVICE, register_remote_workflows

__all__ = ["REMOTE_SERVICE", "find_remote_services", "keep_replicas", "register_remote_workflows"]

__getattr__ = open_door(
    __name__,
    {
        "queries": ("find_remote_services",),
        "replicas": ("keep_replicas",),
        "waiting": ("REMOTE_SERVICE", "register_remote_workflows"),
    },
)
