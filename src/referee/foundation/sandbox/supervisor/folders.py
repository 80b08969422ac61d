"""Hand folders to the sandboxed user and back, measure what is in them, remove them."""

# ruff: noqa: PTH101, PTH106, PTH108, PTH104
# Loading pathlib takes longer than all the rest of a supervisor.

from __future__ import annotations

import os
import stat
import time

__all__ = ["DiskWatch", "change_owner", "remove_folder"]


def _list(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []


def change_owner(folder: str, old: int, new: int) -> None:
    """Give a folder and what is in it to another user, as far as it belongs to ``old``.

    A file with several names is left as it is: one of them may lie outside.
    Nothing may run in the folder meanwhile.
    """
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                waiting.extend(entry.path for entry in _list(path))
            elif status.st_nlink > 1:
                continue
            if status.st_uid == old:
                os.chown(path, new, new, follow_symlinks=False)
        except OSError:
            continue  # Gone, or a path longer than the system takes: its owner can reach it no better.


class DiskWatch:
    """Counts files and bytes below folders, a slice at a time, again and again."""

    def __init__(self, folders: list[str]) -> None:
        self._folders = folders
        self._waiting: list[str] = []
        self._bytes = self._files_count = 0
        self._rest_until_s = 0.0
        self._started_s = 0.0
        self.base_bytes = self.base_files_count = 0
        self.is_first = True

    def advance(self, budget_s: float) -> tuple[int, int]:
        """Walk on for at most ``budget_s``; return bytes and files added since the first round, so far."""
        now_s = time.monotonic()
        if not self._waiting:
            if now_s < self._rest_until_s:
                return 0, 0
            self._waiting = list(self._folders)
            self._bytes = self._files_count = 0
            self._started_s = now_s
        while self._waiting and time.monotonic() - now_s < budget_s:
            for entry in _list(self._waiting.pop()):
                self._count(entry)
        if self.is_first:
            if not self._waiting:
                self.is_first = False
                self.base_bytes, self.base_files_count = self._bytes, self._files_count
            return 0, 0
        if not self._waiting:
            # At most a tenth of the time goes into counting.
            self._rest_until_s = time.monotonic() + max(0.4, 10 * (time.monotonic() - self._started_s))
        return self._bytes - self.base_bytes, self._files_count - self.base_files_count

    def _count(self, entry: os.DirEntry[str]) -> None:
        try:
            self._bytes += entry.stat(follow_symlinks=False).st_blocks * 512
            self._files_count += 1
            if entry.is_dir(follow_symlinks=False):
                self._waiting.append(entry.path)
        except OSError:
            return


def remove_folder(folder: str) -> None:
    """Remove a folder made by hostile hands: any depth, any mode, no symbolic link followed.

    Folders inside are moved up before they are emptied, so no path grows too long.
    """
    serial = 0
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            os.chmod(path, 0o700)
            entries = _list(path)
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                serial += 1
                os.chmod(entry.path, 0o700)
                moved = f"{folder}/.removed-{os.getpid()}-{serial}"
                os.rename(entry.path, moved)
                waiting.append(moved)
        except OSError:
            continue
    try:
        for entry in _list(folder):
            os.rmdir(entry.path)
        os.rmdir(folder)
    except OSError:
        return
