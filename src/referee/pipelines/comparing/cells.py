"""What is known of the cells that are compared, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

from referee.analysis import ToolFacts
from referee.apps import GenerationFacts

__all__ = ["CellFacts", "CellSet", "SourceFacts", "UnitWord"]

UnitWord: TypeAlias = Literal["template", "app number", "template or app number"]
"""What pairs two models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFacts:
    """One app of a model, as it was judged."""

    model: str
    unit: str
    """What pairs it with a cell of another model: the template, or the app's number where there is none."""
    number: int
    analysis_id: UUID | None
    state: str
    is_valid: bool
    reason: str
    """Why it is not valid; empty when it is."""
    source_digest: str | None
    code_lines_count: int | None
    tools: Mapping[str, ToolFacts]
    has_started: bool | None
    """Whether every part of the app answered; None when it was never tried, or could not be for no fault of its."""
    generation: GenerationFacts | None

    @property
    def name(self) -> str:
        """What people call it."""
        if self.unit == f"app {self.number}":
            return f"{self.model}/app{self.number}"
        return f"{self.model} × {self.unit} #{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """Where the cells come from, and what is needed to get them again."""

    kind: Literal["pipeline", "analyses"]
    name: str
    pipeline_id: UUID | None
    definition_sha256: str | None
    """Artifact with the pipeline's file."""
    state: str | None
    mode: str | None
    """``generate`` or ``existing``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSet:
    """All cells of a comparison."""

    source: SourceFacts
    cells: Sequence[CellFacts]
    """In their order."""
    models: tuple[str, ...]
    units: tuple[str, ...]
    unit_word: UnitWord
    repeated_runs: Mapping[str, Sequence[Sequence[frozenset[str]]]]
    """Tool → groups of runs of one version on one source; of each run what it found."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    @property
    def valid_count(self) -> int:
        """Cells whose results count."""
        return sum(cell.is_valid for cell in self.cells)
