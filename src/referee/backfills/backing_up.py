"""A copy of a SQLite database before it is changed."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from referee.backfills.targets.sqlite import SqliteTarget
from referee.backfills.targets.target import Target
from referee.core.errors import StorageFull, Unavailable

__all__ = ["back_up"]


def back_up(target: Target) -> Path | None:
    """Copy a SQLite database beside itself, whole and on the disk, and return where; None for PostgreSQL.

    Raises:
        StorageFull: There is no room for it.
        Unavailable: It cannot be written.
    """
    if not isinstance(target, SqliteTarget):
        return None
    path = target.path
    size_bytes = path.stat().st_size
    if shutil.disk_usage(path.parent).free < size_bytes * 11 // 10:
        raise StorageFull(
            "backfill.no_room_for_backup",
            f"A backup of {path} needs {size_bytes:,} bytes beside it, and the disk has not so many.",
            "Free space, or go without one with --no-backup.",
        )
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    backup = path.with_name(f"{path.name}.backup-{stamp}")
    partial = backup.with_name(f"{backup.name}.partial")
    try:
        target.back_up(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(backup)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Unavailable(
            "backfill.backup_failed",
            f"The backup {backup} cannot be written: {error.strerror}.",
            "Check the folder, or go without one with --no-backup.",
        ) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return backup
