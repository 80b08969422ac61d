"""End what a command left behind when its supervisor itself was ended from outside."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["end_leftovers"]

PATIENCE_S = 5.0


def end_leftovers(uid: int | None, marker: str) -> None:
    """Kill every process of a command that has no supervisor any more.

    With a user of its own it is known by that user. Otherwise it is known by its environment, which
    names its private folder; a program that started another with an empty environment gets away,
    one reason why ``limits_only`` is for code that is trusted.

    Args:
        uid: The command's own user, None if it ran as us.
        marker: Name of its private folder.
    """
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        found = [pid for pid in _list_pids() if _belongs(pid, uid, os.fsencode(marker))]
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, 9)
            except OSError:
                continue  # Ended by itself, or already somebody else's.
        time.sleep(0.005)


def _list_pids() -> list[int]:
    own = os.getpid()
    return [
        int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != own
    ]


def _belongs(pid: int, uid: int | None, marker: bytes) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        if status[0] == b"Z":
            return False
        if uid is not None:
            return Path(f"/proc/{pid}").stat().st_uid == uid
        return marker in Path(f"/proc/{pid}/environ").read_bytes()
    except (OSError, IndexError):
        return False
