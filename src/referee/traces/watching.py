"""Spans and events as numbers that can be watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Double, Select, Text, case, cast, func, literal, select

from referee.foundation.web.filters import FilterField, to_where
from referee.foundation.web.values import Measure, ValueQuestion, ValueSource
from referee.traces.tables import EVENT_TYPES, SpanRow

__all__ = ["SPAN_VALUES"]

_METRICS_PREFIX: Final = "metrics."
_T: Final = SpanRow.__table__.c
_DURATION_MS: Final = (_T.end_ns - _T.start_ns) / 1e6
_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField("text", "Part of its name.", is_searched=True, example="name:answer"),
    "type": FilterField("enum", "Type of the event.", EVENT_TYPES),
    "model": FilterField("keyword", "Model that was called.", example="model:gpt-4o*"),
    "provider": FilterField("keyword", "Who serves the model."),
    "user": FilterField("keyword", "Id of the user."),
    "source": FilterField("keyword", "Where it ran.", example="source:production"),
    "error": FilterField("text", "Part of its error.", example="error:timeout"),
    "failed": FilterField("flag", "Whether it has an error.", example="is:failed"),
    "duration": FilterField("number", "Seconds it took.", example="duration:>=2"),
    "tokens": FilterField("number", "Tokens it used.", example="tokens:>=1000"),
    "cost": FilterField("number", "US dollars it cost.", example="cost:>=0.1"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "name": _T.event_name,
    "type": _T.event_type,
    "model": _T.model,
    "provider": _T.provider,
    "user": _T.user_id,
    "source": _T.source,
    "error": _T.error,
    "failed": _T.error.is_not(None),
    "duration": _DURATION_MS / 1_000,
    "tokens": _T.total_tokens,
    "cost": _T.cost_usd,
}
_VALUES: Final[Mapping[str, ColumnElement[Any]]] = {
    "spans": literal(1.0),
    "errors": case((_T.error.is_not(None), 1.0), else_=0.0),
    "duration_ms": _DURATION_MS,
    "cost_usd": _T.cost_usd,
    "total_tokens": _T.total_tokens,
    "prompt_tokens": _T.prompt_tokens,
    "completion_tokens": _T.completion_tokens,
}


def _build(question: ValueQuestion) -> Select[Any]:
    # The bounds are numbers of the index, not instants that each row would have to be turned into.
    bounds = [round(one.timestamp() * 1e6) * 1_000 for one in (question.from_at, question.to_at)]
    return select(
        func.to_timestamp(_T.start_ns / 1e9).label("at"),
        cast(_find_value(question.measure), Double).label("value"),
        cast(_T.span_uid, Text).label("subject"),
    ).where(
        _T.project_id == question.project_id,
        _T.start_ns >= literal(bounds[0], BigInteger),
        _T.start_ns < literal(bounds[1], BigInteger),
        to_where(question.filter, _COLUMNS, now=question.to_at),
    )


def _find_value(measure: str) -> ColumnElement[Any]:
    if not measure.startswith(_METRICS_PREFIX):
        return _VALUES[measure]
    found = _T.metrics_json[tuple(measure.removeprefix(_METRICS_PREFIX).split("."))]
    # What is no number counts for nothing, instead of failing the whole query.
    kind = func.jsonb_typeof(found)
    return case(
        (kind == "number", cast(found.astext, Double)),
        (kind == "boolean", case((found.astext == "true", 1.0), else_=0.0)),
        else_=None,
    )


SPAN_VALUES: Final = ValueSource(
    name="spans",
    title="Spans and events",
    measures={
        "spans": Measure("count", "1 for each; count or sum them."),
        "errors": Measure("share", "1 for each with an error, else 0; the average is the error rate."),
        "duration_ms": Measure("ms", "How long each took."),
        "cost_usd": Measure("USD", "What each cost."),
        "total_tokens": Measure("tokens", "Tokens of each."),
        "prompt_tokens": Measure("tokens", "Tokens of its prompt."),
        "completion_tokens": Measure("tokens", "Tokens of its answer."),
    },
    fields=_FIELDS,
    build=_build,
    page="/ui/traces",
    open_measures=_METRICS_PREFIX,
)
"""Fields of spans, and the metrics that clients and evaluators put on them."""
