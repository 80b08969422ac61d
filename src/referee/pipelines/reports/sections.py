"""The parts of reports about models: differences, templates, repeats, opinions, apps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from referee.core.vocabulary import Severity
from referee.pipelines.comparing.cells import CellFacts, CellSet
from referee.pipelines.comparing.metrics import get_metric
from referee.pipelines.comparing.page_tables import TONES
from referee.pipelines.comparing.views import MetricView, ModelComparison
from referee.pipelines.reports.document import (
    Block,
    Chart,
    ChartRow,
    Column,
    Facts,
    Section,
    Text,
    Value,
    make_table,
)

__all__ = [
    "build_cells",
    "build_differences",
    "build_models",
    "build_opinions",
    "build_overview",
    "build_repeats",
    "build_screens",
    "build_templates",
]

_WORDS: Final = {
    "better": "better",
    "worse": "worse",
    "not_shown": "not shown to differ",
    "unknown": "too little to tell",
}


def build_overview(cells: CellSet, comparison: ModelComparison) -> Section:
    """Return what the report is over, and every hole with its reason."""
    holes = [cell for cell in cells.cells if not cell.is_valid]
    blocks: list[Block] = [
        Facts(
            [
                ("Source", f"{cells.source.kind} {cells.source.name}"),
                ("Models", ", ".join(cells.models)),
                ("Paired by", f"{cells.unit_word} ({len(cells.units)})"),
                ("Valid cells", f"{cells.valid_count} of {len(cells.cells)}; only these count"),
                ("Tools that count", ", ".join(comparison.tools) or "none"),
                *((f"Left out: {tool}", why) for tool, why in comparison.tools_left_out.items()),
            ]
        ),
        *(Text(note, "quiet") for note in cells.notes),
    ]
    if holes:
        blocks.append(
            make_table(
                "holes",
                "Cells that do not count, each with its reason",
                [Column("cell", "Cell"), Column("state", "State"), Column("reason", "Reason")],
                [[cell.name, cell.state.replace("_", " "), cell.reason] for cell in holes],
                f"{len(holes)} of {len(cells.cells)} cells.",
            )
        )
    if comparison.unmeasured:
        blocks.append(
            make_table(
                "not_measured",
                "What was not measured",
                [Column("metric", "Metric"), Column("reason", "Reason")],
                [[one.title, one.reason] for one in comparison.unmeasured],
            )
        )
    return Section(section_id="overview", title="What this is about", blocks=blocks)


def build_models(comparison: ModelComparison, models: Sequence[str]) -> Section:
    """Return every metric of some models: mean, interval, n of N and bounds."""
    rows: list[Sequence[Value]] = []
    for metric in comparison.metrics:
        for one in metric.models:
            if one.model not in models:
                continue
            interval = one.interval
            rows.append(
                [
                    metric.title,
                    metric.unit,
                    metric.direction,
                    one.model,
                    one.value,
                    None if interval is None else interval.low,
                    None if interval is None else interval.high,
                    one.units_count,
                    one.planned_units_count,
                    one.cells_count,
                    one.planned_cells_count,
                    one.lowest,
                    one.highest,
                    one.is_among_best,
                ]
            )
    columns = [
        Column("metric", "Metric"),
        Column("unit", "Unit"),
        Column("direction", "Direction"),
        Column("model", "Model"),
        Column("mean", "Mean", "number"),
        Column("low", "From", "number", "95 % interval"),
        Column("high", "To", "number", "95 % interval"),
        Column("units_count", "Units", "count"),
        Column("planned_units_count", "Of units", "count"),
        Column("cells_count", "Cells", "count"),
        Column("planned_cells_count", "Of cells", "count"),
        Column("lowest", "Lowest", "number", "whatever is missing"),
        Column("highest", "Highest", "number", "whatever is missing"),
        Column("is_among_best", "Among the best"),
    ]
    blocks: list[Block] = [
        make_table("models", "Every metric of every model", columns, rows, _explain(comparison))
    ]
    missing: list[Sequence[Value]] = [
        [metric.title, one.cells_count, one.reason, ", ".join(one.cells)]
        for metric in comparison.metrics
        for one in metric.missing
    ]
    if missing:
        blocks.append(
            make_table(
                "missing_values",
                "Cells without a value",
                [
                    Column("metric", "Metric"),
                    Column("cells_count", "Cells", "count"),
                    Column("reason", "Reason"),
                    Column("cells", "The first of them"),
                ],
                missing,
            )
        )
    return Section(section_id="models", title="Models", blocks=blocks)


def build_differences(comparison: ModelComparison) -> Section:
    """Return who is shown to differ from whom on which metric, with a drawing of the first ones."""
    if not comparison.candidates:
        return Section(
            section_id="differences",
            title="Differences",
            blocks=[Text("There is one model, so there is nothing to compare.", "quiet")],
        )
    charts: list[Block] = [
        _draw_differences(metric, comparison.baseline) for metric in comparison.metrics[:4]
    ]
    rows = [
        [
            metric.title,
            metric.unit,
            one.baseline,
            one.candidate,
            one.value,
            None if one.interval is None else one.interval.low,
            None if one.interval is None else one.interval.high,
            one.shared_count,
            one.planned_count,
            one.p_value,
            one.adjusted_p_value,
            None if one.delta is None else one.delta.point,
            _WORDS[one.verdict],
        ]
        for metric in comparison.metrics
        for one in sorted(metric.differences, key=lambda one: one.baseline != comparison.baseline)
    ]
    columns = [
        Column("metric", "Metric"),
        Column("unit", "Unit"),
        Column("baseline", "Baseline"),
        Column("candidate", "Candidate"),
        Column("difference", "Difference", "number", "candidate less baseline"),
        Column("low", "From", "number", "95 % interval"),
        Column("high", "To", "number", "95 % interval"),
        Column("shared_count", "Shared", "count"),
        Column("planned_count", "Of units", "count"),
        Column("p_value", "p", "p"),
        Column("adjusted_p_value", "Adjusted p", "p"),
        Column("delta", "Cliff's δ", "number"),
        Column("verdict", "Candidate is"),
    ]
    return Section(
        section_id="differences",
        title="Differences",
        blocks=[
            *charts,
            make_table("differences", "Every pair that was compared", columns, rows, _explain(comparison)),
        ],
    )


def build_screens(comparison: ModelComparison) -> Section:
    """Return tools, rules and CWEs against the baseline, those that got worse first."""
    rows = [
        [
            "CWE" if one.kind == "cwe" else one.kind,
            one.key,
            comparison.baseline,
            one.candidate,
            one.baseline_mean,
            one.candidate_mean,
            one.difference,
            one.shared_count,
            one.planned_count,
            one.p_value,
            one.adjusted_p_value,
            one.total_count,
            _WORDS[one.verdict],
        ]
        for one in comparison.screens
    ]
    columns = [
        Column("kind", "Kind"),
        Column("item", "Item"),
        Column("baseline", "Baseline"),
        Column("candidate", "Candidate"),
        Column("baseline_mean", "Baseline's mean", "number", "findings per app"),
        Column("candidate_mean", "Candidate's mean", "number", "findings per app"),
        Column("difference", "Difference", "number", "findings per app"),
        Column("shared_count", "Shared", "count"),
        Column("planned_count", "Of units", "count"),
        Column("p_value", "p", "p"),
        Column("adjusted_p_value", "Adjusted p", "p"),
        Column("total_count", "Findings", "count", "all models"),
        Column("verdict", "Candidate is"),
    ]
    left_out = ", ".join(f"{count} of kind {kind}" for kind, count in comparison.screens_left_out.items())
    note = (
        f"Benjamini–Hochberg over {comparison.screens_looks_count} comparisons keeps the share of false hits at 5 %."
        + (f" With fewer findings and not looked at: {left_out}." if left_out else "")
    )
    return Section(
        section_id="screens",
        title="Tools, rules and CWEs",
        blocks=[make_table("screens", "What got worse first", columns, rows, note)],
    )


def build_templates(cells: CellSet, comparison: ModelComparison) -> Section:
    """Return what each model's apps have for each template."""
    groups: dict[tuple[str, str], list[CellFacts]] = {}
    for cell in cells.cells:
        groups.setdefault((cell.unit, cell.model), []).append(cell)
    rows = []
    for (unit, model), group in groups.items():
        valid = [cell for cell in group if cell.is_valid]
        counted = [_count(cell, comparison.tools) for cell in valid]
        lines = [cell.code_lines_count for cell in valid if cell.code_lines_count]
        rows.append(
            [
                unit,
                model,
                len(valid),
                len(group),
                sum(lines) / len(lines) if lines else None,
                sum(sum(one.values()) for one in counted) / len(counted) if counted else None,
                *(
                    sum(one.get(severity.value, 0) for one in counted) / len(counted) if counted else None
                    for severity in Severity
                ),
            ]
        )
    columns = [
        Column("unit", cells.unit_word.capitalize()),
        Column("model", "Model"),
        Column("valid_count", "Valid cells", "count"),
        Column("cells_count", "Of cells", "count"),
        Column("lines", "Lines of code", "number", "mean of valid apps"),
        Column("findings", "Findings", "number", "per valid app"),
        *(
            Column(severity.value, severity.value.capitalize(), "number", "per valid app")
            for severity in Severity
        ),
    ]
    note = f"Findings of the tools that count in every valid cell: {', '.join(comparison.tools) or 'none'}."
    return Section(
        section_id="templates",
        title=f"By {cells.unit_word}",
        blocks=[make_table("templates", f"Models for each {cells.unit_word}", columns, rows, note)],
    )


