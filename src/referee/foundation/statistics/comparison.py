"""Models over the same templates: who is better, by how much, and how surely. In one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from referee.core.errors import InvalidInput
from referee.foundation.statistics.best_set import compute_best_set
from referee.foundation.statistics.effects import Dominance, compute_paired_dominance, compute_shift
from referee.foundation.statistics.intervals import Interval, compute_share_interval
from referee.foundation.statistics.missing import (
    MissingBounds,
    compute_difference_bounds,
    compute_mean_bounds,
)
from referee.foundation.statistics.multiplicity import Adjustment, adjust_p_values
from referee.foundation.statistics.permutation import SignFlipTest, compute_sign_flip_tests
from referee.foundation.statistics.power import (
    DetectableDifference,
    Spread,
    compute_detectable_difference,
    estimate_spread,
)
from referee.foundation.statistics.proportions import PairedOutcomes, compute_paired_risk_difference
from referee.foundation.statistics.resampling import RESAMPLES_COUNT, MeanMethod, compute_mean_intervals
from referee.foundation.statistics.score_tables import ScoreTable, read_scores

__all__ = ["Comparison", "ModelSummary", "PairComparison", "compare_models"]

MOST_MODELS_COUNT = 40
"""780 pairs in 10,000 resamples take 60 MB a table; more would ask for a larger machine, and nobody reads them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """One model over all templates."""

    model: str
    mean: Interval | None
    """Over the templates it has, repeats averaged first; None with fewer than two."""
    valid_count: int
    """Templates with a score, of ``planned_count``."""
    planned_count: int
    bounds: MissingBounds | None
    """Where the mean of all planned templates lies, whatever is missing; None without a range of scores."""
    is_among_best: bool | None
    """Whether it cannot be told from the best; None when fewer than two templates have all models."""
    best_p_value: float | None
    """The least error rate at which it would leave the best ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairComparison:
    """Two models on the templates that both have. What cannot be computed is None."""

    first: str
    second: str
    shared_count: int
    """Templates that both have, of ``planned_count``."""
    planned_count: int
    difference: Interval | None
    """Mean of first less second; of shares it is the risk difference."""
    method: MeanMethod | Literal["newcombe"]
    """Of the interval of ``difference``."""
    test: SignFlipTest | None
    adjusted_p_value: float | None
    """After all that was looked at."""
    better: str | None
    """The model that is shown to be better at this level after adjustment; None: not shown."""
    dominance: Dominance | None
    """Cliff's δ and A12 of first against second."""
    shift: Interval | None
    """Hodges–Lehmann, first less second."""
    wins_count: int
    """Templates on which the first has the higher score."""
    losses_count: int
    outcomes: PairedOutcomes | None
    """Counts when every score is 0 or 1 and no cell is repeated; ``test`` is McNemar's exact one then."""
    bounds: MissingBounds | None
    """Of the difference over all planned templates, whatever is missing; None without a range of scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All models, all pairs, and what was asked."""

    models: tuple[ModelSummary, ...]
    pairs: tuple[PairComparison, ...]
    """Every two models, in the order of ``models``."""
    best: tuple[str, ...] | None
    """The models that cannot be told from the best one; None when too few templates have all models."""
    templates: tuple[str, ...]
    """All that were planned."""
    complete_count: int
    """Templates that every model has; ``best`` rests on these."""
    detectable: DetectableDifference | None
    """What this design can see between two models, from its own spread and its fewest shared templates."""
    level: float
    adjustment: Adjustment
    looks_count: int
    """Comparisons that the p-values are adjusted for."""
    higher_is_better: bool
    resamples_count: int
    seed: int


