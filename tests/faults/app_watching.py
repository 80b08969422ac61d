"""Follow analyses and their apps from outside, by what Referee keeps and what the apps print."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import select
from tests.faults.app_oracle import AGENTS, AppCount, Place, judge_analysis, judge_turns
from tests.faults.marked_apps import MarkedApp, read_accesses, write_marked_app

from referee.analysis import ToolRun
from referee.analysis.tables import AnalysisRow
from referee.apps import AppRun, AppRunState
from referee.apps.runs import list_app_runs
from referee.core.vocabulary import Outcome

__all__ = ["END_TIMEOUT_S", "LOOK_S", "AppWatch", "forced_method", "kill", "list_component_pids"]

END_TIMEOUT_S: Final = 240.0
LOOK_S: Final = 0.01
"""Between two looks into a log: a fault shall come at the very request that was drawn."""
ASK_S: Final = 0.1
"""Between two questions to the database, which costs the machine more than a look into a log."""
_METHOD_VARIABLE: Final = "REFEREE_SANDBOX_METHOD"


class AppWatch:
    """What the rounds in this process and those with a server of its own share."""

    def __init__(self, base: Path, place: Place, project_id: UUID, count: AppCount, choose: random.Random):
        self.base = base
        self.place = place
        self.project_id = project_id
        self.count = count
        self.choose = choose
        self.marks: set[str] = set()

    def write_app(
        self, *, delay_s: float = 0.0, port: int | None = None, coveted: int | None = None
    ) -> MarkedApp:
        """Write an app that no other round has."""
        app = write_marked_app(self.base / "apps", self.choose, delay_s=delay_s, port=port, coveted=coveted)
        self.marks.add(app.mark)
        return app

    async def judge(self, kind: str, analyses: Sequence[tuple[UUID, MarkedApp]]) -> list[ToolRun]:
        """Judge what the analyses of a round left behind."""
        runs: list[ToolRun] = []
        for analysis_id, app in analyses:
            others = frozenset(self.marks - {app.mark})
            runs += await judge_analysis(self.place, self.count, analysis_id, app, others, kind=kind)
        judge_turns(self.count, runs)
        return runs

    async def find_run(self, app: MarkedApp) -> AppRun | None:
        """Return the latest run of an app."""
        async with self.place.database.reading() as session:
            page = await list_app_runs(session, self.project_id, limit=20)
        return next((run for run in page.items if run.name == app.folder.name), None)

    async def wait_for_run(self, app: MarkedApp, analysis_id: UUID) -> AppRun | None:
        """Return the run of an app once it is up, or None when the analysis has ended before."""
        async with asyncio.timeout(END_TIMEOUT_S):
            while not await self.has_ended(analysis_id):
                run = await self.find_run(app)
                if run is not None and run.state is AppRunState.running:
                    return run
                await asyncio.sleep(ASK_S)
        return None

    async def wait_for_requests(self, run: AppRun, requests_count: int, analysis_id: UUID) -> None:
        """Return when tools have sent so many requests, or the analysis has ended."""
        log = self.place.find_live_log(run.app_run_id)
        asked_s = -ASK_S
        async with asyncio.timeout(END_TIMEOUT_S):
            while True:
                if time.monotonic() - asked_s >= ASK_S:
                    asked_s = time.monotonic()
                    if await self.has_ended(analysis_id):
                        return
                accesses = read_accesses(log.read_bytes()) if log.exists() else []
                if sum(one.agent in AGENTS.values() for one in accesses) >= requests_count:
                    return
                await asyncio.sleep(LOOK_S)

    async def has_ended(self, analysis_id: UUID) -> bool:
        """Whether an analysis has ended."""
        async with self.place.database.reading() as session:
            state = await session.scalar(
                select(AnalysisRow.state).where(AnalysisRow.analysis_id == analysis_id)
            )
        return state not in ("queued", "running")

    async def wait_until_ended(self, kind: str, *analysis_ids: UUID) -> None:
        """Wait until analyses have ended; one that does not is a fault."""
        deadline_s = time.monotonic() + END_TIMEOUT_S
        for analysis_id in analysis_ids:
            while not await self.has_ended(analysis_id):
                if time.monotonic() > deadline_s:
                    self.count.blame("analyses_not_ended", f"{kind}: {analysis_id}")
                    return
                await asyncio.sleep(ASK_S)

    def require(self, kind: str, runs: Sequence[ToolRun], outcome: Outcome, because: str) -> None:
        """Note tool runs with another outcome than the trouble leaves open."""
        for run in runs:
            if run.outcome is not outcome:
                self.count.blame(
                    "unexpected_outcomes", f"{kind}: {run.tool} {run.status} ({run.reason}) {because}"
                )


@contextmanager
def forced_method(method: str) -> Iterator[None]:
    """Ask for an isolation method meanwhile; hosts of apps inherit it."""
    before = os.environ.get(_METHOD_VARIABLE)
    os.environ[_METHOD_VARIABLE] = method
    try:
        yield
    finally:
        del os.environ[_METHOD_VARIABLE]
        if before is not None:
            os.environ[_METHOD_VARIABLE] = before


def list_component_pids(app_run_id: UUID) -> list[int]:
    """Return the processes of the components of an app."""
    marker = f"REFEREE_APP_COMPONENT={app_run_id}/".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def kill(pid: int) -> None:
    """End a process by ``kill -9``."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended by itself
