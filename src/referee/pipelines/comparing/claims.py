"""Each metric over all models: means, differences and what is shown, after all that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from referee.foundation.statistics import (
    Comparison,
    Interval,
    MissingBounds,
    PairComparison,
    compare_models,
    compute_difference_bounds,
    compute_mean_bounds,
    compute_mean_interval,
)
from referee.pipelines.comparing.cells import CellSet
from referee.pipelines.comparing.measuring import Scores
from referee.pipelines.comparing.metrics import Metric, format_difference
from referee.pipelines.comparing.views import (
    DetectableView,
    Difference,
    MetricView,
    MissingView,
    ModelValue,
    Verdict,
)

__all__ = ["Options", "compare_metrics", "count_claims"]

_SHOWN_CELLS_COUNT = 10
_SHOWN_REASONS_COUNT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What every computation of a comparison is done with."""

    level: float = 0.95
    resamples_count: int = 10_000
    seed: int = 1


def count_claims(models_count: int, metrics_count: int) -> int:
    """Return the pairs × metrics that are looked at."""
    return models_count * (models_count - 1) // 2 * metrics_count


def compare_metrics(
    cells: CellSet, measured: Sequence[Scores], baseline: str, options: Options
) -> tuple[MetricView, ...]:
    """Return every measured metric with all pairs of models."""
    # A pair is told as first less second, so with the baseline last each candidate comes before it.
    models = [*(model for model in cells.models if model != baseline), baseline]
    looks_count = count_claims(len(models), len(measured))
    return tuple(_view_metric(cells, scores, models, looks_count, options) for scores in measured)


def _view_metric(
    cells: CellSet,
    scores: Scores,
    models: Sequence[str],
    looks_count: int,
    options: Options,
) -> MetricView:
    metric, by_model = scores.metric, scores.by_model(cells, models)
    compared: Comparison | None = None
    if len(models) > 1:
        compared = compare_models(
            by_model,
            templates=cells.units,
            score_range=metric.score_range,
            higher_is_better=metric.higher_is_better,
            level=options.level,
            looks_count=looks_count,
            resamples_count=options.resamples_count,
            seed=options.seed,
        )
    values = _group_values(cells, scores)
    pairs = compared.pairs if compared is not None else ()
    lowest, highest = metric.score_range or (None, None)
    return MetricView(
        key=metric.key,
        title=metric.title,
        unit=metric.unit,
        scale=metric.scale,
        direction=metric.direction,
        higher_is_better=metric.higher_is_better,
        lowest_possible=lowest,
        highest_possible=highest,
        meaning=metric.meaning,
        models=tuple(
            _view_model(cells, metric, model, by_model[model], values[model], compared, options)
            for model in cells.models
        ),
        differences=tuple(_view_pair(metric, pair, by_model, values) for pair in pairs),
        best=None if compared is None else compared.best,
        complete_units_count=sum(all(by_model[model].get(unit) for model in models) for unit in cells.units),
        detectable=_view_detectable(compared),
        cells_count=sum(value is not None for value in scores.values),
        planned_cells_count=len(scores.values),
        missing=_group_missing(scores),
    )


def _group_values(cells: CellSet, scores: Scores) -> dict[str, dict[tuple[str, int], float | None]]:
    """Return model → (unit, number) → value of every planned cell."""
    found: dict[str, dict[tuple[str, int], float | None]] = {model: {} for model in cells.models}
    for cell, value in zip(cells.cells, scores.values, strict=True):
        found[cell.model][cell.unit, cell.number] = value
    return found


def _view_model(
    cells: CellSet,
    metric: Metric,
    model: str,
    by_unit: dict[str, list[float]],
    values: dict[tuple[str, int], float | None],
    compared: Comparison | None,
    options: Options,
) -> ModelValue:
    means = [float(np.mean(repeats)) for repeats in by_unit.values()]
    summary = None if compared is None else next(one for one in compared.models if one.model == model)
    interval = None if summary is None else summary.mean
    if compared is None and len(means) > 1:
        interval = compute_mean_interval(
            means, level=options.level, resamples_count=options.resamples_count, seed=options.seed
        )
    bounds = _bound_mean(metric, list(values.values()))
    return ModelValue(
        model=model,
        value=float(np.mean(means)) if means else None,
        interval=_trim(interval, metric),
        units_count=len(means),
        planned_units_count=len({unit for unit, _ in values}) if compared is None else len(cells.units),
        cells_count=sum(value is not None for value in values.values()),
        planned_cells_count=len(values),
        lowest=None if bounds is None else bounds.low,
        highest=None if bounds is None else bounds.high,
        is_among_best=None if summary is None else summary.is_among_best,
        best_p_value=None if summary is None else summary.best_p_value,
    )


