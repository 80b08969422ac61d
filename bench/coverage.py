"""How often the intervals hold the truth, how often the test raises a false alarm, and what a comparison takes.

``python -m bench.coverage`` simulates, prints two Markdown tables, and with
``--write`` puts them into ``docs/concepts/statistics.md`` between their marks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import get_args

import numpy as np
from bench.coverage_worlds import SCENARIOS, SINGLE_PASSES, Array, Scenario, draw_skewed
from bench.measuring import ROOT, Measured

from referee.foundation.statistics import (
    WEIGHTINGS,
    AppCounts,
    BestSetStatistic,
    Interval,
    MeanMethod,
    PairedOutcomes,
    compare_models,
    compute_best_set,
    compute_density,
    compute_dominance,
    compute_flip_rate,
    compute_mean_intervals,
    compute_paired_dominance,
    compute_paired_risk_difference,
    compute_pass_rate,
    compute_risk_difference,
    compute_share_interval,
    compute_shift,
    compute_sign_flip_test,
    estimate_by_chao,
    estimate_by_jackknife,
)

__all__ = ["measure_comparison"]

PAGE = ROOT / "docs" / "concepts" / "statistics.md"
TEMPLATES_COUNTS = (15, 30, 100)
DEFAULT_METHOD = "studentized"
LEAST_SHARE = 0.93
"""A method that covers less here is no default there."""
TRUTH_COUNT = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: one interval in one world."""

    interval: str
    world: str
    shares: dict[int, float]
    """Share of replications that hold the truth, by number of templates."""
    is_default: bool


