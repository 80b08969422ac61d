"""A comparison as tables and charts of a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isinf
from typing import Final

from referee.foundation.statistics import Interval
from referee.foundation.web.charts import Bar, Estimate, Segment, Tone
from referee.foundation.web.formats import format_number, format_share, show_text
from referee.foundation.web.lists import Card, Column, Row
from referee.pipelines.comparing.metrics import Scale, format_difference, format_value
from referee.pipelines.comparing.views import (
    Difference,
    MetricView,
    ModelComparison,
    ModelValue,
    PassRate,
    Verdict,
)

__all__ = [
    "CAPTURE_COLUMNS",
    "FLIP_COLUMNS",
    "FRONT_COLUMNS",
    "METRIC_COLUMNS",
    "MODEL_COLUMNS",
    "OPINION_COLUMNS",
    "PAIR_COLUMNS",
    "SCREEN_COLUMNS",
    "build_capture_rows",
    "build_cards",
    "build_differences",
    "build_flip_rows",
    "build_front_rows",
    "build_metric_rows",
    "build_model_rows",
    "build_opinion_rows",
    "build_overlap_bars",
    "build_pair_rows",
    "build_pass_columns",
    "build_pass_rows",
    "build_screen_rows",
    "build_weighting_columns",
    "build_weighting_rows",
    "describe_interval",
    "describe_p",
    "describe_reach",
]

MAX_PAIRS_COUNT: Final = 60
SHOWN_K: Final = 3

TONES: Final[dict[Verdict, Tone]] = {"better": "ok", "worse": "bad", "not_shown": "idle", "unknown": "idle"}

METRIC_COLUMNS: Final = (
    Column("metric", "Metric", is_title=True),
    Column("verdict", "Candidate is", "custom"),
    Column("difference", "Difference", "number"),
    Column("interval", "95 % interval", "number"),
    Column("means", "Means", "number"),
    Column("shared", "Shared", "number"),
    Column("p", "p, Holm", "number"),
)
MODEL_COLUMNS: Final = (
    Column("model", "Model", is_title=True),
    Column("value", "Mean", "number"),
    Column("interval", "95 % interval", "number"),
    Column("units", "Units", "number"),
    Column("cells", "Cells", "number"),
    Column("bounds", "Bounds with missing cells", "number"),
    Column("best", "Among the best"),
)
PAIR_COLUMNS: Final = (
    Column("pair", "Baseline → candidate", is_title=True),
    Column("verdict", "Candidate is", "custom"),
    Column("difference", "Difference", "number"),
    Column("interval", "95 % interval", "number"),
    Column("delta", "Cliff's δ", "number"),
    Column("wins", "Higher, lower", "number"),
    Column("shared", "Shared", "number"),
    Column("p", "p, Holm", "number"),
)
SCREEN_COLUMNS: Final = (
    Column("key", "Item", is_title=True),
    Column("kind", "Kind"),
    Column("verdict", "Candidate is", "custom"),
    Column("difference", "Findings per app", "number"),
    Column("baseline", "Baseline", "number"),
    Column("candidate", "Candidate", "number"),
    Column("shared", "Shared", "number"),
    Column("p", "Adjusted p", "number"),
)
FRONT_COLUMNS: Final = (
    Column("model", "Model", is_title=True),
    Column("front", "On the front"),
    Column("share", "Of resamples", "number"),
    Column("cost", "Cost of an app (USD)", "number"),
    Column("density", "Weighted findings per 1,000 lines", "number"),
)
CAPTURE_COLUMNS: Final = (
    Column("cwe", "CWE", is_title=True),
    Column("method", "Estimate"),
    Column("seen", "Found", "number"),
    Column("missed", "Missed by all", "number"),
    Column("interval", "95 % interval", "number"),
    Column("tools", "Tools that look for it"),
)
FLIP_COLUMNS: Final = (
    Column("tool", "Tool", is_title=True),
    Column("rate", "Findings that come and go", "number"),
    Column("interval", "95 % interval", "number"),
    Column("seen", "Of findings", "number"),
    Column("runs", "Runs of a source", "number"),
    Column("sources", "Sources", "number"),
)
OPINION_COLUMNS: Final = (
    Column("model", "Model", is_title=True),
    Column("topsis", "TOPSIS", "number"),
    Column("sum", "Weighted sum", "number"),
    Column("score", "Severity score per app", "number"),
)


def build_cards(comparison: ModelComparison) -> list[Card]:
    """Return the numbers on top."""
    word = f"{comparison.unit_word}s" if not comparison.unit_word.endswith("number") else "app numbers"
    is_whole = comparison.valid_count == comparison.cells_count
    return [
        Card("Models", f"{len(comparison.models):,}", f"over {len(comparison.units):,} {word}"),
        Card(
            "Valid cells",
            f"{comparison.valid_count:,}",
            f"of {comparison.cells_count:,}; only these count",
            tone="ok" if is_whole else "warn",
        ),
        Card("Claims looked at", f"{comparison.claims_looks_count:,}", "pairs × metrics, by Holm"),
        Card(
            "Items screened", f"{comparison.screens_looks_count:,}", "items × models, by Benjamini–Hochberg"
        ),
    ]


def build_metric_rows(comparison: ModelComparison, candidate: str, link: Callable[[str], str]) -> list[Row]:
    """Return every metric of the candidate against the baseline."""
    rows = []
    for metric in comparison.metrics:
        one = metric.find_difference(candidate, comparison.baseline)
        scale = metric.scale
        rows.append(
            Row(
                f"metric-{metric.key}",
                link(metric.key),
                {
                    "metric": metric.title,
                    "verdict": (_verdict(one), _sign(one), metric.direction),
                    "difference": format_difference(scale, None if one is None else one.value),
                    "interval": describe_reach(scale, None if one is None else one.interval),
                    "means": " → ".join(
                        format_value(scale, metric.find_model(model).value)
                        for model in (comparison.baseline, candidate)
                    ),
                    "shared": "0" if one is None else f"{one.shared_count} of {one.planned_count}",
                    "p": describe_p(None if one is None else one.adjusted_p_value),
                },
            )
        )
    return rows


def build_model_rows(metric: MetricView) -> list[Row]:
    """Return every model on one metric, the best mean first."""
    scale = metric.scale
    return [
        Row(
            f"model-{index}",
            "",
            {
                "model": one.model,
                "value": format_value(scale, one.value),
                "interval": describe_interval(one.interval, partial(format_value, scale)),
                "units": f"{one.units_count} of {one.planned_units_count}",
                "cells": f"{one.cells_count} of {one.planned_cells_count}",
                "bounds": _describe_bounds(one, scale),
                "best": "" if one.is_among_best is None else "yes" if one.is_among_best else "no",
            },
        )
        for index, one in enumerate(_order(metric))
    ]


def build_differences(metric: MetricView, baseline: str) -> list[Estimate]:
    """Return every other model against the baseline, the worst first."""
    sign = 1 if metric.higher_is_better else -1
    found = [one for one in metric.differences if one.baseline == baseline]
    found.sort(key=lambda one: (one.value is None, sign * (one.value or 0.0), one.candidate))
    return [
        Estimate(
            show_text(one.candidate),  # a drawing does not pass the template's filter
            one.value,
            None if one.interval is None else one.interval.low,
            None if one.interval is None else one.interval.high,
            TONES[one.verdict],
            f"{one.shared_count} of {one.planned_count}",
        )
        for one in found
    ]


def build_pair_rows(metric: MetricView) -> list[Row]:
    """Return the pairs of a metric, what is shown first."""
    scale = metric.scale
    order = {"worse": 0, "better": 0, "not_shown": 1, "unknown": 2}
    found = sorted(metric.differences, key=lambda one: (order[one.verdict], one.adjusted_p_value or 1.0))
    return [
        Row(
            f"pair-{index}",
            "",
            {
                "pair": f"{one.baseline} → {one.candidate}",
                "verdict": (one.verdict, _sign(one), metric.direction),
                "difference": format_difference(scale, one.value),
                "interval": describe_reach(scale, one.interval),
                "delta": "unknown" if one.delta is None else _describe_whole(one.delta),
                "wins": f"{one.higher_count}, {one.lower_count}",
                "shared": f"{one.shared_count} of {one.planned_count}",
                "p": describe_p(one.adjusted_p_value),
            },
        )
        for index, one in enumerate(found[:MAX_PAIRS_COUNT])
    ]


def build_screen_rows(comparison: ModelComparison, candidate: str) -> list[Row]:
    """Return the items of a candidate, those that got worse first."""
    rows = []
    for index, one in enumerate(one for one in comparison.screens if one.candidate == candidate):
        sign = 0 if not one.difference else 1 if one.difference > 0 else -1
        rows.append(
            Row(
                f"screen-{index}",
                "",
                {
                    "key": one.key,
                    "kind": "CWE" if one.kind == "cwe" else one.kind,
                    "verdict": (one.verdict, sign, "lower is better"),
                    "difference": format_difference("number", one.difference),
                    "baseline": format_value("number", one.baseline_mean),
                    "candidate": format_value("number", one.candidate_mean),
                    "shared": f"{one.shared_count} of {one.planned_count}",
                    "p": describe_p(one.adjusted_p_value),
                },
            )
        )
    return rows


def build_weighting_columns(comparison: ModelComparison) -> list[Column]:
    """Return a column for each weighting."""
    weighting = comparison.weighting
    names = weighting.weightings if weighting is not None else {}
    return [
        Column("model", "Model", is_title=True),
        *(Column(name, name.replace("_", " "), "number") for name in names),
    ]


def build_weighting_rows(comparison: ModelComparison) -> list[Row]:
    """Return the pooled density of each model under every weighting."""
    if comparison.weighting is None:
        return []
    return [
        Row(
            f"weighting-{index}",
            "",
            {
                "model": row.model,
                **{
                    name: f"{format_number(found.point, 1)} ({describe_interval(found, _round)})"
                    for name, found in row.densities.items()
                },
            },
        )
        for index, row in enumerate(comparison.weighting.rows)
    ]


def build_front_rows(comparison: ModelComparison) -> list[Row]:
    """Return the models in cost and density, cheapest first."""
    return [
        Row(
            f"front-{index}",
            "",
            {
                "model": point.model,
                "front": "yes" if point.is_on_front else "no",
                "share": format_share(point.membership_share),
                "cost": format_value("usd", point.cost_usd),
                "density": format_value("number", point.weighted_findings_per_kloc),
            },
        )
        for index, point in enumerate(comparison.front)
    ]


def build_pass_columns(comparison: ModelComparison) -> list[Column]:
    """Return a column for each pass@k and pass^k that some model has; the JSON has those of larger k too."""
    names = dict.fromkeys(_name_rate(one) for one in _list_rates(comparison))
    return [
        Column("model", "Model", is_title=True),
        *(Column(name, name, "number") for name in names),
        Column("units", "Units", "number"),
    ]


def build_pass_rows(comparison: ModelComparison) -> list[Row]:
    """Return pass@k and pass^k of every model, each with its interval, and the fewest units one rests on."""
    rates = _list_rates(comparison)
    if not rates:
        return []
    names = dict.fromkeys(_name_rate(one) for one in rates)
    rows = []
    for index, model in enumerate(one.model for one in comparison.models):
        mine = [one for one in rates if one.model == model]
        cells = dict.fromkeys(names, "unknown") | {_name_rate(one): _describe_rate(one) for one in mine}
        fewest = min((one.units_count for one in mine), default=0)
        units = f"{fewest} of {len(comparison.units)}"
        rows.append(Row(f"pass-{index}", "", {"model": model, **cells, "units": units}))
    return rows


def build_overlap_bars(comparison: ModelComparison) -> list[Bar]:
    """Return what exactly which tools found."""
    return [
        Bar(" + ".join(one.tools), (Segment("things", one.count, "series-1"),)) for one in comparison.overlaps
    ]


def build_capture_rows(comparison: ModelComparison) -> list[Row]:
    """Return what all tools missed of each CWE."""
    return [
        Row(
            f"capture-{index}",
            "",
            {
                "cwe": f"CWE-{one.cwe}",
                "method": "Chao's lower bound" if one.method == "chao" else "jackknife",
                "seen": f"{one.seen_count:,}",
                "missed": format_number(one.missed.point, 1),
                "interval": describe_interval(one.missed, partial(format_number, digits=1)),
                "tools": ", ".join(one.tools),
            },
        )
        for index, one in enumerate(comparison.captures)
    ]


def build_flip_rows(comparison: ModelComparison) -> list[Row]:
    """Return how steady each tool is."""
    return [
        Row(
            f"flip-{index}",
            "",
            {
                "tool": one.tool,
                "rate": format_share(one.rate.point),
                "interval": describe_interval(one.rate, format_share),
                "seen": f"{one.unsteady_count:,} of {one.seen_count:,}",
                "runs": f"{one.runs_count:,}",
                "sources": f"{one.sources_count:,}",
            },
        )
        for index, one in enumerate(comparison.flips)
    ]


def build_opinion_rows(comparison: ModelComparison) -> list[Row]:
    """Return one number for each model, the highest TOPSIS first."""
    return [
        Row(
            f"opinion-{index}",
            "",
            {
                "model": one.model,
                "topsis": format_number(one.topsis),
                "sum": format_number(one.weighted_sum),
                "score": format_number(one.severity_score_mean, 1),
            },
        )
        for index, one in enumerate(sorted(comparison.opinions, key=lambda one: -(one.topsis or 0.0)))
    ]


def describe_interval(interval: Interval | None, format_end: Callable[[float], str]) -> str:
    """Return an interval as people read it."""
    if interval is None:
        return "unknown"
    if isinf(interval.low) or isinf(interval.high):
        if isinf(interval.low) and isinf(interval.high):
            return "no limits"
        return (
            f"{format_end(interval.high)} or less"
            if isinf(interval.low)
            else f"{format_end(interval.low)} or more"
        )
    return f"{format_end(interval.low)} to {format_end(interval.high)}"


def _round(value: float) -> str:
    return format_number(value, 1)


def describe_reach(scale: Scale, interval: Interval | None) -> str:
    """Return the interval of a difference, its unit said once."""
    text = describe_interval(interval, partial(format_difference, scale))
    return text.replace(" pp to ", " to ")


def describe_p(value: float | None) -> str:
    """Return a p-value: never 0."""
    if value is None:
        return "unknown"
    return "<0.0001" if value < 0.0001 else format_number(value, 4)


def _name_rate(one: PassRate) -> str:
    return f"pass@{one.k}" if one.kind == "any" else f"pass^{one.k}"


def _describe_rate(one: PassRate) -> str:
    low, high = (format_number(end * 100, 0) for end in (one.rate.low, one.rate.high))
    return f"{format_share(one.rate.point)} ({low} to {high})"


def _list_rates(comparison: ModelComparison) -> list[PassRate]:
    return [one for one in comparison.passes if one.k <= SHOWN_K]


def _describe_whole(interval: Interval) -> str:
    return f"{interval.point:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})".replace("-", "−")


def _describe_bounds(one: ModelValue, scale: Scale) -> str:
    if one.cells_count == one.planned_cells_count:
        return "none missing"
    if one.lowest is None or one.highest is None:
        return "no bounds"
    return f"{format_value(scale, one.lowest)} to {format_value(scale, one.highest)}"


def _order(metric: MetricView) -> Sequence[ModelValue]:
    sign = -1 if metric.higher_is_better else 1
    return sorted(metric.models, key=lambda one: (one.value is None, sign * (one.value or 0.0), one.model))


def _verdict(one: Difference | None) -> Verdict:
    return "unknown" if one is None else one.verdict


def _sign(one: Difference | None) -> int:
    return 0 if one is None or not one.value else 1 if one.value > 0 else -1
