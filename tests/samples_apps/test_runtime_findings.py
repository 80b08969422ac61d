"""The deep analysis of each sample app ends as ``samples/expected.toml`` says, its running app's mistakes found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.apps.conftest import end_hosts
from tests.samples_apps.expectations import (
    RUNTIME_TOOLS,
    SAMPLES_DIR,
    TOOLS,
    RuntimePlace,
    SampleApp,
    find_missing_at_runtime,
    load_sample_apps,
)

from referee.analysis import Analysis, AnalysisRequest, ToolRun, create_analysis
from referee.analysis.finding_queries import stream_occurrences
from referee.analysis.queries import get_analysis, list_tool_runs
from referee.analysis.views import Occurrence
from referee.app import Application, open_application
from referee.apps import import_template
from referee.foundation.access import get_project
from referee.foundation.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.apt, pytest.mark.timeout(1_200)]

APPS = load_sample_apps()
ENDED_S = 1_100


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    """An application that carries out its own jobs; no app outlives the test."""
    settings = database_settings.model_copy(update={"app_linger_s": 0.0})
    async with open_application(settings, is_worker=True) as opened:
        yield opened
        await asyncio.to_thread(end_hosts, settings)


async def analyse_deeply(
    application: Application, app: SampleApp
) -> tuple[Analysis, dict[str, ToolRun], list[Occurrence]]:
    """Analyse a sample app as ``make run`` does."""
    project_id = (await get_project(application.database, "default")).project_id
    document = Path(SAMPLES_DIR / "templates" / f"{app.template}.json").read_bytes()
    await import_template(application.database, application.artifacts, project_id, document)
    request = AnalysisRequest(path=str(app.path), profile="deep", template=app.template)
    accepted = await create_analysis(application.analysis, application.engine, project_id, request)
    assert accepted.job_id is not None
    await application.engine.wait(accepted.job_id, ENDED_S)
    async with application.database.reading() as session:
        analysis = await get_analysis(session, project_id, accepted.analysis_id)
        runs = await list_tool_runs(session, accepted.analysis_id)
        found = [one async for one in stream_occurrences(session, accepted.analysis_id)]
    return analysis, {run.tool: run for run in runs}, found


def to_place(found: Occurrence) -> RuntimePlace:
    """Return what of a finding decides whether it was expected."""
    return RuntimePlace(
        tool=found.tool,
        rule_id=found.rule_id,
        address="" if found.address is None else str(found.address),
        message=found.message,
    )


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.app_id)
async def test_deep_analysis_ends_as_expected_and_finds_the_mistakes_of_the_running_app(
    app: SampleApp, application: Application
) -> None:
    analysis, runs, found = await analyse_deeply(application, app)

    told = {tool: (run.outcome, run.reason) for tool, run in runs.items()}
    print(f"{app.app_id}: {analysis.state}, {told}")
    print("\n".join(sorted(str(to_place(one)) for one in found if one.tool in RUNTIME_TOOLS)))
    assert set(runs) == {*TOOLS, *RUNTIME_TOOLS}
    assert {tool: told[tool] for tool in TOOLS if told[tool][0] != app.outcomes[tool]} == {}
    assert {
        tool: told[tool] for tool in RUNTIME_TOOLS if told[tool][0] not in app.runtime_outcomes[tool]
    } == {}
    assert find_missing_at_runtime(app, [to_place(one) for one in found]) == []
