"""Probes as numbers that can be watched."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Double, Select, case, cast, literal, select

from referee.foundation.web.filters import FilterField, to_where
from referee.foundation.web.values import Measure, ValueQuestion, ValueSource
from referee.operations.probes.tables import ProbeResultRow
from referee.operations.probes.words import Probe, ProbeOutcome

__all__ = ["PROBE_VALUES"]

_ROW: Final = ProbeResultRow.__table__.c


def _build(question: ValueQuestion) -> Select[Any]:
    values: dict[str, Any] = {
        "failed": case(
            (_ROW.outcome == ProbeOutcome.unavailable.value, None),
            (_ROW.outcome == ProbeOutcome.succeeded.value, 0.0),
            else_=1.0,
        ),
        "latency_ms": _ROW.latency_ms,
    }
    return select(
        _ROW.finished_at.label("at"),
        cast(values[question.measure], Double).label("value"),
        (_ROW.probe + literal(": ") + _ROW.outcome + literal(" ") + _ROW.error).label("subject"),
    ).where(
        _ROW.outcome.is_not(None),
        _ROW.finished_at >= question.from_at,
        _ROW.finished_at < question.to_at,
        to_where(question.filter, {"probe": _ROW.probe, "outcome": _ROW.outcome}, now=question.to_at),
    )


PROBE_VALUES: Final = ValueSource(
    name="probes",
    title="Probes",
    measures={
        "failed": Measure("share", "1 for each that failed or timed out, 0 for each that succeeded."),
        "latency_ms": Measure("ms", "How long each took, without its wait for a worker."),
    },
    fields={
        "probe": FilterField.of_enum(Probe, "What was tried."),
        "outcome": FilterField.of_enum(ProbeOutcome, "What became of it."),
    },
    build=_build,
    page="/ui/probes",
    is_of_installation=True,
)
"""What probes let others watch."""
