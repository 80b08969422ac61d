"""What the forked child does before it becomes the program."""

from __future__ import annotations

import fcntl
import os
import resource
import signal

from referee.foundation.sandbox.supervisor import libc
from referee.foundation.sandbox.supervisor.mounts import arrange_mounts
from referee.foundation.sandbox.supervisor.network import join_network
from referee.foundation.sandbox.supervisor.processes import count_user_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from referee.foundation.sandbox.supervisor.spec import Spec

__all__ = ["become_program"]

FIRST_FREE_FD = 64
OOM_SCORE = 500
"""The kernel ends a sandboxed program long before the database or Referee."""


def become_program(
    spec: Spec, stdout_fd: int, stderr_fd: int, status_fd: int, group_files: list[str]
) -> None:
    """Turn this process into the program of ``spec``; return only by raising.

    Raises:
        OSError: A step could not be done; the message says which.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    os.setsid()
    _open_files(spec, stdout_fd, stderr_fd, status_fd)
    for name in group_files:
        _write(name, str(os.getpid()))
    try:  # noqa: SIM105 - contextlib would be loaded for this alone
        _write("/proc/self/oom_score_adj", str(OOM_SCORE))
    except OSError:
        pass  # Some containers keep it from everybody; the limits of the command hold all the same.
    if spec["shared_network"] is not None:
        join_network(*spec["shared_network"])
    os.nice(5)
    os.umask(0o022)
    if spec["uid"] is not None and spec["has_mounts"]:
        arrange_mounts(
            spec["uid"],
            read_only=spec["read_only"],
            writable=spec["writable"],
            covers=spec["covers"],
            private_dir=spec["private_dir"],
            is_whole=not spec["is_bubblewrap"],
        )
    if spec["has_own_network"]:
        libc.unshare(libc.CLONE_NEWNET | libc.CLONE_NEWIPC)
        libc.bring_loopback_up()
    _set_limits(spec)
    if spec["uid"] is not None:
        os.setgroups([])
        os.setresgid(spec["uid"], spec["uid"], spec["uid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
        if not spec["has_mounts"]:
            _check_reach(spec)
    # After the change of user, which would clear it.
    libc.end_with_parent(signal.SIGKILL)
    if not spec["is_bubblewrap"]:
        libc.forbid_new_privileges()
    os.chdir(spec["working_dir"] if not spec["is_bubblewrap"] else "/")
    os.execve(spec["argv"][0], spec["argv"], spec["environment"])  # noqa: S606 - no shell is the point


def _open_files(spec: Spec, stdout_fd: int, stderr_fd: int, status_fd: int) -> None:
    stdin_fd = spec["stdin_fd"]
    if stdin_fd is None:
        stdin_fd = os.open("/dev/null", os.O_RDONLY)
    os.dup2(stdin_fd, 0)
    os.dup2(stdout_fd, 1)
    os.dup2(stderr_fd, 2)
    if not spec["is_bubblewrap"]:
        return
    data_fds = []
    for content in spec["data_files"]:
        handle = os.memfd_create("referee")
        os.write(handle, os.fsencode(content))
        os.lseek(handle, 0, os.SEEK_SET)
        data_fds.append(handle)
    # Out of the way first: a number that is handed out may be one that is in use.
    moved = [fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_FD) for handle in (status_fd, *data_fds)]
    for number, handle in enumerate(moved, spec["first_fd"]):
        os.dup2(handle, number)


def _check_reach(spec: Spec) -> None:
    """Refuse with a clear reason what could otherwise fail in a hundred ways."""
    for path in (*spec["read_only"], *spec["writable"], spec["private_dir"]):
        needed = os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK  # noqa: PTH112 - as everywhere here
        if not os.access(path, needed):
            raise PermissionError(
                f"the sandbox's user cannot reach {path}: a folder above it is open to its owner only, "
                "and this machine does not let us mount it elsewhere"
            )


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _set_limits(spec: Spec) -> None:
    cpu_s = max(1, int(spec["cpu_s"] + 0.999))
    wanted = [
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 2),
        (resource.RLIMIT_FSIZE, spec["file_bytes"], spec["file_bytes"]),
        (resource.RLIMIT_NOFILE, spec["open_files_count"], spec["open_files_count"]),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    if spec["rlimit_processes_count"] is not None:
        count = spec["rlimit_processes_count"]
        if spec["is_user_shared"]:
            count += count_user_threads(os.geteuid())
        wanted.append((resource.RLIMIT_NPROC, count, count))
    for what, soft, hard in wanted:
        highest = resource.getrlimit(what)[1]
        if highest != resource.RLIM_INFINITY and os.geteuid() != 0:
            soft, hard = min(soft, highest), min(hard, highest)  # noqa: PLW2901 - the same limit, as far as allowed
        resource.setrlimit(what, (soft, hard))
