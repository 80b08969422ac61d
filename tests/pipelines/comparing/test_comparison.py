"""What is claimed of models, and what is not."""

from __future__ import annotations

import pytest
from tests.pipelines.comparing.planted import make_cell, make_cells, make_run, plant, with_repeats

from referee.core.errors import InvalidInput
from referee.core.vocabulary import Service
from referee.pipelines.comparing import CellFacts, CellSet, compute_comparison
from referee.pipelines.comparing.claims import Options

QUICK = Options(resamples_count=1_000)


def count_findings(model: str, counts: list[int]) -> list[CellFacts]:
    return [
        make_cell(model, f"t{index}", make_run("bandit", {"low": count}))
        for index, count in enumerate(counts)
    ]


def two_models(first: list[int], second: list[int]) -> CellSet:
    return make_cells(*count_findings("first", first), *count_findings("second", second))


def test_difference_is_candidate_less_baseline_and_has_the_exact_p() -> None:
    comparison = compute_comparison(two_models([1] * 8, [3, 4] * 4), metric="findings_count", options=QUICK)

    metric = comparison.find_metric("findings_count")
    assert metric is not None
    one = metric.find_difference("second", "first")
    assert one is not None
    assert (one.value, one.p_value, one.p_method) == (2.5, 2 / 2**8, "exact")
    # two metrics (density and findings) of one pair: Holm counts both
    assert comparison.claims_looks_count == 2
    assert one.adjusted_p_value == pytest.approx(4 / 2**8)
    assert one.verdict == "worse"
    assert (one.higher_count, one.lower_count) == (8, 0)
    assert one.sentence.startswith("second is shown to be worse than first: +2.5 (95 % interval ")
    assert one.sentence.endswith(", 8 of 8 shared.")


def test_other_baseline_turns_the_difference_round() -> None:
    comparison = compute_comparison(
        two_models([1] * 8, [3, 4] * 4), metric="findings_count", baseline="second", options=QUICK
    )
    metric = comparison.find_metric("findings_count")
    assert metric is not None
    one = metric.find_difference("first", "second")
    assert one is not None
    assert (one.value, one.verdict, comparison.candidates) == (-2.5, "better", ("first",))


def test_few_units_are_never_said_to_be_equal() -> None:
    comparison = compute_comparison(two_models([1, 1, 1], [2, 2, 2]), metric="findings_count", options=QUICK)
    metric = comparison.find_metric("findings_count")
    assert metric is not None
    one = metric.differences[0]
    assert (one.verdict, one.p_value) == ("not_shown", 0.25)
    assert "is not shown to differ from" in one.sentence


def test_one_shared_unit_is_too_little_to_tell() -> None:
    comparison = compute_comparison(two_models([1], [9]), metric="findings_count", options=QUICK)
    metric = comparison.find_metric("findings_count")
    assert metric is not None
    one = metric.differences[0]
    assert (one.value, one.interval, one.verdict) == (8.0, None, "unknown")
    assert one.sentence == "second and first share 1 of 1: too little to tell them apart."


def test_one_model_has_its_numbers_and_no_claim() -> None:
    comparison = compute_comparison(make_cells(*count_findings("only", [1, 2, 3])), options=QUICK)
    metric = comparison.find_metric("findings_count")
    assert metric is not None
    assert (comparison.claims_looks_count, metric.differences, metric.best) == (0, (), None)
    assert metric.models[0].value == 2.0
    assert metric.models[0].interval is not None


def test_missing_cells_widen_what_is_possible() -> None:
    cells = make_cells(
        *(make_cell("a", f"t{index}", make_run(), has_started=True) for index in range(4)),
        *(make_cell("b", f"t{index}", make_run(), has_started=index < 2 or None) for index in range(4)),
    )
    metric = compute_comparison(cells, metric="start_share", options=QUICK).find_metric("start_share")
    assert metric is not None
    one, pair = metric.find_model("b"), metric.differences[0]
    assert (one.value, one.lowest, one.highest) == (1.0, 0.5, 1.0)
    assert (one.cells_count, one.planned_cells_count) == (2, 4)
    assert (pair.lowest, pair.highest, pair.shared_count, pair.planned_count) == (-0.5, 0.0, 2, 4)
    assert [(one.cells_count, one.reason) for one in metric.missing] == [(2, "It was never started.")]


def test_same_seed_gives_the_same_comparison() -> None:
    cells = plant(3, 6, 2, step=1.0)
    assert compute_comparison(cells, options=QUICK) == compute_comparison(cells, options=QUICK)


def test_repeats_are_no_further_units() -> None:
    once, thrice = plant(2, 8, 1), plant(2, 8, 3)
    counts = [
        compute_comparison(cells, metric="findings_count", options=QUICK)
        .metrics[0]
        .differences[0]
        .planned_count
        for cells in (once, thrice)
    ]
    assert counts == [8, 8]


def test_screen_says_what_got_worse_first_and_counts_all_it_looked_at() -> None:
    def cell(model: str, unit: int, new: int, old: int) -> CellFacts:
        run = make_run("bandit", {"low": new + old}, rules={"NEW": new, "OLD": old}, cwes={79: new})
        return make_cell(model, f"t{unit}", run)

    cells = make_cells(
        *(cell("a", unit, 0, 5) for unit in range(10)),
        *(cell("b", unit, 4, 1) for unit in range(10)),
    )

    comparison = compute_comparison(cells, options=QUICK)

    assert [(one.kind, one.key, one.difference, one.verdict) for one in comparison.screens] == [
        ("cwe", "CWE-79", 4.0, "worse"),
        ("rule", "bandit: NEW", 4.0, "worse"),
        ("tool", "bandit", 0.0, "not_shown"),
        ("rule", "bandit: OLD", -4.0, "better"),
    ]
    assert comparison.screens_looks_count == 4


