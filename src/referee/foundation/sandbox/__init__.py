"""Run programs that nobody trusts: isolated, within limits, watched, and ended without a rest.

See ``README.md`` for what each isolation method protects against and what not.
"""

from __future__ import annotations

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
