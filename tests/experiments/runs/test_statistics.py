"""Paired statistics of two runs: what is shown, what is missing, and why."""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter
from tests.experiments.runs.events import define, make_event, make_trial, run_of

from referee.experiments.runs.results import RunResult
from referee.experiments.runs.statistics import compute_statistics
from referee.experiments.runs.statistics_views import RunStatistics


def spread(prefix: str, metric: str, values: list[float | bool]) -> RunResult:
    return run_of(*(make_trial(f"{prefix}{n}", f"d{n}", {metric: value}) for n, value in enumerate(values)))


def test_a_clear_improvement_is_shown_with_its_interval_and_size() -> None:
    old = spread("o", "accuracy", [0.1 * (n % 5) for n in range(20)])
    new = spread("n", "accuracy", [0.1 * (n % 5) + 0.3 + 0.01 * (n % 3) for n in range(20)])
    [metric] = compute_statistics(old, new).metrics
    assert metric.verdict == "better"
    assert metric.difference is not None
    assert metric.difference.low < metric.difference.point < metric.difference.high
    assert metric.difference.point == pytest.approx(0.3095)
    assert metric.difference.low > 0.25
    assert (metric.improved_count, metric.degraded_count, metric.same_count) == (20, 0, 0)
    assert metric.cliffs_delta is not None
    assert metric.cliffs_delta.point > 0.5
    assert metric.adjusted_p_value == metric.p_value == pytest.approx(2 / 2**20)
    assert metric.detectable_difference is not None
    assert 0 < metric.detectable_difference < 0.05


def test_the_same_change_is_worse_where_lower_is_better() -> None:
    old = spread("o", "latency", [1.0 + 0.1 * n for n in range(12)])
    new = spread("n", "latency", [2.0 + 0.11 * n for n in range(12)])
    [metric] = compute_statistics(old, new, definitions=[define("latency", threshold={"max": 3})]).metrics
    assert (metric.verdict, metric.higher_is_better) == ("worse", False)
    assert (metric.improved_count, metric.degraded_count) == (0, 12)


def test_yes_or_no_scores_are_compared_by_mcnemar_and_newcombe() -> None:
    old = spread("o", "ok", [n < 4 for n in range(30)])
    new = spread("n", "ok", [n < 16 for n in range(30)])
    [metric] = compute_statistics(old, new).metrics
    assert metric.outcomes is not None
    assert (metric.outcomes.first_only_count, metric.outcomes.second_only_count) == (12, 0)
    assert (metric.p_method, metric.difference_method) == ("mcnemar_exact", "newcombe")
    assert metric.p_value == pytest.approx(2 / 2**12)
    assert metric.difference is not None
    assert metric.difference.point == pytest.approx(0.4)


def test_p_values_are_adjusted_over_all_metrics_by_holm() -> None:
    old_values = [{"a": 0.1 * n, "b": 0.1 * n, "c": 0.1 * n} for n in range(6)]
    old = run_of(*(make_trial(f"o{n}", f"d{n}", dict(values)) for n, values in enumerate(old_values)))
    new = run_of(
        *(
            make_trial(
                f"n{n}", f"d{n}", {"a": values["a"] + 1, "b": values["b"] + (-1) ** n, "c": values["c"]}
            )
            for n, values in enumerate(old_values)
        )
    )
    found = compute_statistics(old, new)
    p_values = {one.metric_name: [one.p_value, one.adjusted_p_value] for one in found.metrics}
    assert found.looks_count == 3
    assert p_values["a"] == pytest.approx([2 / 64, 6 / 64])
    assert p_values["c"] == [1.0, 1.0]
    assert {one.verdict for one in found.metrics} == {"not_shown"}


def test_repeated_trials_are_averaged_and_stay_visible() -> None:
    old = run_of(
        make_trial("o1", "d1", {"x": 0.0}),
        make_trial("o2", "d1", {"x": 1.0}),
        make_trial("o3", "d2", {"x": 0.2}),
    )
    new = run_of(make_trial("n1", "d1", {"x": 0.7}), make_trial("n3", "d2", {"x": 0.4}))
    [metric] = compute_statistics(old, new).metrics
    assert [metric.old_mean, metric.new_mean] == pytest.approx([0.35, 0.55])
    [repeated] = metric.repeated
    assert (repeated.datapoint_id, list(repeated.old_values), list(repeated.new_values)) == (
        "d1",
        [0.0, 1.0],
        [0.7],
    )


def test_every_missing_cell_has_its_reason() -> None:
    old = run_of(
        make_trial("o1", "d1", {"x": 1.0}),
        make_trial("o2", "d2", {"x": 1.0}),
        make_trial("o3", "d3", {"x": 1.0}),
        make_trial("o4", "d4", {"x": 1.0}),
        make_trial("o5", "old only", {"x": 1.0}),
    )
    new = run_of(
        make_trial("n1", "d1", {"x": 0.5}),
        make_trial("n2", "d2", {"x": "unscored", "x_explanation": "unscored: no number in [[ ]]"}),
        make_trial("n3", "d3", {}, error="KeyError: 'q'"),
        [make_event("n4", "n4", metadata={"datapoint_id": "d4"}, event_name="other")],
        make_trial("n6", "new only", {}),
    )
    [metric] = compute_statistics(old, new).metrics
    assert [(one.datapoint_id, one.run, one.reason) for one in metric.missing] == [
        ("new only", "old", "The datapoint is only in the new run."),
        ("d2", "new", "unscored: no number in [[ ]]"),
        ("d3", "new", "The task failed: KeyError: 'q'"),
        ("d4", "new", "It has no chain event 'answer'."),
        ("new only", "new", "Its event carries no score of this metric."),
        ("old only", "new", "The datapoint is only in the old run."),
    ]
    assert (metric.shared_count, metric.planned_count, metric.missing_count) == (1, 6, 6)
    assert metric.verdict == "unknown"


def test_runs_without_a_common_datapoint_or_metric_compare_to_nothing() -> None:
    old, new = run_of(make_trial("o", "d1", {"x": 1})), run_of(make_trial("n", None, {"x": 1}))
    found = compute_statistics(old, new)
    assert (found.common_count, found.unpaired_count) == (0, 1)
    assert [(one.verdict, one.difference, one.p_value) for one in found.metrics] == [("unknown", None, None)]
    assert compute_statistics(run_of(), run_of()).metrics == []


def test_many_datapoints_are_sampled_the_same_way_each_time() -> None:
    old = spread("o", "x", [float(n % 7) for n in range(50)])
    new = spread("n", "x", [float(n % 5) for n in range(50)])
    first, second = (compute_statistics(old, new, most_datapoints_count=20) for _ in range(2))
    assert first == second
    assert first.metrics[0].planned_count == 20
    assert list(first.notes) == ["A stable sample of 20 of 50 datapoints is compared."]


def test_statistics_are_plain_json() -> None:
    old, new = spread("o", "x", [0.0, 0.0, 1.0]), spread("n", "x", [1.0, 1.0, 1.0])
    text = TypeAdapter(RunStatistics).dump_json(compute_statistics(old, new))
    assert json.loads(text)["metrics"][0]["difference"]["level"] == 0.95
