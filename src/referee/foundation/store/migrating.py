"""The schema's revisions: which one a database has, which one this code knows, and the way between them.

A revision's name is its file's name, ``NNNN_<what>``, and history is a line,
so knowing the newest takes a look into a folder and not an import of Alembic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from referee.core.errors import Conflict, StorageFull, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

__all__ = ["check_not_newer", "downgrade", "find_head", "list_revisions", "migrate", "read_revision"]

MIGRATIONS_DIR = Path(__file__).parent / "migrations"

_ADVISORY_LOCK = 0x5265666572656501
"""Any number that nobody else uses as an advisory lock: "Referee" in ASCII, and 1."""

_WAIT_FOR_OTHERS_S = 600.0
_LOCK_TIMEOUT_MS = 5_000
"""A migration that waits for a table longer than this gives up instead of holding everyone behind it."""


def list_revisions() -> tuple[str, ...]:
    """Return the names of all revisions this code knows, oldest first."""
    return tuple(sorted(path.stem for path in (MIGRATIONS_DIR / "versions").glob("[0-9]*_*.py")))


def find_head() -> str:
    """Return the newest revision this code knows."""
    return list_revisions()[-1]


def read_revision(connection: psycopg.Connection[tuple[object, ...]]) -> str | None:
    """Return the revision of a database; None when it is empty of us."""
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def check_not_newer(revision: str | None) -> None:
    """Refuse a schema that this code does not know.

    Raises:
        Conflict: The database was upgraded by a newer Referee.
    """
    if revision is not None and revision not in list_revisions():
        raise Conflict(
            "database.schema_newer",
            f"The database has the schema {revision}, and this Referee knows up to {find_head()}.",
            "Use the newer Referee that made it, or restore a backup from before the upgrade.",
            found=revision,
            known=find_head(),
        )


def migrate(
    conninfo: str, target: str = "head", *, before: Callable[[str], object] | None = None
) -> tuple[str | None, str | None]:
    """Bring the schema up to ``target``, one transaction per revision, only one process at a time.

    Args:
        conninfo: The database.
        target: A revision; ``head`` is the newest.
        before: Called with the present revision when there is one and it is going to change:
            here a backup is made. What it raises stops the upgrade.

    Returns:
        The revision that was found and the one it has now.

    Raises:
        Conflict: The schema is newer than this code.
        Unavailable: Another process migrates for too long, or holds a table that has to change.
    """
    return _run(conninfo, target, before=before, is_upgrade=True)


def downgrade(conninfo: str, target: str) -> None:
    """Take the schema back to ``target`` (``base`` for empty), one transaction per revision.

    Raises:
        Conflict: The schema is newer than this code, or a revision between says why it cannot be undone.
    """
    _run(conninfo, target, is_upgrade=False)


def make_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for our migrations."""
    from alembic.config import Config  # noqa: PLC0415 - 0.2 s that a start without a migration does not pay

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _run(
    conninfo: str, target: str, *, before: Callable[[str], object] | None = None, is_upgrade: bool
) -> tuple[str | None, str | None]:
    from alembic import command  # noqa: PLC0415 - as above
    from sqlalchemy import create_engine, pool  # noqa: PLC0415 - as above

    settings = f"-c lock_timeout={_LOCK_TIMEOUT_MS} -c timezone=UTC"
    own_conninfo = make_conninfo(conninfo, application_name="referee-migrations", options=settings)
    with psycopg.connect(own_conninfo, autocommit=True) as guard:
        _wait_for_lock(guard)
        found = read_revision(guard)
        check_not_newer(found)
        wanted = find_head() if target == "head" else target
        if found == wanted:
            return found, found
        if found is not None and before is not None:
            before(found)
        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(own_conninfo), poolclass=pool.NullPool
        )
        with _explained_errors(), engine.connect() as connection:
            (command.upgrade if is_upgrade else command.downgrade)(make_config(connection), target)
        return found, read_revision(guard)


@contextmanager
def _explained_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cause = getattr(error, "orig", error)
        if isinstance(cause, psycopg.errors.LockNotAvailable):
            raise Unavailable(
                "database.migration_blocked",
                "The schema could not be changed because another program holds one of its tables.",
                "Stop other Referee processes on this database, then run `referee upgrade`.",
            ) from error
        if isinstance(cause, psycopg.errors.DiskFull):
            raise StorageFull(
                "storage.full",
                "The disk of the database is full; the schema was not changed.",
                "Free some space, then run `referee upgrade`.",
            ) from error
        raise


def _wait_for_lock(guard: psycopg.Connection[tuple[object, ...]]) -> None:
    """Take the migration lock; it goes with the connection."""
    deadline_ns = time.monotonic_ns() + int(_WAIT_FOR_OTHERS_S * 1e9)
    while guard.execute("SELECT pg_try_advisory_lock(%s)", [_ADVISORY_LOCK]).fetchone() != (True,):
        if time.monotonic_ns() > deadline_ns:
            raise Unavailable(
                "database.migration_busy",
                "Another process has been changing the database's schema for minutes.",
                "Wait for it or end it, then try again.",
            )
        time.sleep(0.05)
