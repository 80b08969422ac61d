"""The job that waits for a remote service: done, given back, given up, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text, update
from tests.analysis.analyzers.relay import open_relay
from tests.analysis.analyzers.site import (
    SMALL,
    Kitchen,
    Site,
    find_odd,
    open_analyzer,
    open_job_application,
    open_site,
)

from referee.analysis import AnalysisRequest, create_analysis
from referee.analysis.analyzers.protocol import AnalyzerLimits
from referee.analysis.analyzers.tables import AnalyzerRequestRow
from referee.analysis.tables import ServiceFailureRow
from referee.app import Application
from referee.foundation.jobs import Job
from referee.foundation.settings import Settings

LIMITS = AnalyzerLimits(
    heartbeat_s=0.1,
    ttl_s=1.0,
    patience_s=1.0,
    attempts_count=2,
    look_s=0.05,
    chunk_bytes=SMALL.chunk_bytes,
    window_bytes=SMALL.window_bytes,
    commit_bytes=SMALL.commit_bytes,
)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    async with open_job_application(database_settings, LIMITS) as opened:
        yield opened


@pytest.fixture
async def site(application: Application) -> AsyncIterator[Site]:
    async with open_site(application, LIMITS) as opened:
        yield opened


async def start(site: Site, project_id: UUID, subject: Path, *tools: str) -> tuple[UUID, UUID]:
    """Accept an analysis; its id and its job's."""
    request = AnalysisRequest(path=str(subject), tools=tools, traceparent=TRACEPARENT)
    application = site.application
    analysis = await create_analysis(application.analysis, application.engine, project_id, request)
    assert analysis.job_id is not None
    return analysis.analysis_id, analysis.job_id


async def finish(site: Site, job_id: UUID) -> Job:
    return await site.application.engine.wait(job_id, 40)


async def list_failures(site: Site) -> list[str]:
    async with site.application.database.reading() as session:
        return list(await session.scalars(select(ServiceFailureRow.reason)))


async def get_state(site: Site, analysis_id: UUID) -> str:
    async with site.application.database.reading() as session:
        statement = select(AnalyzerRequestRow.state).where(AnalyzerRequestRow.analysis_id == analysis_id)
        return (await session.execute(statement)).scalar_one()


async def test_job_ends_with_the_outcome_of_every_tool(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    kitchen = Kitchen()
    async with open_analyzer(site.port, tmp_path / "spool", kitchen.execute):
        analysis_id, job_id = await start(site, project_id, subject, "vulture", "bandit")
        job = await finish(site, job_id)
    assert job.result == {"outcomes": {"bandit": "parse_error", "vulture": "succeeded"}}
    assert await get_state(site, analysis_id) == "completed"
    assert kitchen.requests[0].traceparent == TRACEPARENT
    assert await list_failures(site) == []


async def test_request_of_an_analyzer_that_falls_silent_goes_to_another(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    silent, other = Kitchen(gate=asyncio.Event()), Kitchen(size_bytes=5_000)
    async with (
        open_relay(site.port) as relay,
        open_analyzer(relay.own_port, tmp_path / "one", silent.execute),
    ):
        analysis_id, job_id = await start(site, project_id, subject, "vulture", "bandit")
        async with asyncio.timeout(20):
            while not any(run.outcome for run in await site.list_runs(analysis_id)):
                await asyncio.sleep(0.02)
        relay.is_refusing = True
        relay.break_all()
        async with open_analyzer(site.port, tmp_path / "two", other.execute):
            await finish(site, job_id)
        relay.is_refusing = False
    assert len(other.executed) == 1
    assert await site.count_accepted(analysis_id) == {"vulture": 1, "bandit": 1}
    assert await get_state(site, analysis_id) == "completed"


async def test_service_that_nobody_offers_fails_with_the_reason_and_the_breaker_hears_of_it(
    site: Site, project_id: UUID, subject: Path
) -> None:
    analysis_id, job_id = await start(site, project_id, subject, "bandit")
    job = await finish(site, job_id)
    assert job.result == {"outcomes": {"bandit": "failed"}}
    (run,) = await site.list_runs(analysis_id)
    assert run.reason.startswith("The remote static service: No analyzer that offers the static service")
    assert await get_state(site, analysis_id) == "failed"
    assert len(await list_failures(site)) == 1


async def test_request_that_analyzers_cannot_end_is_given_up(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    async def execute(request, report):  # type: ignore[no-untyped-def]  # of the type Execute
        raise ValueError("broken")
        yield  # type: ignore[unreachable]  # makes it a generator

    async with open_analyzer(site.port, tmp_path / "spool", execute):
        analysis_id, job_id = await start(site, project_id, subject, "bandit")
        await finish(site, job_id)
    (run,) = await site.list_runs(analysis_id)
    assert run.outcome == "failed"
    assert "given to an analyzer 2 times without an end" in run.reason
    assert "ValueError" in run.reason


async def test_request_past_its_deadline_is_given_up(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    stuck = Kitchen(gate=asyncio.Event())
    async with open_analyzer(site.port, tmp_path / "spool", stuck.execute):
        analysis_id, job_id = await start(site, project_id, subject, "vulture", "bandit")
        async with asyncio.timeout(20):  # until the first result is committed, not only executed
            while not any(run.outcome for run in await site.list_runs(analysis_id)):
                await asyncio.sleep(0.02)
        async with site.application.database.transaction() as session:
            await session.execute(
                update(AnalyzerRequestRow).values(deadline_at=text("clock_timestamp() - interval '1 second'"))
            )
        await finish(site, job_id)
    outcomes = sorted(str(run.outcome) for run in await site.list_runs(analysis_id))
    assert outcomes.count("failed") == 1


async def test_cancelled_job_ends_its_request_and_its_tool_runs(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    stuck = Kitchen(gate=asyncio.Event())
    async with open_analyzer(site.port, tmp_path / "spool", stuck.execute) as analyzer:
        analysis_id, job_id = await start(site, project_id, subject, "vulture", "bandit")
        async with asyncio.timeout(20):
            while not stuck.executed:
                await asyncio.sleep(0.02)
        await site.application.engine.cancel(job_id)
        runs = await site.wait_for_outcomes(analysis_id)
        async with asyncio.timeout(20):
            while analyzer.working_count:
                await asyncio.sleep(0.02)
    assert "cancelled" in {run.outcome for run in runs.values()}
    assert await get_state(site, analysis_id) == "cancelled"
    assert find_odd({tool: run for tool, run in runs.items() if run.outcome != "cancelled"}, 200) == []
