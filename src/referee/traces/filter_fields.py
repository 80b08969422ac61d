"""What the lists of sessions and traces can be filtered by.

Besides the fixed keys, traces take ``metadata.<name>:value`` for any name, so
the keys of one list depend on its filter's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, cast, func, not_, or_, select, true

from referee.foundation.web.filters import (
    Comparison,
    Filter,
    FilterField,
    TextValue,
    TimeValue,
    parse_filter,
    to_where,
)
from referee.traces.identity import compute_uid
from referee.traces.tables import EVENT_TYPES, SessionRow, SpanRow

__all__ = [
    "ROOT_TYPES",
    "SESSION_FIELDS",
    "TRACE_FIELDS",
    "bound_start",
    "build_ids",
    "build_instant",
    "build_session_conditions",
    "build_trace_conditions",
    "find_trace_fields",
    "parse_trace_filter",
    "take_terms",
]

ROOT_TYPES: Final = tuple(word for word in EVENT_TYPES if word != "session")
MAX_METADATA_KEYS: Final = 40
CLOCK_SLACK: Final = timedelta(minutes=5)
"""How far this machine's clock and the database's may be apart."""

SESSION_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField("text", "Part of its name.", is_searched=True, example="name:checkout"),
    "source": FilterField("keyword", "Where it ran.", example="source:production"),
    "user": FilterField("keyword", "Id of the user.", example="user:u-17"),
    "session": FilterField("keyword", "Its whole id."),
    "started": FilterField("time", "When its first event began.", example="started:>=-24h"),
    "duration": FilterField("number", "Seconds from first to last.", example="duration:>=10"),
    "events": FilterField("number", "How many events it has."),
    "tokens": FilterField("number", "Tokens of all its events.", example="tokens:>=10000"),
    "cost": FilterField("number", "US dollars of all its events.", example="cost:>=0.5"),
    "errors": FilterField("number", "How many events have an error."),
    "error": FilterField("flag", "Whether an event has an error.", example="is:error"),
    "feedback": FilterField("flag", "Whether an event has feedback.", example="is:feedback"),
}
TRACE_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField("text", "Part of its root's name.", is_searched=True, example="name:answer"),
    "type": FilterField("enum", "Type of its root.", ROOT_TYPES),
    "model": FilterField("keyword", "A model that one of its spans called.", example="model:gpt-4o*"),
    "user": FilterField("keyword", "Id of the user of one of its spans.", example="user:u-17"),
    "error": FilterField("text", "Part of the error of one of its spans.", example="error:timeout"),
    "failed": FilterField("flag", "Whether one of its spans has an error.", example="is:failed"),
    "session": FilterField("keyword", "Whole id of its session."),
    "source": FilterField("keyword", "Where it ran.", example="source:production"),
    "started": FilterField("time", "When its root began.", example="started:>=-24h"),
    "duration": FilterField("number", "Seconds that its root took.", example="duration:>=2"),
    "metadata": FilterField(
        "text",
        "Part of its root's metadata. metadata.name:value asks for one of them.",
        example="metadata.environment:production",
    ),
}
_METADATA_KEY: Final = re.compile(r"(?:^|[\s-])(metadata\.[A-Za-z0-9_.]*[A-Za-z0-9_]):")
_SPAN: Final = SpanRow.__table__.c
_SESSION: Final = SessionRow.__table__.c


def find_trace_fields(text: str) -> dict[str, FilterField]:
    """Return the keys that a filter of traces may have: the fixed ones, and the metadata that ``text`` names."""
    found = list(dict.fromkeys(_METADATA_KEY.findall(text)))[:MAX_METADATA_KEYS]
    return {**TRACE_FIELDS, **{key: FilterField("keyword", "One of its metadata.") for key in found}}


def parse_trace_filter(text: str) -> Filter:
    """Return what a filter of traces asks for.

    Raises:
        InvalidInput: Something in it cannot be expressed.
    """
    return parse_filter(text, find_trace_fields(text))


def build_session_conditions(project_id: UUID, where: Filter | None) -> list[ColumnElement[bool]]:
    """Return what sessions of a project must meet."""
    conditions: list[ColumnElement[bool]] = [_SESSION.project_id == project_id]
    if where is None:
        return conditions
    rest, ids = take_terms(where, ("session",))
    conditions += build_ids(project_id, ids, _SESSION.session_uid)
    conditions.append(to_where(rest, _SESSION_COLUMNS))
    return conditions + bound_start(where, _SESSION.start_ns)


def build_trace_conditions(project_id: UUID, where: Filter | None) -> list[ColumnElement[bool]]:
    """Return what spans of a project must meet to be the root of a trace that ``where`` asks for."""
    conditions: list[ColumnElement[bool]] = [
        _SPAN.project_id == project_id,
        _SPAN.parent_uid.is_(None),
        _SPAN.event_type != "session",
    ]
    if where is None:
        return conditions
    rest, ids = take_terms(where, ("session",))
    rest, inner = take_terms(rest, ("model", "user", "error", "failed"))
    conditions += build_ids(project_id, ids, _SPAN.session_uid)
    conditions += _build_inner(project_id, inner)
    conditions.append(to_where(rest, _build_trace_columns(rest)))
    return conditions + bound_start(where, _SPAN.start_ns)


def take_terms(where: Filter, keys: Sequence[str]) -> tuple[Filter, Filter]:
    """Return the filter without the terms of some keys, and those terms by themselves."""
    kept = tuple(term for term in where.terms if term.key not in keys)
    taken = tuple(term for term in where.terms if term.key in keys)
    return Filter(kept, (), where.fields), Filter(taken, (), where.fields)


def build_ids(project_id: UUID, where: Filter, column: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """Sessions are found by the uid of their id, which has an index."""
    conditions: list[ColumnElement[bool]] = []
    for term in where.terms:
        values = [value for value in term.values if isinstance(value, TextValue)]
        uids = [UUID(compute_uid(_lower_uuid(value.text))) for value in values if not value.is_pattern]
        found: ColumnElement[bool] = column.in_(uids)
        patterns = tuple(value for value in values if value.is_pattern)
        if patterns:
            text = func.coalesce(_SESSION.session_id, cast(_SESSION.session_uid, _TEXT))
            wanted = Filter((replace(term, values=patterns, is_excluded=False),), (), where.fields)
            matching = select(_SESSION.session_uid).where(
                _SESSION.project_id == project_id, to_where(wanted, {"session": text})
            )
            found = or_(found, column.in_(matching))
        conditions.append(not_(found) if term.is_excluded else found)
    return conditions


def _lower_uuid(text: str) -> str:
    lowered = text.lower()
    return lowered if compute_uid(lowered) == lowered.replace("-", "") else text


def _build_inner(project_id: UUID, where: Filter) -> list[ColumnElement[bool]]:
    """Terms that any span of the trace may meet; a root without a trace meets them itself.

    Said as one set of keys: a trace's id, or else the root's own. ``IS TRUE`` keeps the database from joining with it:
    it knows nothing of how many keys there are, and would read all of them again for each root, for minutes; as it is,
    they are read once and hashed.
    """
    conditions: list[ColumnElement[bool]] = []
    for term in where.terms:
        positive = Filter((replace(term, is_excluded=False),), (), where.fields)
        other = SpanRow.__table__.alias()
        theirs = select(func.coalesce(other.c.trace_id, other.c.span_uid)).where(
            other.c.project_id == project_id, to_where(positive, _build_inner_columns(other.c))
        )
        if term.key in ("error", "failed"):
            theirs = theirs.where(other.c.error.is_not(None))  # the words of the index of errors
        met = func.coalesce(_SPAN.trace_id, _SPAN.span_uid).in_(theirs)
        conditions.append(not_(met) if term.is_excluded else met.is_(true()))
    return conditions


def _build_inner_columns(span: Any) -> dict[str, ColumnElement[Any]]:
    return {
        "model": span.model,
        "user": span.user_id,
        "error": span.error,
        "failed": span.error.is_not(None),
    }


def _build_trace_columns(where: Filter) -> dict[str, ColumnElement[Any]]:
    columns = dict(_TRACE_COLUMNS)
    for term in where.terms:
        if term.key is not None and term.key.startswith("metadata."):
            columns[term.key] = _find_metadata(term.key.removeprefix("metadata."))
    return columns


def _find_metadata(path: str) -> ColumnElement[Any]:
    """A key that holds dots itself is found before the path that it spells."""
    column = SpanRow.metadata_json
    if "." not in path:
        plain: ColumnElement[Any] = column[path].astext
        return plain
    nested = func.jsonb_extract_path_text(column, *(cast(part, _TEXT) for part in path.split(".")[:40]))
    return func.coalesce(column[path].astext, nested)


def bound_start(where: Filter, start_ns: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """Say of ``started:>=…`` also in the words of the index, a little wider."""
    bounds: list[ColumnElement[bool]] = []
    for term in where.terms:
        if term.key == "started" and not term.is_excluded and len(term.values) == 1:
            earliest = _find_earliest(term.values[0])
            if earliest is not None:
                bounds.append(start_ns >= int((earliest - CLOCK_SLACK).timestamp()) * 1_000_000_000)
    return bounds


def _find_earliest(value: object) -> datetime | None:
    if not isinstance(value, TimeValue) or value.comparison in (Comparison.at_most, Comparison.less):
        return None
    moment = value.moment
    try:
        if isinstance(moment, timedelta):
            return datetime.now(UTC) - moment
        if isinstance(moment, datetime):
            return moment.astimezone(UTC)
        return datetime.combine(moment, time(), UTC)
    except OverflowError:
        return None


def build_instant(start_ns: Any) -> ColumnElement[Any]:
    """Return nanoseconds since 1970 as an instant."""
    return func.to_timestamp(start_ns / 1_000_000_000.0)


_TEXT: Final = SpanRow.event_name.type
_SESSION_COLUMNS: Final[dict[str, ColumnElement[Any]]] = {
    "name": _SESSION.name,
    "source": _SESSION.source,
    "user": _SESSION.user_id,
    "started": build_instant(_SESSION.start_ns),
    "duration": (_SESSION.end_ns - _SESSION.start_ns) / 1e9,
    "events": _SESSION.events_count,
    "tokens": _SESSION.total_tokens,
    "cost": _SESSION.cost_usd,
    "errors": _SESSION.errors_count,
    "error": _SESSION.errors_count > 0,
    "feedback": _SESSION.feedback_count > 0,
}
_TRACE_COLUMNS: Final[dict[str, ColumnElement[Any]]] = {
    "name": _SPAN.event_name,
    "type": _SPAN.event_type,
    "source": _SPAN.source,
    "started": build_instant(_SPAN.start_ns),
    "duration": (_SPAN.end_ns - _SPAN.start_ns) / 1e9,
    "metadata": _SPAN.metadata_json,
}
