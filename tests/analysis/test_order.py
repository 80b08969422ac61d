"""Analyses of one subject that overlap, end in another order, or are ended by two at once."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text
from tests.analysis import planned as plans_of_tests
from tests.analysis.planned import Planned
from tests.analysis.reports import make_finding, make_report, make_result

from referee.analysis import AnalysisRequest, cancel_analysis, create_analysis
from referee.analysis.finding_queries import list_finding_events
from referee.analysis.finishing import finish_analysis
from referee.analysis.integrity import check_analyses
from referee.analysis.queries import get_analysis, list_tool_runs
from referee.analysis.recording import record_tool_run
from referee.analysis.results import ToolRunResult
from referee.analysis.tables import ToolRunRow
from referee.analysis.workflows import sweep_analyses
from referee.app import Application, open_application
from referee.core.findings import Coverage, CoverageHole, ToolFinding
from referee.core.integrity import IntegrityProblem
from referee.core.vocabulary import AnalysisState, FindingState, Outcome
from referee.foundation.jobs import list_jobs
from referee.foundation.settings import Settings

SHELL = make_finding()
HASH = make_finding(rule_id="B324", line=11)


@pytest.fixture
async def idle(database_settings: Settings) -> AsyncIterator[Application]:
    """An application that carries out no jobs: the test decides what happens when."""
    async with open_application(database_settings, is_worker=False) as opened:
        yield opened


async def plan(application: Application, path: Path, *tools: str) -> Planned:
    """Accept an analysis; its keys name the parameters that its rows name."""
    planned = await plans_of_tests.plan(application, path, *tools)
    async with application.database.reading() as session:
        for tool, key in planned.keys.items():
            digest = await session.scalar(
                select(ToolRunRow.parameters_digest).where(ToolRunRow.tool_run_id == key.tool_run_id)
            )
            planned.keys[tool] = replace(key, parameters_digest=digest or "")
    return planned


async def record(planned: Planned, *findings: ToolFinding) -> None:
    await planned.record("bandit", make_report(*findings))


async def end(planned: Planned) -> AnalysisState:
    await start(planned)
    return await finish(planned)


async def start(planned: Planned) -> None:
    async with planned.application.database.transaction() as session:
        await session.execute(
            text("UPDATE analyses SET state = 'running', started_at = now() WHERE analysis_id = :id"),
            {"id": planned.keys["bandit"].analysis_id},
        )


async def finish(planned: Planned) -> AnalysisState:
    return await finish_analysis(
        planned.application.analysis, planned.project_id, planned.keys["bandit"].analysis_id
    )


async def states(planned: Planned) -> dict[str, FindingState]:
    return {finding.rule_id: finding.state for finding in await planned.findings()}


async def test_older_analysis_that_ends_later_does_not_open_what_a_newer_one_found_fixed(
    idle: Application, subject: Path
) -> None:
    first = await plan(idle, subject, "bandit")
    await record(first, SHELL)
    await end(first)
    older, newer = await plan(idle, subject, "bandit"), await plan(idle, subject, "bandit")
    await record(newer)
    await end(newer)
    await record(older, SHELL)
    await end(older)

    assert await states(older) == {"B602": FindingState.fixed}
    async with idle.database.reading() as session:
        events = await list_finding_events(session, (await older.findings())[0].finding_id)
    assert [event.state.value for event in events] == ["fixed", "open"]


async def test_finding_that_only_an_older_analysis_saw_is_fixed_by_the_newer_one_that_had_ended(
    idle: Application, subject: Path
) -> None:
    older, newer = await plan(idle, subject, "bandit"), await plan(idle, subject, "bandit")
    await record(newer, HASH)
    await end(newer)
    await record(older, SHELL, HASH)
    await end(older)

    assert await states(older) == {"B602": FindingState.fixed, "B324": FindingState.open}
    last = {finding.rule_id: finding.last_analysis_id for finding in await older.findings()}
    assert last["B324"] == newer.keys["bandit"].analysis_id


@pytest.mark.parametrize(
    ("outcome", "coverage"),
    [
        (Outcome.not_applicable, Coverage("dependency", 0, 3)),
        (
            Outcome.succeeded,
            Coverage("dependency", 1, 1, holes=(CoverageHole("Flask_Login>=1", "skipped", "not pinned"),)),
        ),
        (
            Outcome.succeeded,
            Coverage("dependency", 1, 0, 1, holes=(CoverageHole("main.py:3 x", "unreadable", "bad line"),)),
        ),
        (Outcome.succeeded, Coverage("file", 1, 2, holes=(CoverageHole("other.py", "skipped", "cut"),))),
        (Outcome.succeeded, Coverage("file", 1, 0, 1, holes=(CoverageHole("main.py", "unreadable", "bad"),))),
    ],
    ids=["nothing judged", "dependency skipped", "line unreadable", "holes without names", "file unreadable"],
)
async def test_what_a_run_left_out_is_not_fixed_by_it(
    idle: Application, subject: Path, outcome: Outcome, coverage: Coverage
) -> None:
    first = await plan(idle, subject, "bandit")
    await record(first, replace(SHELL, identity=("flask-login", "CVE-1")))
    await end(first)
    second = await plan(idle, subject, "bandit")
    await _record_result(
        second, replace(make_result(make_report()), outcome=outcome, coverage=coverage, did_run=True)
    )
    await end(second)

    assert await states(second) == {"B602": FindingState.open}


async def test_other_dependency_that_was_left_out_keeps_nothing_open(
    idle: Application, subject: Path
) -> None:
    first = await plan(idle, subject, "bandit")
    await record(first, replace(SHELL, identity=("flask", "CVE-1")))
    await end(first)
    second = await plan(idle, subject, "bandit")
    hole = CoverageHole("flask-login>=1", "skipped", "not pinned")
    coverage = Coverage("dependency", 1, 1, holes=(hole,))
    await _record_result(second, replace(make_result(make_report()), coverage=coverage))
    await end(second)

    assert await states(second) == {"B602": FindingState.fixed}


async def test_two_that_finish_one_analysis_at_once_leave_the_files_of_its_manifest(
    idle: Application, subject: Path
) -> None:
    planned = await plan(idle, subject, "bandit")
    await record(planned, SHELL)
    await start(planned)
    await asyncio.gather(*(finish(planned) for _ in range(6)))

    found = [
        problem async for problem in check_analyses(idle.analysis) if isinstance(problem, IntegrityProblem)
    ]
    assert found == []


async def test_ends_and_records_of_one_subject_at_once_do_not_block_each_other(
    idle: Application, subject: Path
) -> None:
    many = [replace(SHELL, message=f"m{number}", rule_id=f"B{number}") for number in range(300)]
    plans = [await plan(idle, subject, "bandit") for _ in range(4)]
    for planned in plans[:2]:
        await record(planned, *many)
    await asyncio.gather(
        *(end(planned) for planned in plans[:2]),
        *(record(planned, *reversed(many[index:])) for index, planned in enumerate(plans[2:])),
    )

    assert {finding.state for finding in await plans[0].findings()} == {FindingState.open}


async def test_cancelling_an_analysis_that_ends_by_itself_has_one_outcome(
    idle: Application, subject: Path
) -> None:
    planned = await plan(idle, subject, "bandit")
    await record(planned, SHELL)
    results = await asyncio.gather(
        end(planned),
        cancel_analysis(idle.analysis, idle.engine, planned.project_id, planned.keys["bandit"].analysis_id),
        return_exceptions=True,
    )

    assert [one for one in results if isinstance(one, BaseException) and not hasattr(one, "code")] == []
    found = [
        problem async for problem in check_analyses(idle.analysis) if isinstance(problem, IntegrityProblem)
    ]
    assert found == []


async def test_same_key_is_answered_after_the_folder_has_gone(idle: Application, subject: Path) -> None:
    planned = await plan(idle, subject, "bandit")
    request = AnalysisRequest(path=str(subject), tools=("bandit",), idempotency_key="once")
    first = await create_analysis(idle.analysis, idle.engine, planned.project_id, request)
    shutil.rmtree(subject)
    second = await create_analysis(idle.analysis, idle.engine, planned.project_id, request)

    assert second.analysis_id == first.analysis_id


async def test_tool_whose_job_is_cancelled_leaves_the_results_of_the_others(
    database_settings: Settings, subject: Path
) -> None:
    async with open_application(database_settings, is_worker=True) as application:
        planned = await plan(application, subject, "vulture", "pylint")
        analysis_id = planned.keys["vulture"].analysis_id
        child_id = await _find_child(application, planned.project_id, "pylint")
        await application.engine.cancel(child_id)
        ended = await _wait(application, planned.project_id, analysis_id)
        async with application.database.reading() as session:
            runs = {run.tool: run.outcome for run in await list_tool_runs(session, analysis_id)}

    assert ended is AnalysisState.partially_completed
    assert runs == {"vulture": Outcome.succeeded, "pylint": Outcome.cancelled}


async def test_copy_of_every_waiting_analysis_outlives_the_sweep(idle: Application, subject: Path) -> None:
    planned = await plan(idle, subject, "bandit")
    (copy,) = idle.settings.snapshots_dir.iterdir()
    os.utime(copy, (0, 0))
    await _add_waiting(idle, planned.keys["bandit"].analysis_id, 1_100)
    await sweep_analyses(idle.analysis, idle.apps)

    assert copy.is_dir()


async def test_analysis_whose_job_failed_without_it_is_ended_by_the_sweep(
    idle: Application, subject: Path
) -> None:
    planned = await plan(idle, subject, "bandit")
    analysis_id = planned.keys["bandit"].analysis_id
    async with idle.database.transaction() as session:
        await session.execute(
            text("UPDATE jobs SET state = 'failed', finished_at = now(), error_json = '{}'")
        )
    await sweep_analyses(idle.analysis, idle.apps)

    async with idle.database.reading() as session:
        ended = await get_analysis(session, planned.project_id, analysis_id)
    assert ended.state is AnalysisState.failed


async def _record_result(planned: Planned, result: ToolRunResult) -> None:
    async with planned.application.database.transaction() as session:
        assert await record_tool_run(session, planned.keys["bandit"], result)


async def _add_waiting(application: Application, like: UUID, count: int) -> None:
    """Add analyses with sources of their own; they come before ``like`` in the table."""
    async with application.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO analyses (analysis_id, project_id, subject_id, state, reason, profile, parameters_json,"
                " is_cache_allowed, source_digest, listing_sha256, files_count, excluded_count, request_digest)"
                " SELECT gen_random_uuid(), project_id, subject_id, 'queued', '', profile, parameters_json,"
                " is_cache_allowed, 'other' || number, listing_sha256, files_count, excluded_count, request_digest"
                " FROM analyses, generate_series(1, :count) AS number WHERE analysis_id = :like"
            ),
            {"like": like, "count": count},
        )
        await session.execute(
            text("UPDATE analyses SET reason = ' ' WHERE analysis_id = :like"), {"like": like}
        )


async def _find_child(application: Application, project_id: UUID, title: str) -> UUID:
    async with asyncio.timeout(60):
        while True:
            async with application.database.reading() as session:
                for job in (await list_jobs(session, project_id=project_id)).items:
                    if job.title == title:
                        return job.job_id
            await asyncio.sleep(0.02)


async def _wait(application: Application, project_id: UUID, analysis_id: UUID) -> AnalysisState:
    async with asyncio.timeout(120):
        while True:
            async with application.database.reading() as session:
                analysis = await get_analysis(session, project_id, analysis_id)
            if analysis.state.is_final:
                return analysis.state
            await asyncio.sleep(0.05)
