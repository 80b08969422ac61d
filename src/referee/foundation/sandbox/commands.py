"""What to run in a sandbox, within which limits, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Command", "CommandEnd", "CommandResult", "Isolation", "Limits", "NetworkHandle"]

CommandEnd = Literal[
    "exited", "signaled", "timed_out", "cpu_exceeded", "memory_exceeded", "cancelled", "not_started"
]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkHandle:
    """A network of its own that several commands share: its loopback reaches them and nothing else.

    Named by the process that holds it open. All three numbers must still be true when a command
    joins, so a later process with the same number is never taken for it.
    """

    holder_pid: int
    holder_started_ticks: int
    """Start of that process, in clock ticks since the machine's (field 22 of proc(5) stat)."""
    inode: int
    """Inode of the network namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One program to run. Nothing here passes a shell."""

    label: str
    """Short name for logs and errors, such as ``bandit``."""
    argv: tuple[str, ...]
    """Program (absolute path) and arguments."""
    working_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """The whole environment: nothing is inherited. PATH, HOME, TMPDIR and LANG get safe defaults."""
    read_only: tuple[Path, ...] = ()
    """Host paths visible at the same path, read-only. System folders are always there, read-only."""
    writable: tuple[Path, ...] = ()
    """Host folders visible at the same path, writable."""
    stdin: bytes = b""
    has_network: bool = False
    """False: a network of its own with loopback only. True: the machine's network, for installs only."""
    network: NetworkHandle | None = None
    """A shared network to join instead of one of its own. Not together with ``has_network``."""
    is_log_live: bool = False
    """Whether stdout and stderr both go into the file of stdout, which can be read while it runs. For
    programs that run for long; elsewhere the files have no name until the program is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a command may use."""

    wall_s: float
    """Deadline on a quiet machine. A busy machine stretches it: time in which the command was
    ready to run and got no CPU does not count, up to ``wall_stretch`` times."""
    wall_stretch: float = 5.0
    cpu_s: float = 900.0
    memory_bytes: int = 4096 * MIB
    """Of the whole process group."""
    processes_count: int = 128
    open_files_count: int = 1024
    file_bytes: int = 512 * MIB
    """Largest single file it may write."""
    output_bytes: int = 64 * MIB
    """Kept of each of stdout and stderr; the rest is read, counted and dropped."""
    disk_bytes: int = 2048 * MIB
    """What it may add to its writable folders and its private ``/tmp``, together."""
    disk_files_count: int = 200_000
    """Files and folders it may add there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Which protection was really in force, for the record of the run."""

    method: Literal["bubblewrap", "unprivileged_user", "limits_only"]
    has_own_network: bool
    has_read_only_system: bool
    has_own_processes: bool
    limits: tuple[str, ...]
    """Limits that bind here, such as ``cpu``, ``memory``, ``processes``, ``files``."""
    reason: str
    """One sentence: why this method, for example why bubblewrap could not be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What became of a command."""

    end: CommandEnd
    exit_code: int | None
    """Only when ``end`` is ``exited``."""
    signal: int | None
    """Only when ``end`` is ``signaled``."""
    duration_ms: int
    cpu_ms: int
    peak_memory_bytes: int | None
    stdout_path: Path
    stderr_path: Path
    stdout_bytes: int
    """Printed in all; the file holds at most ``Limits.output_bytes`` of them."""
    stderr_bytes: int
    is_stdout_truncated: bool
    is_stderr_truncated: bool
    isolation: Isolation
    reason: str = ""
    """One sentence when ``end`` is not ``exited``."""
