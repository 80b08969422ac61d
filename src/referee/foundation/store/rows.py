"""Rows in bulk, rows of artifacts, and cursors of lists."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import JSON, Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.foundation.store.artifacts import Artifact
from referee.foundation.store.tables import ArtifactRow

__all__ = ["copy_rows", "decode_cursor", "encode_cursor", "record_artifacts"]

_CURSOR_MAX_CHARACTERS = 4096
"""A cursor holds a few sort values; a longer text was not made here."""
_CHECK_BYTES = 6


async def record_artifacts(session: AsyncSession, artifacts: Iterable[Artifact]) -> None:
    """Record stored bytes in the table of artifacts; those it has already stay as they are."""
    by_digest = {artifact.sha256: artifact for artifact in artifacts}
    if not by_digest:
        return
    rows = [
        {"sha256": artifact.sha256, "size_bytes": artifact.size_bytes, "media_type": artifact.media_type}
        for _, artifact in sorted(by_digest.items())
    ]  # sorted: two transactions that record the same artifacts meet them in the same order
    await session.execute(insert(ArtifactRow).on_conflict_do_nothing(index_elements=["sha256"]), rows)


async def copy_rows(
    session: AsyncSession, table: Table, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> int:
    """Write many rows by COPY, inside the session's transaction. Returns how many.

    Values are given in the order of ``columns``. Those of JSON columns are plain
    Python values; columns left out get the database's own default, not Python's.

    Raises:
        InvalidInput: A text holds a NUL or half a surrogate pair.
    """
    await session.flush()
    connection = await (await session.connection()).get_raw_connection()
    driver_connection = connection.driver_connection
    if not isinstance(driver_connection, psycopg.AsyncConnection):
        raise TypeError(f"copy_rows needs psycopg, not {type(driver_connection).__name__}")
    json_positions = [
        position for position, name in enumerate(columns) if isinstance(table.c[name].type, JSON)
    ]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(*([table.schema] if table.schema else []), table.name),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
    )
    count = 0
    try:
        async with driver_connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                values = list(row)
                for position in json_positions:
                    if values[position] is not None:
                        values[position] = Jsonb(values[position])
                await copy.write_row(values)
                count += 1
    except (UnicodeEncodeError, psycopg.DataError) as error:
        raise InvalidInput(
            "database.text_not_storable",
            f"A row for {table.name} holds a value that the database cannot keep: {error}.",
            "Remove NUL characters and half surrogate pairs, and keep numbers in range.",
            table=table.name,
        ) from error
    return count


def encode_cursor(sort: str, values: Sequence[JsonValue]) -> str:
    """Return an opaque position in a list sorted by ``sort``: the sort values of the last row shown."""
    payload = json.dumps([sort, *values], separators=(",", ":"), allow_nan=False).encode()
    return base64.urlsafe_b64encode(_compute_check(payload) + payload).rstrip(b"=").decode()


def decode_cursor(cursor: str, sort: str) -> list[JsonValue]:
    """Return the sort values in ``cursor``, as they were given.

    Raises:
        InvalidInput: It was not made by ``encode_cursor``, or for another sort.
    """
    invalid = InvalidInput(
        "page.cursor_invalid",
        "The cursor is not one that this list gave out.",
        "Start again without a cursor, and keep the same sort from page to page.",
    )
    if len(cursor) > _CURSOR_MAX_CHARACTERS:
        raise invalid
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise invalid from error
    check, payload = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if check != _compute_check(payload):
        raise invalid
    parts: list[JsonValue] = json.loads(payload)
    if parts[0] != sort:
        raise invalid
    return parts[1:]


def _compute_check(payload: bytes) -> bytes:
    """Return a checksum, so that a garbled cursor is found here and not by a query. It guards no secret."""
    return hashlib.blake2b(payload, digest_size=_CHECK_BYTES, person=b"referee cursor").digest()
