"""The lane: tools meet the running app one after another, or say why they could not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.analysis.conftest import Analyse
from tests.apps.conftest import end_hosts, list_processes
from tests.apps.running_samples import snapshot_folder
from tests.faults.marked_apps import MarkedApp, read_accesses, write_marked_app

from referee.analysis import AnalysisRequest, cancel_analysis, create_analysis
from referee.analysis.breakers import BreakerState, list_breakers, record_service_failure
from referee.analysis.queries import list_tool_runs
from referee.analysis.recording import ToolRunKey
from referee.analysis.running import ToolOutput, Workpiece
from referee.analysis.settling import judge_output
from referee.app import Application, open_application
from referee.apps import AppRun, AppRunState, hold_app
from referee.apps.running import read_app_source
from referee.apps.runs import list_app_runs, list_leases
from referee.core.errors import Unavailable
from referee.core.ids import new_id
from referee.core.vocabulary import AnalysisState, Outcome, Service
from referee.foundation.settings import Settings
from referee.tools.contract import RawOutput, ToolPlan
from referee.tools.registry import get_tool

pytestmark = pytest.mark.apt

CRASH = "import sys\nprint('it needs', 'a key', flush=True)\nsys.exit(3)\n"


@pytest.fixture
async def application(
    database_settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[Application]:
    """An application with two places at running apps; no app outlives the test."""
    changes: Mapping[str, object] = getattr(request, "param", {})
    settings = database_settings.model_copy(
        update={
            "app_linger_s": 0.2,
            "app_lease_ttl_s": 5.0,
            "app_start_timeout_s": 30.0,
            "worker_app_slots_count": 2,
            "breaker_failures_count": 2,
            **changes,
        }
    )
    async with open_application(settings, is_worker=True) as opened:
        yield opened
        await asyncio.to_thread(end_hosts, settings)


@pytest.fixture
def app(tmp_path: Path) -> MarkedApp:
    """An app that answers at once."""
    return write_marked_app(tmp_path, random.Random(1))


@pytest.fixture
def slow_app(tmp_path: Path) -> MarkedApp:
    """An app that takes its time for each answer."""
    return write_marked_app(tmp_path, random.Random(2), delay_s=0.3)


async def list_runs_of_apps(application: Application, project_id: UUID) -> tuple[AppRun, ...]:
    """Return all runs of apps."""
    async with application.database.reading() as session:
        return tuple((await list_app_runs(session, project_id)).items)


async def wait_for_stop(application: Application, project_id: UUID) -> tuple[AppRun, ...]:
    """Return all runs of apps once none is up."""
    async with asyncio.timeout(60):
        while True:
            found = await list_runs_of_apps(application, project_id)
            if found and all(run.state.is_final for run in found):
                return found
            await asyncio.sleep(0.05)


async def fail_service(application: Application, service: Service) -> None:
    """Let a service fail until its breaker opens."""
    for _ in range(application.settings.breaker_failures_count):
        await record_service_failure(application.analysis, service, "No network could be made.")


async def test_tools_judge_the_app_while_it_runs_and_name_its_run(
    analyse: Analyse, application: Application, project_id: UUID, app: MarkedApp
) -> None:
    analysis, runs = await analyse(app.folder, "ab", "curl", profile="quick")

    (app_run,) = await wait_for_stop(application, project_id)
    assert analysis.state is AnalysisState.completed, {run.tool: run.reason for run in runs.values()}
    assert [run.app_run_id for run in runs.values()] == [app_run.app_run_id] * 2
    assert None not in [run.app_isolation for run in runs.values()]
    assert (app_run.state, app_run.failure) == (AppRunState.stopped, None)


@pytest.mark.slow
async def test_tool_of_a_running_app_is_never_answered_from_the_cache(
    analyse: Analyse, app: MarkedApp
) -> None:
    _, first = await analyse(app.folder, "vulture", "curl", profile="quick")
    _, second = await analyse(app.folder, "vulture", "curl", profile="quick")

    assert second["vulture"].cached_from_tool_run_id == first["vulture"].tool_run_id
    assert second["curl"].cached_from_tool_run_id is None
    assert (second["curl"].outcome, second["curl"].did_run) == (Outcome.succeeded, True)


async def test_subject_without_an_app_is_not_applicable(analyse: Analyse, subject: Path) -> None:
    analysis, runs = await analyse(subject, "curl")

    assert (analysis.state, runs["curl"].outcome) == (AnalysisState.completed, Outcome.not_applicable)
    assert runs["curl"].reason.startswith("Nothing in the subject can be started: no Flask,")
    assert (runs["curl"].did_run, runs["curl"].app_run_id) == (False, None)


async def test_app_that_crashes_on_start_is_unreachable_and_its_last_words_are_told(
    analyse: Analyse, application: Application, project_id: UUID, app: MarkedApp
) -> None:
    (app.folder / "main.py").write_text(CRASH)

    _, runs = await analyse(app.folder, "curl", "ab")

    assert {run.outcome for run in runs.values()} == {Outcome.target_unreachable}
    assert runs["curl"].reason == (
        "The app did not run (crashed): backend ended before it answered."
        " It ended with exit code 3. Its last words were: it needs a key"
    )
    # What fails to start once is not started again for the next tool.
    assert len(await list_runs_of_apps(application, project_id)) == 1


async def test_load_and_scan_of_two_analyses_take_turns_on_one_app(
    application: Application, project_id: UUID, app: MarkedApp
) -> None:
    source = await read_app_source(application.apps, project_id, str(app.folder))
    async with hold_app(application.apps, source, holder="test") as held:
        async with held.take_turn():
            analyses = [
                await create_analysis(
                    application.analysis,
                    application.engine,
                    project_id,
                    AnalysisRequest(path=str(app.folder), tools=(tool,), profile="quick"),
                )
                for tool in ("ab", "curl")
            ]
            async with asyncio.timeout(60):
                while await count_leases(application, held.run.app_run_id) < 3:
                    await asyncio.sleep(0.05)
        for analysis in analyses:
            await application.engine.wait(cast(UUID, analysis.job_id), 120)
    async with application.database.reading() as session:
        runs = [run for analysis in analyses for run in await list_tool_runs(session, analysis.analysis_id)]

    assert [(run.outcome, run.app_run_id) for run in runs] == [(Outcome.succeeded, held.run.app_run_id)] * 2
    first, second = sorted((run.started_at, run.finished_at) for run in runs)
    assert cast(datetime, first[1]) <= cast(datetime, second[0])


async def count_leases(application: Application, app_run_id: UUID) -> int:
    """Return how many hold an app now."""
    async with application.database.reading() as session:
        return len(await list_leases(session, app_run_id))


async def test_cancelled_analysis_gives_its_app_back(
    application: Application, project_id: UUID, slow_app: MarkedApp
) -> None:
    request = AnalysisRequest(path=str(slow_app.folder), tools=("curl", "ab"), profile="quick")
    accepted = await create_analysis(application.analysis, application.engine, project_id, request)
    await wait_for_request(application, project_id, "curl")

    cancelled = await cancel_analysis(
        application.analysis, application.engine, project_id, accepted.analysis_id
    )

    (app_run,) = await wait_for_stop(application, project_id)
    async with application.database.reading() as session:
        runs = await list_tool_runs(session, accepted.analysis_id)
    assert cancelled.state is AnalysisState.cancelled
    assert [run.outcome for run in runs] == [Outcome.cancelled] * 2
    assert (app_run.state, app_run.reason) == (AppRunState.stopped, "Nobody held it any more.")
    assert list_processes(f"REFEREE_APP_COMPONENT={app_run.app_run_id}") == []


async def wait_for_request(application: Application, project_id: UUID, agent: str) -> None:
    """Return when a tool has sent its first request to the app."""
    async with asyncio.timeout(60):
        while True:
            for run in await list_runs_of_apps(application, project_id):
                log = application.settings.app_runs_dir / run.app_run_id.hex / "logs" / "backend.stdout"
                if log.exists() and any(one.agent == agent for one in read_accesses(log.read_bytes())):
                    return
            await asyncio.sleep(0.05)


async def test_tools_of_a_failing_service_are_skipped_and_others_run(
    analyse: Analyse, application: Application, project_id: UUID, app: MarkedApp
) -> None:
    await fail_service(application, Service.dynamic)

    analysis, runs = await analyse(app.folder, "vulture", "curl")

    assert analysis.state is AnalysisState.partially_completed
    assert (runs["vulture"].outcome, runs["curl"].outcome) == (Outcome.succeeded, Outcome.skipped)
    assert runs["curl"].reason.startswith("The dynamic service gets no new work: it failed 2 times in ")
    assert (runs["curl"].did_run, await list_runs_of_apps(application, project_id)) == (False, ())


async def test_analysis_of_failing_services_alone_is_refused(
    application: Application, project_id: UUID, app: MarkedApp
) -> None:
    await fail_service(application, Service.dynamic)
    await fail_service(application, Service.performance)
    request = AnalysisRequest(path=str(app.folder), tools=("curl", "ab"))

    with pytest.raises(Unavailable) as refused:
        await create_analysis(application.analysis, application.engine, project_id, request)

    assert refused.value.code == "analysis.services_failing"
    assert "The dynamic service" in refused.value.message
    assert "The performance service" in refused.value.message


async def test_tool_that_finds_the_network_of_its_app_gone_did_not_reach_it(
    application: Application, app: MarkedApp
) -> None:
    raw = RawOutput(
        streams={},
        total_bytes={},
        end="not_started",
        exit_code=None,
        duration_ms=1,
        cpu_ms=0,
        peak_memory_bytes=None,
        isolation=None,
        reason="The network of the app is gone.",
    )
    output = ToolOutput(raw=raw, plan=ToolPlan(parameters={}), version="1", app_lost="The app did not run.")
    key = ToolRunKey(
        tool_run_id=new_id(),
        analysis_id=new_id(),
        subject_id=new_id(),
        project_id=new_id(),
        tool="ab",
        parameters_digest="0" * 64,
        attempt=1,
    )
    snapshot = snapshot_folder(app.folder, app.folder.parent)
    workpiece = Workpiece(key=key, tool=get_tool("ab"), parameters={}, snapshot=snapshot)

    lost = await judge_output(application.analysis, workpiece, output)
    kept = await judge_output(application.analysis, workpiece, replace(output, app_lost=""))

    assert (lost.outcome, lost.reason) == (Outcome.target_unreachable, "The app did not run.")
    assert (kept.outcome, kept.reason) == (Outcome.failed, "The network of the app is gone.")


@pytest.mark.slow
async def test_breaker_closes_after_an_analysis_that_tried_its_service_out(
    analyse: Analyse, application: Application, app: MarkedApp
) -> None:
    await fail_service(application, Service.dynamic)
    async with application.database.transaction() as session:  # the pause is over
        await session.execute(text("UPDATE service_breakers SET changed_at = changed_at - interval '1 day'"))

    _, runs = await analyse(app.folder, "curl", profile="quick")

    async with application.database.reading() as session:
        breakers = await list_breakers(session, window_s=application.settings.breaker_window_s)
    assert runs["curl"].outcome is Outcome.succeeded, runs["curl"].reason
    assert {breaker.state for breaker in breakers} == {BreakerState.closed}
