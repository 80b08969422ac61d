"""Decisions and their lag as numbers that can be watched."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Double, Select, Text, case, cast, func, literal, select

from referee.audit.lists import DECISION_COLUMNS, DECISION_FIELDS
from referee.audit.recording import DecisionKind
from referee.audit.tables import DecisionRow
from referee.foundation.web.filters import to_where
from referee.foundation.web.values import Measure, ValueQuestion, ValueSource

__all__ = ["DECISION_VALUES"]

_T: Final = DecisionRow.__table__.c
_VALUES: Final[dict[str, ColumnElement[Any]]] = {
    "decisions": literal(1.0),
    "lag_ms": func.extract("epoch", _T.supervisor_processed_at - _T.source_event_at) * 1_000,
    "errors": case((_T.kind == DecisionKind.error.value, 1.0), else_=0.0),
    "blocked": case((_T.kind == DecisionKind.blocked.value, 1.0), else_=0.0),
}


def _build(question: ValueQuestion) -> Select[Any]:
    return select(
        _T.supervisor_processed_at.label("at"),
        cast(_VALUES[question.measure], Double).label("value"),
        cast(_T.decision_id, Text).label("subject"),
    ).where(
        _T.project_id == question.project_id,
        _T.supervisor_processed_at >= question.from_at,
        _T.supervisor_processed_at < question.to_at,
        to_where(question.filter, DECISION_COLUMNS, now=question.to_at),
    )


DECISION_VALUES: Final = ValueSource(
    name="decisions",
    title="Decisions of supervisors",
    measures={
        "decisions": Measure("count", "1 for each."),
        "lag_ms": Measure("ms", "From the event to the decision, as the two columns have them."),
        "errors": Measure("share", "1 for each that is an error, else 0."),
        "blocked": Measure("share", "1 for each that blocked work, else 0."),
    },
    fields=DECISION_FIELDS,
    build=_build,
    page="/ui/decision-lag",
)
"""What supervisors decided, by when."""
