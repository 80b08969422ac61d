"""Results of runs: grouping, aggregates, what passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.experiments.runs.events import define, make_event, make_trial

from referee.core.findings import JsonValue
from referee.experiments.runs.aggregates import AGGREGATE_FUNCTIONS, compute_aggregate
from referee.experiments.runs.definitions import PassingRange
from referee.experiments.runs.results import compute_result
from referee.traces import EventFilter


def test_values_of_a_metric_are_grouped_by_metric_and_event_name() -> None:
    events = [
        *make_trial("s1", "d1", {"accuracy": 0.5}),
        *make_trial("s2", "d2", {"accuracy": 1.0}),
        *make_trial("s3", "d3", {"accuracy": 0.25}, event_name="retrieve"),
    ]
    result = compute_result(events)
    assert [
        (one.key.metric_name, one.key.event_name, one.values, one.aggregate) for one in result.metrics
    ] == [
        ("accuracy", "answer", [0.5, 1.0], 0.75),
        ("accuracy", "retrieve", [0.25], 0.25),
    ]
    assert {one.type for one in result.metrics} == {"CLIENT_SIDE"}
    assert result.event_kinds == [("the run", "session"), ("answer", "chain"), ("retrieve", "chain")]


def test_a_run_without_metrics_has_empty_lists_and_every_datapoint_passes() -> None:
    result = compute_result([*make_trial("s1", "d1", {}), *make_trial("s2", None, {})])
    assert (list(result.metrics), result.passed, result.failed) == ([], ["d1", "s2"], [])
    assert list(compute_result([]).trials) == []


def test_booleans_count_as_numbers_and_texts_never() -> None:
    metrics: dict[str, JsonValue] = {"ok": True, "tone": "kind", "ok_explanation": "fits", "bad": None}
    events = [*make_trial("s1", "d1", metrics), *make_trial("s2", "d2", {"ok": False})]
    result = compute_result(events)
    assert [(one.key.metric_name, one.values, one.aggregate) for one in result.metrics] == [
        ("ok", [True, False], 0.5)
    ]
    scores = result.trials[0].scores
    assert [(one.key.metric_name, one.value, one.text, one.explanation) for one in scores] == [
        ("ok", True, None, "fits"),
        ("tone", None, "kind", None),
    ]
    assert (result.passed, result.failed) == (["d1"], ["d2"])


@pytest.mark.parametrize("huge", [10**400, -(10**400)])
def test_a_number_beyond_all_floats_is_no_score(huge: int) -> None:
    assert list(compute_result(make_trial("s1", "d1", {"huge": huge})).metrics) == []


def test_scores_are_judged_by_the_run_first_and_by_the_definition_then() -> None:
    events = [
        *make_trial("s1", "d1", {"accuracy": 0.9, "latency": 3.0}),
        *make_trial("s2", "d2", {"accuracy": 0.7, "latency": 1.0}),
    ]
    definitions = [define("accuracy", threshold={"min": 0.8}), define("latency", threshold={"max": 2})]
    by_definition = compute_result(events, definitions=definitions)
    assert (by_definition.passed, by_definition.failed) == ([], ["d1", "d2"])
    ranges = {"accuracy": PassingRange(min=0.6), "latency": PassingRange(max=5.0)}
    by_run = compute_result(events, definitions=definitions, passing_ranges=ranges)
    assert (by_run.passed, by_run.failed) == (["d1", "d2"], [])
    [accuracy, latency] = by_definition.metrics
    assert (accuracy.passed, accuracy.failed, accuracy.type) == (["d1"], ["d2"], "PYTHON")
    assert (latency.passed, latency.failed, latency.range) == (["d2"], ["d1"], PassingRange(max=2.0))


def test_a_number_without_a_range_neither_passes_nor_fails() -> None:
    result = compute_result(make_trial("s1", "d1", {"score": 0.0}))
    assert result.trials[0].scores[0].is_passed is None
    assert result.passed == ["d1"]


def test_a_datapoint_whose_task_failed_does_not_pass_and_says_why() -> None:
    result = compute_result(
        [*make_trial("s1", "d1", {}, error="ValueError: no"), *make_trial("s2", "d2", {})]
    )
    assert (result.passed, result.failed, result.errors_count) == (["d2"], ["d1"], 1)
    assert result.trials[0].trial.error == "ValueError: no"


def test_an_error_that_a_step_recovered_from_fails_nothing() -> None:
    events = make_trial("s1", "d1", {"score": 1.0})
    events.append(make_event("s1", "deep", parent_id="s1-1", event_type="tool", error="timeout"))
    assert compute_result(events).failed == []


def test_a_repeated_datapoint_passes_only_when_every_trial_does() -> None:
    events = [*make_trial("s1", "d1", {"ok": True}), *make_trial("s2", "d1", {"ok": False})]
    result = compute_result(events)
    assert (result.passed, result.failed, len(result.trials)) == ([], ["d1"], 2)


def test_the_datapoint_is_found_on_any_event_of_its_session() -> None:
    events = [make_event("s1", "a", metadata={"datapoint_id": "d9"}, metrics={"x": 1})]
    assert compute_result(events).trials[0].trial.datapoint_id == "d9"


def test_metrics_inside_objects_have_dotted_names() -> None:
    result = compute_result(
        make_trial("s1", "d1", {"judge": {"tone": 3, "deep": {"er": {"x": {"y": {"z": 1}}}}}})
    )
    assert [one.key.metric_name for one in result.metrics] == ["judge.tone"]


def test_a_composite_metric_is_computed_for_trials_that_have_all_its_parts() -> None:
    composite = define(
        "quality",
        type="COMPOSITE",
        criteria="weighted average",
        child_metrics=[{"name": "tone", "weight": 3}, "facts"],
    )
    events = [*make_trial("s1", "d1", {"tone": 1.0, "facts": 0.0}), *make_trial("s2", "d2", {"tone": 1.0})]
    result = compute_result(events, definitions=[composite])
    [quality] = [one for one in result.metrics if one.key.metric_name == "quality"]
    assert (quality.values, quality.type, quality.key.event_type) == ([0.75], "COMPOSITE", "session")


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ("weighted-sum", 5.0),
        ("min", 1.0),
        ("maximum", 2.0),
        ("all", 1.0),
        ("any", 1.0),
        ("Hierarchical Highest True", 2.0),
        ("average", 5 / 3),
    ],
)
def test_every_way_of_putting_together(criteria: str, expected: float) -> None:
    composite = define(
        "both", type="COMPOSITE", criteria=criteria,
        child_metrics=[{"name": "a", "weight": 1}, {"metric_name": "b", "weight": 2}],
    )  # fmt: skip
    result = compute_result(make_trial("s1", "d1", {"a": 1, "b": 2}), definitions=[composite])
    [both] = [one for one in result.metrics if one.key.metric_name == "both"]
    assert both.aggregate == pytest.approx(expected)


def test_a_composite_metric_of_unknown_criteria_has_no_value() -> None:
    composite = define("both", type="COMPOSITE", criteria="by feeling", child_metrics=["a"])
    result = compute_result(make_trial("s1", "d1", {"a": 1}), definitions=[composite])
    assert [one.key.metric_name for one in result.metrics] == ["a"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("average", 2.5),
        ("sum", 10.0),
        ("min", 1.0),
        ("max", 4.0),
        ("median", 2.5),
        ("p90", 3.7),
        ("p95", 3.85),
        ("p99", 3.97),
        ("count", 4.0),
    ],
)
def test_aggregates_of_four_numbers(function: str, expected: float) -> None:
    assert compute_aggregate(function, [4, 1, 3, 2]) == pytest.approx(expected)


@given(
    function=st.sampled_from([name for name in AGGREGATE_FUNCTIONS if name not in ("sum", "count")]),
    values=st.lists(st.floats(-1e9, 1e9) | st.booleans(), min_size=1, max_size=50),
)
def test_every_aggregate_lies_between_the_least_and_the_highest(
    function: str, values: list[float | bool]
) -> None:
    found = compute_aggregate(function, values)
    assert found is not None
    assert min(values) - 1e-6 <= found <= max(values) + 1e-6


def test_an_aggregate_of_nothing_or_beyond_all_floats_is_none() -> None:
    assert compute_aggregate("average", []) is None
    assert compute_aggregate("sum", [1.7e308, 1.7e308]) is None
    assert compute_aggregate("count", []) == 0.0


def test_only_trials_with_an_event_that_meets_the_filters_count() -> None:
    events = [*make_trial("s1", "d1", {"x": 1.0}), *make_trial("s2", "d2", {"x": 3.0})]
    filters = [EventFilter("metrics.x", "greater than", "2", "number")]
    [metric] = compute_result(events, filters=filters).metrics
    assert metric.values == [3.0]
