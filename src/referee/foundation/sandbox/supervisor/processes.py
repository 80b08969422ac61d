"""What a tree of processes uses, read from ``/proc``, and how to end it."""

# ruff: noqa: PTH110, PTH116, PTH208
# Loading pathlib takes longer than all the rest of a supervisor.

from __future__ import annotations

import os
import signal

__all__ = [
    "TreeSample",
    "count_user_threads",
    "list_descendants",
    "measure_shared_fairly",
    "sample_tree",
    "signal_all",
]

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class TreeSample:
    """One look at a tree of processes. A plain class, since loading ``dataclasses`` takes 8 ms."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self.tasks_count = 0
        """Threads of all processes."""
        self.memory_bytes = 0
        """Sum of resident sizes; pages that processes share count once for each."""
        self.cpu_s = 0.0
        """CPU time of the living and of the dead they waited for."""
        self.threads: dict[int, tuple[int, int]] = {}
        """For each thread: nanoseconds on a CPU, nanoseconds ready but waiting for one."""


def _read(path: str) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(handle, 65536)
    except OSError:
        return b""
    finally:
        os.close(handle)


def _list_threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _list_all_descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
            if len(fields) > 1:
                children.setdefault(int(fields[1]), []).append(int(name))
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.extend(below)
        waiting.extend(below)
    return found


def list_descendants(root: int) -> list[int]:
    """Return every living or unreaped descendant of a process, parents before children."""
    if not os.path.exists(f"/proc/{root}/task/{root}/children"):
        return _list_all_descendants(root)
    found: list[int] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        for thread in _list_threads(pid):
            below = [int(child) for child in _read(f"/proc/{pid}/task/{thread}/children").split()]
            found.extend(below)
            waiting.extend(below)
    return found


def sample_tree(root: int) -> TreeSample:
    """Measure all descendants of a process, not the process itself."""
    sample = TreeSample(list_descendants(root))
    for pid in sample.pids:
        # Fields after the name, which may hold spaces and parentheses; numbering as in proc(5), less three.
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if len(fields) < 22:
            continue
        sample.cpu_s += sum(int(value) for value in fields[11:15]) / CLOCK_TICKS
        sample.tasks_count += int(fields[17])
        sample.memory_bytes += int(fields[21]) * PAGE_BYTES
        for thread in _list_threads(pid):
            times = _read(f"/proc/{pid}/task/{thread}/schedstat").split()
            if len(times) >= 2:
                sample.threads[int(thread)] = (int(times[0]), int(times[1]))
    return sample


def measure_shared_fairly(pids: list[int]) -> int | None:
    """Return the memory of processes with shared pages divided among their users, None if unreadable."""
    total = 0
    for pid in pids:
        data = _read(f"/proc/{pid}/smaps_rollup")
        if not data and _read(f"/proc/{pid}/statm").split()[1:2] not in ([], [b"0"]):
            return None
        for line in data.splitlines():
            if line.startswith(b"Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def count_user_threads(uid: int) -> int:
    """Return how many threads a user has now, which is what the kernel compares with its limit."""
    total = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:
                total += len(_list_threads(int(name)))
        except OSError:
            continue
    return total


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
