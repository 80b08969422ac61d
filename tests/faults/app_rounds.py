"""Break running apps in every way while they are analysed, and count what goes wrong.

A round is one kind of trouble: the app ends in mid-scan, another app or a
process of strangers takes its port over, its port is taken before it starts,
two analyses share it, or the server is killed while it holds the app. The
oracle (``app_oracle.py``) judges every round. The bench (``bench/app_faults.py``)
runs the same with more rounds.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
from tests.faults.app_oracle import (
    AGENTS,
    AppCount,
    Place,
    count_what_is_left,
    list_processes_of_home,
)
from tests.faults.app_watching import (
    END_TIMEOUT_S,
    LOOK_S,
    AppWatch,
    forced_method,
    kill,
    list_component_pids,
)
from tests.faults.kills import Herd
from tests.faults.marked_apps import MarkedApp, Stranger, find_free_port, is_taken

from referee.analysis import Analysis, AnalysisRequest, ToolRun, create_analysis
from referee.app import Application, open_application
from referee.apps import AppRun, sweep_app_runs
from referee.core.ids import parse_id
from referee.core.vocabulary import Outcome
from referee.foundation.access import get_project
from referee.foundation.sandbox import detect_isolation
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import open_artifacts, open_database
from referee.operations.integrity import verify_everything

__all__ = ["KINDS", "run_app_rounds"]

KINDS: Final = ("stopped_mid_scan", "wrong_host", "port_taken", "shared", "server_killed")
TOOLS: Final = tuple(AGENTS)
METHODS: Final = ("bubblewrap", "limits_only")
"""The strongest isolation of this machine, where each app has a network of its own, and the one without."""
FIRST_PORT: Final = 5001
"""What an app that may choose gets first, where nobody has it."""
APP_SETTINGS: Final[dict[str, object]] = {
    "app_linger_s": 0.2,
    "app_lease_ttl_s": 5.0,
    "app_start_timeout_s": 60.0,
    "worker_app_slots_count": 2,
    "queue_poll_s": 0.5,
}
REQUESTS_MAX_COUNT: Final = 40
"""About what both tools send: the fault comes at any of these requests."""


def run_app_rounds(
    base: Path,
    tools_dir: Path,
    *,
    rounds: int,
    seed: int,
    first_round: int = 1,
    kinds: Sequence[str] = KINDS,
    database_url: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> AppCount:
    """Break apps again and again, and count.

    Args:
        base: An empty folder that everybody may pass through.
        tools_dir: Installed tools.
        rounds: How often; each kind in turn.
        seed: Of everything that is random here. A round's chances depend on this and its number only.
        first_round: The number of the first one, from 1: a long run can be had in parts.
        kinds: Some of ``KINDS``.
        database_url: Of a migrated database for the rounds without a server; None: an embedded one.
        tell: Is told each round.
    """
    count = AppCount(seed=seed)
    numbers = range(first_round, first_round + rounds)
    begun_s = time.monotonic()
    settings = load_settings(
        home=base / "rounds" / "home", tools_dir=tools_dir, database_url=database_url, **APP_SETTINGS
    )
    asyncio.run(_run(base, settings, count, numbers, tuple(kinds), tell))
    for home in (settings.home, base / "herd" / "home"):
        left = _wait_until_left(home)
        count.blame("processes_left", f"{home.parent.name}: {left[:5]}", times=len(left))
    count.duration_s = time.monotonic() - begun_s
    return count


async def _run(
    base: Path,
    settings: Settings,
    count: AppCount,
    numbers: range,
    kinds: tuple[str, ...],
    tell: Callable[[str], None],
) -> None:
    choose = random.Random()
    async with AsyncExitStack() as stack:
        opened: dict[bool, _Here | _There] = {}
        for number in numbers:
            choose.seed(f"{count.seed} {number}")
            kind = kinds[(number - 1) % len(kinds)]
            begun_s, faults_before = time.monotonic(), len(count.sayings)
            is_there = kind == "server_killed"
            if is_there not in opened:
                opening = (_open_herd if is_there else _open_here)(base, settings, count, choose)
                opened[is_there] = await stack.enter_async_context(opening)
            said = await opened[is_there].run_round(kind)
            count.rounds[kind] = count.rounds.get(kind, 0) + 1
            tell(f"round {number} of {numbers[-1]}: {kind}, {said}, {time.monotonic() - begun_s:.1f} s")
            for saying in count.sayings[faults_before:]:
                tell(f"  FAULT {saying}")


class _Here(AppWatch):
    """Rounds with a worker in this process."""

    application: Application

    async def run_round(self, kind: str) -> str:
        """Run one round and return what was done."""
        # Only where apps share a network can one take another's port over: look there more often.
        method = self.choose.choice((METHODS[-1], *METHODS) if kind == "wrong_host" else METHODS)
        play = {
            "stopped_mid_scan": self._stop_mid_scan,
            "wrong_host": self._swap_hosts,
            "port_taken": self._take_port,
            "shared": self._share,
        }[kind]
        with forced_method(method):
            isolation = await asyncio.to_thread(detect_isolation)
            done = await play(not isolation.has_own_network)
            await sweep_app_runs(self.application.apps)
            await count_what_is_left(self.place, self.count, kind=kind)
        return f"{isolation.method}, {done}"

    async def create(self, app: MarkedApp, *tools: str) -> Analysis:
        """Submit an analysis."""
        request = AnalysisRequest(path=str(app.folder), tools=tools or TOOLS, profile="quick")
        return await create_analysis(
            self.application.analysis, self.application.engine, self.project_id, request
        )

    async def finish(self, kind: str, *analyses: tuple[Analysis, MarkedApp]) -> list[ToolRun]:
        """Wait for analyses and for the end of their apps, and judge."""
        await self.wait_until_ended(kind, *(analysis.analysis_id for analysis, _ in analyses))
        await sweep_app_runs(self.application.apps)
        await count_what_is_left(self.place, self.count, kind=kind)
        return await self.judge(kind, [(analysis.analysis_id, app) for analysis, app in analyses])

    async def kill(self, run: AppRun) -> str:
        """Kill an app's processes, or the one that hosts it."""
        victim = self.choose.choice(("component", "host"))
        if victim == "host" and run.host_pid is not None:
            kill(run.host_pid)
            log = self.place.find_live_log(run.app_run_id)
            self.place.kept_logs[run.app_run_id] = log.read_bytes() if log.exists() else b""
        else:
            for pid in list_component_pids(run.app_run_id):
                kill(pid)
        return f"{victim} killed"

    async def _stop_mid_scan(self, is_network_shared: bool) -> str:
        app = self.write_app(delay_s=self.choose.choice((0.0, 0.02, 0.05)))
        requests_count = self.choose.randrange(REQUESTS_MAX_COUNT)
        analysis = await self.create(app)
        run = await self.wait_for_run(app, analysis.analysis_id)
        done = "nothing killed"
        if run is not None:
            await self.wait_for_requests(run, requests_count, analysis.analysis_id)
            done = await self.kill(run)
        await self.finish("stopped_mid_scan", (analysis, app))
        return f"{done} after {requests_count} requests"

    async def _swap_hosts(self, is_network_shared: bool) -> str:
        """Let another take the port over as soon as the app is gone, while tools believe it there."""
        port = find_free_port()
        app = self.write_app(delay_s=0.05, port=port)
        requests_count = self.choose.randrange(REQUESTS_MAX_COUNT)
        is_stranger = is_network_shared and self.choose.random() < 0.5
        # In a network of its own the other has the very same port all along; else it lurks for it.
        other = self.write_app(**({"coveted": port} if is_network_shared else {"port": port}))
        judged: list[tuple[Analysis, MarkedApp]] = []
        async with AsyncExitStack() as stack:
            if is_stranger:
                await stack.enter_async_context(_present(other, port))
            else:
                judged.append((await self.create(other), other))
                await self._wait_until_lurking(other)
            analysis = await self.create(app)
            judged.append((analysis, app))
            run = await self.wait_for_run(app, analysis.analysis_id)
            done = "nothing killed"
            if run is not None:
                await self.wait_for_requests(run, requests_count, analysis.analysis_id)
                done = await self.kill(run)
            await self.finish("wrong_host", *judged)
        return f"{done} after {requests_count} requests, {'stranger' if is_stranger else 'app'} instead"

    async def _wait_until_lurking(self, app: MarkedApp) -> None:
        async with asyncio.timeout(END_TIMEOUT_S):
            while True:
                run = await self.find_run(app)
                log = None if run is None else self.place.find_live_log(run.app_run_id)
                has_begun = log is not None and log.exists() and bool(log.read_bytes())
                if has_begun or (run is not None and run.state.is_final):
                    return
                await asyncio.sleep(LOOK_S)

    async def _take_port(self, is_network_shared: bool) -> str:
        port = find_free_port()
        has_choice = self.choose.random() < 0.3 and not is_taken(FIRST_PORT)
        app = self.write_app(port=None if has_choice else port)
        async with _present(self.write_app(), FIRST_PORT if has_choice else port):
            analysis = await self.create(app)
            runs = await self.finish("port_taken", (analysis, app))
        if is_network_shared and not has_choice:
            self.require("port_taken", runs, Outcome.target_unreachable, "though its port was taken")
            for run in runs:
                if "port_taken" not in run.reason:
                    self.count.blame(
                        "unexplained_outcomes", f"port_taken: {run.tool} says only: {run.reason}"
                    )
        else:
            self.require("port_taken", runs, Outcome.succeeded, "though the port was no matter")
        return "app with a choice" if has_choice else "app with one port"

    async def _share(self, is_network_shared: bool) -> str:
        app = self.write_app(delay_s=self.choose.choice((0.0, 0.02)))
        first, second = await asyncio.gather(self.create(app), self.create(app))
        runs = await self.finish("shared", (first, app), (second, app))
        self.require("shared", runs, Outcome.succeeded, "though nothing was wrong")
        return f"{len({run.app_run_id for run in runs})} run of the app"


