"""Turn what is known of cells into scores: a number for each cell that has one, and for each other one why not.

A hole is never 0. Only valid cells give results of tools, and a sum over tools counts the same tools in every
cell: those that are complete in all valid ones. A tool that was not applicable adds nothing to a sum, as there
was nothing of its kind to judge; by itself it has no number there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from referee.analysis import ToolFacts
from referee.core.vocabulary import Outcome, Service
from referee.foundation.statistics import WEIGHTINGS
from referee.pipelines.comparing.cells import CellFacts, CellSet
from referee.pipelines.comparing.metrics import METRICS, Metric

__all__ = [
    "DEFAULT_WEIGHTING",
    "REQUIREMENTS_TOOL",
    "Ground",
    "MissingCell",
    "Scores",
    "Unmeasured",
    "find_ground",
    "list_static_runs",
    "measure_all",
    "measure_cells",
]

DEFAULT_WEIGHTING: Final = "doubling"
"""Each severity counts twice the one below. The others are shown beside it."""
REQUIREMENTS_TOOL: Final = "requirements-scanner"

Value: TypeAlias = "float | str"
"""A number, or one sentence: why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingCell:
    """A cell without a number."""

    cell: str
    model: str
    unit: str
    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One metric of every cell."""

    metric: Metric
    values: Sequence[float | None]
    """In the order of the cells; None: missing."""
    missing: tuple[MissingCell, ...]

    def by_model(self, cells: CellSet, models: Sequence[str]) -> dict[str, dict[str, list[float]]]:
        """Return model → unit → the repeats that have a number."""
        found: dict[str, dict[str, list[float]]] = {model: {} for model in models}
        for cell, value in zip(cells.cells, self.values, strict=True):
            if value is not None:
                found[cell.model].setdefault(cell.unit, []).append(value)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """A metric that no cell has."""

    metric: Metric
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all cells have in common, so that sums mean the same in each."""

    tools: Mapping[str, Service]
    """Tools that are complete in every valid cell."""
    left_out: Mapping[str, str]
    """Other tools → why they do not count."""
    load_tools: Mapping[str, tuple[str, ...]]
    """Measurement under load → tools that gave it somewhere."""
    has_starts: bool
    has_requirements: bool

    def list_tools(self, *services: Service) -> list[str]:
        """Return the tools of some services that count."""
        return [tool for tool, service in self.tools.items() if service in services]


def find_ground(cells: CellSet) -> Ground:
    """Return what all cells have in common."""
    valid = [cell for cell in cells.cells if cell.is_valid]
    asked = {run.tool: run.service for cell in valid for run in cell.tools.values()}
    left_out: dict[str, str] = {}
    for tool in asked:
        lacking = [cell for cell in valid if tool not in cell.tools]
        holes = [
            cell.tools[tool] for cell in valid if tool in cell.tools and not cell.tools[tool].is_complete
        ]
        if lacking:
            left_out[tool] = f"It was not asked for in {len(lacking)} of {len(valid)} valid cells."
        elif holes:
            left_out[tool] = (
                f"It has no result in {len(holes)} of {len(valid)} valid cells: {holes[0].reason}"
            )
    tools = {tool: service for tool, service in sorted(asked.items()) if tool not in left_out}
    return Ground(
        tools=tools,
        left_out=dict(sorted(left_out.items())),
        load_tools={
            name: tuple(
                tool
                for tool, service in tools.items()
                if service is Service.performance and any(name in cell.tools[tool].numbers for cell in valid)
            )
            for name in ("latency_p95_ms", "requests_per_s")
        },
        has_starts=any(cell.has_started is not None for cell in cells.cells),
        has_requirements=REQUIREMENTS_TOOL in tools,
    )


def measure_all(cells: CellSet, ground: Ground) -> tuple[list[Scores], list[Unmeasured]]:
    """Return the scores of every metric that some cell has, and why the others have none."""
    measured: list[Scores] = []
    unmeasured: list[Unmeasured] = []
    for metric in METRICS:
        scores = measure_cells(cells, metric, lambda cell, key=metric.key: _MEASURES[key](cell, ground))  # type: ignore[misc]  # a default binds the key
        if any(value is not None for value in scores.values):
            measured.append(scores)
        else:
            reasons = Counter(one.reason for one in scores.missing)
            unmeasured.append(Unmeasured(metric=metric, reason=reasons.most_common(1)[0][0]))
    return measured, unmeasured


def measure_cells(cells: CellSet, metric: Metric, measure: Callable[[CellFacts], Value]) -> Scores:
    """Return a metric of every cell by a function that gives a number or says why there is none."""
    found = [measure(cell) for cell in cells.cells]
    return Scores(
        metric=metric,
        values=[None if isinstance(value, str) else float(value) for value in found],
        missing=tuple(
            MissingCell(cell=cell.name, model=cell.model, unit=cell.unit, number=cell.number, reason=value)
            for cell, value in zip(cells.cells, found, strict=True)
            if isinstance(value, str)
        ),
    )


def list_static_runs(cell: CellFacts, ground: Ground) -> list[ToolFacts]:
    """Return the runs of static tools that count in a valid cell."""
    return [cell.tools[tool] for tool in ground.list_tools(Service.static)] if cell.is_valid else []


