"""Dumps of the database: made before the schema changes, checked, and restored when wanted.

A backup is one file in pg_dump's custom format,
``<home>/backups/<UTC instant>-<revision>.dump``. It is written beside its name,
read back by pg_restore, fsynced, and only then named so; the newest few stay.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from referee.core.errors import Conflict, InvalidInput, NotFound, RefereeError, StorageFull, Unavailable
from referee.foundation.settings import Settings
from referee.foundation.store.migrating import read_revision
from referee.foundation.store.server import MAJOR, find_bin_dir

__all__ = ["KEPT_COUNT", "list_backups", "make_backup", "replace_database", "write_dump"]

KEPT_COUNT = 5
"""Backups that stay: enough to go back over a few upgrades, few enough to forget about."""

_REPLACED_SUFFIX = "_replaced"
_RESTORING_SUFFIX = "_restoring"


def list_backups(settings: Settings) -> list[Path]:
    """Return the backups of a home, newest first."""
    return sorted(settings.backups_dir.glob("*.dump"), reverse=True)


def make_backup(settings: Settings, conninfo: str) -> Path:
    """Dump the database into the home's backups. Returns the file.

    Raises:
        Conflict: The server is newer than the pg_dump that comes along.
        StorageFull: There is no room.
        Unavailable: The dump failed; nothing was left behind.
    """
    revision = _check_dumpable(conninfo)
    folder = settings.backups_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    instant = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = folder / f"{instant}-{revision}.dump"
    partial = target.with_suffix(".partial")
    try:
        _dump(conninfo, partial)
        partial.rename(target)
        _sync(folder)
    finally:
        partial.unlink(missing_ok=True)
    for old in list_backups(settings)[KEPT_COUNT:]:
        with suppress(FileNotFoundError):
            old.unlink()
    return target


def write_dump(conninfo: str, target: Path) -> str:
    """Dump the database into a new file, from one snapshot, read back and fsynced. Returns its revision.

    Raises:
        Conflict: The server is newer than the pg_dump that comes along.
        StorageFull: There is no room.
        Unavailable: The dump failed; nothing was left behind.
    """
    revision = _check_dumpable(conninfo)
    try:
        _dump(conninfo, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return revision


def _check_dumpable(conninfo: str) -> str:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        major = connection.info.server_version // 10_000
        revision = read_revision(connection) or "empty"
    if major > MAJOR:
        raise Conflict(
            "database.backup_impossible",
            f"The server is PostgreSQL {major}, and the pg_dump that comes along is {MAJOR}.",
            "Back it up with your own pg_dump, then run `referee upgrade --no-backup`.",
        )
    return revision


def _dump(conninfo: str, target: Path) -> None:
    _run("pg_dump", conninfo, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")
    _run("pg_restore", None, "--list", str(target))
    _sync(target)


def replace_database(conninfo: str, backup: Path) -> str:
    """Restore a backup in place of the database, in whole or not at all.

    The dump becomes a new database first; then the two change names. The one that was
    there stays as ``<name>_replaced`` until the next restore. Returns that name.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is not a backup.
        Conflict: Somebody uses the database.
        Unavailable: The restore failed; the database is as it was.
    """
    if not backup.is_file():
        raise NotFound(
            "database.backup_not_found", f"There is no backup {backup}.", "Give the path of a .dump file."
        )
    try:
        _run("pg_restore", None, "--list", str(backup))
    except Unavailable as error:
        raise InvalidInput(
            "database.backup_unreadable", f"{backup} is not a whole backup.", "Give another one."
        ) from error
    name = str(conninfo_to_dict(conninfo)["dbname"])
    restoring, replaced = name + _RESTORING_SUFFIX, name + _REPLACED_SUFFIX
    try:
        with psycopg.connect(make_conninfo(conninfo, dbname="postgres"), autocommit=True) as connection:
            _drop(connection, restoring)
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(restoring)))
            try:
                _run(
                    "pg_restore", make_conninfo(conninfo, dbname=restoring), "--exit-on-error",
                    "--single-transaction", "--no-owner", "--no-privileges", str(backup),
                )  # fmt: skip
                _swap(connection, name, restoring, replaced)
            finally:
                _drop(connection, restoring)
    except psycopg.errors.ObjectInUse as error:
        raise Conflict(
            "database.in_use",
            f"The database {name} is in use, so it cannot be replaced.",
            "Stop all Referee processes with `referee down`, then try again.",
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise Conflict(
            "database.restore_forbidden",
            "This user may not create or rename databases on the server.",
            f"Restore {backup} with pg_restore as a user who may.",
        ) from error
    return replaced


def _swap(
    connection: psycopg.Connection[tuple[object, ...]], name: str, restoring: str, replaced: str
) -> None:
    """Give the restored database the name; were it to fail half-way, give the old one its name back."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    is_there = (
        connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None
    )
    if not is_there:
        connection.execute(rename.format(sql.Identifier(restoring), sql.Identifier(name)))
        return
    # The database's own vacuuming is nobody's use: renaming ends it.
    in_use = connection.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND backend_type IS DISTINCT FROM 'autovacuum worker'",
        [name],
    ).fetchone()
    if in_use is not None:
        raise psycopg.errors.ObjectInUse
    _drop(connection, replaced)
    connection.execute(rename.format(sql.Identifier(name), sql.Identifier(replaced)))
    try:
        connection.execute(rename.format(sql.Identifier(restoring), sql.Identifier(name)))
    except psycopg.Error:
        connection.execute(rename.format(sql.Identifier(replaced), sql.Identifier(name)))
        raise


def _drop(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def _run(program: str, conninfo: str | None, *arguments: str) -> None:
    """Run one of PostgreSQL's programs; a password goes by the environment, which other users cannot read."""
    command = [str(find_bin_dir() / program), *arguments]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": os.environ.get("HOME", "/")}
    if conninfo is not None:
        parts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
        environment["PGPASSWORD"] = parts.pop("password", "")
        command.append(f"--dbname={make_conninfo('', **parts)}")
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        check=False,
    )
    if result.returncode == 0:
        return
    if "No space left on device" in result.stderr or "Disk quota exceeded" in result.stderr:
        raise StorageFull(
            "storage.full", "The disk has no room for the backup.", "Free some space, then try again."
        )
    lines = [line for line in result.stderr.splitlines() if line.strip()] or [
        f"it ended with {result.returncode}"
    ]
    raise Unavailable(
        "database.backup_failed",
        f"{program} failed: {lines[0].strip()}",
        "Nothing was changed; solve that first.",
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise RefereeError(
            "storage.disk_failed",
            f"The disk failed to keep {path}: {error.strerror}.",
            "Check the disk and the system log.",
        ) from error
    finally:
        os.close(descriptor)
