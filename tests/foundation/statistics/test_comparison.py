"""Models over templates, in one call."""

from __future__ import annotations

import numpy as np
import pytest

from referee.core.errors import InvalidInput
from referee.foundation.statistics import (
    Comparison,
    Interval,
    PairComparison,
    PairedOutcomes,
    SignFlipTest,
    compare_models,
    compute_best_set,
    compute_mcnemar_p,
    compute_mean_interval,
    compute_paired_dominance,
    compute_paired_risk_difference,
    compute_share_interval,
    compute_shift,
    compute_sign_flip_test,
)

Scores = dict[str, dict[str, list[float]]]


def make_scores(models: int = 3, templates: int = 14, repeats: int = 3, step: float = 0.8) -> Scores:
    random = np.random.default_rng(11)
    ease = random.normal(size=templates)
    return {
        f"model-{model}": {
            f"template-{template:02}": (ease[template] + step * model + random.normal(size=repeats)).tolist()
            for template in range(templates)
        }
        for model in range(models)
    }


def means_of(scores: Scores, model: str) -> np.ndarray:
    return np.array([np.mean(runs) for _, runs in sorted(scores[model].items())])


def pair_of(comparison: Comparison, first: str, second: str) -> PairComparison:
    return next(pair for pair in comparison.pairs if (pair.first, pair.second) == (first, second))


def test_each_number_is_that_of_its_method_on_averaged_repeats() -> None:
    scores = make_scores()
    comparison = compare_models(scores)
    one, other = means_of(scores, "model-0"), means_of(scores, "model-2")
    pair = pair_of(comparison, "model-0", "model-2")
    expected = compute_mean_interval(one - other)
    assert pair.difference is not None
    assert (pair.difference.low, pair.difference.high) == pytest.approx((expected.low, expected.high))
    assert pair.test == compute_sign_flip_test(one - other)
    assert pair.dominance == compute_paired_dominance(one, other)
    shift = compute_shift(one - other)
    assert pair.shift is not None
    assert shift is not None
    assert (pair.shift.low, pair.shift.high) == pytest.approx((shift.low, shift.high))
    assert (pair.wins_count, pair.losses_count) == (int((one > other).sum()), int((one < other).sum()))
    assert (pair.shared_count, pair.planned_count, pair.outcomes, pair.bounds) == (14, 14, None, None)
    table = np.column_stack([means_of(scores, model) for model in scores])
    best = compute_best_set(table)
    assert comparison.best == tuple(f"model-{index}" for index in best.members)
    assert [model.best_p_value for model in comparison.models] == list(best.p_values)


def test_p_values_are_adjusted_for_all_pairs_and_further_looks() -> None:
    scores = make_scores()
    raw = [pair.test.p_value for pair in compare_models(scores).pairs if pair.test]
    lowest = raw.index(min(raw))
    assert compare_models(scores).pairs[lowest].adjusted_p_value == pytest.approx(3 * min(raw))
    assert compare_models(scores, looks_count=40).pairs[lowest].adjusted_p_value == pytest.approx(
        40 * min(raw)
    )


def test_better_is_named_only_when_it_is_shown() -> None:
    far = compare_models(make_scores(models=2, step=2.0))
    near = compare_models(make_scores(models=2, step=0.0))
    assert [pair.better for pair in (*far.pairs, *near.pairs)] == ["model-1", None]
    turned = compare_models(make_scores(models=2, step=2.0), higher_is_better=False)
    assert (turned.pairs[0].better, turned.best) == ("model-0", ("model-0",))


def test_missing_cells_are_counted_and_bounded_and_never_filled() -> None:
    scores: Scores = {
        "a": {"t1": [1.0], "t2": [0.5, 0.7], "t3": [0.2]},
        "b": {"t1": [0.5], "t2": [], "t3": [0.1]},
    }
    comparison = compare_models(scores, templates=["t1", "t2", "t3", "t4"], score_range=(0, 1))
    pair = comparison.pairs[0]
    assert (pair.shared_count, pair.planned_count, comparison.complete_count) == (2, 4, 2)
    assert [(model.valid_count, model.planned_count) for model in comparison.models] == [(3, 4), (2, 4)]
    assert pair.difference is not None
    assert pair.difference.point == pytest.approx(0.3)
    assert pair.bounds is not None
    assert (pair.bounds.low, pair.bounds.high) == pytest.approx((1.8 / 4 - 2.6 / 4, 2.8 / 4 - 0.6 / 4))
    bounds = comparison.models[1].bounds
    assert bounds is not None
    assert (bounds.low, bounds.high, bounds.valid_count) == pytest.approx((0.15, 0.65, 2))


