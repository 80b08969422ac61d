"""Screens: tools, rules and CWEs one by one, candidates against the baseline.

A screen looks at much and claims little: Benjamini–Hochberg keeps the share of false hits among the hits. Items
are chosen by how many findings they have over all models, so that choosing them favours no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from referee.core.vocabulary import Outcome
from referee.foundation.statistics import adjust_p_values
from referee.foundation.statistics.permutation import compute_sign_flip_tests
from referee.pipelines.comparing.cells import CellFacts, CellSet
from referee.pipelines.comparing.claims import Options
from referee.pipelines.comparing.measuring import Ground
from referee.pipelines.comparing.views import ScreenItem, Verdict

__all__ = ["ITEMS_COUNT", "screen_items"]

ITEMS_COUNT: Final = 12
"""Items of each kind; more findings first. The rest is counted and not looked at."""

Kind = Literal["tool", "rule", "cwe"]


@dataclass(frozen=True, slots=True)
class _Item:
    kind: Kind
    key: str
    total_count: int
    count: Callable[[CellFacts], float | None]
    """Findings of it in a cell; None where nobody looked."""


def screen_items(
    cells: CellSet, ground: Ground, baseline: str, options: Options
) -> tuple[tuple[ScreenItem, ...], int, dict[str, int]]:
    """Return the items, those that got worst first; how many comparisons that were; what was left out by kind."""
    candidates = [model for model in cells.models if model != baseline]
    items, left_out = _choose(cells, ground)
    if not candidates or not items:
        return (), 0, left_out
    found = [one for item in items for one in _compare(cells, item, baseline, candidates, options)]
    tested = [one.p_value for one in found if one.p_value is not None]
    adjusted = iter(adjust_p_values(tested, method="benjamini_hochberg", looks_count=len(found)))
    judged = [
        one if one.p_value is None else _judge(replace(one, adjusted_p_value=next(adjusted)), options)
        for one in found
    ]
    order = {"worse": 0, "not_shown": 1, "unknown": 1, "better": 2}
    judged.sort(key=lambda one: (order[one.verdict], -(one.difference or 0.0), one.kind, one.key))
    return tuple(judged), len(found), left_out


def _choose(cells: CellSet, ground: Ground) -> tuple[list[_Item], dict[str, int]]:
    valid = [cell for cell in cells.cells if cell.is_valid]
    by_tool: Counter[str] = Counter()
    by_rule: Counter[tuple[str, str]] = Counter()
    by_cwe: Counter[int] = Counter()
    for cell in valid:
        for run in cell.tools.values():
            if run.outcome is Outcome.succeeded:
                by_tool[run.tool] += run.findings_count or 0
                by_rule.update({(run.tool, rule): count for rule, count in run.rules.items()})
            if run.tool in ground.tools:
                by_cwe.update(run.cwes)
    items = [
        *(_Item("tool", tool, count, _count_tool(tool)) for tool, count in by_tool.most_common(ITEMS_COUNT)),
        *(
            _Item("rule", f"{tool}: {rule}", count, _count_rule(tool, rule))
            for (tool, rule), count in by_rule.most_common(ITEMS_COUNT)
        ),
        *(
            _Item("cwe", f"CWE-{cwe}", count, _count_cwe(cwe, ground))
            for cwe, count in by_cwe.most_common(ITEMS_COUNT)
        ),
    ]
    sizes = {"tool": len(by_tool), "rule": len(by_rule), "cwe": len(by_cwe)}
    left_out = {kind: size - ITEMS_COUNT for kind, size in sizes.items() if size > ITEMS_COUNT}
    return items, left_out


def _count_tool(tool: str) -> Callable[[CellFacts], float | None]:
    def count(cell: CellFacts) -> float | None:
        run = cell.tools.get(tool) if cell.is_valid else None
        return None if run is None or run.outcome is not Outcome.succeeded else float(run.findings_count or 0)

    return count


def _count_rule(tool: str, rule: str) -> Callable[[CellFacts], float | None]:
    def count(cell: CellFacts) -> float | None:
        run = cell.tools.get(tool) if cell.is_valid else None
        return None if run is None or run.outcome is not Outcome.succeeded else float(run.rules.get(rule, 0))

    return count


def _count_cwe(cwe: int, ground: Ground) -> Callable[[CellFacts], float | None]:
    def count(cell: CellFacts) -> float | None:
        if not cell.is_valid:
            return None
        runs = [cell.tools[tool] for tool in ground.tools]
        if all(run.outcome is Outcome.not_applicable for run in runs):
            return None
        return float(sum(run.cwes.get(cwe, 0) for run in runs))

    return count


def _compare(
    cells: CellSet, item: _Item, baseline: str, candidates: Sequence[str], options: Options
) -> list[ScreenItem]:
    means = _average(cells, item.count)
    columns, counts = [], []
    for candidate in candidates:
        shared = [unit for unit in means[candidate] if unit in means[baseline]]
        apart = {unit: means[candidate][unit] - means[baseline][unit] for unit in shared}
        columns.append([apart.get(unit, 0.0) for unit in cells.units])
        counts.append(len(shared))
    tests = compute_sign_flip_tests(np.array(columns).T, seed=options.seed)
    return [
        ScreenItem(
            kind=item.kind,
            key=item.key,
            candidate=candidate,
            baseline_mean=_mean(list(means[baseline].values())),
            candidate_mean=_mean(list(means[candidate].values())),
            difference=sum(columns[index]) / counts[index] if counts[index] else None,
            shared_count=counts[index],
            planned_count=len(cells.units),
            p_value=tests[index].p_value if counts[index] > 1 else None,
            adjusted_p_value=None,
            verdict="unknown",
            total_count=item.total_count,
        )
        for index, candidate in enumerate(candidates)
    ]


def _average(cells: CellSet, count: Callable[[CellFacts], float | None]) -> dict[str, dict[str, float]]:
    """Return model → unit → mean over the repeats that somebody looked at."""
    repeats: dict[str, dict[str, list[float]]] = {model: {} for model in cells.models}
    for cell in cells.cells:
        value = count(cell)
        if value is not None:
            repeats[cell.model].setdefault(cell.unit, []).append(value)
    return {
        model: {unit: sum(values) / len(values) for unit, values in by_unit.items()}
        for model, by_unit in repeats.items()
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _judge(item: ScreenItem, options: Options) -> ScreenItem:
    verdict: Verdict = "not_shown"
    if item.adjusted_p_value is not None and item.adjusted_p_value <= 1 - options.level + 1e-12:
        verdict = "worse" if (item.difference or 0.0) > 0 else "better"
    return replace(item, verdict=verdict)