def compare_models(
    scores: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    templates: Sequence[str] | None = None,
    score_range: tuple[float, float] | None = None,
    higher_is_better: bool = True,
    level: float = 0.95,
    adjustment: Adjustment = "holm",
    looks_count: int | None = None,
    method: MeanMethod = "studentized",
    power: float = 0.8,
    resamples_count: int = RESAMPLES_COUNT,
    seed: int = 1,
) -> Comparison:
    """Compare every two models on the templates that both have.

    The template is the unit: its repeats are averaged first, differences are
    taken within it, and resampling draws templates.

    Args:
        scores: Model → template → scores of its repeats. No entry, or no repeat, is a missing cell.
        templates: All that were planned, so that what nobody has is missing too; None: those that anyone has.
        score_range: Least and highest possible score; with it, bounds say what missing cells could change.
        higher_is_better: Direction, for ``better`` and for the best set. Differences keep their sign.
        level: Two-sided confidence level, a share strictly between 0 and 1.
        adjustment: For the number of comparisons.
        looks_count: Comparisons that were looked at, when more than the pairs here (such as other measures).
        method: Of the intervals of means; of single yes-or-no scores it is Wilson's and Newcombe's.
        power: For the detectable difference, a share.
        resamples_count: Bootstrap resamples of templates.
        seed: Of everything random; the same seed gives the same numbers.

    Raises:
        InvalidInput: Fewer than two models or more than 40, no template or one that was not planned, a score that is
            not finite or outside its range, or an option out of range.

    Source:
        E. Miller (2024), arXiv:2411.00640, for pairing and clustering; each method names its own.
    """
    if len(scores) > MOST_MODELS_COUNT:
        raise InvalidInput(
            "statistics.scores_invalid",
            f"A comparison takes {MOST_MODELS_COUNT} models at most.",
            models_count=len(scores),
        )
    table = read_scores(scores, templates)
    options = _Options(method, level, resamples_count, seed, score_range)
    pairs = tuple(combinations(range(len(table.models)), 2))
    valid = table.is_valid
    shared = np.array([valid[:, first] & valid[:, second] for first, second in pairs]).T
    intervals = _compute_differences(table, pairs, shared, options)
    tests = _test_pairs(table, pairs, shared, seed)
    tested = [test.p_value for test in tests if test is not None]
    looks = max(len(pairs), looks_count or 0)
    adjusted = iter(adjust_p_values(tested, method=adjustment, looks_count=looks))
    compared = tuple(
        _compare_pair(
            table,
            pair,
            shared[:, index],
            options,
            interval=intervals[index],
            test=tests[index],
            adjusted_p_value=None if tests[index] is None else next(adjusted),
            higher_is_better=higher_is_better,
        )
        for index, pair in enumerate(pairs)
    )
    models, best, complete_count = _summarise_models(table, options, higher_is_better)
    return Comparison(
        models=models,
        pairs=compared,
        best=best,
        templates=table.templates,
        complete_count=complete_count,
        detectable=_find_detectable(table, pairs, shared, level=level, power=power, looks_count=looks),
        level=level,
        adjustment=adjustment,
        looks_count=looks,
        higher_is_better=higher_is_better,
        resamples_count=resamples_count,
        seed=seed,
    )


@dataclass(frozen=True, slots=True)
class _Options:
    method: MeanMethod
    level: float
    resamples_count: int
    seed: int
    score_range: tuple[float, float] | None


def _compute_differences(
    table: ScoreTable, pairs: Sequence[tuple[int, int]], shared: NDArray[np.bool_], options: _Options
) -> list[Interval | None]:
    """Return the difference of each pair; pairs with the same templates are resampled together."""
    found: list[Interval | None] = [None] * len(pairs)
    groups: dict[bytes, list[int]] = {}
    for index in range(len(pairs)):
        if shared[:, index].sum() < 2:
            continue
        if table.is_binary:
            outcomes = table.count_outcomes(*pairs[index], shared[:, index])
            found[index] = compute_paired_risk_difference(outcomes, level=options.level)
        else:
            groups.setdefault(shared[:, index].tobytes(), []).append(index)
    for indexes in groups.values():
        rows = table.means[shared[:, indexes[0]]]
        firsts, seconds = np.array([pairs[index] for index in indexes]).T
        intervals = compute_mean_intervals(
            rows[:, firsts] - rows[:, seconds],
            method=options.method,
            level=options.level,
            resamples_count=options.resamples_count,
            seed=options.seed,
        )
        for index, interval in zip(indexes, intervals, strict=True):
            found[index] = interval
    return found


def _test_pairs(
    table: ScoreTable, pairs: Sequence[tuple[int, int]], shared: NDArray[np.bool_], seed: int
) -> list[SignFlipTest | None]:
    firsts, seconds = np.array(pairs).T
    differences = np.where(shared, table.means[:, firsts] - table.means[:, seconds], 0.0)
    tests = compute_sign_flip_tests(differences, seed=seed)
    return [test if shared[:, index].any() else None for index, test in enumerate(tests)]


