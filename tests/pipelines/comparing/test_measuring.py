"""A hole is never 0: which cells have a number, and why the others have none."""

from __future__ import annotations

import pytest
from tests.pipelines.comparing.planted import make_cell, make_cells, make_run

from referee.analysis import ToolFacts
from referee.core.vocabulary import Outcome, Service
from referee.pipelines.comparing import CellSet, compute_comparison
from referee.pipelines.comparing.measuring import Scores, find_ground, measure_all


def measure(cells: CellSet, key: str) -> Scores:
    measured, _ = measure_all(cells, find_ground(cells))
    return next(scores for scores in measured if scores.metric.key == key)


def explain_unmeasured(cells: CellSet, key: str) -> str:
    _, unmeasured = measure_all(cells, find_ground(cells))
    return next(one.reason for one in unmeasured if one.metric.key == key)


def test_density_weighs_findings_of_static_tools_by_lines() -> None:
    cells = make_cells(
        make_cell(
            "a", "t", make_run("bandit", {"high": 1, "low": 2}), make_run("zap", {"high": 9}, service=Service.dynamic),
            code_lines_count=2_000,
        )
    )  # fmt: skip

    # 1 × 8 + 2 × 2 = 12 over 2,000 lines; what the dynamic tool found is no part of the code
    assert measure(cells, "weighted_findings_per_kloc").values == [6.0]
    assert measure(cells, "findings_count").values == [12.0]
    assert measure(cells, "dynamic_findings_count").values == [9.0]


def test_tool_that_failed_makes_its_cell_missing_and_not_clean() -> None:
    failed = make_run("bandit", outcome=Outcome.failed, reason="It crashed.")
    cells = make_cells(
        make_cell("a", "t", make_run("bandit", {"low": 3})),
        make_cell("b", "t", failed, is_valid=False, reason="bandit is failed: It crashed."),
    )

    scores = measure(cells, "findings_count")

    assert scores.values == [3.0, None]
    assert [(one.cell, one.reason) for one in scores.missing] == [
        ("b × t #1", "bandit is failed: It crashed.")
    ]


def test_tool_that_cannot_be_had_somewhere_is_left_out_of_sums_everywhere() -> None:
    absent = make_run("semgrep", outcome=Outcome.unavailable, reason="No wheel.")
    cells = make_cells(
        make_cell("a", "t", make_run("bandit", {"low": 3}), make_run("semgrep", {"high": 5})),
        make_cell("b", "t", make_run("bandit", {"low": 3}), absent),
    )

    comparison = compute_comparison(cells)

    assert measure(cells, "findings_count").values == [3.0, 3.0]
    assert comparison.tools == ("bandit",)
    assert comparison.tools_left_out == {"semgrep": "It has no result in 1 of 2 valid cells: No wheel."}


def test_tool_that_is_not_applicable_adds_nothing_to_a_sum_and_has_no_number_of_its_own() -> None:
    nothing = make_run("eslint", outcome=Outcome.not_applicable, reason="No script.")
    cells = make_cells(
        make_cell("a", "t", make_run("bandit", {"low": 3}), make_run("eslint", {"low": 4})),
        make_cell("b", "t", make_run("bandit", {"low": 2}), nothing),
    )

    item = next(one for one in compute_comparison(cells).screens if one.key == "eslint")

    assert measure(cells, "findings_count").values == [7.0, 2.0]
    assert (item.baseline_mean, item.candidate_mean, item.shared_count) == (4.0, None, 0)
    assert (item.verdict, item.p_value) == ("unknown", None)


def test_lines_that_nobody_counted_are_a_hole() -> None:
    cells = make_cells(make_cell("a", "t", make_run(), code_lines_count=None))
    assert explain_unmeasured(cells, "weighted_findings_per_kloc") == (
        "Its lines of code were not counted when it was analysed; analyse it again."
    )


def test_load_that_one_tool_could_not_measure_is_a_hole() -> None:
    def load(tool: str, **numbers: float) -> ToolFacts:
        return make_run(tool, service=Service.performance, numbers=numbers)

    cells = make_cells(
        make_cell("a", "t", load("ab", latency_p95_ms=10.0), load("locust", latency_p95_ms=30.0)),
        make_cell("b", "t", load("ab", latency_p95_ms=10.0), load("locust")),
    )
    assert measure(cells, "latency_p95_ms").values == [20.0, None]


def test_requirement_of_which_nothing_is_known_is_not_shown_to_be_met() -> None:
    numbers = {
        "requirements_count": 4.0,
        "requirements_met_count": 2.0,
        "requirements_not_met_count": 1.0,
        "endpoints_count": 1.0,
        "endpoints_passed_count": 1.0,
    }
    cells = make_cells(
        make_cell("a", "t", make_run("requirements-scanner", service=Service.ai, numbers=numbers))
    )
    assert measure(cells, "requirements_met_share").values == [0.6]


@pytest.mark.parametrize(
    ("not_met", "has_started", "expected"),
    [(0.0, True, 1.0), (1.0, True, 0.0), (0.0, False, 0.0), (0.0, None, None)],
)
def test_app_succeeds_when_it_starts_and_nothing_checked_is_unmet(
    not_met: float, has_started: bool | None, expected: float | None
) -> None:
    numbers = {
        "requirements_count": 3.0,
        "requirements_met_count": 2.0,
        "requirements_not_met_count": not_met,
    }
    scanner = make_run("requirements-scanner", service=Service.ai, numbers=numbers)
    cells = make_cells(
        make_cell("a", "t", scanner, has_started=has_started), make_cell("a", "u", scanner, has_started=True)
    )
    assert measure(cells, "success_share").values[0] == expected


def test_model_that_wrote_no_app_failed_and_a_server_that_was_down_is_a_hole() -> None:
    cells = make_cells(
        make_cell("a", "t", make_run(), has_started=True),
        make_cell("a", "u", is_valid=False, reason="No code.", failure="no_code"),
        make_cell("a", "v", is_valid=False, reason="Unreachable.", failure="unreachable"),
    )
    assert measure(cells, "success_share").values == [1.0, 0.0, None]


def test_app_that_does_not_start_is_counted_although_its_cell_is_not_valid() -> None:
    cells = make_cells(
        make_cell("a", "t", make_run(), has_started=True),
        make_cell(
            "b", "t", make_run(), is_valid=False, reason="zap is target unreachable.", has_started=False
        ),
    )
    assert measure(cells, "start_share").values == [1.0, 0.0]
    assert measure(cells, "success_share").values == [1.0, 0.0]
    assert measure(cells, "findings_count").values == [0.0, None]


def test_cost_of_a_model_without_prices_is_unknown() -> None:
    cells = make_cells(make_cell("a", "t", make_run()))
    assert explain_unmeasured(cells, "generation_cost_usd") == "It was not written here."
