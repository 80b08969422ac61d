"""A server that analyzers connect to, analyses that wait for them, and analyzers whose tools' output is given."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import uvicorn
from sqlalchemy import func, select

from referee.alerts import AlertsRoom
from referee.alerts.sealing import open_sealer
from referee.analysis import AnalysisRequest, AnalysisRoom, create_analysis
from referee.analysis.analyzers import REMOTE_SERVICE, register_remote_workflows
from referee.analysis.analyzers.api import create_api
from referee.analysis.analyzers.client import (
    CUTS_BEFORE_PUT_COUNT,
    AnalyzerClient,
    AnalyzerProfile,
    Execute,
    Report,
)
from referee.analysis.analyzers.connecting import Backoff, ServerAddress
from referee.analysis.analyzers.pages import create_pages, register_in_shell
from referee.analysis.analyzers.protocol import AnalyzeRequest, AnalyzerLimits, ToolOffer, ToolRunOrder
from referee.analysis.analyzers.spool import Spool
from referee.analysis.analyzers.waiting import ensure_request
from referee.analysis.running import ToolOutput
from referee.analysis.service import RUN_ANALYSIS
from referee.analysis.tables import ToolRunAttemptRow, ToolRunRow
from referee.app import Application
from referee.apps import AppsRoom
from referee.audit.room import AuditRoom
from referee.backfills import BackfillsRoom
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.vocabulary import Outcome, Service
from referee.experiments import ExperimentsRoom
from referee.experiments.evaluators import EvaluatorsRoom, JudgeBook
from referee.foundation.access import Principal, authenticate, find_local_principal
from referee.foundation.jobs import ChildJob, JobContext, JobEngine
from referee.foundation.outgoing import open_guard
from referee.foundation.settings import Settings
from referee.foundation.store import open_artifacts, open_database
from referee.foundation.web import LiveHub, create_shell
from referee.operations.probes import ProbesRoom
from referee.pipelines import PipelinesRoom
from referee.tools.contract import RawOutput, ToolPlan
from referee.tools.install import ToolInstaller
from referee.traces import open_traces
from referee.videos import InstalledVision, VideosRoom

SMALL = AnalyzerLimits(
    heartbeat_s=0.5,
    ttl_s=30.0,
    patience_s=30.0,
    look_s=0.05,
    chunk_bytes=2_048,
    own_file_bytes=4_096,
    window_bytes=8_192,
    commit_bytes=4_096,
)
"""Many messages for a small result."""
QUICK = Backoff(first_s=0.01, longest_s=0.02)

VULTURE = b"""\
{"kind": "item", "type": "function", "name": "unused_helper", "path": "main.py", "line": 13, "last_line": 14, \
"confidence": 60, "message": "unused function 'unused_helper'"}
{"kind": "end", "files": 1}
"""


def make_output(tool: str, size_bytes: int = 200) -> ToolOutput:
    """Return what a tool printed: for vulture what it really prints, for others bytes that are only theirs."""
    stdout = VULTURE if tool == "vulture" else b""
    seed = hashlib.sha256(tool.encode()).digest()
    filler = (seed * (size_bytes // len(seed) + 1))[:size_bytes]
    raw = RawOutput(
        streams={"stdout": stdout, "stderr": b"", "filler": filler},
        total_bytes={"stdout": len(stdout), "stderr": 0, "filler": len(filler)},
        end="exited",
        exit_code=3 if tool == "vulture" else 0,
        duration_ms=5,
        cpu_ms=4,
        peak_memory_bytes=1_000,
        isolation=None,
        command=(tool, "$SUBJECT"),
    )
    return ToolOutput(raw=raw, plan=ToolPlan(parameters={}), version="1.2.3")


@dataclass(slots=True)
class Kitchen:
    """Executes requests with given outputs, and counts."""

    size_bytes: int = 200
    gate: asyncio.Event | None = None
    """Tools after the first wait for it."""
    executed: list[str] = None  # type: ignore[assignment]  # set below
    outputs: Mapping[str, ToolOutput] | None = None
    requests: list[AnalyzeRequest] = None  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        self.executed, self.requests = [], []

    async def execute(
        self, request: AnalyzeRequest, report: Report
    ) -> AsyncIterator[tuple[ToolRunOrder, ToolOutput]]:
        """Yield the given output of each tool."""
        self.requests.append(request)
        for index, order in enumerate(request.tool_runs):
            if index and self.gate is not None:
                await self.gate.wait()
            await report(order.tool, "running")
            self.executed.append(order.tool)
            given = (self.outputs or {}).get(order.tool)
            yield order, given or make_output(order.tool, self.size_bytes)


@dataclass(slots=True)
class Site:
    """A server with its application."""

    application: Application
    port: int
    limits: AnalyzerLimits

    async def ask(self, project_id: UUID, path: Path, *tools: str) -> UUID:
        """Accept an analysis and ask analyzers for its static service; the analysis."""
        request = AnalysisRequest(path=str(path), tools=tools)
        analysis = await create_analysis(
            self.application.analysis, self.application.engine, project_id, request
        )
        await ensure_request(self.application.analysis, analysis.analysis_id, Service.static)
        return analysis.analysis_id

    async def wait_for_outcomes(self, analysis_id: UUID) -> dict[str, ToolRunRow]:
        """Return the tool runs once each has an outcome."""
        async with asyncio.timeout(60):
            while True:
                runs = await self.list_runs(analysis_id)
                if all(run.outcome for run in runs):
                    return {run.tool: run for run in runs}
                await asyncio.sleep(0.02)

    async def list_runs(self, analysis_id: UUID) -> Sequence[ToolRunRow]:
        """Return the tool runs of an analysis."""
        async with self.application.database.reading() as session:
            rows = await session.scalars(select(ToolRunRow).where(ToolRunRow.analysis_id == analysis_id))
            return rows.all()

    async def count_accepted(self, analysis_id: UUID) -> dict[str, int]:
        """Return how many tries of each tool run were accepted as its result."""
        async with self.application.database.reading() as session:
            rows = await session.execute(
                select(
                    ToolRunRow.tool,
                    func.count().filter(ToolRunAttemptRow.is_accepted).label("accepted_count"),
                )
                .join(ToolRunAttemptRow, ToolRunAttemptRow.tool_run_id == ToolRunRow.tool_run_id)
                .where(ToolRunRow.analysis_id == analysis_id)
                .group_by(ToolRunRow.tool)
            )
            return {tool: count for tool, count in rows}


@asynccontextmanager
async def open_job_application(settings: Settings, limits: AnalyzerLimits) -> AsyncIterator[Application]:
    """Have an application whose analyses have only their remote static service run."""
    database = await open_database(settings)
    artifacts, engine = open_artifacts(settings), JobEngine(settings, database)
    kit = ToolInstaller(settings.tools_path, advisories_dir=settings.advisories_dir, install_timeout_s=60)
    room = AnalysisRoom(settings=settings, database=database, artifacts=artifacts, install_kit=kit)
    apps = AppsRoom(settings=settings, database=database, artifacts=artifacts, install_kit=kit)

    async def run(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        given: dict[str, JsonValue] = {"analysis_id": arguments["analysis_id"], "service": "static"}
        child = ChildJob(name="static", kind=REMOTE_SERVICE, arguments=given, title="static elsewhere")
        (ended,) = await context.run_children([child])
        return {"outcomes": dict(ended.result or {})}

    engine.register_queue("analyses", worker_concurrency=4)
    engine.register(RUN_ANALYSIS, run, queue="analyses")
    register_remote_workflows(room, engine, limits)
    await engine.start(is_worker=True)
    experiments = ExperimentsRoom(settings=settings, database=database)
    yield Application(
        settings=settings,
        database=database,
        artifacts=artifacts,
        engine=engine,
        apps=apps,
        traces=open_traces(settings, database),
        analysis=room,
        experiments=experiments,
        evaluators=EvaluatorsRoom(experiments=experiments, judges=JudgeBook(settings)),
        audit=AuditRoom(settings=settings, database=database),
        pipelines=PipelinesRoom(
            settings=settings, database=database, artifacts=artifacts, apps=apps, analysis=room
        ),
        backfills=BackfillsRoom(settings=settings, database=database, analysis=room),
        videos=VideosRoom(
            settings=settings, database=database, artifacts=artifacts, vision=InstalledVision(settings)
        ),
        alerts=AlertsRoom(
            settings=settings,
            database=database,
            sources={},
            guard=open_guard(settings),
            sealer=open_sealer(settings.home),
        ),
        probes=ProbesRoom(
            settings=settings,
            database=database,
            artifacts=artifacts,
            engine=engine,
            traces=open_traces(settings, database),
            analysis=room,
        ),
    )
    await engine.stop()
    await database.close()


@asynccontextmanager
async def open_site(
    application: Application,
    limits: AnalyzerLimits = SMALL,
    *,
    has_keys: bool = False,
) -> AsyncIterator[Site]:
    """Serve the analyzers' API and page on a free port of this machine."""

    async def find_principal(slug: str) -> Principal:
        return await find_local_principal(application.database, slug)

    async def check_key(bearer: str) -> Principal:
        return await authenticate(application.database, bearer)

    app = create_shell(
        application.settings,
        title="Referee",
        version="0",
        authenticate=check_key,
        find_local_principal=None if has_keys else find_principal,
        live=LiveHub(application.database.conninfo),
    )
    app.state.shell.register_templates("referee.analysis")
    app.include_router(create_api(lambda: application.analysis, limits))
    app.include_router(create_pages(lambda: application.analysis, limits))
    register_in_shell(app.state.shell, lambda: application.analysis, limits)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield Site(application, port, limits)
        finally:
            server.should_exit = True
            await serving
            await app.state.shell.live.close()


