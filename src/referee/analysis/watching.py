"""Analyses, tool runs, services, findings and hand-overs as numbers that can be watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Double, Select, Text, case, cast, func, literal, select
from sqlalchemy.orm import aliased

from referee.analysis.analyzers.tables import AnalyzerRequestRow, AnalyzerTransferRow
from referee.analysis.tables import AnalysisRow, FindingRow, ToolRunRow
from referee.core.vocabulary import AnalysisState, FindingState, Outcome, Service, Severity
from referee.foundation.web.filters import FilterField, to_where
from referee.foundation.web.values import Measure, ValueQuestion, ValueSource

__all__ = ["ANALYSIS_SOURCES"]

DOUBLED_WITHIN_S: Final = 60
"""The same thing asked twice within a minute is a doubled request; later it is asked again."""
_COMPLETE: Final = [outcome.value for outcome in Outcome if outcome.is_complete]
_ANALYSES: Final = AnalysisRow.__table__.c
_RUNS: Final = ToolRunRow.__table__.c
_FINDINGS: Final = FindingRow.__table__.c
_TRANSFERS: Final = AnalyzerTransferRow.__table__.c


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return case((condition, 1.0), else_=0.0)


def _seconds(from_at: ColumnElement[Any], to_at: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.extract("epoch", to_at - from_at)


def _is_double() -> ColumnElement[bool]:
    earlier = aliased(AnalysisRow)
    return (
        select(earlier.analysis_id)
        .where(
            earlier.project_id == _ANALYSES.project_id,
            earlier.subject_id == _ANALYSES.subject_id,
            earlier.source_digest == _ANALYSES.source_digest,
            earlier.request_digest == _ANALYSES.request_digest,
            earlier.sequence < _ANALYSES.sequence,
            earlier.created_at
            >= _ANALYSES.created_at - func.make_interval(0, 0, 0, 0, 0, 0, DOUBLED_WITHIN_S),
        )
        .exists()
    )


_ANALYSIS_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(AnalysisState, "State of the analysis."),
    "profile": FilterField("keyword", "Which tools were asked for.", example="profile:quick"),
}


def _build_analyses(question: ValueQuestion) -> Select[Any]:
    is_ended = question.measure in ("duration_s", "failed")
    at = _ANALYSES.finished_at if is_ended else _ANALYSES.created_at
    values: dict[str, ColumnElement[Any]] = {
        "analyses": literal(1.0),
        "doubled": _one_if(_is_double()),
        "duration_s": _seconds(_ANALYSES.started_at, _ANALYSES.finished_at),
        "failed": _one_if(_ANALYSES.state == AnalysisState.failed.value),
    }
    columns = {"state": _ANALYSES.state, "profile": _ANALYSES.profile}
    return _finish(
        select(at.label("at"), cast(values[question.measure], Double).label("value"),
               cast(_ANALYSES.analysis_id, Text).label("subject")),
        question, _ANALYSES.project_id, at, columns,
    )  # fmt: skip


_RUN_FIELDS: Final[Mapping[str, FilterField]] = {
    "tool": FilterField("keyword", "Name of the tool.", example="tool:bandit"),
    "service": FilterField.of_enum(Service, "Its service."),
    "outcome": FilterField.of_enum(Outcome, "What became of it."),
}


def _build_runs(question: ValueQuestion) -> Select[Any]:
    values: dict[str, ColumnElement[Any]] = {
        "tool_runs": literal(1.0),
        "failed": _one_if(_RUNS.outcome.not_in([*_COMPLETE, Outcome.cancelled.value])),
        "duration_ms": _RUNS.duration_ms,
        "findings": _RUNS.findings_count,
        "peak_memory_bytes": _RUNS.peak_memory_bytes,
    }
    columns = {"tool": _RUNS.tool, "service": _RUNS.service, "outcome": _RUNS.outcome}
    statement = select(
        _RUNS.finished_at.label("at"),
        cast(values[question.measure], Double).label("value"),
        cast(_RUNS.analysis_id, Text).label("subject"),
    ).join(AnalysisRow, _ANALYSES.analysis_id == _RUNS.analysis_id)
    return _finish(statement, question, _ANALYSES.project_id, _RUNS.finished_at, columns)


_SERVICE_FIELDS: Final[Mapping[str, FilterField]] = {
    "service": FilterField.of_enum(Service, "Which service.")
}


def _build_services(question: ValueQuestion) -> Select[Any]:
    # What counts is what the page of success rates counts: cancelled work and tools that cannot be had do not.
    return (
        _finish(
            select(
                func.min(_ANALYSES.finished_at).label("at"),
                cast(func.min(_one_if(_RUNS.outcome.in_(_COMPLETE))), Double).label("value"),
                cast(_RUNS.analysis_id, Text).label("subject"),
            ).join(AnalysisRow, _ANALYSES.analysis_id == _RUNS.analysis_id),
            question,
            _ANALYSES.project_id,
            _ANALYSES.finished_at,
            {"service": _RUNS.service},
        )
        .where(
            _ANALYSES.state != AnalysisState.cancelled.value,
            _RUNS.outcome.is_not(None),
            _RUNS.outcome != Outcome.unavailable.value,
        )
        .group_by(_RUNS.analysis_id, _RUNS.service)
    )


_FINDING_FIELDS: Final[Mapping[str, FilterField]] = {
    "severity": FilterField(
        "ordered",
        "How bad it is.",
        tuple(word.value for word in sorted(Severity, key=lambda word: word.rank)),
        example="severity:>=high",
    ),
    "tool": FilterField("keyword", "Tool that found it."),
    "rule": FilterField("keyword", "Its rule."),
    "state": FilterField.of_enum(FindingState, "Its state."),
}


def _build_findings(question: ValueQuestion) -> Select[Any]:
    columns = {
        "severity": _FINDINGS.severity,
        "tool": _FINDINGS.tool,
        "rule": _FINDINGS.rule_id,
        "state": _FINDINGS.state,
    }
    return _finish(
        select(_FINDINGS.first_seen_at.label("at"), literal(1.0).label("value"),
               cast(_FINDINGS.finding_id, Text).label("subject")),
        question, _FINDINGS.project_id, _FINDINGS.first_seen_at, columns,
    )  # fmt: skip


_TRANSFER_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField("keyword", "State of the hand-over."),
    "service": FilterField.of_enum(Service, "Its service."),
}


def _build_transfers(question: ValueQuestion) -> Select[Any]:
    columns = {"state": _TRANSFERS.state, "service": AnalyzerRequestRow.__table__.c.service}
    values: dict[str, ColumnElement[Any]] = {
        "hand_overs": literal(1.0),
        "errors": _one_if(_TRANSFERS.state == "refused"),
        "duration_s": _seconds(_TRANSFERS.created_at, _TRANSFERS.finished_at),
    }
    statement = select(
        _TRANSFERS.finished_at.label("at"),
        cast(values[question.measure], Double).label("value"),
        cast(_TRANSFERS.transfer_id, Text).label("subject"),
    ).join(AnalyzerRequestRow, AnalyzerRequestRow.request_id == _TRANSFERS.request_id)
    project_id = AnalyzerRequestRow.__table__.c.project_id
    return _finish(statement, question, project_id, _TRANSFERS.finished_at, columns)


def _finish(
    statement: Select[Any],
    question: ValueQuestion,
    project_id: ColumnElement[Any],
    at: ColumnElement[Any],
    columns: Mapping[str, ColumnElement[Any]],
) -> Select[Any]:
    return statement.where(
        project_id == question.project_id,
        at >= question.from_at,
        at < question.to_at,
        to_where(question.filter, columns, now=question.to_at),
    )


ANALYSIS_SOURCES: Final = (
    ValueSource(
        name="analyses",
        title="Analyses",
        measures={
            "analyses": Measure("count", "1 for each that was asked for."),
            "doubled": Measure("share", "1 for each that was asked for twice within a minute, else 0."),
            "duration_s": Measure("s", "How long each took, by when it ended."),
            "failed": Measure("share", "1 for each that ended as failed, else 0."),
        },
        fields=_ANALYSIS_FIELDS,
        build=_build_analyses,
        page="/ui/analyses",
    ),
    ValueSource(
        name="tool_runs",
        title="Tool runs",
        measures={
            "tool_runs": Measure("count", "1 for each that ended."),
            "failed": Measure("share", "1 for each that came to no result, else 0."),
            "duration_ms": Measure("ms", "How long each took."),
            "findings": Measure("count", "Findings of each."),
            "peak_memory_bytes": Measure("bytes", "Most memory each had."),
        },
        fields=_RUN_FIELDS,
        build=_build_runs,
        page="/ui/analyses",
    ),
    ValueSource(
        name="services",
        title="Services in analyses",
        measures={"success": Measure("share", "1 where every tool of the service came to a result, else 0.")},
        fields=_SERVICE_FIELDS,
        build=_build_services,
        page="/ui/success-rates",
    ),
    ValueSource(
        name="findings",
        title="New findings",
        measures={"findings": Measure("count", "1 for each, by when it was first seen.")},
        fields=_FINDING_FIELDS,
        build=_build_findings,
        page="/ui/findings?filter={filter}",
    ),
    ValueSource(
        name="hand_overs",
        title="Hand-overs of remote analyzers",
        measures={
            "hand_overs": Measure("count", "1 for each that ended."),
            "errors": Measure("share", "1 for each that was refused, else 0."),
            "duration_s": Measure("s", "From offer to end."),
        },
        fields=_TRANSFER_FIELDS,
        build=_build_transfers,
        page="/ui/analyzers",
    ),
)
"""What this room lets others watch."""