class Simulation:
    """Draws replications and counts how many intervals hold the truth."""

    def __init__(self, *, replications: int, resamples: int, seed: int) -> None:
        self._replications = replications
        self._resamples = resamples
        self._seed = seed

    def list_rows(self) -> Iterator[Row]:
        """Yield the rows of the table of intervals."""
        for scenario in SCENARIOS:
            for method in get_args(MeanMethod):
                yield self._simulate_means(scenario, method)
        yield self._simulate_runs_as_units()
        for scenario in SCENARIOS:
            if scenario.is_symmetric:
                yield self._simulate_pairs(scenario, "Hodges–Lehmann shift", _shift, scenario.difference)
        for scenario in SCENARIOS[:7]:
            yield self._simulate_pairs(scenario, "Cliff's δ, paired", _delta, self._find_delta(scenario))
        yield self._simulate_pairs(SINGLE_PASSES, "risk difference, Newcombe paired", _risk, 0.15)
        yield self._simulate_shares()
        yield from (self._simulate_pass_rate(kind) for kind in ("any", "all"))
        yield self._simulate_density()
        yield from self._simulate_unpaired()
        yield self._simulate_flip_rate()
        yield from map(self._simulate_best_set, get_args(BestSetStatistic))

    def list_capture_rows(self) -> Iterator[tuple[str, str, float]]:
        """Yield estimator, world and coverage of what eight tools missed of 80 defects."""
        worlds = {"equal chances (0.25)": (1e6, 3e6), "unequal chances (mean 0.25)": (2.0, 6.0)}
        for world, (alpha, beta) in worlds.items():
            random = np.random.default_rng(self._seed)
            hits = {"Chao": 0, "jackknife": 0}
            for _ in range(self._replications):
                times = random.binomial(8, random.beta(alpha, beta, size=80))
                frequencies = np.bincount(times, minlength=9)[1:].tolist()
                for name, estimate in (("Chao", estimate_by_chao), ("jackknife", estimate_by_jackknife)):
                    found = estimate(frequencies)
                    hits[name] += found is not None and found.total.low <= 80 <= found.total.high
            yield from ((name, world, count / self._replications) for name, count in hits.items())

    def list_false_alarms(self) -> Iterator[tuple[int, float]]:
        """Yield templates and the share of p ≤ 0.05 where two models do not differ."""
        for count in (10, *TEMPLATES_COUNTS[:2]):
            random = np.random.default_rng(self._seed)
            first, second = draw_skewed(random, count, self._replications)
            differences = first / 2 - second
            hits = sum(compute_sign_flip_test(column).p_value <= 0.05 for column in differences.T)
            yield count, hits / self._replications

    def _draw(self, scenario: Scenario, count: int) -> tuple[Array, Array]:
        return scenario.draw(np.random.default_rng(self._seed), count, self._replications)

    def _simulate_means(self, scenario: Scenario, method: MeanMethod) -> Row:
        shares = {}
        for count in TEMPLATES_COUNTS:
            first, second = self._draw(scenario, count)
            intervals = compute_mean_intervals(
                first - second, method=method, resamples_count=self._resamples, seed=self._seed + 1
            )
            shares[count] = _count_holding(intervals, scenario.difference)
        return Row(f"mean difference, {method}", scenario.name, shares, method == DEFAULT_METHOD)

    def _simulate_runs_as_units(self) -> Row:
        """What happens when each run counts as a unit: the mistake that clustering avoids."""
        shares = {}
        for count in TEMPLATES_COUNTS:
            random = np.random.default_rng(self._seed)
            apart = random.normal(0.3, sqrt(2), size=(count, 1, self._replications))
            runs = apart + 0.3 * sqrt(2) * random.normal(size=(count, 5, self._replications))
            columns = runs.reshape(count * 5, self._replications)
            shares[count] = _count_holding(compute_mean_intervals(columns, method="student_t"), 0.3)
        return Row("every run a unit (never used)", "clustered, 5 runs", shares, False)

    def _simulate_pairs(
        self,
        scenario: Scenario,
        name: str,
        compute: Callable[[Array, Array], Interval | None],
        truth: float,
    ) -> Row:
        shares = {}
        for count in TEMPLATES_COUNTS:
            first, second = self._draw(scenario, count)
            found = [compute(one, other) for one, other in zip(first.T, second.T, strict=True)]
            shares[count] = _count_holding([one for one in found if one is not None], truth)
        return Row(name, scenario.name, shares, True)

    def _find_delta(self, scenario: Scenario) -> float:
        first, second = (side[:, 0] for side in scenario.draw(np.random.default_rng(7), TRUTH_COUNT, 1))
        ordered = np.sort(second)
        below = np.searchsorted(ordered, first, side="left").mean()
        above = TRUTH_COUNT - np.searchsorted(ordered, first, side="right").mean()
        return float((below - above) / TRUTH_COUNT)

    def _simulate_shares(self) -> Row:
        shares = {}
        for count in TEMPLATES_COUNTS:
            hits = np.random.default_rng(self._seed).binomial(count, 0.85, size=self._replications)
            shares[count] = _count_holding([compute_share_interval(int(hit), count) for hit in hits], 0.85)
        return Row("share, Wilson", "pass or fail, 1 run", shares, True)

    def _simulate_pass_rate(self, kind: str) -> Row:
        """Five trials of each task, k = 2, chances uniform from 0.2 to 0.9."""
        second_moment = (0.9**3 - 0.2**3) / (3 * 0.7)
        truth = second_moment if kind == "all" else 2 * 0.55 - second_moment
        shares = {}
        for count in TEMPLATES_COUNTS:
            random = np.random.default_rng(self._seed)
            passes = random.binomial(5, random.uniform(0.2, 0.9, size=(self._replications, count)))
            intervals = [
                compute_pass_rate(
                    [(5, int(one)) for one in row],
                    2,
                    kind="all" if kind == "all" else "any",
                    resamples_count=1_000,
                    seed=index,
                )
                for index, row in enumerate(passes)
            ]
            shares[count] = _count_holding(intervals, truth)
        return Row("pass^2" if kind == "all" else "pass@2", "5 trials of each task", shares, True)

    def _simulate_density(self) -> Row:
        """Findings in proportion to lines, with a rate that the template sets; gamma of mean 1."""
        shares = {}
        for count in TEMPLATES_COUNTS:
            random = np.random.default_rng(self._seed)
            intervals = []
            for index in range(self._replications):
                lines = random.integers(300, 3_000, size=count)
                high, low = (
                    random.poisson(rate * lines / 1000 * random.gamma(4, 1 / 4, size=count))
                    for rate in (2, 6)
                )
                apps = [
                    AppCounts(
                        template=str(number),
                        lines_count=int(lines[number]),
                        severities={"high": int(high[number]), "low": int(low[number])},
                    )
                    for number in range(count)
                ]
                intervals.append(
                    compute_density(apps, WEIGHTINGS["doubling"], resamples_count=1_000, seed=index)
                )
            shares[count] = _count_holding(intervals, 2 * 8 + 6 * 2)
        return Row("weighted density", "counts by lines", shares, True)

    def _simulate_unpaired(self) -> Iterator[Row]:
        """Two groups of that many values each: exponential with means 2 and 1; passes with 0.75 and 0.6."""
        deltas, risks = {}, {}
        for count in TEMPLATES_COUNTS:
            first, second = draw_skewed(np.random.default_rng(self._seed), count, self._replications)
            found = [
                compute_dominance(one, other).delta for one, other in zip(first.T, second.T, strict=True)
            ]
            deltas[count] = _count_holding(found, 1 / 3)
            random = np.random.default_rng(self._seed)
            hits = random.binomial(count, (0.75, 0.6), size=(self._replications, 2)).tolist()
            intervals = [compute_risk_difference(one, count, other, count) for one, other in hits]
            risks[count] = _count_holding(intervals, 0.15)
        yield Row("Cliff's δ, independent", "skewed", deltas, True)
        yield Row("risk difference, Newcombe independent", "pass or fail, 1 run", risks, True)

    def _simulate_flip_rate(self) -> Row:
        """That many findings, of which each comes and goes with a chance of 0.2."""
        shares = {}
        for count in TEMPLATES_COUNTS:
            everything = frozenset(map(str, range(count)))
            unsteady = np.random.default_rng(self._seed).binomial(count, 0.2, size=self._replications)
            intervals = [
                compute_flip_rate([everything, frozenset(map(str, range(int(missing), count)))]).rate
                for missing in unsteady
            ]
            shares[count] = _count_holding(intervals, 0.2)
        return Row("flip rate, Jeffreys", "n findings, 20 % unsteady", shares, True)

    def _simulate_best_set(self, statistic: BestSetStatistic) -> Row:
        """Three models that are equally good, and two that are worse: how often all three stay."""
        shares = {}
        for count in TEMPLATES_COUNTS:
            random = np.random.default_rng(self._seed)
            kept = 0
            for index in range(self._replications):
                scores = random.normal(size=(count, 5)) + np.array([0, 0, 0, -0.5, -3])
                best = compute_best_set(scores, statistic=statistic, resamples_count=500, seed=index)
                kept += {0, 1, 2} <= set(best.members)
            shares[count] = kept / self._replications
        is_default = statistic == DEFAULT_METHOD
        return Row(f"set of the best, {statistic}", "three equal best, two worse", shares, is_default)