@asynccontextmanager
async def open_analyzer(
    port: int,
    spool_dir: Path,
    execute: Execute,
    *,
    cuts_before_put_count: int = CUTS_BEFORE_PUT_COUNT,
    analyzer_id: UUID | None = None,
    slots_count: int = 1,
) -> AsyncIterator[AnalyzerClient]:
    """Run an analyzer of the static service in this process."""
    profile = AnalyzerProfile(
        analyzer_id=analyzer_id or new_id(),
        name="elsewhere",
        services=(Service.static,),
        tools=(ToolOffer(name="vulture", service=Service.static, version="1.2.3", is_available=True),),
        slots_count=slots_count,
    )
    client = AnalyzerClient(
        profile,
        ServerAddress.parse(f"ws://127.0.0.1:{port}", None),
        Spool(spool_dir),
        execute,
        backoff=QUICK,
        cuts_before_put_count=cuts_before_put_count,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(client.run(stop))
    try:
        yield client
    finally:
        stop.set()
        await asyncio.wait_for(running, 15)


def find_odd(runs: Mapping[str, ToolRunRow], size_bytes: int) -> list[str]:
    """Return the tools whose kept output is not, byte for byte, what they printed."""
    odd = []
    for tool, run in runs.items():
        output = make_output(tool, size_bytes)
        assert output.raw is not None
        expected = {name: hashlib.sha256(data).hexdigest() for name, data in output.raw.streams.items()}
        kept = {name: stream["sha256"] for name, stream in (run.raw_json or {}).items()}  # type: ignore[index, call-overload]
        if kept != expected or (tool == "vulture") != (run.outcome == Outcome.succeeded.value):
            odd.append(tool)
    return odd
