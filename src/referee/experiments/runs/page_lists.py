"""Runs, results and comparisons as tables, cards and charts of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from referee.core.pages import Page
from referee.experiments.runs.queries import RUN_FIELDS
from referee.experiments.runs.results import MetricResult, TrialResult
from referee.experiments.runs.service import RunOutcome, RunPair
from referee.experiments.runs.statistics_views import MetricStatistics, RunStatistics
from referee.experiments.runs.views import Run
from referee.foundation.statistics import Interval
from referee.foundation.web.charts import Estimate, Tone
from referee.foundation.web.formats import format_number, format_share, show_text
from referee.foundation.web.lists import Card, Column, EmptyState, ListQuery, ListView, Row, build_facet

__all__ = [
    "METRIC_COLUMNS",
    "STATISTIC_COLUMNS",
    "TRIAL_COLUMNS",
    "build_compare_cards",
    "build_estimates",
    "build_metric_rows",
    "build_result_cards",
    "build_run_list",
    "build_statistic_rows",
    "build_trial_rows",
    "format_signed",
]

_RUN_COLUMNS: Final = (
    Column("name", "Name", is_title=True),
    Column("status", "Status", "state"),
    Column("dataset", "Dataset"),
    Column("metrics", "Metrics", is_optional=True),
    Column("created", "Created", "time"),
)
METRIC_COLUMNS: Final = (
    Column("metric", "Metric", is_title=True),
    Column("event", "Event"),
    Column("type", "Scored by", is_optional=True),
    Column("aggregate", "Mean", "number"),
    Column("interval", "95 % interval", "number"),
    Column("values", "Scores", "count"),
    Column("passed", "Passed", "number"),
)
TRIAL_COLUMNS: Final = (
    Column("datapoint", "Datapoint", is_title=True),
    Column("state", "Outcome", "state"),
    Column("scores", "Scores"),
    Column("error", "Error"),
    Column("session", "Session", "id", is_optional=True),
)
STATISTIC_COLUMNS: Final = (
    Column("metric", "Metric", is_title=True),
    Column("verdict", "Candidate is", "custom"),
    Column("difference", "Difference", "number"),
    Column("interval", "95 % interval", "number"),
    Column("means", "Means", "number"),
    Column("delta", "Cliff's δ", "number"),
    Column("shared", "Shared", "number"),
    Column("p", "p, Holm", "number"),
)
_TONES: Final[Mapping[str, Tone]] = {"better": "ok", "worse": "bad", "not_shown": "idle", "unknown": "idle"}
_NO_RUNS: Final = EmptyState(
    "No runs yet",
    "A run is one execution of a program over the datapoints of a dataset, with a score for each. "
    "Start one with evaluate() of a client that points at this server.",
    "referee run list",
)
_SHOWN_SCORES_COUNT: Final = 8
MAX_METRICS_COUNT: Final = 40
"""Of one page; the JSON has all."""


def build_run_list(query: ListQuery, page: Page[Run], statuses: Mapping[str, int]) -> ListView:
    """Return the list page of runs."""
    return ListView(
        title="Runs",
        noun="runs",
        query=query,
        columns=_RUN_COLUMNS,
        rows=[
            Row(
                row_id=f"run-{run.sequence}",
                url=f"/ui/runs/{quote(run.run_id)}",
                cells={
                    "name": run.name,
                    "status": run.status,
                    "dataset": run.dataset_name or run.dataset_id or "none",
                    "metrics": ", ".join(run.metric_names[:6]),
                    "created": run.created_at,
                },
            )
            for run in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_RUNS,
        facets=[build_facet(query, "status", "Status", statuses)],
        twin_url="/v1/runs",
        fields=RUN_FIELDS,
        live_topic="runs",
        caption="Runs, newest first",
    )


def build_result_cards(outcome: RunOutcome) -> list[Card]:
    """Return the numbers above a run's result."""
    result = outcome.result
    total = len(result.passed) + len(result.failed)
    errors_count = result.errors_count
    return [
        Card("Datapoints", f"{total:,}", f"{len(result.trials):,} trials"),
        Card(
            "Passed",
            f"{len(result.passed):,}",
            f"of {total:,}",
            tone="ok" if total and not result.failed else "",
        ),
        Card("Failed", f"{len(result.failed):,}", f"of {total:,}", tone="bad" if result.failed else ""),
        Card(
            "Errors",
            f"{errors_count:,}",
            "trials whose task failed" if errors_count else "none",
            tone="bad" if errors_count else "",
        ),
    ]


