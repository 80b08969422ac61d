"""What an ended analysis makes of its cell."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from referee.analysis import Analysis, SeverityCounts, Subject, ToolRun
from referee.core.vocabulary import AnalysisState, ExitMeaning, Outcome, ParseState, Service, SubjectKind
from referee.pipelines import CellState
from referee.pipelines.judging import judge_cell

ID = UUID(int=1)
AT = datetime(2026, 1, 2, tzinfo=UTC)


def make_analysis(state: AnalysisState) -> Analysis:
    subject = Subject(
        subject_id=ID, kind=SubjectKind.folder, name="x", path="/x", app_id=None, model=None, number=None
    )
    return Analysis(
        analysis_id=ID, sequence=1, project_id=ID, subject=subject, job_id=None, state=state, reason="", profile="deep",
        is_cache_allowed=True, source_digest="", files_count=1, excluded_count=0, results_path=None, template_id=None,
        template=None, created_at=AT, started_at=AT, finished_at=AT, tools_count=2, ended_count=2, complete_count=1,
        severities=SeverityCounts(),
    )  # fmt: skip


def make_run(
    outcome: Outcome, *, did_run: bool = True, tool: str = "curl", exit_code: int | None = None
) -> ToolRun:
    return ToolRun(
        tool_run_id=ID, analysis_id=ID, position=0, tool=tool, service=Service.dynamic, parameters={}, attempts_count=1,
        outcome=outcome, reason=f"It was {outcome}.", did_run=did_run, exit_meaning=ExitMeaning.unknown,
        exit_code=exit_code,
        parse_state=ParseState.not_attempted, findings_count=None, suppressed_count=None, version=None,
        cached_from_tool_run_id=None, command=(), isolation=None, coverage=None, notices=(), raw={}, plan=None,
        app_run_id=None, app_isolation=None, stands_in_for=None, sarif_sha256=None, findings_digest=None,
        duration_ms=None, cpu_ms=None, peak_memory_bytes=None, started_at=AT, finished_at=AT,
    )  # fmt: skip


def test_completed_analysis_is_a_valid_cell() -> None:
    verdict = judge_cell(
        make_analysis(AnalysisState.completed),
        [make_run(Outcome.succeeded), make_run(Outcome.not_applicable, tool="ab")],
        unavailable=(),
        can_app_run=True,
    )

    assert (verdict.state, verdict.is_valid, verdict.reason, verdict.holes) == (
        CellState.completed,
        True,
        "",
        (),
    )


def test_tool_that_was_named_as_unavailable_leaves_the_cell_valid_and_another_does_not() -> None:
    partial = make_analysis(AnalysisState.partially_completed)
    runs = [make_run(Outcome.succeeded), make_run(Outcome.unavailable, did_run=False, tool="zap")]

    named = judge_cell(partial, runs, unavailable={"zap"}, can_app_run=True)
    unnamed = judge_cell(partial, runs, unavailable=(), can_app_run=True)

    assert (named.is_valid, named.is_worth_another_try) == (True, False)
    assert (unnamed.is_valid, unnamed.is_worth_another_try) == (False, True)
    assert unnamed.reason == "zap is unavailable: It was unavailable."


@pytest.mark.parametrize(
    ("outcome", "did_run", "can_app_run", "is_transient"),
    [
        (Outcome.skipped, False, True, True),
        (Outcome.target_unreachable, True, True, True),
        (Outcome.target_unreachable, False, False, False),
        (Outcome.failed, False, True, True),
        (Outcome.failed, True, True, False),
        (Outcome.timed_out, True, True, False),
        (Outcome.parse_error, True, True, False),
    ],
)
def test_only_faults_of_the_surroundings_are_worth_another_try(
    outcome: Outcome, did_run: bool, can_app_run: bool, is_transient: bool
) -> None:
    verdict = judge_cell(
        make_analysis(AnalysisState.partially_completed),
        [make_run(Outcome.succeeded), make_run(outcome, did_run=did_run, tool="nmap")],
        unavailable=(),
        can_app_run=can_app_run,
    )

    assert (verdict.is_valid, verdict.is_worth_another_try) == (False, is_transient)


def test_cancelled_analysis_cancels_its_cell() -> None:
    verdict = judge_cell(
        make_analysis(AnalysisState.cancelled),
        [make_run(Outcome.cancelled)],
        unavailable=(),
        can_app_run=True,
    )

    assert (verdict.state, verdict.is_valid, verdict.is_worth_another_try) == (
        CellState.cancelled,
        False,
        False,
    )


@pytest.mark.parametrize(("exit_code", "is_tried"), [(-9, True), (-11, False), (1, False), (None, False)])
def test_tool_that_was_killed_from_outside_is_tried_again_and_one_that_crashed_is_not(
    exit_code: int | None, is_tried: bool
) -> None:
    verdict = judge_cell(
        make_analysis(AnalysisState.partially_completed),
        [make_run(Outcome.succeeded), make_run(Outcome.failed, tool="ruff", exit_code=exit_code)],
        unavailable=(),
        can_app_run=True,
    )

    assert (verdict.is_valid, verdict.is_worth_another_try) == (False, is_tried)
