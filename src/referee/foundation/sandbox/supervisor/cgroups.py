"""Memory and process limits kept by the kernel, where control groups can be written.

Both versions are understood. Where neither can be used the limits are held by
watching, which is coarser: a program may go over for a fifth of a second.
"""

# ruff: noqa: PTH102, PTH106, PTH110, PTH123, PTH208
# Loading pathlib takes longer than all the rest of a supervisor.

from __future__ import annotations

import os
import time

__all__ = ["ControlGroups"]

PREFIX = "referee-"


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _write_text(path: str, text: str) -> bool:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        return False
    return True


def _find_own_group(controller: str) -> tuple[str, bool]:
    """Return the folder of our group for a controller and whether it is version 2; empty if none."""
    own = {}
    for line in _read_text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    found = ""
    for line in _read_text("/proc/self/mountinfo").splitlines():
        mount, _, rest = line.partition(" - ")
        root, point = mount.split()[3:5]
        kind, _, options = rest.split()[:3]
        if kind == "cgroup" and controller in options.split(",") and controller in own:
            return _join(point, root, own[controller]), False
        if kind == "cgroup2" and "" in own:
            found = _join(point, root, own[""])
    return found, True


def _join(point: str, root: str, path: str) -> str:
    if root != "/" and path.startswith(root):
        path = path[len(root) :]
    return f"{point}/{path.strip('/')}".rstrip("/")


class ControlGroups:
    """The groups of one command; none where they cannot be made."""

    def __init__(self, memory_bytes: int, processes_count: int) -> None:
        self.join_files: list[str] = []
        """Writing a process id into each of them puts that process under the limits."""
        self.limits: list[str] = []
        """Limits that the kernel holds by these groups."""
        self._folders: list[str] = []
        self._oom_file = ""
        self._kill_file = ""
        for limit, controller in (("memory", "memory"), ("processes", "pids")):
            parent, is_second = _find_own_group(controller)
            if parent:
                self._make(
                    parent, limit, memory_bytes if limit == "memory" else processes_count, is_second=is_second
                )

    def _make(self, parent: str, limit: str, value: int, *, is_second: bool) -> None:
        folder = f"{parent}/{PREFIX}{os.getpid()}"
        self._sweep(parent)
        if folder not in self._folders:
            try:
                os.mkdir(folder)
            except OSError:
                return
            self._folders.append(folder)
        names = {
            ("processes", False): "pids.max",
            ("processes", True): "pids.max",
            ("memory", False): "memory.limit_in_bytes",
            ("memory", True): "memory.max",
        }
        if not _write_text(f"{folder}/{names[limit, is_second]}", str(value)):
            return
        if limit == "memory" and is_second:
            self._oom_file = f"{folder}/memory.events"
            _write_text(f"{folder}/memory.swap.max", "0")
        elif limit == "memory":
            self._oom_file = f"{folder}/memory.oom_control"
            _write_text(f"{folder}/memory.memsw.limit_in_bytes", str(value))
        if is_second:
            self._kill_file = f"{folder}/cgroup.kill"
        self.limits.append(limit)
        if f"{folder}/cgroup.procs" not in self.join_files:
            self.join_files.append(f"{folder}/cgroup.procs")

    def _sweep(self, parent: str) -> None:
        """Remove groups left by supervisors that were killed; the kernel refuses if anybody is in one."""
        for name in os.listdir(parent):
            if name.startswith(PREFIX) and not os.path.exists(f"/proc/{name[len(PREFIX) :]}"):
                self._remove(f"{parent}/{name}")

    def count_memory_kills(self) -> int:
        """Return how many processes the kernel ended because the memory limit was reached."""
        for line in _read_text(self._oom_file).splitlines() if self._oom_file else []:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def kill(self) -> None:
        """End everything in the groups at once, where the kernel can do that."""
        if self._kill_file:
            _write_text(self._kill_file, "1")

    def remove(self) -> None:
        """Remove the groups. Everything in them has ended."""
        for folder in self._folders:
            for _ in range(20):
                if self._remove(folder):
                    break
                time.sleep(0.005)

    @staticmethod
    def _remove(folder: str) -> bool:
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True
