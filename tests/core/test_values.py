"""Clocks, pages, sources, doors, integrity reports and the order of words."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from referee.core.clock import Clock, ManualClock, SystemClock
from referee.core.doors import open_door
from referee.core.integrity import MAX_PROBLEMS, IntegrityProblem, IntegrityReport, IntegrityTally
from referee.core.pages import Page
from referee.core.sources import SourceFile, SourceSnapshot
from referee.core.vocabulary import AnalysisState, Outcome, Severity


def test_system_clock_is_aware_utc_and_never_goes_back() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic_ns()
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert clock.monotonic_ns() >= before


def test_manual_clock_moves_both_of_its_hands_only_when_told() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    clock = ManualClock(start)
    assert (clock.now(), clock.monotonic_ns()) == (start, 0)
    clock.advance(timedelta(seconds=1.5))
    assert (clock.now(), clock.monotonic_ns()) == (start + timedelta(seconds=1.5), 1_500_000_000)


def test_mapped_page_keeps_its_counts_and_its_cursor() -> None:
    page = Page(items=(1, 2), total_count=7, limit=2, next_cursor="next")
    assert page.map(str) == Page(items=("1", "2"), total_count=7, limit=2, next_cursor="next")


def test_snapshot_finds_files_by_language_name_and_path() -> None:
    files = (
        SourceFile("a/requirements.txt", 1, "0" * 64, "text"),
        SourceFile("a/view.tsx", 1, "1" * 64, "tsx"),
        SourceFile("b.py", 1, "2" * 64, "python"),
    )
    snapshot = SourceSnapshot(root=Path("x"), source_digest="d", files=files)
    assert snapshot.files_in("python", "tsx") == (files[1], files[2])
    assert snapshot.files_named("requirements.txt", "b.py") == (files[0], files[2])
    assert snapshot.by_path["a/view.tsx"] is files[1]


def test_report_sums_tallies_and_keeps_problems() -> None:
    report = IntegrityReport()
    report.add(IntegrityTally("artifacts", 2))
    report.add(IntegrityTally("artifacts", 3))
    report.add(IntegrityProblem("artifact.broken", "artifact a", "It is cut."))
    assert report.dump() == {
        "problems_count": 1,
        "problems": [{"code": "artifact.broken", "subject": "artifact a", "message": "It is cut."}],
        "checked_counts": {"artifacts": 5},
    }


def test_report_counts_on_when_it_names_no_more() -> None:
    report = IntegrityReport()
    problem = IntegrityProblem("a.b", "c", "d")
    for _ in range(MAX_PROBLEMS + 5):
        report.add(problem)
    assert (len(report.problems), report.problems_count) == (MAX_PROBLEMS, MAX_PROBLEMS + 5)


def test_severities_are_ordered_and_named_worst_first() -> None:
    assert [severity.value for severity in Severity] == ["critical", "high", "medium", "low", "info"]
    assert [severity.rank for severity in Severity] == [4, 3, 2, 1, 0]


def test_only_two_outcomes_leave_no_hole_and_only_two_states_go_on() -> None:
    assert {outcome.value for outcome in Outcome if outcome.is_complete} == {"succeeded", "not_applicable"}
    assert {state.value for state in AnalysisState if not state.is_final} == {"queued", "running"}


def test_door_loads_a_module_only_when_its_name_is_asked_for() -> None:
    sys.modules.pop("json.tool", None)
    get = open_door("json", {"tool": ("main",), "decoder": ("JSONDecodeError",)})
    assert "json.tool" not in sys.modules
    assert callable(get("main"))
    assert "json.tool" in sys.modules


def test_door_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'nothing'"):
        open_door("json", {"tool": ("main",)})("nothing")