def _compare_pair(
    table: ScoreTable,
    pair: tuple[int, int],
    shared: NDArray[np.bool_],
    options: _Options,
    *,
    interval: Interval | None,
    test: SignFlipTest | None,
    adjusted_p_value: float | None,
    higher_is_better: bool,
) -> PairComparison:
    first, second = pair
    one, other = table.means[shared, first], table.means[shared, second]
    count = int(shared.sum())
    bounds = None
    if options.score_range is not None:
        lowest, highest = options.score_range
        cells = table.list_cells(first), table.list_cells(second)
        bounds = compute_difference_bounds(*cells, lowest=lowest, highest=highest)
    is_shown = adjusted_p_value is not None and adjusted_p_value <= 1 - options.level + 1e-12
    is_first_better = bool(one.sum() > other.sum()) == higher_is_better
    return PairComparison(
        first=table.models[first],
        second=table.models[second],
        shared_count=count,
        planned_count=len(table.templates),
        difference=interval,
        method="newcombe" if table.is_binary else options.method,
        test=test,
        adjusted_p_value=adjusted_p_value,
        better=table.models[first if is_first_better else second] if is_shown else None,
        dominance=compute_paired_dominance(one, other, level=options.level) if count > 2 else None,
        shift=compute_shift(one - other, level=options.level) if count else None,
        wins_count=int((one > other).sum()),
        losses_count=int((one < other).sum()),
        outcomes=table.count_outcomes(first, second, shared) if table.is_binary else None,
        bounds=bounds,
    )


def _summarise_models(
    table: ScoreTable, options: _Options, higher_is_better: bool
) -> tuple[tuple[ModelSummary, ...], tuple[str, ...] | None, int]:
    complete = table.means[table.is_valid.all(axis=1)]
    best = None
    if len(complete) > 1:
        best = compute_best_set(
            complete,
            higher_is_better=higher_is_better,
            level=options.level,
            resamples_count=options.resamples_count,
            seed=options.seed,
        )
    summaries = tuple(
        ModelSummary(
            model=model,
            mean=_summarise_mean(table, index, options),
            valid_count=int(table.is_valid[:, index].sum()),
            planned_count=len(table.templates),
            bounds=None
            if options.score_range is None
            else compute_mean_bounds(
                table.list_cells(index), lowest=options.score_range[0], highest=options.score_range[1]
            ),
            is_among_best=None if best is None else index in best.members,
            best_p_value=None if best is None else best.p_values[index],
        )
        for index, model in enumerate(table.models)
    )
    names = None if best is None else tuple(table.models[index] for index in best.members)
    return summaries, names, len(complete)


def _summarise_mean(table: ScoreTable, model: int, options: _Options) -> Interval | None:
    present = table.means[table.is_valid[:, model], model]
    if present.size < 2:
        return None
    if table.is_binary:
        return compute_share_interval(int(present.sum()), present.size, level=options.level)
    found = compute_mean_intervals(
        present[:, np.newaxis],
        method=options.method,
        level=options.level,
        resamples_count=options.resamples_count,
        seed=options.seed,
    )[0]
    if options.score_range is None:
        return found
    lowest, highest = map(float, options.score_range)
    return Interval(max(lowest, found.low), found.point, min(highest, found.high), found.level)


def _find_detectable(
    table: ScoreTable,
    pairs: Sequence[tuple[int, int]],
    shared: NDArray[np.bool_],
    *,
    level: float,
    power: float,
    looks_count: int,
) -> DetectableDifference | None:
    """Return what the design can see, from the root mean square of the pairs' spreads."""
    spreads, runs_counts, shared_counts = [], [], []
    for index, pair in enumerate(pairs):
        rows = np.flatnonzero(shared[:, index])
        if rows.size < 2:
            continue
        first, second = ([table.runs[model][row] for row in rows] for model in pair)
        spreads.append(estimate_spread(first, second))
        runs_counts += [one.size for one in (*first, *second)]
        shared_counts.append(int(rows.size))
    if not spreads:
        return None
    spread = Spread(
        template_sd=sqrt(sum(one.template_sd**2 for one in spreads) / len(spreads)),
        repeat_sd=sqrt(sum(one.repeat_sd**2 for one in spreads) / len(spreads)),
    )
    if spread.compute_difference_sd(1) == 0:
        return None
    return compute_detectable_difference(
        min(shared_counts), min(runs_counts), spread, level=level, power=power, comparisons_count=looks_count
    )
