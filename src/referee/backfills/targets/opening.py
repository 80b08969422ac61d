"""Open the database that was named: an address of PostgreSQL, or the path of a SQLite file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from referee.backfills.targets.target import Target
from referee.core.errors import InvalidInput

__all__ = ["is_postgres_address", "open_target", "resolve_address"]

_ADDRESS: Final = re.compile(r"postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
_ENVIRONMENT: Final = re.compile(r"env:([A-Z][A-Z0-9_]{0,80})")


@contextmanager
def open_target(database: str, *, is_read_only: bool = False) -> Iterator[Target]:
    """Give an open target, and close it.

    Args:
        database: ``postgresql://…``, ``sqlite:///PATH``, ``env:NAME`` (an environment variable with one of
            these), or a path.
        is_read_only: Whether it must not be possible to write.

    Raises:
        InvalidInput: It is none of these.
        NotFound: There is no such file.
        Unavailable: The server does not answer.
    """
    address = resolve_address(database)
    target: Target
    if is_postgres_address(address):
        from referee.backfills.targets.postgres import PostgresTarget  # noqa: PLC0415 - a file needs no driver

        target = PostgresTarget(_ADDRESS.sub("postgresql://", address), is_read_only=is_read_only)
    else:
        from referee.backfills.targets.sqlite import SqliteTarget  # noqa: PLC0415 - and a server no sqlite3

        target = SqliteTarget(Path(address.removeprefix("sqlite:///")), is_read_only=is_read_only)
    try:
        yield target
    finally:
        target.close()


def is_postgres_address(address: str) -> bool:
    """Whether it is one of a PostgreSQL database, and not a file's."""
    return _ADDRESS.match(address) is not None


def resolve_address(database: str) -> str:
    """Return the address that was named, looked up where it is the name of an environment variable.

    Raises:
        InvalidInput: It is empty, or the variable is not set.
    """
    named = _ENVIRONMENT.fullmatch(database)
    address = os.environ.get(named[1], "") if named else database
    if not address or "\0" in address or len(address) > 4_096:
        raise InvalidInput(
            "backfill.database_needed",
            f"The environment variable {named[1]} is not set." if named else "No database was named.",
            "Give --database with the path of a SQLite file or a postgresql:// address.",
        )
    return address
