"""What `referee verify` asks of every room, and what it answers.

A room that stores something has a check that reads it again and compares. The
composition root collects the checks; no room knows another's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from referee.core.findings import JsonValue

__all__ = [
    "IntegrityCheck",
    "IntegrityProblem",
    "IntegrityRepair",
    "IntegrityReport",
    "IntegrityTally",
    "RepairStep",
]

MAX_PROBLEMS = 10_000
"""Problems kept by name; the count goes on."""


@dataclass(frozen=True, slots=True)
class IntegrityProblem:
    """Something stored is not what was recorded."""

    code: str
    """Dotted word, such as ``artifact.altered``."""
    subject: str
    """Which thing: an artifact's digest, an analysis' id, a file."""
    message: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class IntegrityTally:
    """So many things were checked."""

    noun: str
    """Plural, such as ``artifacts``."""
    count: int


@dataclass(frozen=True, slots=True)
class IntegrityRepair:
    """Something was put back as it was recorded."""

    code: str
    """Dotted word, such as ``file.restored``."""
    subject: str
    """Which thing."""
    message: str
    """One sentence: what was made from what."""


RepairStep: TypeAlias = Callable[[], AsyncIterator[IntegrityRepair]]
"""Yields what it mended. Only what a recorded digest proves; never a guess."""

IntegrityCheck: TypeAlias = Callable[[], AsyncIterator[IntegrityProblem | IntegrityTally]]
"""Yields problems as they are found, and at its end what was checked."""


@dataclass(slots=True)
class IntegrityReport:
    """Everything that was checked and what is wrong."""

    problems: list[IntegrityProblem] = field(default_factory=list)
    problems_count: int = 0
    checked_counts: dict[str, int] = field(default_factory=dict)

    def add(self, item: IntegrityProblem | IntegrityTally) -> None:
        """Take in what a check yields."""
        if isinstance(item, IntegrityTally):
            self.checked_counts[item.noun] = self.checked_counts.get(item.noun, 0) + item.count
            return
        self.problems_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(item)

    def dump(self) -> dict[str, JsonValue]:
        """Return the report as JSON."""
        return {
            "problems_count": self.problems_count,
            "problems": [
                {"code": problem.code, "subject": problem.subject, "message": problem.message}
                for problem in self.problems
            ],
            "checked_counts": dict(self.checked_counts),
        }
