"""From a ``Filter`` to SQLAlchemy expressions: bound parameters only, wildcards escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Text, and_, case, cast, false, func, literal, not_, or_, true

from referee.foundation.web.filters.fields import FilterField
from referee.foundation.web.filters.tree import (
    Comparison,
    Filter,
    FlagValue,
    IdValue,
    NumberValue,
    Term,
    TextValue,
    TimeValue,
    Value,
    WordValue,
)

__all__ = ["build_sort_key", "to_order", "to_where"]

Columns: TypeAlias = Mapping[str, ColumnElement[Any]]

_ESCAPE: Final = "\\"


def to_where(filter: Filter, columns: Columns, *, now: datetime | None = None) -> ColumnElement[bool]:
    """Return the condition that ``filter`` states.

    Args:
        filter: What ``parse_filter`` returned.
        columns: A column or expression for each key of the filter's fields.
        now: What relative times count back from; the database's clock when None.

    A row whose column is NULL never matches a term and always matches its exclusion.
    """
    return and_(true(), *(_build_term(term, filter.fields, columns, now) for term in filter.terms))


def to_order(filter: Filter, columns: Columns) -> list[ColumnElement[Any]]:
    """Return the ``ORDER BY`` expressions of the filter's sorts; NULL comes last in both directions."""
    ordered: list[ColumnElement[Any]] = []
    for sort in filter.sorts:
        key = build_sort_key(filter.fields[sort.key], columns[sort.key])
        ordered.append((key.desc() if sort.is_descending else key.asc()).nulls_last())
    return ordered


def build_sort_key(field: FilterField, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the expression that a column is sorted by: the rank for ordered words, else itself."""
    if field.kind != "ordered":
        return column
    return case({word: rank for rank, word in enumerate(field.values)}, value=cast(column, Text), else_=None)


def _build_term(
    term: Term, fields: Mapping[str, FilterField], columns: Columns, now: datetime | None
) -> ColumnElement[bool]:
    if term.key is None:
        (value,) = term.values
        searched = [columns[key] for key, field in fields.items() if field.is_searched]
        condition = or_(false(), *(_build_search(value, column) for column in searched))
    else:
        field, column = fields[term.key], columns[term.key]
        condition = _build_values(term.values, field, column, now)
    if term.is_excluded:
        return not_(func.coalesce(condition, literal(False)))
    return condition


def _build_values(
    values: tuple[Value, ...], field: FilterField, column: ColumnElement[Any], now: datetime | None
) -> ColumnElement[bool]:
    words = [
        value.word
        for value in values
        if isinstance(value, WordValue) and value.comparison is Comparison.equal
    ]
    if len(words) == len(values):
        return column.in_(words)
    return or_(false(), *(_build_value(value, field, column, now) for value in values))


def _build_value(
    value: Value, field: FilterField, column: ColumnElement[Any], now: datetime | None
) -> ColumnElement[bool]:
    match value:
        case TextValue():
            return _build_text(value, column, is_whole=field.kind == "keyword")
        case WordValue(word, comparison):
            return column.in_(_select_words(field.values, word, comparison))
        case NumberValue(number, comparison):
            return _compare(column, comparison, literal(number))
        case TimeValue():
            return _build_time(value, column, now)
        case IdValue(identifier):
            return column == identifier
        case FlagValue(is_set):
            return column.is_(is_set)


def _build_search(value: Value, column: ColumnElement[Any]) -> ColumnElement[bool]:
    assert isinstance(value, TextValue)  # noqa: S101 - the parser makes bare terms of text only
    inner = _escape_pattern(value.text) if value.is_pattern else _escape(value.text)
    return cast(column, Text).ilike(f"%{inner}%", escape=_ESCAPE)


def _build_text(value: TextValue, column: ColumnElement[Any], *, is_whole: bool) -> ColumnElement[bool]:
    text = cast(column, Text)
    if value.is_pattern:
        return text.ilike(_escape_pattern(value.text), escape=_ESCAPE)
    if is_whole:
        return func.lower(text) == func.lower(value.text)
    return text.ilike(f"%{_escape(value.text)}%", escape=_ESCAPE)


def _build_time(value: TimeValue, column: ColumnElement[Any], now: datetime | None) -> ColumnElement[bool]:
    moment = value.moment
    if isinstance(moment, timedelta):
        present: ColumnElement[Any] = func.now() if now is None else literal(now)
        instant = present - literal(moment)
        if value.comparison is Comparison.equal:
            return and_(column >= instant, column <= present)
        return _compare(column, value.comparison, instant)
    if isinstance(moment, datetime):
        return _compare(column, value.comparison, literal(moment))
    return _build_day(moment, value.comparison, column)


def _build_day(day: date, comparison: Comparison, column: ColumnElement[Any]) -> ColumnElement[bool]:
    start = datetime.combine(day, time(), UTC)
    end = start + timedelta(days=1) if day < date.max else datetime.max.replace(tzinfo=UTC)
    match comparison:
        case Comparison.equal:
            return and_(column >= start, column < end)
        case Comparison.at_least:
            return column >= start
        case Comparison.more:
            return column >= end
        case Comparison.at_most:
            return column < end
        case Comparison.less:
            return column < start


def _compare(
    column: ColumnElement[Any], comparison: Comparison, value: ColumnElement[Any]
) -> ColumnElement[bool]:
    match comparison:
        case Comparison.equal:
            return column == value
        case Comparison.at_least:
            return column >= value
        case Comparison.at_most:
            return column <= value
        case Comparison.more:
            return column > value
        case Comparison.less:
            return column < value


def _select_words(values: tuple[str, ...], word: str, comparison: Comparison) -> list[str]:
    rank = values.index(word)
    match comparison:
        case Comparison.equal:
            return [word]
        case Comparison.at_least:
            return list(values[rank:])
        case Comparison.more:
            return list(values[rank + 1 :])
        case Comparison.at_most:
            return list(values[: rank + 1])
        case Comparison.less:
            return list(values[:rank])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("\0", "")


def _escape_pattern(text: str) -> str:
    return _escape(text).replace("*", "%")
