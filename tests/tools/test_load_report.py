"""From samples to profiles, and from profiles to measurements, findings, coverage and notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.addresses import Address
from referee.core.findings import CoverageHole, ToolReport
from referee.core.load import LoadProfile
from referee.tools import get_tool
from referee.tools.exercising import ReadableUrl
from referee.tools.load_report import (
    GeneratorOutput,
    LoadSamples,
    build_load_report,
    compute_percentile,
    summarise_load,
)
from referee.tools.load_targets import LoadTargets

PLACE = Address(target="backend", method="GET", path="/a")
PARAMETERS = get_tool("aiohttp").describe().resolve_parameters({})


def summarise(latencies_ms: Sequence[float], **others: Any) -> LoadProfile:
    values: dict[str, Any] = {
        "address": PLACE,
        "requests_count": len(latencies_ms),
        "failures_count": 0,
        "duration_s": 1.0,
        "concurrency_count": 2,
        "latencies_ms": latencies_ms,
        "statuses": {"200": len(latencies_ms)} if latencies_ms else {},
    }
    return summarise_load(LoadSamples(**{**values, **others}))


def report_of(*profiles: LoadProfile, has_answered: bool = True, **others: Any) -> ToolReport:
    paths = [profile.address.path for profile in profiles] or ["/a"]
    urls = tuple(ReadableUrl(target="backend", url=f"http://h{path}", route_path=path) for path in paths)
    targets = LoadTargets(urls=urls, holes=others.pop("holes", ()), has_answered=has_answered)
    return build_load_report(targets, GeneratorOutput(profiles, **others), PARAMETERS)


def rules(report: ToolReport) -> list[str]:
    return [finding.rule_id for finding in report.findings]


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 0.5, 1), (2, 0.5, 1), (10, 0.5, 5), (10, 0.95, 10), (10, 0.99, 10), (20, 0.95, 19), (100, 0.99, 99)],
)
def test_percentile_is_the_nearest_rank(count: int, share: float, expected: int) -> None:
    assert compute_percentile(range(1, count + 1), share) == expected


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=300), st.floats(0.001, 1))
def test_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], share: float
) -> None:
    values.sort()
    found = compute_percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values)


@given(st.lists(st.floats(min_value=0, max_value=1e7), max_size=300))
def test_histogram_holds_every_answer_once_in_at_most_100_bins(values: list[float]) -> None:
    bins = summarise(values).histogram
    edges = [edge for edge, _ in bins]
    assert sum(count for _, count in bins) == len(values)
    assert len(bins) <= 100
    assert edges == sorted(edges)


def test_histogram_of_known_latencies_keeps_the_empty_bins_between_them() -> None:
    assert summarise([1.0, 1.0, 1.3, 250_000.0]).histogram[:4] == (
        (1.0, 2),
        (1.1548, 0),
        (1.3335, 1),
        (1.5399, 0),
    )
    assert summarise([1.0, 1.3, 250_000.0]).histogram[-1] == (100_000.0, 1)


def test_profile_of_known_samples() -> None:
    profile = summarise(
        [40.0, 10.0, 20.0, 30.0],
        requests_count=5,
        failures_count=2,
        duration_s=2.0,
        ends=[(0.1, False), (1.9, True), (0.2, False), (1.0, False), (1.2, True)],
        statuses={"500": 1, "200": 3},
        errors={"timeout": 1},
        generator_cpu_share=0.2,
    )
    assert profile.latency_ms == {
        "min": 10.0,
        "mean": 25.0,
        "p50": 20.0,
        "p75": 30.0,
        "p90": 40.0,
        "p95": 40.0,
        "p99": 40.0,
        "max": 40.0,
    }
    assert profile.requests_per_s == 2.0
    assert profile.per_second == ((0.0, 2, 0), (1.0, 3, 2))
    assert (dict(profile.statuses), dict(profile.errors)) == ({"200": 3, "500": 1}, {"timeout": 1})
    assert (profile.generator_cpu_share, profile.is_saturated) == (0.2, False)


def test_series_of_a_long_load_is_bounded_and_loses_no_request() -> None:
    series = summarise([1.0], ends=[(0.5, False), (599.5, False), (5_000.0, True)]).per_second
    assert len(series) == 600
    assert series[-1] == (599.0, 2, 1)
    assert sum(ended for _, ended, _ in series) == 3


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"generator_cpu_share": 0.9}, True),
        ({"generator_cpu_share": 0.89}, False),
        ({"generator_cpu_share": None}, False),
        ({"generator_cpu_share": 1.0, "duration_s": 0.1}, False),
        ({"is_generator_warned": True}, True),
        ({"generator_lags_ms": [10.0] * 20}, True),
        ({"generator_lags_ms": [9.0] * 20}, False),
        ({"generator_lags_ms": [0.2] * 19 + [90.0]}, False),
        ({"generator_lags_ms": [4.9] * 20, "latencies_ms": [5.0] * 20}, False),
        ({"generator_lags_ms": [5.0] * 20, "latencies_ms": [5.0] * 20}, True),
        ({"generator_lags_ms": [50.0], "latencies_ms": []}, False),
    ],
)
def test_generator_is_saturated_by_cpu_by_its_own_lateness_or_by_its_own_word(
    others: Mapping[str, Any], expected: bool
) -> None:
    assert summarise(**{"latencies_ms": [20.0] * 20, **others}).is_saturated is expected


def test_cpu_share_of_a_load_too_short_to_tell_is_unknown() -> None:
    assert summarise([1.0], duration_s=0.1, generator_cpu_share=0.7).generator_cpu_share is None


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (summarise([10.0] * 100), []),
        (summarise([500.0] * 100), []),
        (summarise([501.0] * 100), ["latency-p50"]),
        (summarise([10.0] * 94 + [2001.0] * 6), ["latency-p95"]),
        (summarise([10.0] * 98 + [5001.0] * 2), ["latency-p99"]),
        (summarise([10.0] * 100, failures_count=5, statuses={"200": 95, "500": 5}), []),
        (summarise([10.0] * 100, failures_count=6, statuses={"200": 94, "500": 6}), ["error-rate"]),
        (summarise([10.0] * 9), ["throughput"]),
        (summarise([10.0] * 10), []),
    ],
)
def test_what_is_beyond_a_threshold_is_a_finding(profile: LoadProfile, expected: list[str]) -> None:
    report = report_of(profile)
    assert rules(report) == expected
    assert [rule.rule_id for rule in report.rules] == expected
    assert all(finding.address == PLACE and finding.location is None for finding in report.findings)


def test_messages_say_what_was_measured_and_what_was_allowed() -> None:
    slow = summarise([6000.0] * 20, requests_count=30, failures_count=12, duration_s=60.0,
                     statuses={"200": 18, "503": 2}, errors={"timeout": 10})  # fmt: skip
    assert [(finding.severity, finding.message) for finding in report_of(slow).findings] == [
        (
            "medium",
            "12 of 30 requests to backend GET /a failed (10 × timeout, 2 × 503); at most 5.0% may.",
        ),
        (
            "medium",
            "Half of the answers of backend GET /a took 6,000 ms or longer, over 30 requests by 2 at a time; "
            "the limit is 500 ms.",
        ),
        (
            "medium",
            "One of 20 answers of backend GET /a took 6,000 ms or longer, over 30 requests by 2 at a time; "
            "the limit is 2,000 ms.",
        ),
        (
            "low",
            "One of 100 answers of backend GET /a took 6,000 ms or longer, over 30 requests by 2 at a time; "
            "the limit is 5,000 ms.",
        ),
        (
            "low",
            "backend GET /a gave 0.3 answers per second to 2 at a time; it should give at least 10.0.",
        ),
    ]


def test_measurements_of_an_address_have_unit_direction_and_address() -> None:
    numbers = report_of(summarise([10.0, 20.0], failures_count=1, statuses={"200": 1, "500": 1})).measurements
    assert {number.address for number in numbers} == {PLACE}
    assert [(number.name, number.value, number.unit, number.better) for number in numbers] == [
        ("error_rate_share", 0.5, "share", "lower"),
        ("latency_p50_ms", 10.0, "ms", "lower"),
        ("latency_p95_ms", 20.0, "ms", "lower"),
        ("latency_p99_ms", 20.0, "ms", "lower"),
        ("latency_mean_ms", 15.0, "ms", "lower"),
        ("requests_per_s", 2.0, "1/s", "higher"),
    ]


def test_addresses_of_one_run_keep_their_own_numbers() -> None:
    other = Address(target="frontend", method="GET", path="/")
    report = report_of(summarise([10.0] * 20), summarise([700.0] * 20, address=other))
    assert [profile.latency_ms["p50"] for profile in report.loads] == [10.0, 700.0]
    assert [(finding.rule_id, finding.address) for finding in report.findings] == [("latency-p50", other)]


def test_slowness_of_a_saturated_generator_is_a_notice_and_neither_finding_nor_measurement() -> None:
    report = report_of(summarise([9000.0] * 5, generator_cpu_share=0.95))
    assert report.findings == ()
    assert [number.name for number in report.measurements] == ["error_rate_share"]
    assert report.notices == (
        "The load generator itself was the limit at backend GET /a: "
        "latency and requests per second there are not judged.",
    )


@pytest.mark.parametrize(
    ("statuses", "errors", "expected"),
    [
        ({"200": 50, "500": 50}, {}, ["error-rate"]),
        ({"200": 50}, {"connection_refused": 50}, ["error-rate"]),
        ({"200": 50}, {"timeout": 50}, []),
    ],
)
def test_saturated_generator_still_tells_failures_that_it_cannot_have_made(
    statuses: dict[str, int], errors: dict[str, int], expected: list[str]
) -> None:
    answered = sum(statuses.values())
    profile = summarise(
        [1.0] * answered,
        requests_count=100,
        failures_count=50,
        statuses=statuses,
        errors=errors,
        generator_cpu_share=0.99,
    )
    assert rules(report_of(profile)) == expected


def test_app_of_which_every_answer_is_an_error_is_never_clean() -> None:
    report = report_of(summarise([1.0] * 20, failures_count=20, statuses={"404": 20}))
    assert rules(report) == ["error-rate"]
    assert report.unreachable is None
    assert report.coverage.examined_count == 1


def test_app_that_went_away_before_the_load_is_unreachable() -> None:
    gone = summarise([], requests_count=20, failures_count=20, errors={"connection_refused": 20})
    report = report_of(gone)
    assert report.unreachable == "The app stopped answering before the load began (connection refused)."
    assert report.findings == ()


def test_app_that_went_away_in_the_middle_is_judged() -> None:
    other = Address(target="backend", method="GET", path="/b")
    gone = summarise(
        [], requests_count=20, failures_count=20, errors={"connection_refused": 20}, address=other
    )
    report = report_of(summarise([10.0] * 20), gone)
    assert report.unreachable is None
    assert rules(report) == ["error-rate", "throughput"]


@pytest.mark.parametrize("kind", ["timeout", "no_answer", "connection_reset"])
def test_app_that_hangs_or_hangs_up_is_there_and_fails(kind: str) -> None:
    report = report_of(summarise([], requests_count=4, failures_count=4, errors={kind: 4}))
    assert report.unreachable is None
    assert "error-rate" in rules(report)


def test_app_that_never_answered_is_unreachable() -> None:
    report = report_of(has_answered=False)
    assert report.unreachable == "The app gave no answer at any of its addresses."


@pytest.mark.parametrize(
    ("failure", "kind", "reason"),
    [
        (None, "skipped", "The time was used up before a request was measured."),
        ("The output ends before its end.", "unreadable", "The output ends before it."),
    ],
)
def test_address_without_a_profile_is_a_hole(failure: str | None, kind: Any, reason: str) -> None:
    known = CoverageHole("backend GET /b", "unreadable", "It answered with status 404.")
    report = report_of(holes=(known,), failure=failure)
    assert report.coverage.unit == "url"
    assert report.coverage.examined_count == 0
    assert report.coverage.holes == (known, CoverageHole("backend GET /a", kind, reason))
    assert report.coverage.skipped_count + report.coverage.unreadable_count == 2
    assert report.is_partial is (failure is not None)
    assert report.failure == failure
