"""Which process this is, and whether another one is provably gone.

A process is named by its machine (boot and process namespace), its pid and
the instant it started: a pid alone is given out again, and two containers of
one host number their processes apart.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

__all__ = ["ProcessIdentity", "is_provably_gone", "read_own_identity", "read_process_start"]

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE_FILE = Path("/proc/self/ns/pid")
START_FIELD = 19
"""Of ``/proc/<pid>/stat`` after the command's closing parenthesis: field 22 of proc(5), ticks since boot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """One process, for as long as the machine runs."""

    host: str
    """For people."""
    machine: str
    """Equal for processes whose pids can be compared."""
    pid: int
    process_start: str
    """Different for two processes that had the same pid."""

    def make_executor_id(self) -> str:
        """Return a name for one start of a worker in this process, never used before."""
        return f"{self.host}-{self.pid}-{uuid4().hex[:12]}"


def read_own_identity() -> ProcessIdentity:
    """Return the identity of this process."""
    pid = os.getpid()
    return ProcessIdentity(
        host=socket.gethostname()[:64],
        machine=_read_machine(),
        pid=pid,
        process_start=_read_start(pid) or "unknown",
    )


def is_provably_gone(other: ProcessIdentity, own: ProcessIdentity) -> bool:
    """Whether ``other`` ran on this machine and runs no more. False whenever that cannot be known."""
    if other.machine != own.machine or not other.machine:
        return False
    start = _read_start(other.pid)
    return start is None or other.process_start not in ("unknown", start)


def read_process_start(pid: int) -> str | None:
    """Return what tells a process from others that had its pid; None when no live process has it."""
    return _read_start(pid)


def _read_machine() -> str:
    try:
        return f"{BOOT_ID_FILE.read_text().strip()}/{NAMESPACE_FILE.readlink()}"
    except OSError:
        return f"{socket.gethostname()}/{int(psutil.boot_time())}"


def _read_start(pid: int) -> str | None:
    """Return when the process began, in a form that never changes; None when no live process has the pid."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if NAMESPACE_FILE.exists() else _read_start_portably(pid)
    except OSError:
        return _read_start_portably(pid)
    return None if fields[0] in ("Z", "X") else fields[START_FIELD]


def _read_start_portably(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(int(process.create_time()))
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return "unknown"
