"""Compute everything that is told of a set of cells. The same cells, baseline and seed give the same numbers."""

from __future__ import annotations

from dataclasses import replace

from referee.core.errors import InvalidInput
from referee.pipelines.comparing.agreement import build_captures, build_flips, build_overlaps
from referee.pipelines.comparing.cells import CellSet
from referee.pipelines.comparing.claims import Options, compare_metrics, count_claims
from referee.pipelines.comparing.further import build_front, build_opinions, build_passes, build_weighting
from referee.pipelines.comparing.measuring import find_ground, measure_all
from referee.pipelines.comparing.metrics import get_metric
from referee.pipelines.comparing.screens import screen_items
from referee.pipelines.comparing.views import ModelComparison, ModelCounts, UnmeasuredView

__all__ = ["check_request", "compute_comparison", "tell_metric"]


def check_request(cells: CellSet, *, metric: str | None, baseline: str | None) -> None:
    """Refuse what is not there, before anything is computed.

    Raises:
        InvalidInput: Metric or model are not known.
    """
    if metric is not None:
        get_metric(metric)
    if baseline is not None and baseline not in cells.models:
        raise InvalidInput(
            "comparison.model_unknown",
            f"The model {baseline[:80]!r} is not among those compared.",
            f"Use one of: {', '.join(cells.models)[:400]}.",
        )


def tell_metric(comparison: ModelComparison, metric: str | None) -> ModelComparison:
    """Return a comparison with all pairs of one metric, and of the others those with the baseline.

    Args:
        comparison: With all pairs of every metric.
        metric: Which one; None: the first that was measured.
    """
    if metric is None and comparison.metrics:
        metric = comparison.metrics[0].key
    return replace(
        comparison,
        metric=metric,
        metrics=tuple(
            one
            if one.key == metric
            else replace(
                one,
                differences=tuple(pair for pair in one.differences if pair.baseline == comparison.baseline),
            )
            for one in comparison.metrics
        ),
    )


def compute_comparison(
    cells: CellSet,
    *,
    metric: str | None = None,
    baseline: str | None = None,
    options: Options | None = None,
) -> ModelComparison:
    """Return everything that is told of a set of cells. Blocking, and busy for seconds when there are many.

    Args:
        cells: With all that is known of them.
        metric: Noted as the one that is asked for; the pairs of every metric are told.
        baseline: The model that others are compared with; None: the first.
        options: Level, resamples and seed.

    Raises:
        InvalidInput: Metric or model are not known.
    """
    options = options or Options()
    check_request(cells, metric=metric, baseline=baseline)
    chosen = baseline or cells.models[0]
    ground = find_ground(cells)
    measured, unmeasured = measure_all(cells, ground)
    by_key = {scores.metric.key: scores for scores in measured}
    if metric is None and measured:
        metric = measured[0].metric.key
    screens, screens_looks_count, screens_left_out = screen_items(cells, ground, chosen, options)
    density, cost = by_key.get("weighted_findings_per_kloc"), by_key.get("generation_cost_usd")
    front, front_reason = build_front(cells, cost, density, options)
    passes, passes_reason = build_passes(cells, by_key.get("success_share"), options)
    overlaps, overlaps_left_out_count = build_overlaps(cells, ground)
    captures, captures_reason = build_captures(cells, ground, options)
    flips, flips_reason = build_flips(cells, options)
    opinions, opinions_metrics = build_opinions(cells, ground, measured)
    return ModelComparison(
        source_kind=cells.source.kind,
        source_name=cells.source.name,
        pipeline_id=cells.source.pipeline_id,
        definition_sha256=cells.source.definition_sha256,
        models=tuple(_count_cells(cells, model) for model in cells.models),
        baseline=chosen,
        metric=metric,
        unit_word=cells.unit_word,
        units=cells.units,
        cells_count=len(cells.cells),
        valid_count=cells.valid_count,
        metrics=compare_metrics(cells, measured, chosen, options),
        unmeasured=tuple(
            UnmeasuredView(key=one.metric.key, title=one.metric.title, reason=one.reason)
            for one in unmeasured
        ),
        claims_looks_count=count_claims(len(cells.models), len(measured)),
        screens=screens,
        screens_looks_count=screens_looks_count,
        screens_left_out=screens_left_out,
        weighting=build_weighting(cells, ground, density, options),
        front=front,
        front_reason=front_reason,
        passes=passes,
        passes_reason=passes_reason,
        overlaps=overlaps,
        overlaps_left_out_count=overlaps_left_out_count,
        captures=captures,
        captures_reason=captures_reason,
        flips=flips,
        flips_reason=flips_reason,
        opinions=opinions,
        opinions_metrics=opinions_metrics,
        tools=tuple(ground.tools),
        tools_left_out=dict(ground.left_out),
        level=options.level,
        resamples_count=options.resamples_count,
        seed=options.seed,
        notes=cells.notes,
    )


def _count_cells(cells: CellSet, model: str) -> ModelCounts:
    mine = [cell for cell in cells.cells if cell.model == model]
    return ModelCounts(model=model, cells_count=len(mine), valid_count=sum(cell.is_valid for cell in mine))
