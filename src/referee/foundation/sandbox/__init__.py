"""Run programs that nobody trusts: isolated, within limits, watched, and ended without a rest.

See ``README.md`` for what each isolation method protects against and what not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.foundation.sandbox.commands import Command, CommandEnd, CommandResult, Isolation, Limits
    from referee.foundation.sandbox.isolation import detect_isolation
    from referee.foundation.sandbox.running import run_command
    from referee.foundation.sandbox.written import read_written_file, remove_written_folder

__all__ = [
    "Command",
    "CommandEnd",
    "CommandResult",
    "Isolation",
    "Limits",
    "detect_isolation",
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
        ),
        "isolation": ("detect_isolation",),
        "running": ("run_command",),
        "written": (
            "read_written_file",
            "remove_written_folder",
        ),
    },
)