class _There(AppWatch):
    """Rounds with a server and a worker of their own, which are killed."""

    herd: Herd

    async def run_round(self, kind: str) -> str:
        """Kill the server, the worker or both while an app is held; start again; judge."""
        app = self.write_app(delay_s=self.choose.choice((0.02, 0.1)))
        requests_count = self.choose.randrange(REQUESTS_MAX_COUNT)
        targets = self.choose.choice((("server",), ("worker",), ("server", "worker")))
        analysis_id = await self._submit(app)
        run = await self.wait_for_run(app, analysis_id)
        if run is not None:
            await self.wait_for_requests(run, requests_count, analysis_id)
        for target in targets:
            self.herd.kill(target)
        await asyncio.to_thread(self.herd.start_all)
        await self.wait_until_ended(kind, analysis_id)
        await count_what_is_left(self.place, self.count, kind=kind)
        runs = await self.judge(kind, [(analysis_id, app)])
        self.require(kind, runs, Outcome.succeeded, "though the app had no trouble")
        return f"{' and '.join(targets)} killed after {requests_count} requests"

    async def _submit(self, app: MarkedApp) -> UUID:
        body = {"path": str(app.folder), "tools": list(TOOLS), "profile": "quick"}
        async with httpx.AsyncClient(base_url=self.herd.url, timeout=60, trust_env=False) as client:
            answer = await client.post("/v1/analyses", json=body)
        answer.raise_for_status()
        return parse_id(str(answer.json()["analysis_id"]), "analysis")


