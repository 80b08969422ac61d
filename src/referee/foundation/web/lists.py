"""What a list page shows, as values: columns, rows, facets, pager and the empty states.

A room fills a ``ListView`` from its service's page; the macro ``list_page``
draws it. The address holds everything (filter, order, cursor, selected item),
so a copied link shows the same list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import urlencode

from starlette.requests import Request

from referee.core.errors import InvalidInput
from referee.core.pages import Page
from referee.foundation.web.filters import Filter, FilterField, parse_filter

__all__ = [
    "Card",
    "Column",
    "EmptyState",
    "Facet",
    "FacetChoice",
    "LinkCell",
    "ListQuery",
    "ListView",
    "Row",
    "build_facet",
    "change_query",
    "read_list_query",
]

CellKind: TypeAlias = Literal[
    "text",
    "mono",
    "id",
    "link",
    "time",
    "count",
    "number",
    "duration",
    "bytes",
    "percent",
    "severity",
    "state",
    "custom",
]
NUMERIC_KINDS = frozenset({"count", "number", "duration", "bytes", "percent"})

MAX_SHOWN_CHOICES = 12
"""Choices of one facet that are shown; the query bar reaches all."""


@dataclass(frozen=True, slots=True)
class Card:
    """One number above a list."""

    label: str
    value: str
    """Already formatted."""
    detail: str = ""
    tone: str = ""
    """Empty, ok, warn, bad, accent or a severity."""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    key: str
    """Name of the cell in each row; also the filter key when ``is_sortable``."""
    label: str
    kind: CellKind = "text"
    is_sortable: bool = False
    is_title: bool = False
    """The cell that carries the row's link; one per table."""
    is_optional: bool = False
    """Left out where the screen is narrow but not yet stacked."""

    @property
    def is_number(self) -> bool:
        """Whether the cells are right-aligned."""
        return self.kind in NUMERIC_KINDS


@dataclass(frozen=True, slots=True)
class LinkCell:
    """A cell that leads somewhere."""

    text: str
    url: str
    is_mono: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    row_id: str
    """Stable, unique on the page; the value of ``?item=``."""
    url: str
    """The page of what the row shows."""
    cells: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FacetChoice:
    """One chip."""

    label: str
    count: int | None
    url: str
    is_selected: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """The chips of one key."""

    key: str
    label: str
    choices: Sequence[FacetChoice]
    hidden_count: int = 0
    """Further choices that are not shown."""


@dataclass(frozen=True, slots=True)
class EmptyState:
    """What stands in place of a list that has nothing yet."""

    title: str
    text: str
    command: str = ""
    """One command that fills it."""
    docs_url: str = ""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What the address of a list page asks for."""

    text: str
    """As the person wrote it."""
    filter: Filter
    """Empty when the text could not be understood."""
    error: InvalidInput | None
    """Why it could not; the page shows it in place of the rows."""
    item: str | None
    path: str
    parameters: tuple[tuple[str, str], ...]

    def url(self, **changes: str | None) -> str:
        """Return this page's address with parameters changed; None takes one away."""
        return change_query(self.path, self.parameters, **changes)

    def filter_url(self, filter: Filter) -> str:
        """Return the address of the first page of another filter."""
        return self.url(filter=str(filter) or None, cursor=None, item=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListView:
    """A whole list page."""

    title: str
    noun: str
    """Plural, as in "1,204 findings"."""
    query: ListQuery
    columns: Sequence[Column]
    rows: Sequence[Row]
    total_count: int
    empty: EmptyState
    state_line: str = ""
    """One line under the title: what is going on."""
    cards: Sequence[Card] = ()
    facets: Sequence[Facet] = ()
    next_cursor: str | None = None
    twin_url: str | None = None
    export_url: str | None = None
    live_topic: str = ""
    """Topic whose change fetches the table again."""
    is_compact: bool = False
    default_sort: str = ""
    """The order without a ``sort:``, such as ``-created``."""
    limit: int | None = None
    caption: str = ""
    """What the table is, for screen readers; the title when empty."""
    fields: Mapping[str, FilterField] = field(default_factory=dict)

    @classmethod
    def paging(cls, page: Page[Row]) -> dict[str, object]:
        """Return the arguments that come from a page: rows, total, limit and cursor."""
        return {
            "rows": page.items,
            "total_count": page.total_count,
            "limit": page.limit,
            "next_cursor": page.next_cursor,
        }

    @property
    def has_nothing_yet(self) -> bool:
        """Whether the list is empty without any filter: not the same as "no match"."""
        return self.total_count == 0 and self.query.filter.is_empty and self.query.error is None

    @property
    def is_first_page(self) -> bool:
        """Whether no cursor was given."""
        return not any(name == "cursor" for name, _ in self.query.parameters)

    def sort_direction(self, column: Column) -> Literal["ascending", "descending", "none"]:
        """Return how the list is sorted by a column now."""
        first = next(
            (sort.render().removeprefix("sort:") for sort in self.query.filter.sorts), self.default_sort
        )
        if first.removeprefix("-") != column.key:
            return "none"
        return "descending" if first.startswith("-") else "ascending"

    def sort_url(self, column: Column) -> str:
        """Return the address that sorts by a column; the other way where it already does."""
        is_ascending = self.sort_direction(column) == "ascending"
        return self.query.filter_url(self.query.filter.sorted_by(column.key, is_descending=is_ascending))


def read_list_query(request: Request, fields: Mapping[str, FilterField]) -> ListQuery:
    """Return what the address asks for; a filter that cannot be understood becomes ``error``."""
    parameters = tuple(request.query_params.multi_items())
    text = request.query_params.get("filter", "").strip()
    error: InvalidInput | None = None
    try:
        parsed = parse_filter(text, fields)
    except InvalidInput as problem:
        parsed, error = Filter(fields=fields), problem
    return ListQuery(text, parsed, error, request.query_params.get("item"), request.url.path, parameters)


def build_facet(
    query: ListQuery,
    key: str,
    label: str,
    counts: Mapping[str, int],
    *,
    words: Mapping[str, str] | None = None,
) -> Facet:
    """Return the chips of one key, in the order of ``counts``; selected ones are always shown.

    Args:
        query: What the page asks for.
        key: The filter key.
        label: What stands before the chips.
        counts: Rows per word under the filter without this key.
        words: How a word is shown, where it differs.
    """
    choices = [
        FacetChoice(
            (words or {}).get(word, word.replace("_", " ")),
            count,
            query.filter_url(query.filter.toggle_word(key, word)),
            query.filter.has_word(key, word),
        )
        for word, count in counts.items()
    ]
    shown = [
        choice for index, choice in enumerate(choices) if index < MAX_SHOWN_CHOICES or choice.is_selected
    ]
    return Facet(key, label, shown, len(choices) - len(shown))


def change_query(path: str, parameters: Sequence[tuple[str, str]], **changes: str | None) -> str:
    """Return ``path`` with its query parameters changed; None takes one away, the order stays."""
    kept = [(name, value) for name, value in parameters if name not in changes]
    kept += [(name, value) for name, value in changes.items() if value is not None]
    return f"{path}?{urlencode(kept)}" if kept else path