def test_order_of_models_may_depend_on_the_weights() -> None:
    def cells(model: str, severe: int, mild: int) -> list[CellFacts]:
        run = make_run("bandit", {"high": severe, "info": mild})
        return [make_cell(model, f"t{unit}", run) for unit in range(3)]

    weighting = compute_comparison(
        make_cells(*cells("grave", 2, 0), *cells("many", 0, 9)),
        options=QUICK,
    ).weighting

    assert weighting is not None
    assert weighting.does_order_hold is False
    assert {row.model: row.densities["equal"].point for row in weighting.rows} == {"grave": 2.0, "many": 9.0}
    assert {row.model: row.densities["doubling"].point for row in weighting.rows} == {
        "grave": 16.0,
        "many": 9.0,
    }


def test_front_has_the_cheap_and_the_clean_and_not_the_one_beaten_in_both() -> None:
    def cells(model: str, cost: float, count: int) -> list[CellFacts]:
        run = make_run("bandit", {"low": count})
        return [make_cell(model, f"t{unit}", run, cost_usd=cost) for unit in range(3)]

    comparison = compute_comparison(
        make_cells(*cells("cheap", 0.1, 9), *cells("clean", 0.9, 1), *cells("beaten", 0.9, 9)),
        options=QUICK,
    )
    assert {point.model: point.is_on_front for point in comparison.front} == {
        "cheap": True,
        "clean": True,
        "beaten": False,
    }


def test_front_says_why_there_is_none() -> None:
    comparison = compute_comparison(two_models([1, 2], [3, 4]), options=QUICK)
    assert (comparison.front, comparison.front_reason) == ((), "No cell has a cost.")


def test_pass_rates_come_from_repeats_of_one_unit() -> None:
    cells = make_cells(
        *(
            make_cell("a", unit, make_run(), number=number, has_started=number <= passes)
            for unit, passes in (("t", 2), ("u", 1))
            for number in (1, 2)
        )
    )
    rates = {(one.kind, one.k): one.rate.point for one in compute_comparison(cells, options=QUICK).passes}
    assert rates == {("any", 1): 0.75, ("any", 2): 1.0, ("all", 2): 0.5}


def test_tools_that_found_the_same_and_what_all_missed() -> None:
    found = {"bandit": "abc", "pylint": "bc", "semgrep": "c", "vulture": "cd"}
    runs = [
        make_run(tool, {"low": len(names)}, things={name: frozenset({79}) for name in names})
        for tool, names in found.items()
    ]

    comparison = compute_comparison(make_cells(make_cell("a", "t", *runs)), options=QUICK)

    assert {one.tools: one.count for one in comparison.overlaps} == {
        ("bandit",): 1,
        ("bandit", "pylint"): 1,
        ("bandit", "pylint", "semgrep", "vulture"): 1,
        ("vulture",): 1,
    }
    chao = next(one for one in comparison.captures if one.method == "chao")
    # two found once, one found twice, of four tools: (3/4) × 2² / (2 × 1)
    assert (chao.cwe, chao.seen_count) == (79, 4)
    assert chao.missed.point == pytest.approx(1.5)


def test_three_tools_give_no_estimate_and_a_reason() -> None:
    runs = [
        make_run(tool, {"low": 1}, things={"x": frozenset({79})}) for tool in ("bandit", "pylint", "semgrep")
    ]
    comparison = compute_comparison(make_cells(make_cell("a", "t", *runs)), options=QUICK)
    assert (comparison.captures, comparison.captures_reason) == (
        (),
        "It takes 4 static tools that look for the same CWE, and here it is 3 at most.",
    )


def test_tool_that_changes_its_mind_has_a_flip_rate_and_without_repeats_it_says_so() -> None:
    cells = two_models([1, 2], [2, 1])
    runs = {"bandit": [[frozenset("ab"), frozenset("a")], [frozenset("c"), frozenset("c")]]}

    (flip,) = compute_comparison(with_repeats(cells, runs), options=QUICK).flips

    assert (flip.sources_count, flip.runs_count, flip.seen_count, flip.unsteady_count) == (2, 2, 3, 1)
    assert "analyse an app again" in compute_comparison(cells, options=QUICK).flips_reason


def test_opinions_weigh_only_what_every_model_has() -> None:
    cells = make_cells(
        *(
            make_cell(
                model,
                f"t{unit}",
                make_run("bandit", {"critical": severe, "low": 1}),
                make_run("zap", service=Service.dynamic),
            )
            for model, severe in (("clean", 0), ("grave", 2))
            for unit in range(2)
        )
    )
    comparison = compute_comparison(cells, options=QUICK)
    scores = {
        one.model: (one.topsis, one.weighted_sum, one.severity_score_mean) for one in comparison.opinions
    }
    assert comparison.opinions_metrics == (
        "weighted_findings_per_kloc",
        "findings_count",
        "dynamic_findings_count",
    )
    assert scores["clean"][2] == 1.0
    assert scores["grave"][2] == 201.0
    # alike in one of three criteria, best in the two others
    assert scores["clean"][0] == 1.0
    assert scores["clean"][1] == pytest.approx(2.5 / 3)


@pytest.mark.parametrize(
    ("metric", "baseline", "code"),
    [("fame", None, "comparison.metric_unknown"), (None, "nobody", "comparison.model_unknown")],
)
def test_what_is_not_there_is_refused(metric: str | None, baseline: str | None, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        compute_comparison(two_models([1], [2]), metric=metric, baseline=baseline, options=QUICK)
    assert refusal.value.code == code
    assert refusal.value.hint