def build_cells(cells: CellSet, comparison: ModelComparison, models: Sequence[str]) -> Section:
    """Return every app of some models."""
    mine = [cell for cell in cells.cells if cell.model in models]
    rows = [
        [
            cell.model,
            cell.unit,
            cell.number,
            cell.state.replace("_", " "),
            cell.is_valid,
            cell.has_started,
            cell.code_lines_count,
            *_list_severities(cell, comparison.tools),
            None if cell.generation is None else cell.generation.cost_usd,
            cell.reason,
            "" if cell.analysis_id is None else str(cell.analysis_id),
        ]
        for cell in mine
    ]
    columns = [
        Column("model", "Model"),
        Column("unit", cells.unit_word.capitalize()),
        Column("number", "No.", "count"),
        Column("state", "State"),
        Column("is_valid", "Valid"),
        Column("has_started", "Started"),
        Column("code_lines_count", "Lines", "count"),
        *(Column(severity.value, severity.value.capitalize(), "count") for severity in Severity),
        Column("cost_usd", "Cost", "usd", "USD"),
        Column("reason", "Reason"),
        Column("analysis_id", "Analysis"),
    ]
    note = f"{sum(cell.is_valid for cell in mine)} of {len(mine)} are valid; others have no counts."
    return Section(
        section_id="apps", title="Apps", blocks=[make_table("apps", "Every app", columns, rows, note)]
    )


