"""From a folder to kept results: states, ledger, cache, findings' life, files."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.analysis.conftest import Analyse

from referee.analysis import (
    AnalysisRequest,
    cancel_analysis,
    create_analysis,
    dismiss_finding,
    reopen_finding,
    retry_analysis,
)
from referee.analysis.finding_queries import (
    FINDING_FIELDS,
    list_finding_events,
    list_findings,
    list_occurrences,
)
from referee.analysis.result_files import validate_result
from referee.analysis.views import Finding, Occurrence
from referee.app import Application
from referee.core.errors import Conflict, InvalidInput, RefereeError
from referee.core.vocabulary import AnalysisState, FindingState, Outcome
from referee.foundation.web.filters import parse_filter


async def test_completed_analysis_has_every_requested_tool_with_a_result(
    analyse: Analyse, subject: Path
) -> None:
    analysis, runs = await analyse(subject, "bandit", "vulture", "jshint")

    assert analysis.state is AnalysisState.completed
    assert {tool: run.outcome for tool, run in runs.items()} == {
        "bandit": Outcome.succeeded,
        "vulture": Outcome.succeeded,
        "jshint": Outcome.not_applicable,
    }
    assert runs["jshint"].findings_count is None
    assert runs["jshint"].did_run is False
    assert analysis.severities.total == (runs["bandit"].findings_count or 0) + (
        runs["vulture"].findings_count or 0
    )


async def test_result_files_match_their_schema_and_the_rows(
    analyse: Analyse, subject: Path, application: Application
) -> None:
    analysis, runs = await analyse(subject, "bandit", "vulture")

    assert analysis.results_path is not None
    folder = application.settings.results_dir / analysis.results_path
    manifest = json.loads((folder / "manifest.json").read_text())
    primary = json.loads((folder / manifest["primary_result"]).read_text())
    validate_result(primary)
    assert primary["results"]["summary"]["total_findings"] == analysis.severities.total
    assert primary["results"]["summary"]["findings_by_tool"] == {
        tool: run.findings_count for tool, run in runs.items()
    }
    assert sorted(path.name for path in (folder / "sarif").iterdir()) == [
        "static_bandit.sarif.json",
        "static_vulture.sarif.json",
    ]
    assert manifest["task_id"] == f"task_{analysis.analysis_id.hex}"


async def test_unchanged_subject_is_answered_from_the_cache(analyse: Analyse, subject: Path) -> None:
    first, first_runs = await analyse(subject, "bandit", "vulture")
    again, runs = await analyse(subject, "bandit", "vulture")

    assert again.state is AnalysisState.completed
    assert again.severities == first.severities
    assert runs["bandit"].cached_from_tool_run_id == first_runs["bandit"].tool_run_id
    assert runs["bandit"].findings_digest == first_runs["bandit"].findings_digest


async def test_changed_parameters_are_not_answered_from_the_cache(analyse: Analyse, subject: Path) -> None:
    await analyse(subject, "bandit")
    _, runs = await analyse(subject, "bandit", parameters={"bandit": {"severity_level": "high"}})

    assert runs["bandit"].cached_from_tool_run_id is None


async def test_finding_keeps_its_identity_when_code_moves(
    analyse: Analyse, subject: Path, application: Application, project_id: UUID
) -> None:
    await analyse(subject, "bandit")
    before = {finding.fingerprint for finding in await _findings(application, project_id)}
    (subject / "main.py").write_text("# moved\n\n" + (subject / "main.py").read_text())
    await analyse(subject, "bandit")

    after = await _findings(application, project_id)
    assert {finding.fingerprint for finding in after} == before
    assert {finding.state for finding in after} == {FindingState.open}


async def test_finding_that_is_gone_is_fixed_and_reopens_when_it_comes_back(
    analyse: Analyse, subject: Path, application: Application, project_id: UUID
) -> None:
    flawed = (subject / "main.py").read_text()
    await analyse(subject, "bandit")
    (subject / "main.py").write_text(flawed.replace("hashlib.md5", "hashlib.sha256"))
    await analyse(subject, "bandit")
    fixed = await _findings(application, project_id, "is:fixed")
    (subject / "main.py").write_text(flawed)
    await analyse(subject, "bandit")

    assert [finding.rule_id for finding in fixed] == ["B324"]
    assert await _findings(application, project_id, "is:fixed") == []
    async with application.database.reading() as session:
        events = await list_finding_events(session, fixed[0].finding_id)
    assert [event.state.value for event in events] == ["open", "fixed", "open"]


async def test_finding_is_not_fixed_by_a_run_with_other_parameters(
    analyse: Analyse, subject: Path, application: Application, project_id: UUID
) -> None:
    await analyse(subject, "bandit")
    before = len(await _findings(application, project_id, "is:open"))
    await analyse(subject, "bandit", parameters={"bandit": {"severity_level": "high"}})

    assert len(await _findings(application, project_id, "is:open")) == before


async def test_dismissed_finding_stays_dismissed_when_it_is_seen_again(
    analyse: Analyse, subject: Path, application: Application, project_id: UUID
) -> None:
    await analyse(subject, "bandit")
    finding = (await _findings(application, project_id))[0]
    await dismiss_finding(
        application.analysis, project_id, finding.finding_id, reason="test data", actor="somebody"
    )
    await analyse(subject, "bandit", is_cache_allowed=False)

    assert [one.finding_id for one in await _findings(application, project_id, "is:dismissed")] == [
        finding.finding_id
    ]
    reopened = await reopen_finding(application.analysis, project_id, finding.finding_id, actor="somebody")
    assert reopened.state is FindingState.open


async def test_dismissal_without_a_reason_is_refused(
    analyse: Analyse, subject: Path, application: Application, project_id: UUID
) -> None:
    await analyse(subject, "bandit")
    finding = (await _findings(application, project_id))[0]

    with pytest.raises(InvalidInput):
        await dismiss_finding(application.analysis, project_id, finding.finding_id, reason=" ", actor="x")


async def test_same_idempotency_key_returns_the_same_analysis(
    application: Application, project_id: UUID, subject: Path
) -> None:
    request = AnalysisRequest(path=str(subject), tools=("bandit",), idempotency_key="once")
    first = await create_analysis(application.analysis, application.engine, project_id, request)
    second = await create_analysis(application.analysis, application.engine, project_id, request)

    assert second.analysis_id == first.analysis_id


async def test_idempotency_key_of_another_request_is_refused(
    application: Application, project_id: UUID, subject: Path
) -> None:
    first = AnalysisRequest(path=str(subject), tools=("bandit",), idempotency_key="once")
    other = AnalysisRequest(path=str(subject), tools=("vulture",), idempotency_key="once")
    await create_analysis(application.analysis, application.engine, project_id, first)

    with pytest.raises(Conflict):
        await create_analysis(application.analysis, application.engine, project_id, other)


async def test_cancelled_analysis_says_so_and_keeps_what_ended(
    application: Application, project_id: UUID, subject: Path
) -> None:
    request = AnalysisRequest(path=str(subject), tools=("pylint", "mypy", "bandit"))
    accepted = await create_analysis(application.analysis, application.engine, project_id, request)
    cancelled = await cancel_analysis(
        application.analysis, application.engine, project_id, accepted.analysis_id
    )

    assert cancelled.state is AnalysisState.cancelled
    assert cancelled.ended_count == 3
    with pytest.raises(Conflict):
        await cancel_analysis(application.analysis, application.engine, project_id, accepted.analysis_id)


async def test_retry_asks_only_the_tools_that_are_missing(
    analyse: Analyse, application: Application, project_id: UUID, subject: Path
) -> None:
    first, _ = await analyse(subject, "bandit", "vulture")
    again = await retry_analysis(application.analysis, application.engine, project_id, first.analysis_id)

    assert again.job_id is not None
    assert again.subject == first.subject
    job = await application.engine.wait(again.job_id, 60)
    assert job.state == "succeeded"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE analyses SET state = 'completed', finished_at = now()",
        "UPDATE analyses SET state = 'partially_completed'",
    ],
)
async def test_database_refuses_an_end_without_a_manifest(
    application: Application, project_id: UUID, subject: Path, statement: str
) -> None:
    async with application.database.transaction() as session:
        await session.execute(text("UPDATE jobs SET state = state"))
    request = AnalysisRequest(path=str(subject), tools=("pylint",))
    await create_analysis(application.analysis, application.engine, project_id, request)

    with pytest.raises((DBAPIError, RefereeError)):
        async with application.database.transaction() as session:
            await session.execute(text(statement))


async def test_occurrences_are_paged_without_gaps_or_repeats(
    analyse: Analyse, subject: Path, application: Application
) -> None:
    analysis, _ = await analyse(subject, "bandit", "vulture")
    seen: list[Occurrence] = []
    async with application.database.reading() as session:
        page = await list_occurrences(session, analysis.analysis_id, limit=2)
        seen.extend(page.items)
        while page.next_cursor is not None:
            page = await list_occurrences(session, analysis.analysis_id, limit=2, cursor=page.next_cursor)
            seen.extend(page.items)

    keys = [(occurrence.tool, occurrence.ordinal) for occurrence in seen]
    assert len(keys) == len(set(keys)) == page.total_count
    ranks = [occurrence.severity.rank for occurrence in seen]
    assert ranks == sorted(ranks, reverse=True)


async def _findings(application: Application, project_id: UUID, words: str = "") -> list[Finding]:
    async with application.database.reading() as session:
        page = await list_findings(session, project_id, where=parse_filter(words, FINDING_FIELDS), limit=1000)
    return list(page.items)
