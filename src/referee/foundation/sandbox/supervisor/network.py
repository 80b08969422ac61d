"""A network that several commands share: the process that holds it, and how a command joins.

The holder makes a network namespace whose only device is loopback and waits for
the end of its standard input. Not root, it makes a user namespace around it,
which whoever joins has to enter first.
"""

# ruff: noqa: PTH123
# Loading pathlib takes longer than all the rest of a supervisor.

from __future__ import annotations

import json
import os
import signal

from referee.foundation.sandbox.supervisor import libc

__all__ = ["hold_network", "join_network", "read_start_ticks"]


def read_start_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since the machine's start.

    Raises:
        OSError: There is no such process.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def hold_network() -> None:
    """Make a network, print what names it as one JSON line, and hold it until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    user_id, group_id = os.geteuid(), os.getegid()
    if user_id == 0:
        libc.unshare(libc.CLONE_NEWNET)
    else:
        libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNET)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user_id} {user_id} 1"),
            ("gid_map", f"{group_id} {group_id} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    libc.bring_loopback_up()
    pid = os.getpid()
    names = [pid, read_start_ticks(pid), os.stat("/proc/self/ns/net").st_ino]  # noqa: PTH116 - as everywhere here
    os.write(1, json.dumps(names).encode() + b"\n")
    while os.read(0, 512):
        pass


def join_network(holder_pid: int, holder_started_ticks: int, inode: int) -> None:
    """Enter the network that a holder holds.

    Raises:
        OSError: The holder is gone, or the process of that number is another one.
    """
    handles = []
    try:
        if os.geteuid() != 0:
            handles.append(
                (os.open(f"/proc/{holder_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC), libc.CLONE_NEWUSER)
            )
        network = os.open(f"/proc/{holder_pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        handles.append((network, libc.CLONE_NEWNET))
        # After opening: what was opened is then known to be the holder's.
        if read_start_ticks(holder_pid) != holder_started_ticks or os.fstat(network).st_ino != inode:
            raise ProcessLookupError("another process has the holder's number")
        for handle, kind in handles:
            libc.join_namespace(handle, kind)
    except OSError as error:
        raise OSError(f"the network of the app is gone ({error.strerror or error})") from error
    finally:
        for handle, _ in handles:
            os.close(handle)
