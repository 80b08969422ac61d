"""End what nobody watches any more: a command whose supervisor and whose worker were both ended from outside.

A supervisor adopts whatever its command leaves behind, and a worker ends what a killed supervisor left. When both
are killed within moments, bubblewrap's inner process may wait for ever for an outer one that is gone.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["end_orphans"]

_SUPERVISOR = b"sandbox/supervisor/__main__.py"


def end_orphans(scratch_dir: Path) -> int:
    """Kill every process that works below a folder and has neither a supervisor nor such a process above it. Blocking.

    Args:
        scratch_dir: Holds the private folders of commands; their environment names one as its home.

    Returns:
        Processes killed. Count.
    """
    home = b"HOME=" + os.fsencode(scratch_dir) + b"/"
    killed_count = 0
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and _is_orphan(path, home):
            try:
                os.kill(int(path.name), 9)
            except OSError:
                continue  # it ended by itself, or is somebody else's
            killed_count += 1
    return killed_count


def _is_orphan(process: Path, home: bytes) -> bool:
    try:
        if not _works_below(process, home):
            return False
        status = (process / "stat").read_bytes().rpartition(b")")[2].split()
        parent = process.parent / status[1].decode()
        if status[1] == b"0" or status[0] == b"Z":
            return False
        if _SUPERVISOR in (parent / "cmdline").read_bytes():
            return False
        try:
            return not _works_below(parent, home)
        except PermissionError:
            return True  # such as the machine's first process, which adopts whoever has no other parent
    except (OSError, IndexError):
        return False  # it or its parent ended meanwhile, or is not ours to look at


def _works_below(process: Path, home: bytes) -> bool:
    return any(entry.startswith(home) for entry in (process / "environ").read_bytes().split(b"\0"))