@asynccontextmanager
async def _open_here(
    base: Path, settings: Settings, count: AppCount, choose: random.Random
) -> AsyncIterator[_Here]:
    async with open_application(settings, is_worker=True) as application:
        place = Place(settings=settings, database=application.database, artifacts=application.artifacts)
        project_id = (await get_project(application.database, "default")).project_id
        here = _Here(base / "rounds", place, project_id, count, choose)
        here.application = application
        yield here
        report = await verify_everything(application.integrity_checks)
        for problem in report.problems:
            count.blame("problems_found_by_verify", f"{problem.subject}: {problem.message}")


@asynccontextmanager
async def _open_herd(
    base: Path, settings: Settings, count: AppCount, choose: random.Random
) -> AsyncIterator[_There]:
    herd = Herd(base / "herd", settings.tools_path, has_worker=True)
    herd.environment |= {f"REFEREE_{name.upper()}": str(value) for name, value in APP_SETTINGS.items()}
    try:
        await asyncio.to_thread(herd.start_all)
        own = load_settings(home=herd.home, tools_dir=settings.tools_path, database_idle_stop_s=1.0)
        database = await open_database(own)
        try:
            project_id = (await get_project(database, "default")).project_id
            place = Place(settings=own, database=database, artifacts=open_artifacts(own))
            there = _There(base / "herd", place, project_id, count, choose)
            there.herd = herd
            yield there
        finally:
            await database.close()
    finally:
        await asyncio.to_thread(herd.stop)
    for problem in await asyncio.to_thread(herd.verify):
        count.blame("problems_found_by_verify", problem)


@asynccontextmanager
async def _present(app: MarkedApp, port: int) -> AsyncIterator[None]:
    """Have a stranger listen on a port, or lurk for the one that it covets."""
    stranger = Stranger(app, port)
    try:
        while not stranger.has_begun:
            await asyncio.sleep(LOOK_S)
        yield
    finally:
        stranger.end()


def _wait_until_left(home: Path) -> list[str]:
    """Return what is still there after the time in which a database without clients stops."""
    deadline_s = time.monotonic() + 30
    while (left := list_processes_of_home(home)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return left
