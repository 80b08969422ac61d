"""A SQLite file: one connection, short locks, nobody overwritten.

A batch is read and computed without the write lock. Then the lock is taken (``BEGIN IMMEDIATE``), and
``PRAGMA data_version`` tells whether another connection has committed since; if so, the batch is read and
computed again under the lock. Writers therefore wait for one batch at most, and find the lock free in between.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote as quote_url

from referee.backfills.computing import Work
from referee.backfills.contract import Backfill
from referee.backfills.targets.target import (
    Batch,
    Compute,
    Selection,
    TableShape,
    Target,
    changes_table_of,
    quote,
)
from referee.backfills.versions import newest_version
from referee.core.errors import InvalidInput, NotFound, StorageFull, Unavailable

__all__ = ["SqliteTarget"]

BUSY_TIMEOUT_S: Final = 30.0
_CACHE_KIB: Final = 48 * 1024
_CHECKPOINT_PAGES: Final = 8_000
"""32 MiB of write-ahead log between checkpoints: each page of an index is written back once, not once a batch."""
_KEPT_CHARS: Final = 64
_MAGIC: Final = b"SQLite format 3\0"
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_FULL: Final = frozenset({sqlite3.SQLITE_FULL})


class SqliteTarget(Target):
    """An SQLite database.

    Args:
        path: Of the file.
        is_read_only: Whether nothing may be written, not even beside the file.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is no SQLite database.
    """

    dialect = "sqlite"

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self.path = path.absolute()
        self.label = str(path)
        _check_file(path)
        self._connection = sqlite3.connect(
            self._make_address(is_read_only),
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connection.text_factory = _decode
        with _explained(self.label):
            self._connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            if is_read_only:
                self._connection.execute("PRAGMA query_only=1")
            else:
                self._connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")

    def _make_address(self, is_read_only: bool) -> str:
        """A reader of a file in WAL mode creates ``-shm`` beside it; nobody else has it open, so it need not."""
        address = f"file:{quote_url(str(self.path))}"
        if not is_read_only:
            return f"{address}?mode=rw"
        wal = Path(f"{self.path}-wal")
        is_quiet = not wal.exists() and _is_in_wal_mode(self.path)
        return f"{address}?mode=ro{'&immutable=1' if is_quiet else ''}"

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def find_shape(self, table: str) -> TableShape | None:
        """Return what a table looks like; None when there is none, or it is a view."""
        if not self.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", table):
            return None
        rows = self.query("SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid", table)
        keys = sorted((position, name) for name, _, position in rows if position)
        return TableShape(
            table,
            {name: str(kind).lower() for name, kind, _ in rows},
            tuple(name for _, name in keys),
            self._read_version(),
        )

    def _read_version(self) -> str | None:
        if not self.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"):
            return None
        if not self.query("SELECT 1 FROM pragma_table_info('schema_version') WHERE name = 'version'"):
            return None
        return newest_version(str(version) for (version,) in self.query("SELECT version FROM schema_version"))

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement with ``?`` for each value."""
        with _explained(self.label):
            return self._connection.execute(sql, values).fetchall()

    def stream(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement without holding all of them."""
        with _explained(self.label):
            yield from self._connection.execute(sql, values)

    def execute(self, sql: str, *values: object) -> int:
        """Carry out a statement and return how many rows it changed."""
        with _explained(self.label):
            return self._connection.execute(sql, values).rowcount

    def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Carry out a statement for each row."""
        with _explained(self.label):
            self._connection.executemany(sql, rows)

    def explain(self, sql: str) -> list[str]:
        """Return the lines of the plan by which a statement would be carried out."""
        return [str(row[3]) for row in self.query(f"EXPLAIN QUERY PLAN {sql}")]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock for the block; commit at its end, roll back on an error."""
        with _explained(self.label):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def read_batch(self, selection: Selection, after: Any, limit: int) -> Batch:
        """Return the next rows by key, outside of any lock."""
        token = self._read_data_version()
        rows = self._read_rows(selection, after, selection.until, limit)
        return Batch(selection, after, rows, token)

    def apply_batch(self, batch: Batch, work: Work, compute: Compute, run_no: int) -> Work:
        """Write what a batch comes to, with its provenance. In a transaction."""
        if batch.rows and self._read_data_version() != batch.token:
            # Nobody else writes now. Only up to the last key that was read: the lock stays short.
            rows = self._read_rows(batch.selection, batch.after, batch.last_key, len(batch.rows))
            previous, work = work, compute(rows)
            if (previous.filled, previous.dead) != (work.filled, work.dead):
                work.counts.recomputed_count = len(rows)
        backfill = batch.selection.backfill
        table, key = quote(backfill.table), quote(backfill.key)
        # ?1 is the key, ?2 and ?3 rule and value of the first column, and so on.
        sets = ", ".join(
            f"{quote(column)} = COALESCE({quote(column)}, ?{2 * index + 3})"
            for index, column in enumerate(backfill.columns)
        )
        marks = ", ".join(["?"] * (2 * len(backfill.columns)))
        changes = quote(changes_table_of(backfill))
        self.execute_many(f"UPDATE {table} SET {sets} WHERE {key} = ?1", work.filled)
        kept = work.filled if backfill.is_value_kept else [_digest_values(record) for record in work.filled]
        self.execute_many(
            f"INSERT INTO {changes} VALUES (?, {run_no:d}, {marks})",
            kept,
        )
        return work

    def key_type(self, shape: TableShape, backfill: Backfill) -> str:
        """Return no type at all, so that every key is kept as it is."""
        return "INTEGER" if "int" in shape.columns[backfill.key] else "TEXT"

    def undo_batch(self, backfill: Backfill, run_no: int, after: Any, limit: int) -> tuple[Any, int, int]:
        """Set columns back to NULL that still hold what the run wrote. In a transaction."""
        table, key, changes = quote(backfill.table), quote(backfill.key), quote(changes_table_of(backfill))
        names = [quote(column) for column in backfill.columns]
        written = ", ".join(
            f"c.{quote(f'{column}_written')}, t.{quote(column)}" for column in backfill.columns
        )
        rows = self.query(
            f"SELECT c.row_key, {written} FROM {changes} c LEFT JOIN {table} t ON t.{key} = c.row_key "
            "WHERE c.run_no = ? AND (? IS NULL OR c.row_key > ?) ORDER BY c.row_key LIMIT ?",
            run_no,
            after,
            after,
            limit,
        )
        restored_count = changed_count = 0
        for index, name in enumerate(names):
            cells = [(row[0], row[1 + 2 * index], row[2 + 2 * index]) for row in rows]
            ours = [cell for cell in cells if cell[1] is not None]
            same = [(cell[0],) for cell in ours if _is_same(cell[1], cell[2])]
            self.execute_many(f"UPDATE {table} SET {name} = NULL WHERE {key} = ?", same)
            restored_count += len(same)
            changed_count += len(ours) - len(same)
        self.execute_many(
            f"DELETE FROM {changes} WHERE row_key = ? AND run_no = {run_no:d}",
            [(row[0],) for row in rows],
        )
        return (rows[-1][0] if rows else None), restored_count, changed_count

    def back_up(self, destination: Path) -> None:
        """Copy the whole database, as it is at one instant, to a new file.

        Raises:
            Unavailable: It cannot be written.
        """
        with _explained(self.label), closing(sqlite3.connect(destination)) as copy:
            self._connection.backup(copy, pages=4_096, sleep=0.001)

    def _read_data_version(self) -> int:
        with _explained(self.label):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _read_rows(self, selection: Selection, after: Any, until: Any, limit: int) -> list[tuple[Any, ...]]:
        if until is None:
            return []
        backfill = selection.backfill
        key = f"t.{quote(backfill.key)}"
        flags = ", ".join(
            f"CASE WHEN t.{quote(column)} IS NULL THEN NULL ELSE 1 END" for column in backfill.columns
        )
        inputs = ", ".join(f"t.{quote(column)}" for column in backfill.inputs)
        # The table is read in the order of its key, whatever indexes the condition would suit.
        is_integer = self.key_type_of(backfill) == "INTEGER"
        hint = "NOT INDEXED" if is_integer else ""
        retried = (
            ""
            if selection.scope == "all"
            else "AND EXISTS (SELECT 1 FROM referee_backfill_dead_letters d "
            f"WHERE d.backfill = '{backfill.name}' AND d.row_key = CAST({key} AS TEXT))"
        )
        begins = "" if after is None else f"{key} > ? AND"
        sql = (
            f"SELECT {key}, {flags}, {inputs} FROM {quote(backfill.table)} t {hint} "
            f"WHERE {begins} {key} <= ? AND {selection.condition} {retried} ORDER BY {key} LIMIT ?"
        )
        values = (until, limit) if after is None else (after, until, limit)
        # As bytes: most text is only handed on to a JSON parser, and what is no UTF-8 must not stop a run.
        self._connection.text_factory = bytes
        try:
            with _explained(self.label):
                rows = self._connection.execute(sql, values).fetchall()
        finally:
            self._connection.text_factory = _decode
        if is_integer:
            return rows
        return [(_decode(row[0]) if isinstance(row[0], bytes) else row[0], *row[1:]) for row in rows]

    def key_type_of(self, backfill: Backfill) -> str:
        """Return the type of the keys of a backfill's table: INTEGER or TEXT."""
        if not hasattr(self, "_key_types"):
            self._key_types: dict[str, str] = {}
        if backfill.name not in self._key_types:
            shape = self.find_shape(backfill.table)
            self._key_types[backfill.name] = "TEXT" if shape is None else self.key_type(shape, backfill)
        return self._key_types[backfill.name]


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(
            "backfill.database_not_found",
            f"There is no file {path}.",
            "Give the path of the SQLite database.",
        ) from error
    except OSError as error:
        raise InvalidInput(
            "backfill.database_unreadable",
            f"{path} cannot be read: {error.strerror}.",
            "Check its permissions.",
        ) from error
    if head != _MAGIC:
        raise InvalidInput(
            "backfill.not_sqlite",
            f"{path} is no SQLite database.",
            "Give the path of one, or a postgresql:// address.",
        )


def _is_in_wal_mode(path: Path) -> bool:
    """Byte 18 of the header. Source: sqlite.org/fileformat2.html, section 1.3.3."""
    with path.open("rb") as file:
        return file.read(20)[18:19] == b"\x02"


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _digest_values(record: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        digest_long(value) if index and index % 2 == 0 else value for index, value in enumerate(record)
    )


def digest_long(value: object) -> object:
    """Return a value as the side table keeps it: itself when it is short, else its SHA-256."""
    if isinstance(value, str) and len(value) > _KEPT_CHARS:
        return "sha256:" + hashlib.sha256(value.encode()).hexdigest()
    return value


def _is_same(written: object, found: object) -> bool:
    return found is not None and (found == written or digest_long(found) == written)


@contextmanager
def _explained(label: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            raise Unavailable(
                "backfill.database_busy",
                f"{label} was locked by another process for {time.monotonic() - began:.0f} s.",
                "Run it again when that process is done; it goes on where it was.",
            ) from error
        if code in _FULL:
            raise StorageFull(
                "backfill.disk_full", f"The disk of {label} is full.", "Free space and run it again."
            ) from error
        raise Unavailable(
            "backfill.database_failed",
            f"{label} cannot be worked with: {error}.",
            "Check the file and its folder.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise Unavailable(
            "backfill.database_failed",
            f"{label} cannot be worked with: {error}.",
            "Check the file and its folder.",
        ) from error