def build_metric_rows(metrics: Sequence[MetricResult], intervals: Sequence[Interval | None]) -> list[Row]:
    """Return each metric with its interval over the trials."""
    return [
        Row(
            f"metric-{index}",
            "",
            {
                "metric": one.key.metric_name,
                "event": one.key.event_name,
                "type": one.type.replace("_", " ").lower(),
                "aggregate": _show(one.aggregate),
                "interval": _reach(interval, _show),
                "values": len(one.values),
                "passed": _tell_passed(one),
            },
        )
        for index, (one, interval) in enumerate(zip(metrics, intervals, strict=True))
    ]


def build_trial_rows(trials: Sequence[TrialResult]) -> list[Row]:
    """Return trials: what did not pass first is the caller's order."""
    return [
        Row(
            f"trial-{index}",
            "",
            {
                "datapoint": one.trial.name,
                "state": "passed" if one.is_passed else "failed",
                "scores": _list_scores(one),
                "error": one.trial.error or "",
                "session": one.trial.session_id,
            },
        )
        for index, one in enumerate(trials)
    ]


def build_compare_cards(pair: RunPair, statistics: RunStatistics) -> list[Card]:
    """Return the numbers above a comparison."""
    better = sum(one.verdict == "better" for one in statistics.metrics)
    worse = sum(one.verdict == "worse" for one in statistics.metrics)
    left = statistics.old_only_count + statistics.new_only_count
    return [
        Card("Common datapoints", f"{statistics.common_count:,}", f"{left:,} are in one run only"),
        Card(
            "Shown to be worse",
            f"{worse:,}",
            f"of {statistics.looks_count:,} metrics",
            "bad" if worse else "",
        ),
        Card(
            "Shown to be better",
            f"{better:,}",
            f"of {statistics.looks_count:,} metrics",
            "ok" if better else "",
        ),
        Card(
            "Errors",
            f"{pair.old.result.errors_count:,} → {pair.new.result.errors_count:,}",
            "trials whose task failed",
            "bad" if pair.new.result.errors_count > pair.old.result.errors_count else "",
        ),
    ]


def build_statistic_rows(statistics: RunStatistics, link: Callable[[MetricStatistics], str]) -> list[Row]:
    """Return each metric of the candidate against the baseline."""
    rows = []
    for index, one in enumerate(statistics.metrics):
        point = None if one.difference is None else one.difference.point
        direction = "higher is better" if one.higher_is_better else "lower is better"
        rows.append(
            Row(
                f"statistic-{index}",
                link(one),
                {
                    "metric": f"{one.metric_name} · {one.event_name}",
                    "verdict": (one.verdict, 0 if not point else 1 if point > 0 else -1, direction),
                    "difference": format_signed(point),
                    "interval": _reach(one.difference, format_signed),
                    "means": f"{_show(one.old_mean)} → {_show(one.new_mean)}",
                    "delta": "unknown" if one.cliffs_delta is None else format_signed(one.cliffs_delta.point),
                    "shared": f"{one.shared_count} of {one.planned_count}",
                    "p": _show_p(one.adjusted_p_value),
                },
            )
        )
    return rows


def build_estimates(statistics: RunStatistics) -> list[Estimate]:
    """Return the differences for a chart."""
    return [
        Estimate(
            show_text(
                f"{one.metric_name} · {one.event_name}"
            ),  # a drawing does not pass the template's filter
            None if one.difference is None else one.difference.point,
            None if one.difference is None else one.difference.low,
            None if one.difference is None else one.difference.high,
            _TONES[one.verdict],
            f"{one.shared_count} of {one.planned_count}",
        )
        for one in statistics.metrics
    ]


def format_signed(value: float | None) -> str:
    """Return a difference with its sign."""
    if value is None:
        return "unknown"
    text = format_number(abs(value), 3)
    if not any(digit in text for digit in "123456789"):
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def _show(value: float | None) -> str:
    return "unknown" if value is None else format_number(value, 3)


def _show_p(value: float | None) -> str:
    if value is None:
        return "unknown"
    return "<0.0001" if value < 0.0001 else format_number(value, 4)


def _reach(interval: Interval | None, show: Callable[[float], str]) -> str:
    return "unknown" if interval is None else f"{show(interval.low)} to {show(interval.high)}"


def _tell_passed(metric: MetricResult) -> str:
    total = len(metric.passed) + len(metric.failed)
    if not total:
        return "no range"
    return f"{len(metric.passed):,} of {total:,} ({format_share(len(metric.passed) / total, 0)})"


def _list_scores(one: TrialResult) -> str:
    shown = [
        f"{score.key.metric_name} {_tell_score(score.value, score.text)}"
        for score in one.scores[:_SHOWN_SCORES_COUNT]
    ]
    rest = len(one.scores) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def _tell_score(value: float | bool | None, text: str | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return (text or "")[:40] if value is None else format_number(value, 3)
