"""What is told beside the metrics: weights, cost against density, repeats, opinions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np

from referee.core.vocabulary import Service
from referee.foundation.statistics import (
    WEIGHTINGS,
    AppCounts,
    compare_rankings,
    compute_density,
    compute_front,
    compute_pass_rate,
    compute_topsis,
    compute_weighted_sum,
)
from referee.pipelines.comparing.cells import CellSet
from referee.pipelines.comparing.claims import Options
from referee.pipelines.comparing.measuring import DEFAULT_WEIGHTING, Ground, Scores, list_static_runs
from referee.pipelines.comparing.views import (
    FrontPoint,
    OpinionRow,
    PassRate,
    WeightingRow,
    WeightingView,
)

__all__ = ["SEVERITY_SCORE", "build_front", "build_opinions", "build_passes", "build_weighting"]

SEVERITY_SCORE: Final[Mapping[str, float]] = {"critical": 100, "high": 10, "medium": 3, "low": 1, "info": 0}
"""A score that people know from elsewhere. An opinion: nothing says that a critical finding is ten high ones."""
_MAX_K: Final = 5


def build_weighting(
    cells: CellSet, ground: Ground, density: Scores | None, options: Options
) -> WeightingView | None:
    """Return the density of each model under every weighting; None when one has fewer than two units."""
    if density is None:
        return None
    apps = _list_apps(cells, ground, density)
    if any(len({app.template for app in apps[model]}) < 2 for model in cells.models):
        return None
    densities = {
        name: {
            model: compute_density(
                apps[model],
                weights,
                level=options.level,
                resamples_count=options.resamples_count,
                seed=options.seed,
            )
            for model in cells.models
        }
        for name, weights in WEIGHTINGS.items()
    }
    agreements = compare_rankings(
        {name: {model: found.point for model, found in rows.items()} for name, rows in densities.items()}
    )
    taus = [one.tau for one in agreements]
    return WeightingView(
        weightings={name: dict(weights) for name, weights in WEIGHTINGS.items()},
        default=DEFAULT_WEIGHTING,
        rows=tuple(
            WeightingRow(model=model, densities={name: densities[name][model] for name in WEIGHTINGS})
            for model in cells.models
        ),
        agreements=agreements,
        does_order_hold=None
        if any(tau is None for tau in taus)
        else all(tau is not None and tau > 1 - 1e-9 for tau in taus),
    )


def _list_apps(cells: CellSet, ground: Ground, density: Scores) -> dict[str, list[AppCounts]]:
    apps: dict[str, list[AppCounts]] = {model: [] for model in cells.models}
    for cell, value in zip(cells.cells, density.values, strict=True):
        if value is None or not cell.code_lines_count:
            continue
        severities: dict[str, int] = {}
        for run in list_static_runs(cell, ground):
            for severity, count in run.severities.items():
                severities[severity] = severities.get(severity, 0) + count
        apps[cell.model].append(
            AppCounts(template=cell.unit, lines_count=cell.code_lines_count, severities=severities)
        )
    return apps


def build_front(
    cells: CellSet, cost: Scores | None, density: Scores | None, options: Options
) -> tuple[tuple[FrontPoint, ...], str]:
    """Return each model in cost and density, and whether another one beats it in both; or why not."""
    if cost is None or density is None:
        lacking = "cost" if cost is None else "density of findings"
        return (), f"No cell has a {lacking}."
    costs, densities = cost.by_model(cells, cells.models), density.by_model(cells, cells.models)
    complete = [
        unit
        for unit in cells.units
        if all(costs[model].get(unit) and densities[model].get(unit) for model in cells.models)
    ]
    if len(complete) < 2:
        return (), "Fewer than two units have cost and density of every model."
    front = compute_front(
        _tabulate(costs, cells.models, complete),
        -_tabulate(densities, cells.models, complete),
        resamples_count=options.resamples_count,
        seed=options.seed,
    )
    points = [
        FrontPoint(
            model=model,
            cost_usd=front.costs[index],
            weighted_findings_per_kloc=abs(front.qualities[index]),
            is_on_front=front.is_member[index],
            membership_share=front.membership_shares[index],
        )
        for index, model in enumerate(cells.models)
    ]
    return tuple(sorted(points, key=lambda point: (point.cost_usd, point.model))), ""


def _tabulate(
    values: Mapping[str, Mapping[str, Sequence[float]]], models: Sequence[str], units: Sequence[str]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([[float(np.mean(values[model][unit])) for model in models] for unit in units])


def build_passes(
    cells: CellSet, success: Scores | None, options: Options
) -> tuple[tuple[PassRate, ...], str]:
    """Return pass@k and pass^k of every model over the repeats of a unit; or why not."""
    if success is None:
        return (), "No cell could be told to succeed or to fail."
    by_model = success.by_model(cells, cells.models)
    rates: list[PassRate] = []
    most = max(len(repeats) for units in by_model.values() for repeats in units.values())
    kinds: tuple[Literal["any", "all"], ...] = ("any", "all")
    for k in range(1, min(most, _MAX_K) + 1):
        for kind in kinds if k > 1 else kinds[:1]:
            for model in cells.models:
                tasks = [
                    (len(repeats), round(sum(repeats)))
                    for repeats in by_model[model].values()
                    if len(repeats) >= k
                ]
                if len(tasks) < 2:
                    continue
                rate = compute_pass_rate(
                    tasks,
                    k,
                    kind=kind,
                    level=options.level,
                    resamples_count=options.resamples_count,
                    seed=options.seed,
                )
                rates.append(
                    PassRate(
                        model=model,
                        kind=kind,
                        k=k,
                        rate=rate,
                        units_count=len(tasks),
                        planned_units_count=len(cells.units),
                    )
                )
    return tuple(rates), "" if rates else "No model has two units whose apps succeed or fail."


def build_opinions(
    cells: CellSet, ground: Ground, measured: Sequence[Scores]
) -> tuple[tuple[OpinionRow, ...], tuple[str, ...]]:
    """Return one number for each model out of all metrics that every model has, each with the same weight."""
    tables = {
        scores.metric.key: {
            model: [float(np.mean(repeats)) for repeats in units.values()]
            for model, units in scores.by_model(cells, cells.models).items()
        }
        for scores in measured
    }
    used = [scores.metric for scores in measured if all(tables[scores.metric.key].values())]
    topsis: Sequence[float | None] = [None] * len(cells.models)
    sums: Sequence[float | None] = topsis
    if len(cells.models) > 1 and used:
        table = [[float(np.mean(tables[metric.key][model])) for metric in used] for model in cells.models]
        weights, directions = [1.0] * len(used), [metric.higher_is_better for metric in used]
        topsis = compute_topsis(table, weights, directions)
        sums = compute_weighted_sum(table, weights, directions)
    rows = [
        OpinionRow(
            model=model,
            topsis=topsis[index],
            weighted_sum=sums[index],
            severity_score_mean=_score_severities(cells, ground, model),
        )
        for index, model in enumerate(cells.models)
    ]
    return tuple(rows), tuple(metric.key for metric in used)


def _score_severities(cells: CellSet, ground: Ground, model: str) -> float | None:
    scores = [
        sum(
            SEVERITY_SCORE[severity] * count
            for tool in ground.list_tools(*Service)
            for severity, count in cell.tools[tool].severities.items()
        )
        for cell in cells.cells
        if cell.model == model and cell.is_valid and ground.tools
    ]
    return sum(scores) / len(scores) if scores else None