def build_repeats(comparison: ModelComparison) -> Section:
    """Return weights, cost against density, and rates over repeats."""
    blocks: list[Block] = []
    if comparison.weighting is not None:
        names = list(comparison.weighting.weightings)
        weights = "; ".join(
            f"{name.replace('_', ' ')}: "
            + ", ".join(f"{severity} {weight:g}" for severity, weight in one.items())
            for name, one in comparison.weighting.weightings.items()
        )
        blocks.append(
            make_table(
                "weights",
                "Static findings by weight per 1,000 lines, under every weighting",
                [
                    Column("model", "Model"),
                    *(Column(name, name.replace("_", " ").capitalize(), "number") for name in names),
                ],
                [
                    [row.model, *(row.densities[name].point for name in names)]
                    for row in comparison.weighting.rows
                ],
                f"No weights are right. {weights}.",
            )
        )
    if comparison.front:
        blocks.append(
            make_table(
                "front",
                "Cost against density",
                [
                    Column("model", "Model"),
                    Column("cost_usd", "Cost of an app", "usd", "USD"),
                    Column("density", "Weighted findings per 1,000 lines", "number"),
                    Column("is_on_front", "On the front"),
                    Column("membership_share", "Of resamples", "share"),
                ],
                [
                    [
                        one.model,
                        one.cost_usd,
                        one.weighted_findings_per_kloc,
                        one.is_on_front,
                        one.membership_share,
                    ]
                    for one in comparison.front
                ],
                "On the front no other model costs no more and has no more findings by weight.",
            )
        )
    else:
        blocks.append(Text(f"There is no front of cost against density: {comparison.front_reason}", "quiet"))
    if comparison.passes:
        blocks.append(
            make_table(
                "passes",
                "pass@k and pass^k",
                [
                    Column("model", "Model"),
                    Column("rate", "Rate"),
                    Column("share", "Share", "share"),
                    Column("low", "From", "share", "95 % interval"),
                    Column("high", "To", "share", "95 % interval"),
                    Column("units_count", "Units", "count"),
                    Column("planned_units_count", "Of units", "count"),
                ],
                [
                    [
                        one.model,
                        f"pass@{one.k}" if one.kind == "any" else f"pass^{one.k}",
                        one.rate.point,
                        one.rate.low,
                        one.rate.high,
                        one.units_count,
                        one.planned_units_count,
                    ]
                    for one in comparison.passes
                ],
                get_metric("success_share").meaning,
            )
        )
    else:
        blocks.append(Text(f"There are no pass rates: {comparison.passes_reason}", "quiet"))
    return Section(section_id="repeats", title="Weights, cost and repeats", blocks=blocks)


