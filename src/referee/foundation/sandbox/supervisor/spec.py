"""The words between Referee and the supervisor: one JSON line each way."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["FIRST_DATA_FD", "STATUS_FD", "Report", "Spec"]

STATUS_FD = 9
"""Open file on which bubblewrap says what became of the program."""
FIRST_DATA_FD = 10
"""First of the open files that hold ``data_files``."""


class Spec(TypedDict):
    """What to run and within what. Sent as the first line of the supervisor's standard input."""

    argv: list[str]
    environment: dict[str, str]
    working_dir: str
    uid: int | None
    """User (and group) to become, None to stay who we are."""
    covers: list[str]
    """Folders to hide behind empty ones. Needs ``has_mounts``."""
    read_only: list[str]
    writable: list[str]
    private_dir: str
    """Folder of this command alone, handed over to the user and removed afterwards."""
    has_mounts: bool
    """Whether to make a mount namespace of our own first."""
    has_own_network: bool
    """Whether the supervisor makes the network namespace; bubblewrap makes its own."""
    shared_network: list[int] | None
    """Holder's process id, its start and the network's inode, for ``join_network``."""
    is_bubblewrap: bool
    data_files: list[str]
    """Contents given to the program as open files, numbered from ``FIRST_DATA_FD``."""
    first_fd: int
    """``STATUS_FD``: sent along, since the supervisor does not load this module."""
    stdin_fd: int | None
    output_dir: str
    stdout_name: str
    stderr_name: str
    is_log_live: bool
    output_bytes: int
    wall_s: float
    wall_stretch: float
    cpu_s: float
    memory_bytes: int
    processes_count: int
    rlimit_processes_count: int | None
    """Where the user is the command's own, what the kernel is told; else None."""
    is_user_shared: bool
    """Whether the limit comes on top of what the user runs already."""
    binds_processes: bool
    """Whether the kernel holds the number of processes even without control groups."""
    open_files_count: int
    file_bytes: int
    disk_bytes: int
    disk_files_count: int


class Report(TypedDict):
    """What became of it. The last line of the supervisor's standard output."""

    end: str
    exit_code: int | None
    signal: int | None
    duration_ms: int
    cpu_ms: int
    peak_memory_bytes: int | None
    stdout_bytes: int
    stderr_bytes: int
    stdout_id: list[int]
    """Device and inode of the file, so that nobody can put another in its place."""
    stderr_id: list[int]
    reason: str
    limits: list[str]
    errno: int | None
    """Set when our own side failed, such as a full disk."""
