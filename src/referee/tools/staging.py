"""Folders that are made beside their place and get their name only when they are whole.

::

    <parent>/<name>/         whole as soon as it has its name
    <parent>/.staging-…/     one being made; left behind only by a crash
    <parent>/.lock           held meanwhile, so that processes take turns
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TextIO

__all__ = ["staging_folder", "taking_lock"]

_LOCK_POLL_S = 0.1


@contextlib.contextmanager
def taking_lock(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder if nobody has it; yield whether it is held."""
    with _open_lock(folder) as lock_file:
        try:
            fcntl.flock(lock_file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextlib.asynccontextmanager
async def staging_folder(root: Path) -> AsyncIterator[Path | None]:
    """Yield an empty folder that becomes ``root``, or None when another process has just made it.

    Nothing is left of a folder whose making fails.

    Raises:
        OSError: The folders cannot be made.
    """
    with _open_lock(root.parent) as lock_file:
        await _take_lock(lock_file.fileno())
        if root.is_dir():
            yield None
            return
        for leftover in root.parent.glob(".staging-*"):
            await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=root.parent))
        try:
            yield staging
            staging.chmod(0o755)
            staging.rename(root)
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)


def _open_lock(folder: Path) -> TextIO:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return (folder / ".lock").open("a")


async def _take_lock(descriptor: int) -> None:
    """Wait without blocking the loop, so that a cancelled wait ends at once."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_LOCK_POLL_S)
        else:
            return
