"""Values that no room to the left owns: waiting jobs, and Referee's own metrics as they were sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Double, Select, Text, and_, case, cast, func, literal, or_, select
from sqlalchemy.orm import aliased

from referee.alerts.tables import MetricSampleRow
from referee.foundation.jobs import JobRow
from referee.foundation.web.filters import FilterField, to_where
from referee.foundation.web.values import Measure, ValueQuestion, ValueSource

__all__ = ["OWN_SOURCES"]

_MAX_WEIGHT: Final = 10_000
"""Rows that one bucket of a histogram may become: enough for a percentile, and bounded."""
_JOB: Final = JobRow.__table__.c
_SAMPLE: Final = MetricSampleRow.__table__.c
_JOB_FIELDS: Final[Mapping[str, FilterField]] = {
    "queue": FilterField("keyword", "Queue it waits in.", example="queue:tools"),
    "kind": FilterField("keyword", "Kind of job.", example="kind:analysis.run"),
}
_SAMPLE_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField(
        "keyword", "Name of the metric.", example="name:referee_store_artifact_failures_total"
    ),
    "labels": FilterField("text", "Part of its labels.", example="labels:reason=io"),
}


def _build_jobs(question: ValueQuestion) -> Select[Any]:
    # A job waits from when it was queued until it is taken up; one that still waits does so until the window's end.
    until = case(
        (_JOB.state == "queued", question.to_at), else_=func.coalesce(_JOB.started_at, _JOB.finished_at)
    )
    is_ended = question.measure == "failed"
    at = _JOB.finished_at if is_ended else until
    values = {
        "waiting_s": func.extract("epoch", until - _JOB.queued_at),
        "failed": case((_JOB.state == "failed", 1.0), else_=0.0),
    }
    still_waits = and_(_JOB.state == "queued", _JOB.queued_at < question.to_at)
    in_window = and_(at >= question.from_at, at < question.to_at)
    return select(
        at.label("at"),
        cast(values[question.measure], Double).label("value"),
        cast(_JOB.job_id, Text).label("subject"),
    ).where(
        _JOB.project_id == question.project_id,
        in_window if is_ended else or_(still_waits, in_window),
        to_where(question.filter, {"queue": _JOB.queue, "kind": _JOB.kind}, now=question.to_at),
    )


def _build_samples(question: ValueQuestion) -> Select[Any]:
    sample = aliased(MetricSampleRow)
    columns: dict[str, Any] = {"name": sample.name, "labels": sample.labels}
    times = func.generate_series(1, func.least(sample.weight, _MAX_WEIGHT)).table_valued("n").lateral()
    factor = 1_000.0 if question.measure == "milliseconds" else 1.0
    return (
        select(
            sample.at.label("at"),
            cast(sample.value * literal(factor), Double).label("value"),
            func.rtrim(sample.name + " " + sample.labels).label("subject"),
        )
        .select_from(sample)
        .join(times, literal(True))
        .where(
            sample.at >= question.from_at,
            sample.at < question.to_at,
            to_where(question.filter, columns, now=question.to_at),
        )
    )


OWN_SOURCES: Final = (
    ValueSource(
        name="jobs",
        title="Jobs",
        measures={
            "waiting_s": Measure("s", "How long each waited, those that wait still included."),
            "failed": Measure("share", "1 for each that failed, else 0."),
        },
        fields=_JOB_FIELDS,
        build=_build_jobs,
        page="/ui/jobs",
    ),
    ValueSource(
        name="metrics",
        title="Referee's own metrics",
        measures={
            "value": Measure(
                "", "A gauge's value, or what a counter grew by; sum or take the worst of them."
            ),
            "milliseconds": Measure(
                "ms", "A metric in seconds, in milliseconds; of a histogram the bound of its bucket."
            ),
        },
        fields=_SAMPLE_FIELDS,
        build=_build_samples,
        page="/ui/system",
        is_of_installation=True,
    ),
)
"""What this room itself can watch."""
