"""Comparison of two runs: pairs by datapoint, changes by direction, pairs of events."""

from __future__ import annotations

from tests.experiments.runs.events import define, make_event, make_trial, run_of

from referee.experiments.runs.comparing import compute_comparison
from referee.experiments.runs.definitions import PassingRange
from referee.experiments.runs.pairing import pair_events
from referee.experiments.runs.trials import group_trials
from referee.traces import EventFilter

OLD = (
    make_trial("o1", "d1", {"accuracy": 0.5}),
    make_trial("o2", "d2", {"accuracy": 0.5}),
    make_trial("o3", "d3", {"accuracy": 0.5}),
    make_trial("o4", "gone", {"accuracy": 0.0}),
)
NEW = (
    make_trial("n3", "d3", {"accuracy": 0.5}),
    make_trial("n1", "d1", {"accuracy": 1.0}),
    make_trial("n2", "d2", {"accuracy": 0.25}),
    make_trial("n5", "added", {"accuracy": 0.0}),
)


def test_runs_are_paired_by_datapoint_over_what_both_have() -> None:
    compared = compute_comparison(run_of(*OLD), run_of(*NEW))
    assert (compared.common, compared.old_only, compared.new_only) == (
        ["d3", "d1", "d2"],
        ["gone"],
        ["added"],
    )
    [metric] = compared.metrics
    assert metric.changes == {"d3": "same", "d1": "improved", "d2": "degraded"}
    assert (metric.old_values, metric.new_values) == ([0.5, 0.5, 0.5], [0.5, 1.0, 0.25])
    assert (metric.old_aggregate, metric.new_aggregate) == (0.5, 1.75 / 3)
    assert metric.percentage_change is not None
    assert round(metric.percentage_change, 6) == round(100 * (1.75 / 3 - 0.5) / 0.5, 6)


def test_lower_is_better_where_definition_or_range_say_so() -> None:
    for arguments in (
        {"definitions": [define("accuracy", threshold={"direction": "lower"})]},
        {"definitions": [define("accuracy", threshold={"max": 1})]},
        {"passing_ranges": {"accuracy": PassingRange(max=1.0)}},
    ):
        compared = compute_comparison(run_of(*OLD), run_of(*NEW), **arguments)
        assert compared.metrics[0].changes == {"d3": "same", "d1": "degraded", "d2": "improved"}


def test_trials_of_one_datapoint_are_averaged_before_they_are_compared() -> None:
    old = run_of(make_trial("a", "d1", {"x": 0.0}), make_trial("b", "d1", {"x": 1.0}))
    new = run_of(make_trial("c", "d1", {"x": 0.5}))
    assert compute_comparison(old, new).metrics[0].changes == {"d1": "same"}


def test_a_metric_of_one_run_alone_has_no_difference() -> None:
    old, new = run_of(make_trial("a", "d1", {"x": 1})), run_of(make_trial("b", "d1", {"y": 1}))
    compared = compute_comparison(old, new)
    assert [
        (one.key.metric_name, one.old_aggregate, one.new_aggregate, one.difference)
        for one in compared.metrics
    ] == [
        ("x", 1.0, None, None),
        ("y", None, 1.0, None),
    ]


def test_a_metric_on_two_functions_is_one_where_nothing_else_could_be_meant() -> None:
    old = run_of(make_trial("a", "d1", {"x": 0.25}, event_name="first_try"))
    new = run_of(make_trial("b", "d1", {"x": 0.75}, event_name="second_try"))
    [metric] = compute_comparison(old, new).metrics
    assert (metric.key.event_name, metric.changes) == ("second_try", {"d1": "improved"})
    twice = run_of(
        make_trial("b", "d1", {"x": 0.75}, event_name="second_try"),
        make_trial("c", "d1", {"x": 0.5}, event_name="third_try"),
    )
    assert [one.changes for one in compute_comparison(old, twice).metrics] == [{}, {}, {}]


def test_kinds_of_events_say_which_run_has_them() -> None:
    old = run_of(make_trial("a", "d1", {}, event_name="search"))
    new = run_of(make_trial("b", "d1", {}, event_name="answer"))
    assert {(one.event_name, one.presence) for one in compute_comparison(old, new).events} == {
        ("the run", "both"),
        ("answer", "new"),
        ("search", "old"),
    }


def test_a_change_from_nothing_has_no_percentage() -> None:
    old, new = run_of(make_trial("a", "d1", {"x": 0})), run_of(make_trial("b", "d1", {"x": 1}))
    [metric] = compute_comparison(old, new).metrics
    assert (metric.difference, metric.percentage_change) == (1.0, None)


def test_events_are_paired_once_for_each_common_datapoint() -> None:
    old = group_trials([event for trial in OLD for event in trial])
    new = group_trials([event for trial in NEW for event in trial])
    pairs = pair_events(old, new)
    assert [(pair.datapoint_id, pair.new.event_id, pair.old.event_id) for pair in pairs] == [
        ("d3", "n3", "o3"),
        ("d1", "n1", "o1"),
        ("d2", "n2", "o2"),
    ]
    named = pair_events(old, new, event_name="answer", event_type="chain")
    assert [pair.new.event_id for pair in named] == ["n3-1", "n1-1", "n2-1"]
    assert pair_events(old, new, event_name="search") == []


def test_a_step_found_by_type_is_paired_with_the_one_of_its_name() -> None:
    old = group_trials(
        [
            *make_trial("o", "d1", {}),
            make_event("o", "o-first", event_type="model", event_name="plan"),
            make_event("o", "o-second", event_type="model", event_name="write"),
        ]
    )
    new = group_trials(
        [*make_trial("n", "d1", {}), make_event("n", "n-1", event_type="model", event_name="write")]
    )
    [pair] = pair_events(old, new, event_type="model")
    assert pair.old.event_id == "o-second"


def test_a_pair_is_kept_when_one_of_its_events_meets_the_filters() -> None:
    old = group_trials([event for trial in OLD for event in trial])
    new = group_trials([event for trial in NEW for event in trial])
    filters = [EventFilter("metrics.accuracy", "is", "1", "number")]
    assert [pair.datapoint_id for pair in pair_events(old, new, event_name="answer", filters=filters)] == [
        "d1"
    ]
