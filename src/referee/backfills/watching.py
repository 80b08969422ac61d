"""Runs of backfills as numbers that can be watched."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Double, Select, Text, case, cast, literal, select

from referee.backfills.queries import RUN_COLUMNS, RUN_FIELDS
from referee.backfills.states import RunState
from referee.backfills.tables import BackfillRunRow
from referee.foundation.web.filters import to_where
from referee.foundation.web.values import Measure, ValueQuestion, ValueSource

__all__ = ["BACKFILL_VALUES"]

_T: Final = BackfillRunRow.__table__.c
_FAILED_ROWS: Final = cast(_T.run_json[("counts", "failed_count")].astext, Double)
_VALUES: Final[dict[str, ColumnElement[Any]]] = {
    "runs": literal(1.0),
    "failed": case((_T.state == RunState.failed.value, 1.0), else_=0.0),
    "failed_rows": _FAILED_ROWS,
}


def _build(question: ValueQuestion) -> Select[Any]:
    return select(
        _T.finished_at.label("at"),
        cast(_VALUES[question.measure], Double).label("value"),
        cast(_T.backfill_run_id, Text).label("subject"),
    ).where(
        _T.project_id == question.project_id,
        _T.finished_at >= question.from_at,
        _T.finished_at < question.to_at,
        to_where(question.filter, RUN_COLUMNS, now=question.to_at),
    )


BACKFILL_VALUES: Final = ValueSource(
    name="backfill_runs",
    title="Runs of backfills",
    measures={
        "runs": Measure("count", "1 for each that ended."),
        "failed": Measure("share", "1 for each that failed, else 0."),
        "failed_rows": Measure("count", "Rows that it could not process."),
    },
    fields=RUN_FIELDS,
    build=_build,
    page="/ui/backfills",
)
"""Runs on this server, by when they ended."""