def weigh(runs: Sequence[ToolFacts], weights: Mapping[str, float]) -> float:
    """Return findings times the weight of their severity."""
    return sum(weights[severity] * count for run in runs for severity, count in run.severities.items())


def _measure_density(cell: CellFacts, ground: Ground) -> Value:
    runs = _get_counted(cell, ground, "static", Service.static)
    if isinstance(runs, str):
        return runs
    if cell.code_lines_count is None:
        return "Its lines of code were not counted when it was analysed; analyse it again."
    if cell.code_lines_count == 0:
        return "It has no line of code."
    return weigh(runs, WEIGHTINGS[DEFAULT_WEIGHTING]) * 1000 / cell.code_lines_count


def _measure_findings(cell: CellFacts, ground: Ground) -> Value:
    runs = _get_counted(cell, ground, "", *Service)
    return runs if isinstance(runs, str) else _count(runs)


def _measure_dynamic(cell: CellFacts, ground: Ground) -> Value:
    runs = _get_counted(cell, ground, "dynamic", Service.dynamic)
    return runs if isinstance(runs, str) else _count(runs)


def _measure_load(cell: CellFacts, ground: Ground, name: str) -> Value:
    runs = _get_counted(cell, ground, "load", Service.performance)
    if isinstance(runs, str):
        return runs
    values = [cell.tools[tool].numbers.get(name) for tool in ground.load_tools[name]]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return "A load tool did not measure it, such as when the load generator itself was the limit."
    return sum(known) / len(known)


def _measure_requirements(cell: CellFacts, ground: Ground) -> Value:
    numbers = _get_requirements(cell, ground)
    if isinstance(numbers, str):
        return numbers
    total = numbers.get("requirements_count", 0) + numbers.get("endpoints_count", 0)
    if total == 0:
        return "Its template names no requirement."
    return (numbers.get("requirements_met_count", 0) + numbers.get("endpoints_passed_count", 0)) / total


def _measure_start(cell: CellFacts, ground: Ground) -> Value:
    return "It was never started." if cell.has_started is None else float(cell.has_started)


def _measure_success(cell: CellFacts, ground: Ground) -> Value:
    if not ground.has_starts and not ground.has_requirements:
        return "It needs tools that run the app, or that check requirements."
    if cell.has_started is False:
        return 0.0
    generation = cell.generation
    if not cell.is_valid:
        is_unwritten = generation is not None and generation.state == "failed" and cell.analysis_id is None
        return 0.0 if is_unwritten and generation.is_models_fault else cell.reason  # type: ignore[union-attr]  # not None when unwritten
    if ground.has_starts and cell.has_started is None:
        return "It was never started."
    if ground.has_requirements:
        numbers = _get_requirements(cell, ground)
        if isinstance(numbers, str):
            return numbers
        if numbers.get("requirements_not_met_count", 0) + numbers.get("endpoints_not_passed_count", 0):
            return 0.0
        if not numbers.get("requirements_met_count", 0) + numbers.get("endpoints_passed_count", 0):
            return "No requirement could be checked."
    return 1.0


def _measure_cost(cell: CellFacts, ground: Ground) -> Value:
    if cell.generation is None:
        return "It was not written here."
    return "The model has no prices." if cell.generation.cost_usd is None else cell.generation.cost_usd


def _measure_attempts(cell: CellFacts, ground: Ground) -> Value:
    return "It was not written here." if cell.generation is None else float(cell.generation.attempts_count)


def _get_counted(cell: CellFacts, ground: Ground, word: str, *services: Service) -> list[ToolFacts] | str:
    """Return the runs that count in a cell, or why there are none."""
    tools = ground.list_tools(*services)
    if not cell.is_valid:
        return cell.reason or "It is not valid."
    if not tools:
        return f"No {word} tool has a result in every valid cell.".replace("  ", " ")
    runs = [cell.tools[tool] for tool in tools]
    if all(run.outcome is Outcome.not_applicable for run in runs):
        return "It holds nothing of the tools' kind."
    return runs


def _get_requirements(cell: CellFacts, ground: Ground) -> Mapping[str, float] | str:
    if not cell.is_valid:
        return cell.reason or "It is not valid."
    if not ground.has_requirements:
        return f"{REQUIREMENTS_TOOL} has no result in every valid cell."
    run = cell.tools[REQUIREMENTS_TOOL]
    return run.reason or "No requirement applies." if run.outcome is not Outcome.succeeded else run.numbers


def _count(runs: Sequence[ToolFacts]) -> float:
    return float(sum(run.findings_count or 0 for run in runs))


_MEASURES: Final[Mapping[str, Callable[[CellFacts, Ground], Value]]] = {
    "weighted_findings_per_kloc": _measure_density,
    "findings_count": _measure_findings,
    "dynamic_findings_count": _measure_dynamic,
    "latency_p95_ms": lambda cell, ground: _measure_load(cell, ground, "latency_p95_ms"),
    "requests_per_s": lambda cell, ground: _measure_load(cell, ground, "requests_per_s"),
    "requirements_met_share": _measure_requirements,
    "start_share": _measure_start,
    "success_share": _measure_success,
    "generation_cost_usd": _measure_cost,
    "generation_attempts_count": _measure_attempts,
}
