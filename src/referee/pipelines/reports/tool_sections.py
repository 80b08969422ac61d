"""The parts of reports about tools and about the writing of apps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median

from referee.apps import GenerationFacts
from referee.core.vocabulary import Outcome
from referee.pipelines.comparing.cells import CellSet
from referee.pipelines.comparing.views import ModelComparison
from referee.pipelines.reports.document import (
    Block,
    Chart,
    ChartRow,
    Column,
    Section,
    Text,
    Value,
    make_table,
)

__all__ = ["build_generation", "build_tools"]


def build_tools(cells: CellSet, comparison: ModelComparison) -> Section:
    """Return what became of every tool's runs, and what tools found together, missed, and changed their mind on."""
    runs = [run for cell in cells.cells for run in cell.tools.values()]
    outcomes_seen = [outcome for outcome in Outcome if any(run.outcome is outcome for run in runs)]
    rows: list[Sequence[Value]] = []
    for tool in dict.fromkeys(run.tool for run in runs):
        mine = [run for run in runs if run.tool == tool]
        outcomes = Counter(run.outcome for run in mine)
        durations = [run.duration_ms / 1_000 for run in mine if run.duration_ms is not None]
        rows.append(
            [
                tool,
                mine[0].service.value,
                ", ".join(sorted({run.version for run in mine if run.version})),
                len(mine),
                *(outcomes[outcome] for outcome in outcomes_seen),
                outcomes[None],
                sum(run.findings_count or 0 for run in mine),
                median(durations) if durations else None,
                tool in comparison.tools,
            ]
        )
    columns = [
        Column("tool", "Tool"),
        Column("service", "Service"),
        Column("version", "Version"),
        Column("runs_count", "Runs", "count"),
        *(
            Column(outcome.value, outcome.value.replace("_", " ").capitalize(), "count")
            for outcome in outcomes_seen
        ),
        Column("not_ended", "Not ended", "count"),
        Column("findings_count", "Findings", "count"),
        Column("duration", "Median duration", "seconds"),
        Column("is_counted", "Counts in sums"),
    ]
    blocks: list[Block] = [make_table("tools", "What became of every tool's runs", columns, rows)]
    blocks += _list_agreement(comparison)
    return Section(section_id="tools", title="Tools", blocks=blocks)


def build_generation(cells: CellSet) -> Section:
    """Return what writing the apps took, by model, and how it failed."""
    rows: list[Sequence[Value]] = []
    failures: Counter[tuple[str, str, bool]] = Counter()
    for model in cells.models:
        mine = [cell for cell in cells.cells if cell.model == model]
        written = [cell.generation for cell in mine if cell.generation is not None]
        for one in written:
            if one.failure is not None:
                failures[model, one.failure, one.is_models_fault] += 1
        costs = [one.cost_usd for one in written if one.cost_usd is not None]
        valid_count = sum(cell.is_valid for cell in mine)
        rows.append(
            [
                model,
                len(written),
                len(mine),
                sum(one.state == "succeeded" for one in written),
                _average(written, lambda one: float(one.attempts_count)),
                _average(written, lambda one: float(one.calls_count)),
                sum(one.prompt_tokens for one in written),
                sum(one.completion_tokens for one in written),
                sum(costs) if costs else None,
                len(costs),
                sum(costs) / valid_count if costs and valid_count and len(costs) == len(written) else None,
            ]
        )
    columns = [
        Column("model", "Model"),
        Column("written_count", "Apps begun here", "count"),
        Column("cells_count", "Of cells", "count"),
        Column("succeeded_count", "Written", "count"),
        Column("attempts_mean", "Generations", "number", "mean per app"),
        Column("calls_mean", "Requests", "number", "mean per app"),
        Column("prompt_tokens", "Prompt tokens", "count"),
        Column("completion_tokens", "Answer tokens", "count"),
        Column("cost_usd", "Cost", "usd", "USD"),
        Column("priced_count", "Apps with a known cost", "count"),
        Column("cost_per_valid_usd", "Cost per valid app", "usd", "USD"),
    ]
    blocks: list[Block] = [make_table("generation", "Writing the apps", columns, rows)]
    if failures:
        blocks.append(
            make_table(
                "generation_failures",
                "How the last generation of an app failed",
                [
                    Column("model", "Model"),
                    Column("failure", "Failure"),
                    Column("is_models_fault", "By what the model answered"),
                    Column("apps_count", "Apps", "count"),
                ],
                [
                    [model, failure.replace("_", " "), is_fault, count]
                    for (model, failure, is_fault), count in failures.most_common()
                ],
            )
        )
    return Section(section_id="generation", title="Writing the apps", blocks=blocks)


def _list_agreement(comparison: ModelComparison) -> list[Block]:
    blocks: list[Block] = []
    if comparison.overlaps:
        blocks.append(
            Chart(
                kind="bars",
                title="What exactly these static tools found (things)",
                unit="things",
                format="count",
                rows=[
                    ChartRow(label=" + ".join(one.tools), value=one.count) for one in comparison.overlaps[:12]
                ],
            )
        )
    if comparison.flips:
        blocks.append(
            make_table(
                "flips",
                "Findings that come and go on unchanged code",
                [
                    Column("tool", "Tool"),
                    Column("rate", "Share", "share"),
                    Column("low", "From", "share", "95 % interval"),
                    Column("high", "To", "share", "95 % interval"),
                    Column("unsteady_count", "Unsteady", "count"),
                    Column("seen_count", "Of findings", "count"),
                    Column("runs_count", "Runs of a source", "count"),
                    Column("sources_count", "Sources", "count"),
                ],
                [
                    [
                        one.tool, one.rate.point, one.rate.low, one.rate.high, one.unsteady_count, one.seen_count,
                        one.runs_count, one.sources_count,
                    ]
                    for one in comparison.flips
                ],
                "The noise floor below which a difference means little.",
            )
        )  # fmt: skip
    else:
        blocks.append(Text(comparison.flips_reason, "quiet"))
    if comparison.captures:
        blocks.append(
            make_table(
                "missed",
                "What all tools missed, estimated from what they found together",
                [
                    Column("cwe", "CWE"),
                    Column("method", "Estimate"),
                    Column("seen_count", "Found", "count"),
                    Column("missed", "Missed", "number"),
                    Column("low", "From", "number", "95 % interval"),
                    Column("high", "To", "number", "95 % interval"),
                    Column("tools", "Tools"),
                ],
                [
                    [
                        f"CWE-{one.cwe}", one.method, one.seen_count, one.missed.point, one.missed.low, one.missed.high,
                        ", ".join(one.tools),
                    ]
                    for one in comparison.captures
                ],
                "Defects that no tool can see stay unseen, so these are low.",
            )
        )  # fmt: skip
    else:
        blocks.append(
            Text(f"There is no estimate of what all tools missed: {comparison.captures_reason}", "quiet")
        )
    return blocks


def _average(
    generations: Sequence[GenerationFacts], value: Callable[[GenerationFacts], float]
) -> float | None:
    return sum(map(value, generations)) / len(generations) if generations else None
