"""What a backfill is: one small class that says what to select, how to compute a row, and how to verify.

The engine does the rest: dry run, batches, resuming, provenance, undo, dead letters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

from referee.core.errors import InvalidInput

__all__ = ["Answer", "Backfill", "Cell", "Parameter", "Poison", "QueryTarget", "Values"]

Values: TypeAlias = tuple[Any, ...]
"""The inputs of one row. Text comes as ``bytes`` from SQLite and as ``str`` from PostgreSQL."""


class Poison(NamedTuple):
    """A cell that cannot be computed. The row goes to the dead letters."""

    reason: str
    """One of the backfill's ``reasons``."""
    detail: str = ""
    """What was seen, short."""


Cell: TypeAlias = "tuple[str, str] | Poison | None"
"""Value and the rule that gave it; or why there is none; or None: there is nothing to fill yet."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A whole number that changes what a backfill computes, and so its plan."""

    default: int
    low: int
    high: int
    description: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question of a verification."""

    question: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]] = field(default_factory=tuple)
    is_right: bool | None = None
    """Whether it is as it should be; None: told for information."""


class QueryTarget(Protocol):
    """Where a verification reads."""

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement with ``?`` for each value."""

    def explain(self, sql: str) -> list[str]:
        """Return the lines of the plan by which a statement would be carried out."""

    def has_table(self, name: str) -> bool:
        """Whether there is such a table."""

    def stream(self, sql: str, *values: object) -> Any:
        """Yield the rows of a statement without holding all of them."""


class Backfill(ABC):
    """One resumable rewrite of old rows: it fills columns that are NULL, from other columns of the same row.

    ``compute`` must give the same cells for the same values, whenever it is called: no clock, no chance, no
    other rows. Constants named here go into SQL as they are, so they never hold anything from outside.
    """

    name: ClassVar[str]
    """With hyphens; its module has the same with underscores."""
    title: ClassVar[str]
    summary: ClassVar[str]
    """A sentence for people."""
    version: ClassVar[int]
    """Raised whenever ``compute`` gives other cells than before."""
    table: ClassVar[str]
    key: ClassVar[str]
    """The primary key, one column."""
    columns: ClassVar[tuple[str, ...]]
    """What is filled where it is NULL."""
    inputs: ClassVar[tuple[str, ...]]
    """What a row is computed from."""
    where: ClassVar[str] = "TRUE"
    """SQL that both databases understand: which rows it is about."""
    rules: ClassVar[tuple[str, ...]]
    """Every rule that ``compute`` names, in a fixed order; new ones at the end."""
    reasons: ClassVar[Mapping[str, str]]
    """Why a row may be left, with a sentence for people."""
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    is_value_kept: ClassVar[bool] = True
    """Whether the side table keeps each written value for undo; False: a digest, for long values."""
    column_types: ClassVar[tuple[str, ...]] = ()
    """How the types of ``columns`` may begin, lower case; none: any."""
    migrate_hint: ClassVar[str] = ""
    """What adds the columns where they are missing."""

    def __init__(self, given: Mapping[str, int] | None = None) -> None:
        """Take parameters.

        Raises:
            InvalidInput: There is no such parameter, or it is out of range.
        """
        values = {name: parameter.default for name, parameter in self.parameters.items()}
        for name, value in (given or {}).items():
            parameter = self.parameters.get(name)
            if parameter is None:
                known = ", ".join(self.parameters) or "none"
                raise InvalidInput(
                    "backfill.parameter_unknown",
                    f"{self.name} has no parameter {name[:80]!r}.",
                    f"It has: {known}.",
                )
            if not parameter.low <= value <= parameter.high:
                raise InvalidInput(
                    "backfill.parameter_out_of_range",
                    f"The parameter {name} of {self.name} is {value}.",
                    f"Give a whole number from {parameter.low} to {parameter.high}.",
                )
            values[name] = value
        self.given = values
        """Every parameter with its value."""

    @abstractmethod
    def compute(self, values: Values) -> tuple[Cell, ...]:
        """Return one cell for each of ``columns`` from the values of ``inputs``."""

    def verify(self, target: QueryTarget, changes_table: str) -> list[Answer]:
        """Return the answers to questions that show whether the columns are right. None by default."""
        return []
