"""A batch of rows through a backfill's ``compute``: what would be written, what cannot be, and the counts.

The dry run and the real run call the same function here; only the second one writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from referee.backfills.contract import Backfill, Cell, Poison

__all__ = ["CRASHED", "Counts", "DeadLetter", "Work", "compute_batch", "number_rules"]


CRASHED = "compute_crashed"
"""Reason of a row on which ``compute`` raised."""


_NOTHING = (None, None)


class DeadLetter(NamedTuple):
    """A row that could not be processed whole."""

    key: Any
    columns: str
    """The columns that stayed NULL, with commas."""
    reason: str
    detail: str


@dataclass(slots=True)
class Counts:
    """What became of rows."""

    seen_count: int = 0
    """Rows that were selected and computed."""
    filled_count: int = 0
    """Rows in which at least one column was filled."""
    failed_count: int = 0
    """Rows with at least one column that could not be computed."""
    left_count: int = 0
    """Rows with nothing to fill yet."""
    recomputed_count: int = 0
    """Rows computed again since another writer had written meanwhile."""
    rules: Counter[str] = field(default_factory=Counter)
    """``column=rule`` → cells."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason → rows."""

    def add(self, other: Counts) -> None:
        """Add another batch."""
        self.seen_count += other.seen_count
        self.filled_count += other.filled_count
        self.failed_count += other.failed_count
        self.left_count += other.left_count
        self.recomputed_count += other.recomputed_count
        self.rules.update(other.rules)
        self.reasons.update(other.reasons)

    def dump(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "seen_count": self.seen_count,
            "filled_count": self.filled_count,
            "failed_count": self.failed_count,
            "left_count": self.left_count,
            "recomputed_count": self.recomputed_count,
            "rules": dict(sorted(self.rules.items())),
            "reasons": dict(sorted(self.reasons.items())),
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Counts:
        """Return what ``dump`` gave."""
        values = {**dumped, "rules": Counter(dumped["rules"]), "reasons": Counter(dumped["reasons"])}
        return cls(**values)


@dataclass(slots=True)
class Work:
    """What a batch comes to."""

    filled: list[tuple[Any, ...]]
    """Key, then for each column the number of the rule and the value; None, None where it is not filled."""
    dead: list[DeadLetter]
    counts: Counts


def number_rules(backfill: Backfill) -> dict[str, int]:
    """Return the number under which each rule stands in the side table."""
    return {rule: number for number, rule in enumerate(backfill.rules, start=1)}


def compute_batch(backfill: Backfill, rows: Sequence[tuple[Any, ...]]) -> Work:
    """Compute rows: key, then for each column whether it is set (None: it is not), then the inputs."""
    numbers = number_rules(backfill)
    count = len(backfill.columns)
    all_null = (None,) * count
    filled: list[tuple[Any, ...]] = []
    dead: list[DeadLetter] = []
    compute = backfill.compute
    left_count = 0
    for row in rows:
        try:
            cells = compute(row[count + 1 :])
        except Exception as error:  # a row that nobody thought of must not stop the run, and must not be lost
            cells = (Poison(CRASHED, f"{type(error).__name__}: {error}"[:200]),) * count
        flags = row[1 : count + 1]
        if flags != all_null:
            cells = tuple(cell if flag is None else None for cell, flag in zip(cells, flags, strict=True))
        record = [row[0]]
        failures = None
        for cell in cells:
            if cell.__class__ is tuple:
                value, rule = cell
                record += (numbers[rule], value)
            else:
                record += _NOTHING
                if cell is not None:
                    failures = True
        if failures:
            dead.append(_make_letter(backfill, row[0], cells))
        if record.count(None) < 2 * count:
            filled.append(tuple(record))
        elif not failures:
            left_count += 1
    return Work(filled, dead, _count(backfill, len(rows), filled, dead, left_count))


def _count(
    backfill: Backfill,
    seen_count: int,
    filled: list[tuple[Any, ...]],
    dead: list[DeadLetter],
    left_count: int,
) -> Counts:
    counts = Counts(seen_count, len(filled), len(dead), left_count)
    for index, column in enumerate(backfill.columns):
        for number, cells_count in Counter(map(itemgetter(1 + 2 * index), filled)).items():
            if number is not None:
                counts.rules[f"{column}={backfill.rules[number - 1]}"] = cells_count
    counts.reasons.update(letter.reason for letter in dead)
    return counts


def _make_letter(backfill: Backfill, key: Any, cells: Sequence[Cell]) -> DeadLetter:
    """One letter a row, with the reason of the first column that failed."""
    failures = [
        (column, cell)
        for column, cell in zip(backfill.columns, cells, strict=True)
        if isinstance(cell, Poison)
    ]
    columns = ",".join(column for column, _ in failures)
    _, poison = failures[0]
    return DeadLetter(key, columns, poison.reason, poison.detail.replace("\0", "\\0"))