def build_opinions(comparison: ModelComparison) -> Section:
    """Return one number for each model, under the word opinion."""
    titles = ", ".join(get_metric(key).title for key in comparison.opinions_metrics)
    return Section(
        section_id="opinion",
        title="Opinion",
        is_opinion=True,
        blocks=[
            Text(
                "These numbers are opinions, not measurements: they put different things together by weights that "
                "somebody chose.",
                "warn",
            ),
            make_table(
                "opinions",
                "One number for each model",
                [
                    Column("model", "Model"),
                    Column("topsis", "TOPSIS", "number", "0 to 1"),
                    Column("weighted_sum", "Weighted sum", "number", "0 to 1"),
                    Column("severity_score", "Severity score", "number", "per valid app"),
                ],
                [
                    [one.model, one.topsis, one.weighted_sum, one.severity_score_mean]
                    for one in comparison.opinions
                ],
                f"TOPSIS and weighted sum weigh the same: {titles or 'nothing'}. The severity score counts critical "
                "100, high 10, medium 3, low 1.",
            ),
        ],
    )


def _draw_differences(metric: MetricView, baseline: str) -> Chart:
    sign = 1 if metric.higher_is_better else -1
    found = [one for one in metric.differences if one.baseline == baseline]
    found.sort(key=lambda one: (one.value is None, sign * (one.value or 0.0), one.candidate))
    factor = 100.0 if metric.scale == "share" else 1.0
    unit = "percentage points" if metric.scale == "share" else metric.unit

    def scale(value: float | None) -> float | None:
        return None if value is None else value * factor

    return Chart(
        kind="intervals",
        title=f"{metric.title}: difference to {baseline} ({unit}, 95 % intervals, {metric.direction})",
        unit=unit,
        format="number",
        rows=[
            ChartRow(
                label=one.candidate,
                value=scale(one.value),
                low=scale(None if one.interval is None else one.interval.low),
                high=scale(None if one.interval is None else one.interval.high),
                detail=f"{one.shared_count} of {one.planned_count}",
                tone=TONES[one.verdict],
            )
            for one in found[:20]
        ],
    )


def _explain(comparison: ModelComparison) -> str:
    return (
        f"Repeats are averaged first, so the {comparison.unit_word} is the unit. Studentised bootstrap intervals of "
        f"{comparison.resamples_count:,} resamples, each for itself; exact sign-flip p; adjusted p by Holm over "
        f"{comparison.claims_looks_count} claims (pairs × metrics). Not shown to differ does not mean equal."
    )


def _count(cell: CellFacts, tools: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for tool in tools:
        if tool in cell.tools:
            counts.update(cell.tools[tool].severities)
    return counts


def _list_severities(cell: CellFacts, tools: Sequence[str]) -> list[Value]:
    if not cell.is_valid:
        return [None] * len(Severity)
    counts = _count(cell, tools)
    return [counts.get(severity.value, 0) for severity in Severity]
