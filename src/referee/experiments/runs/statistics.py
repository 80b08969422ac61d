"""How surely a run differs from another: each metric over the datapoints that both have, after all that was looked at.

The datapoint is the unit: its trials are averaged first, differences are taken within it, and resampling
draws datapoints. The numbers come from ``foundation/statistics``; here is what is put into them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from referee.experiments.runs.comparing import (
    KeyPair,
    group_by_datapoint,
    pair_keys,
    prefers_higher_values,
)
from referee.experiments.runs.definitions import MetricDefinition, PassingRange
from referee.experiments.runs.missing import list_missing
from referee.experiments.runs.results import RunResult, TrialResult
from referee.experiments.runs.statistics_views import (
    MetricStatistics,
    RepeatedDatapoint,
    RunStatistics,
    Verdict,
)
from referee.experiments.runs.trials import MetricKey
from referee.foundation.statistics import PairComparison, adjust_p_values, compare_models
from referee.foundation.statistics.comparison import Comparison

__all__ = ["MAX_DATAPOINTS_COUNT", "MAX_METRICS_COUNT", "compute_statistics"]

MAX_DATAPOINTS_COUNT: Final = 2_000
"""Ranks of all pairs of more would take longer than a page may; a stable sample of so many is taken then."""
MAX_METRICS_COUNT: Final = 40
MAX_LISTED_COUNT: Final = 200
"""Repeated datapoints and missing cells of one metric that are named; their counts are exact."""
LEVEL: Final = 0.95
POWER: Final = 0.8
SEED: Final = 1
MOST_RESAMPLES_COUNT: Final = 10_000
_DRAWS_COUNT: Final = 5_000_000
"""Datapoints × resamples that are drawn at most: 40 MB at once."""
_OLD: Final = "old"
_NEW: Final = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """One metric of both runs: datapoint → scores of its trials."""

    pair: KeyPair
    higher_is_better: bool
    old: Mapping[str, list[float]]
    new: Mapping[str, list[float]]

    @property
    def key(self) -> MetricKey:
        return self.pair.key

    @property
    def shared(self) -> list[str]:
        return [name for name, values in self.new.items() if values and self.old.get(name)]


def compute_statistics(
    old: RunResult,
    new: RunResult,
    *,
    definitions: Sequence[MetricDefinition] = (),
    passing_ranges: Mapping[str, PassingRange] | None = None,
    most_datapoints_count: int = MAX_DATAPOINTS_COUNT,
) -> RunStatistics:
    """Return the paired comparison of two runs.

    Args:
        old: The baseline.
        new: The candidate.
        definitions: Of the project: direction and scale of metrics.
        passing_ranges: Of the new run, for metrics that no definition has.
        most_datapoints_count: Of more a sample is compared.
    """
    before, after = group_by_datapoint(old), group_by_datapoint(new)
    names, notes = _choose(list(dict.fromkeys([*after, *before])), most_datapoints_count)
    keys = pair_keys(old, new)
    if len(keys) > MAX_METRICS_COUNT:
        notes.append(f"{len(keys) - MAX_METRICS_COUNT} further metrics are not compared.")
    by_name = {one.name: one for one in definitions}
    types = {metric.key: metric.type for result in (old, new) for metric in result.metrics}
    cells = [
        _Cells(
            pair=key,
            higher_is_better=prefers_higher_values(key.key.metric_name, by_name, passing_ranges or {}),
            old=_read_cells(before, names, key.old),
            new=_read_cells(after, names, key.new),
        )
        for key in keys[:MAX_METRICS_COUNT]
    ]
    resamples_count = max(1_000, min(MOST_RESAMPLES_COUNT, _DRAWS_COUNT // max(1, len(names))))
    compared = [_compare(one, names, len(cells), resamples_count) for one in cells]
    tested = [pair.pairs[0].test for pair in compared if pair is not None and pair.pairs[0].test is not None]
    adjusted = iter(adjust_p_values([one.p_value for one in tested], looks_count=len(cells)) if cells else ())
    return RunStatistics(
        level=LEVEL,
        adjustment="holm",
        looks_count=len(cells),
        power=POWER,
        resamples_count=resamples_count,
        seed=SEED,
        common_count=sum(name in before for name in after),
        old_only_count=sum(name not in after for name in before),
        new_only_count=sum(name not in before for name in after),
        unpaired_count=sum(one.trial.datapoint_id is None for run in (old, new) for one in run.trials),
        metrics=[
            _view(
                one,
                types[one.key],
                pair,
                next(adjusted) if pair is not None and pair.pairs[0].test is not None else None,
                before,
                after,
                names,
            )
            for one, pair in zip(cells, compared, strict=True)
        ],
        notes=notes,
    )


def _choose(names: list[str], most_count: int) -> tuple[list[str], list[str]]:
    """Return the datapoints that are compared: all, or a sample that is the same each time."""
    if len(names) <= most_count:
        return names, []
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode(errors="replace")).digest())
    chosen = set(ordered[:most_count])
    note = f"A stable sample of {most_count:,} of {len(names):,} datapoints is compared."
    return [name for name in names if name in chosen], [note]


def _read_cells(
    trials: Mapping[str, Sequence[TrialResult]], names: Sequence[str], key: MetricKey
) -> dict[str, list[float]]:
    """Return datapoint → one score for each trial that has one; several of one trial are averaged."""
    found = {}
    for name in names:
        scores = []
        for one in trials.get(name, ()):
            own = [float(score.value) for score in one.scores if score.key == key and score.value is not None]
            if own:
                scores.append(sum(own) / len(own))
        found[name] = scores
    return found


def _compare(
    cells: _Cells, names: Sequence[str], looks_count: int, resamples_count: int
) -> Comparison | None:
    if not cells.shared:
        return None
    return compare_models(
        {
            _NEW: {name: values for name, values in cells.new.items() if values},
            _OLD: {name: values for name, values in cells.old.items() if values},
        },
        templates=names,
        higher_is_better=cells.higher_is_better,
        level=LEVEL,
        looks_count=looks_count,
        power=POWER,
        resamples_count=resamples_count,
        seed=SEED,
    )


def _view(
    cells: _Cells,
    type_: str,
    compared: Comparison | None,
    adjusted_p_value: float | None,
    before: Mapping[str, Sequence[TrialResult]],
    after: Mapping[str, Sequence[TrialResult]],
    names: Sequence[str],
) -> MetricStatistics:
    pair = None if compared is None else compared.pairs[0]
    missing = list_missing(cells.pair, names, before, after, cells.old, cells.new)
    repeated = _list_repeated(cells)
    better, worse = _count_changes(pair, cells.higher_is_better)
    detectable = None if compared is None else compared.detectable
    return MetricStatistics(
        metric_name=cells.key.metric_name,
        event_name=cells.key.event_name,
        event_type=cells.key.event_type,
        metric_type=type_,
        higher_is_better=cells.higher_is_better,
        shared_count=len(cells.shared),
        planned_count=len(names),
        old_mean=_mean(cells.old, cells.shared),
        new_mean=_mean(cells.new, cells.shared),
        difference=None if pair is None else pair.difference,
        difference_method=None if pair is None or pair.difference is None else pair.method,
        p_value=None if pair is None or pair.test is None else pair.test.p_value,
        p_method=_name_test(pair),
        adjusted_p_value=adjusted_p_value,
        verdict=_tell(cells, pair, adjusted_p_value),
        cliffs_delta=None if pair is None or pair.dominance is None else pair.dominance.delta,
        shift=None if pair is None else pair.shift,
        improved_count=better,
        degraded_count=worse,
        same_count=len(cells.shared) - better - worse,
        outcomes=None if pair is None else pair.outcomes,
        detectable_difference=None if detectable is None else detectable.difference,
        repeated=repeated[:MAX_LISTED_COUNT],
        repeated_count=len(repeated),
        missing=missing[:MAX_LISTED_COUNT],
        missing_count=len(missing),
    )


def _mean(values: Mapping[str, list[float]], names: Sequence[str]) -> float | None:
    means = [sum(values[name]) / len(values[name]) for name in names]
    return sum(means) / len(means) if means else None


def _name_test(pair: PairComparison | None) -> str | None:
    if pair is None or pair.test is None:
        return None
    if pair.outcomes is not None:
        return "mcnemar_exact" if pair.test.method == "exact" else "mcnemar_monte_carlo"
    return "permutation_exact" if pair.test.method == "exact" else "permutation_monte_carlo"


def _tell(cells: _Cells, pair: PairComparison | None, adjusted_p_value: float | None) -> Verdict:
    """Return what is shown of the new run at this level, after all that was looked at."""
    if pair is None or adjusted_p_value is None or len(cells.shared) < 2:
        return "unknown"
    if adjusted_p_value > 1 - LEVEL + 1e-12 or pair.difference is None:
        return "not_shown"
    return "better" if (pair.difference.point > 0) == cells.higher_is_better else "worse"


def _count_changes(pair: PairComparison | None, higher_is_better: bool) -> tuple[int, int]:
    if pair is None:
        return 0, 0
    counts = pair.wins_count, pair.losses_count
    return counts if higher_is_better else (counts[1], counts[0])


def _list_repeated(cells: _Cells) -> list[RepeatedDatapoint]:
    return [
        RepeatedDatapoint(datapoint_id=name, old_values=cells.old.get(name, []), new_values=values)
        for name, values in cells.new.items()
        if len(values) > 1 or len(cells.old.get(name, [])) > 1
    ]
