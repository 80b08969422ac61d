"""What is put together for the pages of running apps: alerts, loads and verdicts, from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.analysis.alert_views import Alert
from referee.analysis.load_views import LoadRow, build_bins, build_error_bars, build_rate_lines
from referee.analysis.requirement_views import RequirementRow, count_verdicts
from referee.core.addresses import Address
from referee.core.findings import Rule
from referee.core.load import LoadProfile
from referee.core.requirements import RequirementVerdict, Verdict
from referee.core.vocabulary import Confidence, Severity


def make_profile(
    *,
    histogram: Sequence[tuple[float, int]] = (),
    per_second: Sequence[tuple[int, int, int]] = (),
    errors: Mapping[str, int] | None = None,
) -> LoadProfile:
    """Return a load of 200 requests."""
    return LoadProfile(
        address=Address(target="backend", method="GET", path="/"),
        requests_count=200,
        failures_count=0,
        duration_s=2.0,
        requests_per_s=100.0,
        latency_ms={"p95": 10.0},
        histogram=tuple(histogram),
        per_second=tuple(per_second),
        statuses={},
        errors=errors or {},
        concurrency_count=1,
        generator_cpu_share=None,
        is_saturated=False,
    )


def make_alert(summary: str, name: str = "Open door") -> Alert:
    """Return an alert of a rule with this summary."""
    rule = Rule("open-door", name, summary, Severity.high)
    return Alert(tool="curl", rule_id="open-door", rule=rule, severity=Severity.high, occurrences=())


def make_row(verdict: Verdict, confidence: Confidence) -> RequirementRow:
    """Return a requirement that was judged like this."""
    judged = RequirementVerdict(
        requirement_id="backend-1",
        category="backend",
        text="It works.",
        verdict=verdict,
        confidence=confidence,
        evidence=(),
    )
    return RequirementRow("requirements-scanner", judged)


@pytest.mark.parametrize(
    ("summary", "name", "description"),
    [
        ("Anybody comes in.", "Anybody comes in.", ""),
        ("A long story. " * 20, "Open door", "A long story. " * 20),
        ("", "Open door", ""),
    ],
)
def test_alert_is_named_by_one_line_and_described_by_what_is_longer(
    summary: str, name: str, description: str
) -> None:
    alert = make_alert(summary)
    assert (alert.name, alert.description) == (name, description)


def test_alert_of_an_unknown_rule_is_named_by_its_id() -> None:
    alert = replace(make_alert(""), rule=None)
    assert (alert.name, alert.description) == ("open-door", "")


def test_throughput_is_the_mean_of_each_step_and_seconds_without_an_answer_count() -> None:
    labels, lines, step_s = build_rate_lines(make_profile(per_second=[(0, 30, 0), (2, 10, 10)]))
    assert (labels, step_s) == (["0 s", "1 s", "2 s"], 1)
    assert [(line.label, line.values) for line in lines] == [
        ("requests ended", (30.0, 0.0, 10.0)),
        ("of them failed", (0.0, 0.0, 10.0)),
    ]


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 9), st.integers(0, 9)), max_size=40))
def test_throughput_over_any_time_has_few_points_and_no_request_more_or_less(
    per_second: list[tuple[int, int, int]],
) -> None:
    unique = list({second: (second, ended, failed) for second, ended, failed in per_second}.values())
    labels, lines, step_s = build_rate_lines(make_profile(per_second=unique))
    length_s = max((second for second, *_ in unique), default=-1) + 1
    lengths_s = [min(step_s, length_s - start * step_s) for start in range(len(labels))]
    shown = [
        sum((value or 0.0) * length for value, length in zip(line.values, lengths_s, strict=True))
        for line in lines
    ]
    assert len(labels) <= 60
    assert shown == pytest.approx(
        [sum(ended for _, ended, _ in unique), sum(failed for *_, failed in unique)][: len(lines)]
    )


def test_histogram_begins_and_ends_with_a_request_and_keeps_empty_bins_between() -> None:
    bins = build_bins(make_profile(histogram=[(1.0, 0), (2.0, 3), (4.0, 0), (8.0, 1), (16.0, 0)]))
    assert [(one.low, one.high, one.count) for one in bins] == [(1.0, 2.0, 3), (2.0, 4.0, 0), (4.0, 8.0, 1)]


def test_histogram_without_requests_is_no_drawing() -> None:
    assert [build_bins(make_profile(histogram=one)) for one in ([], [(1.0, 0)], [(float("inf"), 3)])] == [
        []
    ] * 3


def test_errors_are_shown_most_first() -> None:
    bars = build_error_bars(make_profile(errors={"timed_out": 2, "refused": 5, "closed": 2}))
    assert [(bar.label, bar.total) for bar in bars] == [("refused", 5), ("closed", 2), ("timed out", 2)]


def test_load_of_few_requests_is_rough() -> None:
    rows = [LoadRow("ab-0", "ab", replace(make_profile(), requests_count=count)) for count in (0, 1, 99, 100)]
    assert [row.is_rough for row in rows] == [False, True, True, False]
    assert rows[0].error_share == 0.0


def test_verdicts_of_low_confidence_count_as_unknown() -> None:
    rows = [make_row(verdict, confidence) for verdict in Verdict for confidence in Confidence]
    counts = count_verdicts(rows)
    assert (counts.met, counts.not_met, counts.unknown, counts.total) == (2, 2, 5, 9)
    assert counts.met_share == 0.5


def test_nothing_known_has_no_share() -> None:
    assert count_verdicts([make_row(Verdict.met, Confidence.low)]).met_share is None
    assert count_verdicts([]).share_of(0) == 0.0
