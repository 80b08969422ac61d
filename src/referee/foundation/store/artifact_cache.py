"""Copies of artifacts as files of this machine, for programs that need a path: bounded, and never lost under a reader.

A copy is whole when it gets its name, and never changes. A reader holds a shared lock
on it; who makes room removes the least recently used copies that nobody holds, also
those of other processes.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from referee.foundation.store.artifacts import explained_errors

__all__ = ["ArtifactCache", "HeldCopy"]

_LEFTOVER_AGE_S = 86_400.0
"""A temporary file older than this belongs to a process that died: over no line does one go up or down as long."""


@dataclass(frozen=True, slots=True)
class HeldCopy:
    """A copy that stays until ``release``."""

    path: Path
    _descriptor: int

    def release(self) -> None:
        """Let it go when room is needed."""
        os.close(self._descriptor)


class ArtifactCache:
    """A folder of copies, named by their SHA-256."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._temporary = root / "tmp"
        with explained_errors():
            root.mkdir(mode=0o700, exist_ok=True)
            self._temporary.mkdir(mode=0o700, exist_ok=True)
            self._sweep_leftovers()

    def make_temporary(self) -> Path:
        """Return a name for a file that is not whole yet. After a day it counts as given up."""
        return self._temporary / uuid4().hex

    def hold(self, sha256: str) -> HeldCopy | None:
        """Return the copy of a digest, held; None when there is none. Blocking."""
        path = self._root / sha256
        with explained_errors():
            while True:
                try:
                    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                except FileNotFoundError:
                    return None
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if _is_named(descriptor, path):
                    os.utime(descriptor)
                    return HeldCopy(path, descriptor)
                os.close(descriptor)  # it was removed between the two

    def admit(self, temporary: Path, sha256: str) -> HeldCopy:
        """Give a whole file its name, and return it held. Blocking."""
        with explained_errors():
            temporary.chmod(0o440)
            self.make_room(temporary.stat().st_size)
            while True:
                with suppress(FileExistsError):
                    os.link(temporary, self._root / sha256)
                held = self.hold(sha256)
                if held is not None:
                    temporary.unlink()
                    return held

    def make_room(self, size_bytes: int) -> None:
        """Remove what was used longest ago until so many bytes fit in. What is held stays. Blocking."""
        copies = []
        with os.scandir(self._root) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        copies.append((status.st_mtime_ns, status.st_size, Path(entry.path)))
        surplus_bytes = sum(size for _, size, _ in copies) + size_bytes - self._max_bytes
        for _, found_bytes, path in sorted(copies):
            if surplus_bytes <= 0:
                return
            if _remove_unless_held(path):
                surplus_bytes -= found_bytes

    def _sweep_leftovers(self) -> None:
        oldest_s = time.time() - _LEFTOVER_AGE_S
        for leftover in self._temporary.iterdir():
            with suppress(FileNotFoundError):
                if leftover.stat().st_mtime < oldest_s:
                    leftover.unlink()


def _is_named(descriptor: int, path: Path) -> bool:
    """Return whether an open file still has that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove_unless_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