def _trim(interval: Interval | None, metric: Metric) -> Interval | None:
    """Cut an interval of what cannot be negative at 0."""
    if interval is None or interval.point < 0 or interval.low >= 0:
        return interval
    return Interval(0.0, interval.point, interval.high, interval.level)


def _bound_mean(metric: Metric, values: Sequence[float | None]) -> MissingBounds | None:
    if metric.score_range is None or not values:
        return None
    lowest, highest = metric.score_range
    return compute_mean_bounds(values, lowest=lowest, highest=highest)


def _view_pair(
    metric: Metric,
    pair: PairComparison,
    by_model: dict[str, dict[str, list[float]]],
    values: dict[str, dict[tuple[str, int], float | None]],
) -> Difference:
    candidate, baseline = by_model[pair.first], by_model[pair.second]
    shared = [unit for unit in candidate if unit in baseline]
    apart = [float(np.mean(candidate[unit])) - float(np.mean(baseline[unit])) for unit in shared]
    verdict = _judge(pair)
    value = float(np.mean(apart)) if apart else None
    interval = pair.difference
    bounds = _bound_difference(metric, values[pair.first], values[pair.second])
    return Difference(
        baseline=pair.second,
        candidate=pair.first,
        value=value,
        interval=interval,
        method=pair.method,
        shared_count=pair.shared_count,
        planned_count=pair.planned_count,
        p_value=None if pair.test is None else pair.test.p_value,
        p_method=None if pair.test is None else pair.test.method,
        adjusted_p_value=pair.adjusted_p_value,
        verdict=verdict,
        delta=None if pair.dominance is None else pair.dominance.delta,
        shift=pair.shift,
        higher_count=pair.wins_count,
        lower_count=pair.losses_count,
        lowest=None if bounds is None else bounds.low,
        highest=None if bounds is None else bounds.high,
        sentence=_tell(metric, pair, verdict, value, interval),
    )


def _bound_difference(
    metric: Metric,
    candidate: dict[tuple[str, int], float | None],
    baseline: dict[tuple[str, int], float | None],
) -> MissingBounds | None:
    """Return bounds over all cells that both were planned for; None where these are not the same ones."""
    if metric.score_range is None or candidate.keys() != baseline.keys():
        return None
    lowest, highest = metric.score_range
    keys = list(candidate)
    return compute_difference_bounds(
        [candidate[key] for key in keys], [baseline[key] for key in keys], lowest=lowest, highest=highest
    )


def _judge(pair: PairComparison) -> Verdict:
    if pair.test is None or pair.shared_count < 2:
        return "unknown"
    if pair.better is None:
        return "not_shown"
    return "better" if pair.better == pair.first else "worse"


def _tell(
    metric: Metric, pair: PairComparison, verdict: Verdict, value: float | None, interval: Interval | None
) -> str:
    if verdict == "unknown" or value is None:
        return (
            f"{pair.first} and {pair.second} share {pair.shared_count} of {pair.planned_count}: too little to tell "
            "them apart."
        )
    reach = ""
    if interval is not None:
        low, high = (format_difference(metric.scale, end) for end in (interval.low, interval.high))
        reach = f" ({interval.level * 100:.0f} % interval {low} to {high})"
    amount = f"{format_difference(metric.scale, value)}{reach}"
    count = f"{pair.shared_count} of {pair.planned_count} shared"
    if verdict == "not_shown":
        return f"{pair.first} is not shown to differ from {pair.second}: {amount}, {count}."
    return f"{pair.first} is shown to be {verdict} than {pair.second}: {amount}, {count}."


def _view_detectable(compared: Comparison | None) -> DetectableView | None:
    if compared is None or compared.detectable is None:
        return None
    found = compared.detectable
    return DetectableView(
        difference=found.difference,
        units_count=found.templates_count,
        repeats_count=found.repeats_count,
        power=found.power,
        comparisons_count=found.comparisons_count,
    )


def _group_missing(scores: Scores) -> tuple[MissingView, ...]:
    by_reason: dict[str, list[str]] = {}
    for one in scores.missing:
        by_reason.setdefault(one.reason, []).append(one.cell)
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    kept, rest = ordered[:_SHOWN_REASONS_COUNT], ordered[_SHOWN_REASONS_COUNT:]
    views = [
        MissingView(reason=reason, cells_count=len(names), cells=tuple(names[:_SHOWN_CELLS_COUNT]))
        for reason, names in kept
    ]
    if rest:
        names = [name for _, more in rest for name in more]
        views.append(
            MissingView(
                reason=f"{len(rest)} other reasons.",
                cells_count=len(names),
                cells=tuple(names[:_SHOWN_CELLS_COUNT]),
            )
        )
    return tuple(views)
