"""A tool run's result goes into the database whole, once, whatever its text and however many findings it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from tests.analysis.planned import Planned, plan
from tests.analysis.reports import make_finding, make_report, make_result, reports

from referee.analysis import set_finding_link
from referee.analysis.finding_queries import list_cluster, list_occurrences
from referee.analysis.queries import list_tool_runs
from referee.analysis.recording import load_occurrence_rows, record_tool_run
from referee.analysis.results import digest_occurrences
from referee.analysis.storable import make_storable
from referee.analysis.tables import (
    FindingEventRow,
    FindingRow,
    OccurrenceRow,
    ToolRunAttemptRow,
    ToolRunRow,
)
from referee.app import Application, open_application
from referee.core.errors import InvalidInput
from referee.core.findings import ToolReport
from referee.foundation.settings import Settings


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    """An application without a worker: what is planned stays planned."""
    async with open_application(database_settings, is_worker=False) as opened:
        yield opened


@pytest.fixture
async def planned(application: Application, subject: Path) -> Planned:
    """An analysis of bandit and semgrep, before either has a result."""
    return await plan(application, subject, "bandit", "semgrep")


async def count(session: AsyncSession, table: type[OccurrenceRow | FindingRow | FindingEventRow]) -> int:
    return (await session.scalar(select(func.count()).select_from(table))) or 0


async def test_of_two_results_for_one_tool_run_exactly_one_is_accepted(planned: Planned) -> None:
    key = planned.keys["bandit"]
    async with planned.application.database.transaction() as session:
        for attempt in (1, 2):
            session.add(
                ToolRunAttemptRow(
                    tool_run_id=key.tool_run_id, attempt=attempt, executor_id=f"worker {attempt}"
                )
            )
    one = make_report(make_finding())
    other = make_report(make_finding(rule_id="B105"), make_finding(rule_id="B105", line=8))

    accepted = await asyncio.gather(
        planned.record("bandit", one, attempt=1), planned.record("bandit", other, attempt=2)
    )

    assert sorted(accepted) == [False, True]
    winner = (one, other)[accepted.index(True)]
    async with planned.application.database.reading() as session:
        page = await list_occurrences(session, key.analysis_id)
        attempts = await session.execute(
            select(ToolRunAttemptRow.attempt, ToolRunAttemptRow.is_accepted).order_by(
                ToolRunAttemptRow.attempt
            )
        )
        assert [tuple(row) for row in attempts] == [(1, accepted[0]), (2, accepted[1])]
        assert await count(session, FindingRow) == len(winner.findings)
        assert await count(session, FindingEventRow) == len(winner.findings)
    assert [occurrence.rule_id for occurrence in page.items] == [one.rule_id for one in winner.findings]


async def test_five_thousand_findings_are_stored_each_once_and_in_order(planned: Planned) -> None:
    report = make_report(*(make_finding(line=line, message=f"Line {line}.") for line in range(1, 5_001)))

    assert await planned.record("bandit", report)

    key = planned.keys["bandit"]
    async with planned.application.database.reading() as session:
        rows = await session.execute(
            select(OccurrenceRow.ordinal, OccurrenceRow.start_line)
            .where(OccurrenceRow.tool_run_id == key.tool_run_id)
            .order_by(OccurrenceRow.ordinal)
        )
        assert [tuple(row) for row in rows] == [(number, number + 1) for number in range(5_000)]
        assert await count(session, FindingRow) == 5_000
        run = next(one for one in await list_tool_runs(session, key.analysis_id) if one.tool == "bandit")
        assert run.findings_count == 5_000
        assert run.findings_digest == digest_occurrences(await load_occurrence_rows(session, key.tool_run_id))


class Rollback(Exception):
    """Ends a transaction that a test does not want to keep."""


@asynccontextmanager
async def discarded(application: Application) -> AsyncIterator[AsyncSession]:
    """Give a transaction of which nothing stays."""
    try:
        async with application.database.transaction() as session:
            yield session
            raise Rollback
    except Rollback:
        pass


@settings(deadline=None, max_examples=50)
@given(reports)
def test_no_two_findings_of_a_report_have_the_same_fingerprint(report: ToolReport) -> None:
    fingerprints = {occurrence.fingerprint for occurrence in make_result(report).occurrences}
    assert len(fingerprints) == len(report.findings)


def test_any_report_is_stored_whole(database_settings: Settings, subject: Path) -> None:
    with asyncio.Runner() as runner:
        opening = open_application(database_settings, is_worker=False)
        application = runner.run(opening.__aenter__())
        planned = runner.run(plan(application, subject, "bandit"))

        async def store(report: ToolReport) -> None:
            async with discarded(application) as session:
                assert await record_tool_run(session, planned.keys["bandit"], make_result(report))
                assert await count(session, OccurrenceRow) == len(report.findings)
                assert await count(session, FindingRow) == len(report.findings)

        @settings(deadline=None, max_examples=25)
        @given(reports)
        def check(report: ToolReport) -> None:
            runner.run(store(report))

        try:
            check()
        finally:
            runner.run(opening.__aexit__(None, None, None))


ODD_TEXTS = (
    "a NUL before\0after",
    "half a surrogate pair before\ud800after",
    "right to left \u202e\u05e9\u05dc\u05d5\u05dd\u202c \u0645\u0631\u062d\u0628\u0627",
    "x" * 100_000,
    "control characters " + "".join(map(chr, range(1, 32))),
    "markup </td><script>alert(1)</script>' OR 1=1 --",
    "the copy format a\tb\\N\n\\.\nc",
    "astral \U0001f512\U000e0041",
)


async def test_text_is_stored_as_it_is_but_for_what_no_database_keeps(planned: Planned) -> None:
    report = make_report(
        *(
            replace(
                make_finding(rule_id=text, message=text, path=f"{text[:50]}.py"),
                tool_severity=text,
                identity=(text,),
                properties={"text": text},
                help_url=text,
                suppression=text,
            )
            for text in ODD_TEXTS
        )
    )

    assert await planned.record("bandit", make_storable(report))

    async with planned.application.database.reading() as session:
        page = await list_occurrences(session, planned.keys["bandit"].analysis_id)
    kept = [
        text.replace("\0", "\N{REPLACEMENT CHARACTER}").replace("\ud800", "\N{REPLACEMENT CHARACTER}")
        for text in ODD_TEXTS
    ]
    assert [
        (
            stored.rule_id,
            stored.message,
            stored.tool_severity,
            stored.identity,
            stored.properties,
            stored.help_url,
            stored.suppression,
            stored.path,
        )
        for stored in sorted(page.items, key=lambda stored: stored.ordinal)
    ] == [(text, text, text, (text,), {"text": text}, text, text, f"{text[:50]}.py") for text in kept]


async def test_result_that_cannot_be_stored_leaves_nothing_behind(planned: Planned) -> None:
    report = make_report(make_finding(), make_finding(message="a\0b"))

    with pytest.raises(InvalidInput):
        await planned.record("bandit", report)

    async with planned.application.database.reading() as session:
        assert await count(session, FindingRow) == 0
        run = await session.get(ToolRunRow, planned.keys["bandit"].tool_run_id)
        assert run is not None
        assert run.outcome is None
    assert await planned.record("bandit", make_storable(report))


async def test_findings_of_two_tools_about_one_problem_are_linked(planned: Planned) -> None:
    await planned.record("bandit", make_report(make_finding(cwe_ids=(78,))))
    await planned.record("semgrep", make_report(make_finding(rule_id="exec", cwe_ids=(95,))))

    one, other = await planned.findings()
    assert one.cluster_id == other.cluster_id is not None
    async with planned.application.database.reading() as session:
        assert [found.finding_id for found in await list_cluster(session, one)] == [other.finding_id]


@pytest.mark.parametrize(
    ("line", "cwe_ids"),
    [(8, (95,)), (7, (89,)), (7, ())],
    ids=["another line", "another family", "no cwe"],
)
async def test_findings_about_different_problems_are_not_linked(
    planned: Planned, line: int, cwe_ids: tuple[int, ...]
) -> None:
    await planned.record("bandit", make_report(make_finding(cwe_ids=(78,))))
    await planned.record("semgrep", make_report(make_finding(rule_id="other", line=line, cwe_ids=cwe_ids)))

    one, other = await planned.findings()
    assert one.cluster_id != other.cluster_id


async def test_finding_that_was_unlinked_stays_alone_until_it_is_linked_again(
    planned: Planned, application: Application, subject: Path
) -> None:
    bandit, semgrep = make_report(make_finding()), make_report(make_finding(rule_id="exec"))
    await planned.record("bandit", bandit)
    await planned.record("semgrep", semgrep)
    taken_out = next(found for found in await planned.findings() if found.rule_id == "exec")

    for is_linked, shared in ((False, 2), (True, 1)):
        await set_finding_link(
            application.analysis,
            planned.project_id,
            taken_out.finding_id,
            is_linked=is_linked,
            actor="somebody",
        )
        again = await plan(application, subject, "bandit", "semgrep")
        await again.record("bandit", bandit)
        await again.record("semgrep", semgrep)
        assert len({found.cluster_id for found in await again.findings()}) == shared


async def test_dismissal_and_first_sight_survive_a_later_report(
    planned: Planned, application: Application, subject: Path
) -> None:
    await planned.record("bandit", make_report(make_finding(message="Old words.")))
    (first,) = await planned.findings()
    async with application.database.transaction() as session:
        await session.execute(update(FindingRow).values(state="dismissed", state_reason="It is a test."))
    again = await plan(application, subject, "bandit")
    await again.record("bandit", make_report(make_finding(message="New words.", line=70)))

    (later,) = await again.findings()
    assert (later.finding_id, later.state, later.state_reason) == (
        first.finding_id,
        "dismissed",
        "It is a test.",
    )
    assert (later.message, later.start_line) == ("New words.", 70)
    assert (later.first_analysis_id, later.last_analysis_id) == (
        first.first_analysis_id,
        again.keys["bandit"].analysis_id,
    )
