"""A filter as values: frozen, comparable, and rendered back to its text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from referee.core.ids import format_id
from referee.foundation.web.filters.fields import FilterField

__all__ = [
    "Comparison",
    "Filter",
    "FlagValue",
    "IdValue",
    "NumberValue",
    "Sort",
    "Term",
    "TextValue",
    "TimeValue",
    "Value",
    "WordValue",
]

_PLAIN_WORD: Final = re.compile(r"(?![-<>=])[^\s\"():*\\]+")
_PLAIN_VALUE: Final = re.compile(r"(?![<>=])[^\s\"()*\\]+")
_NEEDS_ESCAPE: Final = re.compile(r"[\s\"():\\<>=-]")
_UNITS: Final = (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


class Comparison(StrEnum):
    """How a value is compared."""

    equal = "="
    at_least = ">="
    at_most = "<="
    more = ">"
    less = "<"

    @property
    def sign(self) -> str:
        """What stands before the value in the text."""
        return "" if self is Comparison.equal else self.value


@dataclass(frozen=True, slots=True)
class TextValue:
    """Text to look for. In a pattern ``*`` stands for any characters."""

    text: str
    is_pattern: bool = False

    def render(self, *, is_bare: bool = False) -> str:
        """Return the text as it is written in a filter."""
        if self.is_pattern:
            # A star that is meant literally cannot be in a pattern, so each one stays as it is.
            return _NEEDS_ESCAPE.sub(lambda match: "\\" + match.group(), self.text)
        plain = _PLAIN_WORD if is_bare else _PLAIN_VALUE
        if plain.fullmatch(self.text) and self.text.upper() != "OR":
            return self.text
        return '"' + self.text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True, slots=True)
class WordValue:
    """One of a field's words."""

    word: str
    comparison: Comparison = Comparison.equal

    def render(self) -> str:
        """Return the word as it is written in a filter."""
        return self.comparison.sign + TextValue(self.word).render()


@dataclass(frozen=True, slots=True)
class NumberValue:
    """A number."""

    number: int | float
    comparison: Comparison = Comparison.equal

    def render(self) -> str:
        """Return the number as it is written in a filter."""
        number = self.number
        if isinstance(number, float) and number.is_integer() and math.fabs(number) < 1e15:
            number = int(number)
        return self.comparison.sign + repr(number)


@dataclass(frozen=True, slots=True)
class TimeValue:
    """A day, an instant, or a distance before now."""

    moment: date | datetime | timedelta
    """A date is the whole day in UTC; a timedelta counts back from now."""
    comparison: Comparison = Comparison.equal

    def render(self) -> str:
        """Return the time as it is written in a filter."""
        return self.comparison.sign + self._render_moment()

    def _render_moment(self) -> str:
        if isinstance(self.moment, timedelta):
            seconds = int(self.moment.total_seconds())
            unit, size = next(((u, s) for u, s in _UNITS if seconds and seconds % s == 0), ("s", 1))
            return f"-{seconds // size}{unit}"
        if isinstance(self.moment, datetime):
            return self.moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return self.moment.isoformat()


@dataclass(frozen=True, slots=True)
class IdValue:
    """An id of ours."""

    value: UUID
    noun: str = ""

    def render(self) -> str:
        """Return the id as it is written in a filter."""
        return format_id(self.noun, self.value) if self.noun else str(self.value)


@dataclass(frozen=True, slots=True)
class FlagValue:
    """True or false."""

    is_set: bool

    def render(self) -> str:
        """Return the flag as it is written in a filter."""
        return "yes" if self.is_set else "no"


Value: TypeAlias = TextValue | WordValue | NumberValue | TimeValue | IdValue | FlagValue


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: any of ``values`` for ``key``, or none of them when excluded."""

    key: str | None
    """None for bare text, which looks in every searched field."""
    values: tuple[Value, ...]
    is_excluded: bool = False

    def render(self) -> str:
        """Return the term as it is written in a filter."""
        sign = "-" if self.is_excluded else ""
        if self.key is None:
            (value,) = self.values
            assert isinstance(value, TextValue)  # noqa: S101 - the parser makes bare terms of text only
            return sign + value.render(is_bare=True)
        if len(self.values) == 1:
            return f"{sign}{self.key}:{self.values[0].render()}"
        return f"{sign}{self.key}:({' OR '.join(value.render() for value in self.values)})"


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of the list."""

    key: str
    is_descending: bool = False

    def render(self) -> str:
        """Return the sort as it is written in a filter."""
        return f"sort:{'-' if self.is_descending else ''}{self.key}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Everything a filter text says."""

    terms: tuple[Term, ...] = ()
    sorts: tuple[Sort, ...] = ()
    fields: Mapping[str, FilterField] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        return " ".join([term.render() for term in self.terms] + [sort.render() for sort in self.sorts])

    @property
    def is_empty(self) -> bool:
        """Whether every row matches. The order does not count."""
        return not self.terms

    def has_word(self, key: str, word: str) -> bool:
        """Whether a term asks for this word of this key."""
        return any(self._names(value, word) for term in self._wanting(key) for value in term.values)

    def add_word(self, key: str, word: str) -> Filter:
        """Return the filter that takes this word too: joined by *or* to those of the same key."""
        if self.has_word(key, word):
            return self
        value = self._make_value(key, word)
        for term in self._wanting(key):
            if all(
                not isinstance(old, WordValue) or old.comparison is Comparison.equal for old in term.values
            ):
                wider = replace(term, values=(*term.values, value))
                return replace(self, terms=tuple(wider if old is term else old for old in self.terms))
        return replace(self, terms=(*self.terms, Term(key, (value,))))

    def remove_word(self, key: str, word: str) -> Filter:
        """Return the filter that no longer asks for this word."""
        terms: list[Term] = []
        for term in self.terms:
            if term.key != key or term.is_excluded:
                terms.append(term)
                continue
            kept = tuple(value for value in term.values if not self._names(value, word))
            if kept:
                terms.append(replace(term, values=kept))
        return replace(self, terms=tuple(terms))

    def toggle_word(self, key: str, word: str) -> Filter:
        """Return the filter with the word added, or taken away where it was."""
        return self.remove_word(key, word) if self.has_word(key, word) else self.add_word(key, word)

    def without(self, key: str) -> Filter:
        """Return the filter with no term of this key, as facet counts need it."""
        return replace(self, terms=tuple(term for term in self.terms if term.key != key))

    def sorted_by(self, key: str, *, is_descending: bool = False) -> Filter:
        """Return the filter with this order alone."""
        return replace(self, sorts=(Sort(key, is_descending),))

    def _wanting(self, key: str) -> list[Term]:
        return [term for term in self.terms if term.key == key and not term.is_excluded]

    def _make_value(self, key: str, word: str) -> Value:
        known = self.fields.get(key)
        if known is not None and known.kind == "flag":
            return FlagValue(word == "yes")
        if known is not None and known.kind in ("text", "keyword"):
            return TextValue(word)
        return WordValue(word)

    @staticmethod
    def _names(value: Value, word: str) -> bool:
        match value:
            case WordValue(text, Comparison.equal) | TextValue(text, False):
                return text.lower() == word.lower()
            case FlagValue(is_set):
                return ("yes" if is_set else "no") == word
            case _:
                return False
