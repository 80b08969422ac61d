"""A bounded page of a list, with a cursor to the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["DEFAULT_LIMIT", "MAX_LIMIT", "Page"]

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
"""Rows in one answer at most: a page of 1,000 rows is what a browser still shows within 0.1 s."""

Item = TypeVar("Item")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One slice of a list."""

    items: tuple[Item, ...]
    total_count: int
    """Rows that match, on all pages."""
    limit: int
    """Rows asked for, 1 … ``MAX_LIMIT``."""
    next_cursor: str | None
    """Opaque position of the next page; None on the last."""

    def map(self, convert: Callable[[Item], Other]) -> Page[Other]:
        """Return the same page with each item converted."""
        return Page(
            tuple(convert(item) for item in self.items), self.total_count, self.limit, self.next_cursor
        )
