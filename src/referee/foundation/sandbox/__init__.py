"""Run programs that nobody trusts: isolated, within limits, watched, and ended without a rest.

See ``README.md`` for what each isolation method protects against and what not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.foundation.sandbox.commands import (
        Command,
        CommandEnd,
        CommandResult,
        Isolation,
        Limits,
        NetworkHandle,
    )
    from referee.foundation.sandbox.isolation import detect_isolation
    from referee.foundation.sandbox.networks import SharedNetwork, is_network_held, open_network
    from referee.foundation.sandbox.orphans import end_orphans
    from referee.foundation.sandbox.running import run_command
    from referee.foundation.sandbox.written import read_written_file, remove_written_folder

__all__ = [
    "Command",
    "CommandEnd",
    "CommandResult",
    "Isolation",
    "Limits",
    "NetworkHandle",
    "SharedNetwork",
    "detect_isolation",
    "end_orphans",
    "is_network_held",
    "open_network",
    "read_written_file",
    "remove_written_folder",
    "run_command",
]

__getattr__ = open_door(
    __name__,
    {
        "commands": (
            "Command",
            "CommandEnd",
            "CommandResult",
            "Isolation",
            "Limits",
            "NetworkHandle",
        ),
        "isolation": ("detect_isolation",),
        "networks": ("SharedNetwork", "is_network_held", "open_network"),
        "orphans": ("end_orphans",),
        "running": ("run_command",),
        "written": (
            "read_written_file",
            "remove_written_folder",
        ),
    },
)
