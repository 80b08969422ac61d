"""Cells of pipelines as numbers that can be watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Double, Select, Text, case, cast, func, literal, select

from referee.foundation.web.filters import FilterField, to_where
from referee.foundation.web.values import Measure, ValueQuestion, ValueSource
from referee.pipelines.states import CellState
from referee.pipelines.tables import CellRow, PipelineRow

__all__ = ["CELL_VALUES"]

_T: Final = CellRow.__table__.c
_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(CellState, "State of the cell."),
    "model": FilterField("keyword", "Its model."),
    "template": FilterField("keyword", "Its template."),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": _T.state,
    "model": _T.model,
    "template": _T.template,
}
_VALUES: Final[Mapping[str, ColumnElement[Any]]] = {
    "cells": literal(1.0),
    "invalid": case((_T.is_valid, 0.0), else_=1.0),
    "cost_usd": _T.cost_usd,
    "duration_s": func.extract("epoch", _T.finished_at - _T.started_at),
    "tries": _T.tries_count,
}


def _build(question: ValueQuestion) -> Select[Any]:
    return (
        select(
            _T.finished_at.label("at"),
            cast(_VALUES[question.measure], Double).label("value"),
            cast(_T.pipeline_id, Text).label("subject"),
        )
        .join(PipelineRow, PipelineRow.pipeline_id == _T.pipeline_id)
        .where(
            PipelineRow.project_id == question.project_id,
            _T.finished_at >= question.from_at,
            _T.finished_at < question.to_at,
            to_where(question.filter, _COLUMNS, now=question.to_at),
        )
    )


CELL_VALUES: Final = ValueSource(
    name="cells",
    title="Cells of pipelines",
    measures={
        "cells": Measure("count", "1 for each that ended."),
        "invalid": Measure("share", "1 for each that is not valid, else 0."),
        "cost_usd": Measure("USD", "What its generation cost."),
        "duration_s": Measure("s", "How long it took."),
        "tries": Measure("count", "Times it was tried again."),
    },
    fields=_FIELDS,
    build=_build,
    page="/ui/pipelines",
)
"""Squares of models × templates, by when they ended."""
