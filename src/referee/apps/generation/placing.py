"""Files of a generated app on disk and as an archive.

An app's folder is replaced as a whole: the new one is written beside it and the two
change places in one step, so whoever reads the folder finds one version or the other.
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from referee.apps.generation.contract import FileSet

__all__ = ["pack_files", "place_files"]

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
"""From linux/fs.h."""
_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755


def pack_files(files: FileSet) -> bytes:
    """Return the files as a tar archive; the same files are the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, text in sorted(files.items()):
            data = text.encode()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(data), _FILE_MODE, 0
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def place_files(folder: Path, files: FileSet, generation_id: UUID) -> None:
    """Write files as the new content of an app's folder, which may be there already.

    Args:
        folder: Of the app.
        files: By path; checked by ``blocks.check_path``.
        generation_id: Names the folder in the making, so that a second attempt finds and removes it.

    Raises:
        OSError: They cannot be written; the folder is as it was.
    """
    folder.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    staging = folder.parent / f".{folder.name}-{generation_id.hex}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(mode=_FOLDER_MODE)
        for path, text in sorted(files.items()):
            target = staging / path
            target.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        _swap(staging, folder)
        _sync_folder(folder.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(new: Path, folder: Path) -> None:
    """Let two folders change places, or give the new one its name when there is no old one."""
    if not folder.is_symlink() and not folder.exists():
        new.rename(folder)
        return
    if _exchange(new, folder):
        return
    old = new.with_name(f"{new.name}-old")
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    with suppress(OSError):
        shutil.rmtree(old)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    done = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    if done == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(second))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
