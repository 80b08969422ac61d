"""Scores of evaluators as numbers that can be watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Double, Select, Text, case, cast, func, literal, literal_column, select

from referee.experiments.evaluators.tables import EvaluationRow
from referee.foundation.web.filters import FilterField, to_where
from referee.foundation.web.values import Measure, ValueQuestion, ValueSource

__all__ = ["SCORE_VALUES"]

_T: Final = EvaluationRow.__table__.c
_TEXT: Final = _T.score_json.op("#>>", return_type=Text())(literal_column("'{}'::text[]"))
_KIND: Final = func.jsonb_typeof(_T.score_json)
_FIELDS: Final[Mapping[str, FilterField]] = {
    "metric": FilterField("keyword", "Name of the metric.", example="metric:accuracy"),
    "state": FilterField("keyword", "State of the evaluation.", example="state:unscored"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {"metric": _T.metric_name, "state": _T.state}
_VALUES: Final[Mapping[str, ColumnElement[Any]]] = {
    "score": case(
        (_KIND == "number", cast(_TEXT, Double)),
        (_KIND == "boolean", case((_TEXT == "true", 1.0), else_=0.0)),
        else_=None,
    ),
    "evaluations": literal(1.0),
    "unscored": case((_T.state == "scored", 0.0), else_=1.0),
}


def _build(question: ValueQuestion) -> Select[Any]:
    return select(
        _T.finished_at.label("at"),
        cast(_VALUES[question.measure], Double).label("value"),
        _T.event_id.label("subject"),
    ).where(
        _T.project_id == question.project_id,
        _T.finished_at >= question.from_at,
        _T.finished_at < question.to_at,
        to_where(question.filter, _COLUMNS, now=question.to_at),
    )


SCORE_VALUES: Final = ValueSource(
    name="scores",
    title="Scores of evaluators",
    measures={
        "score": Measure("", "The score; a boolean is 1 or 0, and a word is none."),
        "evaluations": Measure("count", "1 for each evaluation that ended."),
        "unscored": Measure("share", "1 for each without a score, else 0."),
    },
    fields=_FIELDS,
    build=_build,
    page="/ui/evaluators",
)
"""What metrics said of events."""