def test_single_yes_or_no_scores_get_newcombes_interval_and_mcnemars_test() -> None:
    passed = {"a": "1111011110", "b": "1001110010"}
    scores: Scores = {
        model: {f"t{index}": [float(mark)] for index, mark in enumerate(marks)}
        for model, marks in passed.items()
    }
    comparison = compare_models(scores)
    outcomes = PairedOutcomes(both_count=4, first_only_count=4, second_only_count=1, neither_count=1)
    pair = comparison.pairs[0]
    assert (pair.outcomes, pair.method) == (outcomes, "newcombe")
    assert pair.difference == compute_paired_risk_difference(outcomes)
    assert pair.test is not None
    assert pair.test.p_value == pytest.approx(compute_mcnemar_p(outcomes))
    assert comparison.models[0].mean == compute_share_interval(8, 10)


def test_repeats_in_another_order_are_a_tie() -> None:
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last digit of a float."""
    scores: Scores = {
        "a": {f"t{index}": [0.1, 0.2, 0.3] for index in range(4)},
        "b": {f"t{index}": [0.3, 0.2, 0.1] for index in range(4)},
    }
    pair = compare_models(scores, score_range=(0.1, 0.3)).pairs[0]
    assert (pair.wins_count, pair.losses_count) == (0, 0)
    assert pair.test is not None
    assert pair.test.nonzero_count == 0


def test_models_that_share_no_template_are_not_compared() -> None:
    comparison = compare_models({"a": {"t1": [1.0]}, "b": {"t2": [0.0]}, "c": {"t1": [0.5]}})
    pair = pair_of(comparison, "a", "b")
    assert (pair.shared_count, pair.difference, pair.test, pair.adjusted_p_value) == (0, None, None, None)
    assert (pair.shift, pair.dominance, pair.better) == (None, None, None)
    assert (comparison.best, comparison.complete_count, comparison.detectable) == (None, 0, None)
    assert pair_of(comparison, "a", "c").test == SignFlipTest(
        p_value=1.0, method="exact", patterns_count=2, nonzero_count=1
    )


def test_equal_models_differ_by_nothing_and_are_all_best() -> None:
    cells = make_scores(models=1)["model-0"]
    comparison = compare_models({"a": cells, "b": cells})
    assert comparison.pairs[0].difference == Interval(0.0, 0.0, 0.0, 0.95)
    assert comparison.pairs[0].adjusted_p_value == 1
    assert comparison.best == ("a", "b")


def test_the_design_says_what_it_can_see() -> None:
    few = compare_models(make_scores(templates=6)).detectable
    many = compare_models(make_scores(templates=40)).detectable
    assert few is not None
    assert many is not None
    assert (few.templates_count, few.repeats_count, few.comparisons_count) == (6, 3, 3)
    assert many.difference < few.difference / 2


def test_means_of_a_bounded_score_stay_in_its_range() -> None:
    scores: Scores = {
        model: {f"t{index}": [value] for index, value in enumerate((1.0, 1.0, 0.9, 1.0, 0.2))}
        for model in ("a", "b")
    }
    mean = compare_models(scores, score_range=(0, 1)).models[0].mean
    assert mean is not None
    assert mean.high == 1


def test_the_same_seed_gives_the_same_comparison() -> None:
    scores = make_scores()
    assert compare_models(scores, seed=4) == compare_models(scores, seed=4)


@pytest.mark.parametrize(
    ("scores", "templates"),
    [
        ({"a": {"t": [1.0]}}, None),
        ({"a": {}, "b": {}}, None),
        ({"a": {"t": [1.0]}, "b": {"u": [1.0]}}, ["t"]),
        ({"a": {"t": [1.0]}, "b": {"t": [1.0]}}, ["t", "t"]),
        ({"a": {"t": [float("nan")]}, "b": {"t": [1.0]}}, None),
        ({str(index): {"t": [1.0]} for index in range(41)}, None),
    ],
)
def test_what_cannot_be_compared_is_refused(scores: Scores, templates: list[str] | None) -> None:
    with pytest.raises(InvalidInput):
        compare_models(scores, templates=templates)


def test_a_score_outside_its_range_is_refused() -> None:
    with pytest.raises(InvalidInput):
        compare_models({"a": {"t": [2.0]}, "b": {"t": [1.0]}}, score_range=(0, 1))
