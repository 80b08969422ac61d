"""What a run amounts to: outcome and facts by how it ended, what it printed and what could be read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analysis.reports import make_finding, make_report

from referee.analysis.results import (
    ToolRunResult,
    digest_json,
    digest_occurrences,
    dump_coverage,
    judge_run,
)
from referee.analysis.storable import make_storable
from referee.core.findings import Coverage, CoverageHole, ToolReport
from referee.core.vocabulary import ExitMeaning, Outcome, ParseState
from referee.foundation.sandbox import CommandEnd
from referee.tools.contract import RawOutput
from referee.tools.registry import TOOL_NAMES, get_tool

BANDIT = get_tool("bandit").describe()
"""Exit codes: 0 clean, 1 findings, 2 usage error."""

CLEAN = make_report()
FOUND = make_report(make_finding())
PARTIAL = replace(FOUND, is_partial=True, failure="The last record is cut.")
BROKEN = replace(FOUND, failure="bandit says that it failed.")
NO_FILES = replace(CLEAN, coverage=Coverage("file", 0))
NO_DEPENDENCIES = replace(CLEAN, coverage=Coverage("dependency", 0))
ALL_UNREADABLE = replace(CLEAN, coverage=Coverage("file", 0, unreadable_count=3))
ALL_SKIPPED = replace(CLEAN, coverage=Coverage("dependency", 0, skipped_count=3))


def make_raw(end: CommandEnd, exit_code: int | None = None, reason: str = "") -> RawOutput:
    return RawOutput(
        streams={},
        total_bytes={},
        end=end,
        exit_code=exit_code,
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
        reason=reason,
    )


@pytest.mark.parametrize(
    ("exit_code", "report", "outcome", "meaning", "parse_state"),
    [
        (0, CLEAN, Outcome.succeeded, ExitMeaning.clean, ParseState.parsed),
        (1, FOUND, Outcome.succeeded, ExitMeaning.findings, ParseState.parsed),
        # The exit code alone decides nothing: findings count whatever it was, and so does their absence.
        (0, FOUND, Outcome.succeeded, ExitMeaning.clean, ParseState.parsed),
        (1, CLEAN, Outcome.succeeded, ExitMeaning.findings, ParseState.parsed),
        (77, FOUND, Outcome.succeeded, ExitMeaning.unknown, ParseState.parsed),
        (2, FOUND, Outcome.failed, ExitMeaning.usage_error, ParseState.parsed),
        (0, BROKEN, Outcome.failed, ExitMeaning.clean, ParseState.parsed),
        (1, BROKEN, Outcome.failed, ExitMeaning.findings, ParseState.parsed),
        (0, PARTIAL, Outcome.parse_error, ExitMeaning.clean, ParseState.partial),
        (77, PARTIAL, Outcome.parse_error, ExitMeaning.unknown, ParseState.partial),
        (0, None, Outcome.parse_error, ExitMeaning.clean, ParseState.unreadable),
        (1, None, Outcome.parse_error, ExitMeaning.findings, ParseState.unreadable),
        (2, None, Outcome.failed, ExitMeaning.usage_error, ParseState.unreadable),
        (77, None, Outcome.failed, ExitMeaning.unknown, ParseState.unreadable),
        # Examined nothing is never clean.
        (0, NO_FILES, Outcome.failed, ExitMeaning.clean, ParseState.parsed),
        (77, NO_FILES, Outcome.failed, ExitMeaning.unknown, ParseState.parsed),
        (0, ALL_UNREADABLE, Outcome.failed, ExitMeaning.clean, ParseState.parsed),
        (0, ALL_SKIPPED, Outcome.not_applicable, ExitMeaning.clean, ParseState.parsed),
        (0, NO_DEPENDENCIES, Outcome.not_applicable, ExitMeaning.clean, ParseState.parsed),
    ],
)
def test_run_that_ended_by_itself_is_judged_by_its_report_first(
    exit_code: int,
    report: ToolReport | None,
    outcome: Outcome,
    meaning: ExitMeaning,
    parse_state: ParseState,
) -> None:
    unreadable = None if report else "report.json is not whole JSON."
    verdict = judge_run(BANDIT, make_raw("exited", exit_code), report, unreadable)

    assert (verdict.outcome, verdict.exit_meaning, verdict.parse_state) == (outcome, meaning, parse_state)
    assert verdict.did_run
    assert bool(verdict.reason) is (outcome is not Outcome.succeeded)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        ("timed_out", Outcome.timed_out),
        ("cpu_exceeded", Outcome.timed_out),
        ("signaled", Outcome.failed),
        ("memory_exceeded", Outcome.failed),
        ("cancelled", Outcome.cancelled),
    ],
)
@pytest.mark.parametrize(
    ("report", "unreadable", "parse_state"),
    [
        (None, None, ParseState.not_attempted),
        (None, "report.json is missing.", ParseState.unreadable),
        (CLEAN, None, ParseState.partial),
        (FOUND, None, ParseState.partial),
    ],
    ids=["not read", "unreadable", "clean", "findings"],
)
def test_run_that_was_stopped_never_succeeds_whatever_it_had_printed(
    end: CommandEnd,
    outcome: Outcome,
    report: ToolReport | None,
    unreadable: str | None,
    parse_state: ParseState,
) -> None:
    verdict = judge_run(BANDIT, make_raw(end, reason="It was stopped."), report, unreadable)

    assert (verdict.outcome, verdict.exit_meaning, verdict.parse_state, verdict.did_run) == (
        outcome,
        ExitMeaning.killed,
        parse_state,
        True,
    )
    assert verdict.reason


def test_run_that_did_not_start_says_so_in_every_fact() -> None:
    verdict = judge_run(BANDIT, make_raw("not_started", reason="There is no such program."), None, None)

    assert (verdict.outcome, verdict.did_run, verdict.exit_meaning, verdict.parse_state, verdict.reason) == (
        Outcome.failed,
        False,
        ExitMeaning.not_run,
        ParseState.not_attempted,
        "There is no such program.",
    )


@pytest.mark.parametrize("tool", TOOL_NAMES)
@settings(deadline=None, max_examples=50)
@given(exit_code=st.integers(-1, 255), unit=st.sampled_from(["file", "dependency", "url"]))
def test_no_tool_is_clean_that_examined_nothing(tool: str, exit_code: int, unit: Any) -> None:
    report = replace(CLEAN, coverage=Coverage(unit, 0))

    verdict = judge_run(get_tool(tool).describe(), make_raw("exited", exit_code), report, None)

    assert verdict.outcome is not Outcome.succeeded
    assert verdict.reason


def test_counts_are_unknown_unless_the_output_was_read() -> None:
    result = ToolRunResult(
        outcome=Outcome.failed,
        reason="It crashed.",
        did_run=True,
        exit_meaning=ExitMeaning.unknown,
        parse_state=ParseState.unreadable,
    )

    assert (result.findings_count, result.suppressed_count) == (None, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_digest_of_json_does_not_depend_on_the_order_of_keys(document: Mapping[str, Any]) -> None:
    backwards = dict(reversed(list(document.items())))
    assert digest_json(document) == digest_json(backwards)


def test_digest_of_json_tells_values_apart() -> None:
    values: list[object] = [
        {},
        [],
        "",
        "0",
        0,
        1,
        True,
        None,
        {"a": 1},
        {"a": "1"},
        {"a": [1]},
        [1, 2],
        [2, 1],
    ]
    assert len({digest_json(value) for value in values}) == len(values)


rows = st.lists(
    st.tuples(st.integers(0, 9), st.text(max_size=5), st.none() | st.integers(0, 9)), max_size=6, unique=True
)


@settings(deadline=None, max_examples=50)
@given(rows, rows)
def test_digest_of_occurrences_is_equal_for_equal_rows_only(
    first: list[tuple[object, ...]], second: list[tuple[object, ...]]
) -> None:
    assert (digest_occurrences(first) == digest_occurrences(second)) is (first == second)


def test_coverage_is_stored_whole() -> None:
    hole = CoverageHole("a.py", "unreadable", "It has a syntax error.")
    assert dump_coverage(Coverage("file", 2, 1, 3, (hole,), 4, "2026-01-01", 5)) == {
        "unit": "file",
        "examined_count": 2,
        "skipped_count": 1,
        "unreadable_count": 3,
        "holes": [{"name": "a.py", "kind": "unreadable", "reason": "It has a syntax error."}],
        "suppressed_count": 4,
        "data_on": "2026-01-01",
        "data_count": 5,
    }


def test_report_that_can_be_stored_stays_the_same_object() -> None:
    assert make_storable(FOUND) is FOUND


def test_characters_that_no_database_keeps_are_replaced_everywhere() -> None:
    odd = "a\0b\ud800c"
    finding = replace(
        make_finding(rule_id=odd, message=odd),
        tool_severity=odd,
        identity=(odd,),
        properties={odd: [odd, {"k": odd}]},
        help_url=odd,
        suppression=odd,
    )
    report = make_storable(replace(make_report(finding), notices=(odd,), failure=odd))

    assert "\0" not in repr(report) and "\\x00" not in repr(report)
    assert "\\ud800" not in repr(report)
    assert report.findings[0].message == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
