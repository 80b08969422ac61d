"""What the engine needs of a database, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

from referee.backfills.computing import Work
from referee.backfills.contract import Backfill
from referee.core.errors import Conflict, Unavailable

__all__ = [
    "CHANGES_PREFIX",
    "Batch",
    "Compute",
    "RowsLocked",
    "Scope",
    "Selection",
    "TableShape",
    "Target",
    "changes_table_of",
    "check_shape",
    "quote",
]

CHANGES_PREFIX: Final = "referee_backfill_changes__"
LEDGER_TABLES: Final = ("referee_backfill_runs", "referee_backfill_rules", "referee_backfill_dead_letters")

Scope: TypeAlias = Literal["all", "dead_letters"]
Compute: TypeAlias = Callable[[Sequence[tuple[Any, ...]]], Work]


def quote(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def changes_table_of(backfill: Backfill | type[Backfill]) -> str:
    """Return the name of the side table with provenance and undo."""
    return CHANGES_PREFIX + backfill.name.replace("-", "_")


class RowsLocked(Unavailable):
    """Other transactions hold rows of this batch."""

    def __init__(self, keys: Sequence[Any]) -> None:
        super().__init__(
            "backfill.rows_locked",
            f"{len(keys):,} rows are locked by other transactions.",
            "They are tried again.",
        )
        self.keys = keys


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table as it is."""

    name: str
    columns: dict[str, str]
    """Name → declared type, lower case."""
    key_columns: tuple[str, ...]
    schema_version: str | None
    """The newest row of ``schema_version``, compared as numbers; None without that table."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows a run is about."""

    backfill: Backfill
    scope: Scope = "all"
    until: Any = None
    """The last key; None: nothing is selected."""

    @property
    def condition(self) -> str:
        """SQL without values: a column is NULL, and the backfill's own condition. The table is ``t``."""
        nulls = " OR ".join(f"t.{quote(column)} IS NULL" for column in self.backfill.columns)
        return f"({nulls}) AND ({self.backfill.where})"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as they were read, outside of any lock."""

    selection: Selection
    after: Any
    rows: Sequence[tuple[Any, ...]]
    token: Any = None
    """What tells whether somebody has written since."""
    locked: frozenset[Any] = frozenset()
    """Rows that others held for so long that they are left as dead letters."""

    @property
    def last_key(self) -> Any:
        """Where the next batch begins."""
        return self.rows[-1][0]


class Target(ABC):
    """One open connection to a database."""

    dialect: ClassVar[Literal["sqlite", "postgresql"]]
    label: str
    """Where it is, for people, without a password."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def find_shape(self, table: str) -> TableShape | None:
        """Return what a table looks like; None when there is none."""

    @abstractmethod
    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement with ``?`` for each value."""

    @abstractmethod
    def stream(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement without holding all of them."""

    @abstractmethod
    def execute(self, sql: str, *values: object) -> int:
        """Carry out a statement and return how many rows it changed."""

    @abstractmethod
    def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Carry out a statement for each row."""

    @abstractmethod
    def explain(self, sql: str) -> list[str]:
        """Return the lines of the plan by which a statement would be carried out."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Return a block in which all is written or nothing. Others' writes wait at most for its end."""

    @abstractmethod
    def read_batch(self, selection: Selection, after: Any, limit: int) -> Batch:
        """Return the next rows by key, outside of any lock. For ``compute_batch``."""

    @abstractmethod
    def apply_batch(self, batch: Batch, work: Work, compute: Compute, run_no: int) -> Work:
        """Write what a batch comes to, with its provenance. In a transaction.

        Rows that somebody wrote to since they were read are computed again from what they are now.

        Returns:
            What was written in fact.

        Raises:
            RowsLocked: Other transactions hold rows; try the batch again.
        """

    @abstractmethod
    def key_type(self, shape: TableShape, backfill: Backfill) -> str:
        """Return the type that a column of keys has in the side tables."""

    @abstractmethod
    def undo_batch(self, backfill: Backfill, run_no: int, after: Any, limit: int) -> tuple[Any, int, int]:
        """Set columns back to NULL that still hold what the run wrote. In a transaction.

        Returns:
            The last key (None: there was nothing left), cells set back, cells that somebody changed since.
        """

    def has_table(self, name: str) -> bool:
        """Whether there is such a table."""
        return self.find_shape(name) is not None


def check_shape(backfill: Backfill, shape: TableShape | None, label: str) -> TableShape:
    """Return the shape if it is what the backfill expects.

    Raises:
        Conflict: The table, its key or a column is not there.
    """
    if shape is None:
        raise Conflict(
            "backfill.table_missing",
            f"{label} has no table {backfill.table}, which {backfill.name} is about.",
            "Give the database that holds it with --database.",
        )
    wanted = (backfill.key, *backfill.inputs, *backfill.columns)
    if shape.key_columns != (backfill.key,):
        keys = ", ".join(shape.key_columns) or "no key"
        raise Conflict(
            "backfill.key_unexpected",
            f"The primary key of {backfill.table} is {keys}, and {backfill.name} goes by {backfill.key}.",
            "Give a database of the schema that the backfill is for.",
        )
    missing = [name for name in wanted if name not in shape.columns]
    if missing:
        version = f" (schema version {shape.schema_version})" if shape.schema_version else ""
        is_mendable = backfill.migrate_hint and set(missing) <= set(backfill.columns)
        raise Conflict(
            "backfill.columns_missing",
            f"{backfill.table}{version} has no column {', '.join(missing)}.",
            backfill.migrate_hint if is_mendable else "Give a database of the schema that it is for.",
        )
    for name in backfill.columns:
        found = shape.columns[name]
        if found and backfill.column_types and not found.startswith(backfill.column_types):
            raise Conflict(
                "backfill.column_type_unexpected",
                f"{backfill.table}.{name} is of type {found}, which {backfill.name} cannot fill.",
                f"It fills columns of type {', '.join(backfill.column_types)}.",
            )
    return shape
