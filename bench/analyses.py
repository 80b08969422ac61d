"""The default tools on a sample app: side by side, one after another, and again unchanged."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from pathlib import Path
from uuid import UUID

from bench.measuring import ROOT, Measured, temporary_folder, tools_dir

from referee.analysis import AnalysisRequest, ToolRun, create_analysis
from referee.analysis.queries import get_analysis, list_tool_runs
from referee.app import Application, open_application
from referee.core.vocabulary import Outcome
from referee.foundation.access import get_project
from referee.foundation.logs import configure_logs
from referee.foundation.settings import load_settings

__all__ = ["measure_analysis"]

SAMPLE = ROOT / "samples" / "apps" / "models" / "aurora-large" / "app1"
CORES = 2
REPEATS = 3


def measure_analysis() -> list[Measured]:
    """Compare the analysis of all default tools with what two cores allow."""
    with temporary_folder() as folder:
        return asyncio.run(_measure(folder))


async def _measure(folder: Path) -> list[Measured]:
    app = folder / "app"
    shutil.copytree(SAMPLE, app)
    settings = load_settings(
        home=folder / "home",
        tools_dir=tools_dir(),
        worker_tool_slots_count=CORES,
        log_level="error",
        database_idle_stop_s=0.0,
    )
    configure_logs(settings)
    async with open_application(settings, is_worker=True) as application:
        project_id = (await get_project(application.database, "default")).project_id
        await _analyse(application, project_id, app, is_cache_allowed=False)  # warms file caches
        ratios, side_by_side, chains = [], [], []
        for _ in range(REPEATS):
            together_s, runs = await _analyse(application, project_id, app, is_cache_allowed=False)
            alone = {
                run.tool: (await _analyse(application, project_id, app, run.tool, is_cache_allowed=False))[0]
                for run in runs
            }
            chain_s = max(*alone.values(), sum(alone.values()) / CORES)
            ratios.append(together_s / chain_s)
            side_by_side.append(together_s)
            chains.append({"chain_s": chain_s, "sum_s": sum(alone.values()), "alone_s": alone})
        again_s, again = min(
            [await _analyse(application, project_id, app) for _ in range(REPEATS + 1)],
            key=lambda pair: pair[0],
        )
        succeeded = [run.tool for run in again if run.outcome is Outcome.succeeded]
        assert all(run.cached_from_tool_run_id for run in again if run.tool in succeeded)
    middle = ratios.index(statistics.median_low(ratios))
    return [
        Measured(
            name=f"{len(again)} default tools on a sample app, against the longest chain two cores allow, median of 3",
            value=ratios[middle],
            unit="×",
            goal=1.15,
            details={"ratios": ratios, "together_s": side_by_side, "chains": chains},
        ),
        Measured(name="… side by side", value=side_by_side[middle], unit="s"),
        Measured(name="… one after another", value=float(str(chains[middle]["sum_s"])), unit="s"),
        Measured(name="unchanged app again", value=again_s, unit="s", goal=1.0),
    ]


async def _analyse(
    application: Application, project_id: UUID, path: Path, *tools: str, is_cache_allowed: bool = True
) -> tuple[float, tuple[ToolRun, ...]]:
    """Return how long it took from request to end, and the ledger."""
    request = AnalysisRequest(path=str(path), tools=tools, is_cache_allowed=is_cache_allowed)
    begun_s = time.perf_counter()
    analysis = await create_analysis(application.analysis, application.engine, project_id, request)
    assert analysis.job_id is not None
    await application.engine.wait(analysis.job_id, 600)
    took_s = time.perf_counter() - begun_s
    async with application.database.reading() as session:
        ended = await get_analysis(session, project_id, analysis.analysis_id)
        runs = await list_tool_runs(session, analysis.analysis_id)
    assert ended.state.value == "completed", ended.reason
    return took_s, runs
