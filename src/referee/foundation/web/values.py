"""What a room lets others watch: numbers with their instants, filtered by the same grammar as its lists.

A room that owns data offers a ``ValueSource`` for it; ``app.py`` hands all of them to the room that watches.
So the query stands in the room whose tables it reads, and the watching room knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Select

from referee.core.errors import InvalidInput
from referee.foundation.web.filters import Filter, FilterField, parse_filter

__all__ = ["Measure", "ValueQuestion", "ValueSource"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number that a source has."""

    unit: str
    """``ms``, ``USD``, ``share``, ``count`` …; a share is a 0 or 1 for each row, whose average is a rate."""
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueQuestion:
    """Which values are wanted."""

    project_id: UUID
    measure: str
    filter: Filter
    from_at: datetime
    to_at: datetime
    """Not included."""


Build: TypeAlias = Callable[[ValueQuestion], Select[Any]]
"""Returns a statement of three columns: ``at`` (instant), ``value`` (number or NULL), ``subject`` (text)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSource:
    """Numbers of one kind of row."""

    name: str
    """Lower snake word, plural: ``tool_runs``."""
    title: str
    measures: Mapping[str, Measure]
    fields: Mapping[str, FilterField]
    build: Build
    page: str
    """Address of the list that shows the rows; ``{filter}`` is replaced by the filter's text, quoted."""
    is_of_installation: bool = False
    """Whether the numbers are of the whole installation: only the project ``default`` may watch them."""
    open_measures: str = field(default="")
    """Prefix of measures that are not listed, such as ``metrics.``; empty for none."""

    def read_filter(self, text: str) -> Filter:
        """Return a filter over the rows.

        Raises:
            InvalidInput: It cannot be expressed.
        """
        return parse_filter(text, self.fields)

    def find_measure(self, name: str) -> Measure:
        """Return what a measure is.

        Raises:
            InvalidInput: There is no such measure.
        """
        if name in self.measures:
            return self.measures[name]
        if self.open_measures and name.startswith(self.open_measures) and len(name) > len(self.open_measures):
            return Measure("", f"The number {name} of each row.")
        open_ones = [f"{self.open_measures}<name>"] if self.open_measures else []
        raise InvalidInput(
            "alert.measure_unknown",
            f"{self.title} have no measure {name[:80]!r}.",
            f"Use one of: {', '.join([*self.measures, *open_ones])}.",
        )