def measure_comparison() -> list[Measured]:
    """Time one call of ``compare_models`` for 10 models, 30 templates and 3 repeats."""
    random = np.random.default_rng(1)
    base = random.normal(size=30)
    scores = {
        f"model-{model}": {
            f"template-{template}": (base[template] + 0.1 * model + random.normal(size=3)).tolist()
            for template in range(30)
        }
        for model in range(10)
    }
    started = time.perf_counter()
    comparison = compare_models(scores, resamples_count=10_000)
    taken = time.perf_counter() - started
    return [
        Measured(
            name="compare 10 models × 30 templates × 3 repeats, 10,000 resamples",
            value=taken,
            unit="s",
            goal=5,
            details={"pairs_count": len(comparison.pairs)},
        )
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print, and with ``--write`` keep. Exit code 1 when a default covers too little."""
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description=__doc__)
    parser.add_argument("--replications", type=int, default=2_000)
    parser.add_argument("--resamples", type=int, default=5_000, help="of each bootstrap of a mean")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    asked = parser.parse_args(arguments)
    simulation = Simulation(replications=asked.replications, resamples=asked.resamples, seed=asked.seed)
    rows = []
    for row in simulation.list_rows():
        print(f"{row.interval}, {row.world}: {row.shares}", file=sys.stderr, flush=True)
        rows.append(row)
    tables = {
        "coverage": _render_rows(rows),
        "capture": _render_capture(list(simulation.list_capture_rows())),
        "false-alarms": _render_alarms(list(simulation.list_false_alarms())),
    }
    print("\n\n".join(tables.values()))
    if asked.write:
        _write(PAGE, tables)
    short = [row for row in rows if row.is_default and min(row.shares.values()) < LEAST_SHARE]
    for row in short:
        print(f"Below {LEAST_SHARE:.0%}: {row.interval}, {row.world}", file=sys.stderr)
    return 1 if short else 0


def _shift(first: Array, second: Array) -> Interval | None:
    return compute_shift(first - second)


def _delta(first: Array, second: Array) -> Interval:
    return compute_paired_dominance(first, second).delta


def _risk(first: Array, second: Array) -> Interval:
    return compute_paired_risk_difference(
        PairedOutcomes(
            both_count=int(((first == 1) & (second == 1)).sum()),
            first_only_count=int(((first == 1) & (second == 0)).sum()),
            second_only_count=int(((first == 0) & (second == 1)).sum()),
            neither_count=int(((first == 0) & (second == 0)).sum()),
        )
    )


def _count_holding(intervals: Sequence[Interval], truth: float) -> float:
    return sum(one.low <= truth <= one.high for one in intervals) / len(intervals)


def _render_rows(rows: Sequence[Row]) -> str:
    counts = " | ".join(f"n = {count}" for count in TEMPLATES_COUNTS)
    lines = [
        f"| interval | world | {counts} | default |",
        "|---|---|" + "---:|" * len(TEMPLATES_COUNTS) + "---|",
    ]
    for row in rows:
        shares = " | ".join(f"{row.shares[count]:.1%}" for count in TEMPLATES_COUNTS)
        lines.append(f"| {row.interval} | {row.world} | {shares} | {'yes' if row.is_default else ''} |")
    return "\n".join(lines)


def _render_capture(rows: Sequence[tuple[str, str, float]]) -> str:
    lines = ["| estimate | world | covers |", "|---|---|---:|"]
    return "\n".join([*lines, *(f"| {name} | {world} | {share:.1%} |" for name, world, share in rows)])


def _render_alarms(rows: Sequence[tuple[int, float]]) -> str:
    lines = ["| templates | p ≤ 0.05 |", "|---:|---:|"]
    return "\n".join([*lines, *(f"| {count} | {share:.1%} |" for count, share in rows)])


def _write(page: Path, tables: dict[str, str]) -> None:
    text = page.read_text("utf-8")
    for name, table in tables.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n{table}\n{end}{rest.split(end)[1]}"
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
