"""How fast a sample app is up from a warm cache, and what its analysis costs beside what its tools cost."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bench.measuring import ROOT, Measured, temporary_folder, tools_dir

from referee.analysis import AnalysisRequest, ToolRun, create_analysis
from referee.analysis.queries import get_analysis, list_tool_runs
from referee.app import Application, open_application
from referee.apps import AppRun, AppSource, AppsRoom, hold_app, import_template
from referee.apps.running import read_app_source
from referee.apps.runs import get_app_run
from referee.core.vocabulary import Outcome, Service
from referee.foundation.access import get_project
from referee.foundation.logs import configure_logs
from referee.foundation.settings import load_settings
from referee.tools.registry import TOOL_NAMES, get_tool

__all__ = ["measure_apps"]

SAMPLES = ROOT / "samples"
STARTED = ("aurora-large/app1", "pico-coder/app1")
"""Flask and FastAPI; both with a frontend that Vite serves."""
ANALYSED = "aurora-large/app1"
TEMPLATE = "task-board"
STARTS = 5
ANALYSES = 3
CORES = 2
EXPECTED = (Outcome.succeeded, Outcome.not_applicable, Outcome.unavailable)
"""Outcomes of a measured analysis; ``unavailable`` is what the machine has no program for, such as ZAP."""


def measure_apps() -> list[Measured]:
    """Time starts of two apps, then the analysis of one with all fifteen tools."""
    with temporary_folder() as folder:
        return asyncio.run(_measure(folder))


async def _measure(folder: Path) -> list[Measured]:
    settings = load_settings(
        home=folder / "home",
        tools_dir=tools_dir(),
        worker_tool_slots_count=CORES,
        app_linger_s=0.0,
        log_level="error",
        database_idle_stop_s=0.0,
    )
    configure_logs(settings)
    async with open_application(settings, is_worker=True) as application:
        project_id = (await get_project(application.database, "default")).project_id
        measured = [
            await _measure_start(application.apps, project_id, _copy_app(name, folder)) for name in STARTED
        ]
        document = (SAMPLES / "templates" / f"{TEMPLATE}.json").read_bytes()
        await import_template(application.database, application.artifacts, project_id, document)
        return [*measured, *await _measure_analysis(application, project_id, _copy_app(ANALYSED, folder))]


def _copy_app(name: str, folder: Path) -> Path:
    """Return a copy, whose path names model and number as the original's does."""
    copy = folder / "models" / name
    if not copy.exists():
        shutil.copytree(SAMPLES / "apps" / "models" / name, copy)
    return copy


async def _measure_start(room: AppsRoom, project_id: UUID, path: Path) -> Measured:
    source = await read_app_source(room, project_id, str(path))
    await _start(room, source)  # installs what it needs
    starts = [await _start(room, source) for _ in range(STARTS)]
    return Measured(
        name=f"start of {source.name} until it answers, warm, median of {STARTS}",
        value=statistics.median(starts),
        unit="s",
        goal=5.0,
        details={"all_s": starts},
    )


async def _start(room: AppsRoom, source: AppSource) -> float:
    """Return how long it took from asking for an app to having it, and leave nothing of it running."""
    begun_s = time.perf_counter()
    async with hold_app(room, source, holder="bench") as held:
        took_s = time.perf_counter() - begun_s
    await _wait_until_ended(room, held.run)
    return took_s


async def _wait_until_ended(room: AppsRoom, run: AppRun) -> None:
    async with asyncio.timeout(60):
        while not run.state.is_final:
            await asyncio.sleep(0.05)
            async with room.database.reading() as session:
                run = await get_app_run(session, run.project_id, run.app_run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """What one analysis took, and what it had to take."""

    total_s: float
    start_s: float
    """Of the app."""
    lane_s: float
    """Of the tools that meet the app, one after another."""
    static_s: float
    """Of the longest chain of the tools beside the lane."""
    by_tool_s: dict[str, float]

    @property
    def critical_s(self) -> float:
        """The longer of the two: the app's start with its tools, or the others."""
        return max(self.start_s + self.lane_s, self.static_s)


async def _measure_analysis(application: Application, project_id: UUID, path: Path) -> list[Measured]:
    await _analyse(application, project_id, path)  # warms file caches
    costs = [await _analyse(application, project_id, path) for _ in range(ANALYSES)]
    ratios = [cost.total_s / cost.critical_s for cost in costs]
    middle = ratios.index(statistics.median_low(ratios))
    cost = costs[middle]
    count = len(cost.by_tool_s)
    return [
        Measured(
            name=f"{count} tools on {ANALYSED}, source and running app, quick presets, median of {ANALYSES}",
            value=statistics.median(one.total_s for one in costs),
            unit="s",
            goal=180.0,
            details={"all_s": [one.total_s for one in costs], "by_tool_s": [one.by_tool_s for one in costs]},
        ),
        Measured(
            name="… against its critical path",
            value=ratios[middle],
            unit="×",
            goal=1.15,
            details={"ratios": ratios},
        ),
        Measured(name="… start of the app", value=cost.start_s, unit="s"),
        Measured(name="… tools that meet the app, one after another", value=cost.lane_s, unit="s"),
        Measured(name="… longest chain of the others", value=cost.static_s, unit="s"),
    ]


async def _analyse(application: Application, project_id: UUID, path: Path) -> _Cost:
    tools = tuple(name for name in TOOL_NAMES if get_tool(name).describe().is_in_deep)
    request = AnalysisRequest(
        path=str(path), tools=tools, profile="quick", template=TEMPLATE, is_cache_allowed=False
    )
    begun_s = time.perf_counter()
    analysis = await create_analysis(application.analysis, application.engine, project_id, request)
    assert analysis.job_id is not None
    await application.engine.wait(analysis.job_id, 900)
    total_s = time.perf_counter() - begun_s
    async with application.database.reading() as session:
        ended = await get_analysis(session, project_id, analysis.analysis_id)
        runs = await list_tool_runs(session, analysis.analysis_id)
        (app_run_id,) = {run.app_run_id for run in runs if run.app_run_id is not None}
        app_run = await get_app_run(session, project_id, app_run_id)
    assert all(run.outcome in EXPECTED for run in runs), ended.reason
    await _wait_until_ended(application.apps, app_run)
    return _add_up(total_s, app_run, runs)


def _add_up(total_s: float, app_run: AppRun, runs: Sequence[ToolRun]) -> _Cost:
    assert app_run.started_at is not None
    durations = {run.tool: (run.duration_ms or 0) / 1000 for run in runs}
    static = [durations[run.tool] for run in runs if run.service is Service.static]
    return _Cost(
        total_s=total_s,
        start_s=(app_run.started_at - app_run.created_at).total_seconds(),
        lane_s=sum(durations[run.tool] for run in runs if run.service is not Service.static),
        static_s=max(*static, sum(static) / CORES),
        by_tool_s=durations,
    )
