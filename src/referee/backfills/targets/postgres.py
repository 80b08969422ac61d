"""A PostgreSQL database: rows are locked for one short statement, and those that others hold are not waited for.

A batch is read and computed without a lock. Then its rows are locked where they are still what was read
(``xmin``), without waiting (``SKIP LOCKED``); changed ones are computed again under their lock. Since nothing is
waited for while rows are held, another writer can be neither starved nor drawn into a deadlock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import errors as pg_errors
from psycopg.conninfo import conninfo_to_dict

from referee.backfills.computing import Counts, DeadLetter, Work
from referee.backfills.contract import Backfill
from referee.backfills.targets.target import (
    Batch,
    Compute,
    RowsLocked,
    Selection,
    TableShape,
    Target,
    changes_table_of,
    quote,
)
from referee.backfills.versions import newest_version
from referee.core.errors import InvalidInput, StorageFull, Unavailable

__all__ = ["PostgresTarget"]

_CONNECT_TIMEOUT_S: Final = 10
_STATEMENT_TIMEOUT_S: Final = 600
_LOCK_TIMEOUT_S: Final = 20
_STAGE: Final = "pg_temp.referee_backfill_stage"
_KEPT_CHARS: Final = 64


class PostgresTarget(Target):
    """A PostgreSQL database.

    Args:
        conninfo: Address or libpq's ``key=value`` form.
        is_read_only: Whether the server refuses every write.

    Raises:
        InvalidInput: The address cannot be understood.
        Unavailable: Nobody answers there, or not to us.
    """

    dialect = "postgresql"

    def __init__(self, conninfo: str, *, is_read_only: bool = False) -> None:
        self.label = _describe(conninfo)
        options = (
            f"-c statement_timeout={_STATEMENT_TIMEOUT_S}s -c lock_timeout={_LOCK_TIMEOUT_S}s -c TimeZone=UTC "
            f"-c default_transaction_read_only={'on' if is_read_only else 'off'}"
        )
        try:
            self._connection = psycopg.connect(
                conninfo,
                autocommit=True,
                connect_timeout=_CONNECT_TIMEOUT_S,
                options=options,
                application_name="referee-backfill",
                client_encoding="utf8",
            )
        except psycopg.ProgrammingError as error:
            raise InvalidInput(
                "backfill.address_invalid",
                "The address of the database cannot be understood.",
                "It looks like postgresql://user@host:5432/name.",
            ) from error
        except psycopg.OperationalError as error:
            raise Unavailable(
                "backfill.database_unreachable",
                f"{self.label} cannot be reached: {_first_line(error)}.",
                "Check the address, the server and the rights of the user.",
            ) from error
        self._staged: str = ""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def find_shape(self, table: str) -> TableShape | None:
        """Return what a table looks like; None when there is none, or it is a view."""
        rows = self.query(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), "
            "COALESCE(array_position(i.indkey::int2[], a.attnum), -1) FROM pg_class c "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
            "WHERE c.oid = to_regclass(?) AND c.relkind IN ('r', 'p') ORDER BY a.attnum",
            quote(table),
        )
        if not rows:
            return None
        keys = sorted((position, name) for name, _, position in rows if position >= 0)
        return TableShape(
            table,
            {name: str(kind).lower() for name, kind, _ in rows},
            tuple(name for _, name in keys),
            self._read_version(),
        )

    def _read_version(self) -> str | None:
        found = self.query(
            "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('schema_version') AND attname = 'version' "
            "AND NOT attisdropped"
        )
        if not found:
            return None
        return newest_version(str(version) for (version,) in self.query("SELECT version FROM schema_version"))

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement with ``?`` for each value."""
        with self._explained():
            return self._connection.execute(*_translate(sql, values)).fetchall()

    def stream(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement without holding all of them."""
        with (
            self._explained(),
            self._connection.transaction(),
            self._connection.cursor(name="referee_backfill_stream") as cursor,
        ):
            cursor.itersize = 5_000
            cursor.execute(*_translate(sql, values))
            yield from cursor

    def execute(self, sql: str, *values: object) -> int:
        """Carry out a statement and return how many rows it changed."""
        with self._explained():
            return self._connection.execute(*_translate(sql, values)).rowcount

    def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Carry out a statement for each row."""
        if rows:
            with self._explained(), self._connection.cursor() as cursor:
                cursor.executemany(_translate(sql, (None,))[0], rows)

    def explain(self, sql: str) -> list[str]:
        """Return the lines of the plan by which a statement would be carried out."""
        return [str(row[0]) for row in self.query(f"EXPLAIN {sql}")]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end of the block, roll back on an error."""
        with self._explained(), self._connection.transaction():
            yield

    def read_batch(self, selection: Selection, after: Any, limit: int) -> Batch:
        """Return the next rows by key, outside of any lock; the token is ``xmin`` by key."""
        if selection.until is None:
            return Batch(selection, after, [])
        rows = self._read_rows(selection, _bounds(selection, after), limit, "")
        return Batch(selection, after, [row[:-1] for row in rows], {row[0]: row[-1] for row in rows})

    def apply_batch(self, batch: Batch, work: Work, compute: Compute, run_no: int) -> Work:
        """Write what a batch comes to, with its provenance. In a transaction."""
        backfill = batch.selection.backfill
        self._stage(backfill)
        versions = dict(batch.token)
        keys = [row[0] for row in batch.rows]
        locked = self._lock(backfill, keys)
        is_stale = any(locked.get(key) != versions[key] for key in keys)
        if is_stale:
            held = self._find_held(backfill, [key for key in keys if key not in locked])
            if held and not batch.locked:
                raise RowsLocked(sorted(held))
            rows = self._read_locked(batch.selection, sorted(locked))
            previous, work = work, compute(rows)
            if (previous.filled, previous.dead) != (work.filled, work.dead):
                work.counts.recomputed_count = len(rows)
            _add_locked(work, held, backfill)
        self._write(backfill, work, run_no)
        return work

    def _lock(self, backfill: Backfill, keys: list[Any]) -> dict[Any, str]:
        """Lock the rows that nobody holds, and return their versions."""
        table, key = quote(backfill.table), quote(backfill.key)
        rows = self.query(
            f"SELECT {key}, xmin::text FROM {table} WHERE {key} = ANY(?) FOR NO KEY UPDATE SKIP LOCKED",
            keys,
        )
        return dict(rows)

    def _find_held(self, backfill: Backfill, keys: list[Any]) -> set[Any]:
        """Return which rows are still there though they could not be locked: the others were deleted."""
        if not keys:
            return set()
        table, key = quote(backfill.table), quote(backfill.key)
        return {row[0] for row in self.query(f"SELECT {key} FROM {table} WHERE {key} = ANY(?)", keys)}

    def _read_locked(self, selection: Selection, keys: list[Any]) -> list[tuple[Any, ...]]:
        key = f"t.{quote(selection.backfill.key)}"
        rows = self._read_rows(selection, (f"{key} = ANY(?) AND", (keys,)), len(keys) or 1, "")
        return [row[:-1] for row in rows]

    def _write(self, backfill: Backfill, work: Work, run_no: int) -> None:
        if not work.filled:
            return
        table, key, changes = quote(backfill.table), quote(backfill.key), quote(changes_table_of(backfill))
        types = self._types(backfill)
        with self._explained(), self._connection.cursor() as cursor:
            with cursor.copy(f"COPY {_STAGE} FROM STDIN") as copy:
                for record in work.filled:
                    copy.write_row(record)
            sets = ", ".join(
                f"{quote(column)} = COALESCE(t.{quote(column)}, s.value_{index}::{types[column]})"
                for index, column in enumerate(backfill.columns)
            )
            cursor.execute(f"UPDATE {table} t SET {sets} FROM {_STAGE} s WHERE t.{key} = s.row_key")
            marks = ", ".join(
                f"s.rule_{index}, {_mark(f's.value_{index}::{types[column]}')}"
                for index, column in enumerate(backfill.columns)
            )
            cursor.execute(f"INSERT INTO {changes} SELECT s.row_key, {run_no:d}, {marks} FROM {_STAGE} s")

    def _stage(self, backfill: Backfill) -> None:
        """Make the temporary table that batches are copied into, once a connection."""
        if self._staged == backfill.name:
            return
        shape = self.find_shape(backfill.table)
        key_type = "text" if shape is None else shape.columns[backfill.key]
        pairs = ", ".join(
            f"rule_{index} integer, value_{index} text" for index in range(len(backfill.columns))
        )
        self.execute(f"DROP TABLE IF EXISTS {_STAGE}")
        self.execute(
            f"CREATE TEMPORARY TABLE referee_backfill_stage (row_key {key_type}, {pairs}) ON COMMIT DELETE ROWS"
        )
        self._staged = backfill.name

    def _types(self, backfill: Backfill) -> dict[str, str]:
        shape = self.find_shape(backfill.table)
        assert shape is not None  # noqa: S101 - it was checked before the run
        return shape.columns

    def key_type(self, shape: TableShape, backfill: Backfill) -> str:
        """Return the type of the key itself."""
        return shape.columns[backfill.key]

    def undo_batch(self, backfill: Backfill, run_no: int, after: Any, limit: int) -> tuple[Any, int, int]:
        """Set columns back to NULL that still hold what the run wrote. In a transaction."""
        table, key, changes = quote(backfill.table), quote(backfill.key), quote(changes_table_of(backfill))
        begins, values = ("", ()) if after is None else ("AND row_key > ?", (after,))
        keys = [
            row[0]
            for row in self.query(
                f"SELECT row_key FROM {changes} WHERE run_no = ? {begins} ORDER BY row_key LIMIT ?",
                run_no,
                *values,
                limit,
            )
        ]
        if not keys:
            return None, 0, 0
        missing = set(keys) - self._lock(backfill, keys).keys()
        if self._find_held(backfill, list(missing)):
            raise RowsLocked(sorted(missing))
        restored_count = changed_count = 0
        for column in backfill.columns:
            name, written = quote(column), quote(f"{column}_written")
            ((count,),) = self.query(
                f"SELECT COUNT(*) FROM {changes} WHERE run_no = ? AND row_key = ANY(?) AND {written} IS NOT NULL",
                run_no,
                keys,
            )
            same = self.execute(
                f"UPDATE {table} t SET {name} = NULL FROM {changes} c WHERE c.run_no = ? AND c.row_key = ANY(?) "
                f"AND t.{key} = c.row_key AND {_mark(f't.{name}')} = c.{written}",
                run_no,
                keys,
            )
            restored_count += same
            changed_count += count - same
        self.execute(f"DELETE FROM {changes} WHERE run_no = ? AND row_key = ANY(?)", run_no, keys)
        return keys[-1], restored_count, changed_count

    def _read_rows(
        self, selection: Selection, where: tuple[str, tuple[Any, ...]], limit: int, lock: str
    ) -> list[tuple[Any, ...]]:
        backfill = selection.backfill
        key = f"t.{quote(backfill.key)}"
        flags = ", ".join(
            f"CASE WHEN t.{quote(column)} IS NULL THEN NULL ELSE 1 END" for column in backfill.columns
        )
        # As text, whatever the type: a backfill reads text, and a json column comes as it was written.
        inputs = ", ".join(f"t.{quote(column)}::text" for column in backfill.inputs)
        retried = (
            ""
            if selection.scope == "all"
            else "AND EXISTS (SELECT 1 FROM referee_backfill_dead_letters d "
            f"WHERE d.backfill = '{backfill.name}' AND d.row_key = {key}::text)"
        )
        begins, values = where
        return self.query(
            f"SELECT {key}, {flags}, {inputs}, t.xmin::text FROM {quote(backfill.table)} t "
            f"WHERE {begins} {selection.condition} {retried} ORDER BY {key} LIMIT ? {lock}",
            *values,
            limit,
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except pg_errors.DiskFull as error:
            raise StorageFull(
                "backfill.disk_full", f"The disk of {self.label} is full.", "Free space and run it again."
            ) from error
        except (pg_errors.LockNotAvailable, pg_errors.QueryCanceled, pg_errors.DeadlockDetected) as error:
            raise Unavailable(
                "backfill.database_busy",
                f"{self.label} gave a statement up: {_first_line(error)}.",
                "Run it again; it goes on where it was.",
            ) from error
        except psycopg.Error as error:
            raise Unavailable(
                "backfill.database_failed",
                f"{self.label} cannot be worked with: {_first_line(error)}.",
                "Check the server and the rights of the user.",
            ) from error


def _bounds(selection: Selection, after: Any) -> tuple[str, tuple[Any, ...]]:
    key = f"t.{quote(selection.backfill.key)}"
    if after is None:
        return f"{key} <= ? AND", (selection.until,)
    return f"{key} > ? AND {key} <= ? AND", (after, selection.until)


def _add_locked(work: Work, held: set[Any], backfill: Backfill) -> None:
    """Leave rows that others hold as dead letters: a retry fills them."""
    for key in sorted(held):
        work.dead.append(
            DeadLetter(key, ",".join(backfill.columns), "row_locked", "Another transaction held it.")
        )
    counts = Counts(seen_count=len(held), failed_count=len(held))
    if held:
        counts.reasons["row_locked"] = len(held)
    work.counts.add(counts)


def _mark(expression: str) -> str:
    """SQL for what the side table keeps of a value: itself as text when it is short, else its SHA-256."""
    text = f"({expression})::text"
    return (
        f"CASE WHEN length({text}) <= {_KEPT_CHARS} THEN {text} "
        f"ELSE 'sha256:' || encode(sha256(convert_to({text}, 'UTF8')), 'hex') END"
    )


def _translate(sql: str, values: Sequence[object]) -> tuple[Any, ...]:
    """Without values nothing is replaced by the driver, so nothing needs to be doubled."""
    return (sql.replace("%", "%%").replace("?", "%s"), values) if values else (sql,)


def _describe(conninfo: str) -> str:
    """Return where it is, without a password."""
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.Error:
        return "the database"
    host = re.sub(r"[^\w.:/\[\]-]", "", str(parts.get("host") or "localhost").split(",")[0])
    return f"postgresql://{host}/{parts.get('dbname') or parts.get('user') or ''}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200].rstrip(".")
