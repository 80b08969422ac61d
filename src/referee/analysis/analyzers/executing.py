"""Run the tools of a request on the analyzer: fetch the source, start the app, one tool after another.

The same code as on the server runs tools and apps; only recording is left out. What a tool left
behind is yielded as soon as it has ended, so that it is on its way while the next one runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
import structlog

from referee.analysis.analyzers.client import Report
from referee.analysis.analyzers.connecting import ServerAddress
from referee.analysis.analyzers.protocol import AnalyzeRequest, ToolOffer, ToolRunOrder
from referee.analysis.analyzers.snapshots import unpack_snapshot
from referee.analysis.breakers import ServiceGate
from referee.analysis.recording import ToolRunKey
from referee.analysis.running import AnalysisRoom, AppUse, ToolOutput, Workpiece, run_tool
from referee.apps import (
    AppFailed,
    AppSource,
    AppsRoom,
    HeldApp,
    NothingToRun,
    SourceLimits,
    hold_app,
    render_listing,
    sweep_app_runs,
    sweep_snapshots,
)
from referee.core.errors import PayloadTooLarge, RefereeError, Unavailable
from referee.core.findings import JsonValue
from referee.core.sources import SourceSnapshot
from referee.core.templates import Template, parse_template
from referee.core.trace_context import parse_traceparent
from referee.core.vocabulary import Outcome, Service
from referee.foundation.sandbox import remove_written_folder
from referee.tools.contract import RunningApp
from referee.tools.registry import TOOL_NAMES, get_tool

__all__ = [
    "Executor",
    "FetchSource",
    "Job",
    "SourceFetcher",
    "compute_archive_max_bytes",
    "offer_tools",
    "run_job",
]

FetchSource = Callable[[str, Path], Awaitable[None]]
"""``fetch(source_digest, archive)`` writes the server's tar file of a source."""

_STARTS_MAX_COUNT: Final = 3
"""Starts of the app within one request: one, and two more after tools that brought it down."""
_ENTRY_BYTES: Final = 4_096
"""What a tar file needs for each entry besides its bytes, at most."""
_FETCH_TIMEOUT: Final = httpx.Timeout(30.0, read=120.0)
_TOUCH_S: Final = 600.0
"""Between two signs that a source is in use; copies unused for an hour are removed."""

log = structlog.get_logger("referee.analyzers")


@dataclass(frozen=True, slots=True)
class SourceFetcher:
    """Fetches sources from the server.

    Args:
        server: Where it is.
        max_bytes: Of one archive.
    """

    server: ServerAddress
    max_bytes: int

    async def fetch(self, source_digest: str, archive: Path) -> None:
        """Write the tar file of a source.

        Raises:
            Unavailable: The server cannot be reached or does not have it.
            PayloadTooLarge: It is larger than allowed here.
        """
        url = f"{self.server.http_url}/v1/analyzers/snapshots/{source_digest}"
        headers = {**self.server.headers, "Accept-Encoding": "identity"}
        received_bytes = 0
        try:
            async with (
                httpx.AsyncClient(timeout=_FETCH_TIMEOUT) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise Unavailable(
                        "analyzer.source_not_sent",
                        f"The server answered {response.status_code} when it was asked for the source.",
                        "Look into the server's log.",
                    )
                with archive.open("xb") as file:
                    async for piece in response.aiter_raw():
                        received_bytes += len(piece)
                        if received_bytes > self.max_bytes:
                            raise PayloadTooLarge(
                                "analyzer.source_too_large",
                                f"The source has more than the {self.max_bytes:,} bytes that are taken here.",
                                "Raise REFEREE_MAX_SUBJECT_BYTES on the analyzer.",
                            )
                        await asyncio.to_thread(file.write, piece)
        except httpx.HTTPError as error:
            raise Unavailable(
                "analyzer.server_unreachable",
                f"The source could not be fetched ({type(error).__name__}).",
                "Check the connection to the server.",
            ) from error


async def offer_tools(room: AnalysisRoom, services: Sequence[Service]) -> tuple[ToolOffer, ...]:
    """Install every tool of these services and say which version each has, or why it has none."""
    offers = []
    for name in TOOL_NAMES:
        tool = get_tool(name)
        service = tool.describe().service
        if service not in services:
            continue
        try:
            version = await tool.probe_version(await tool.ensure_installed(room.install_kit))
        except RefereeError as error:
            log.warning("tool.unavailable", tool=name, reason=str(error)[:300])
            offers.append(ToolOffer(name=name, service=service, is_available=False, reason=str(error)[:500]))
        else:
            offers.append(ToolOffer(name=name, service=service, version=version[:100], is_available=True))
    return tuple(offers)


def compute_archive_max_bytes(room: AnalysisRoom) -> int:
    """Return how large the archive of a source may be."""
    settings = room.settings
    return settings.max_subject_bytes + settings.max_subject_files_count * _ENTRY_BYTES


class Executor:
    """Carries out the requests of a server.

    Args:
        room: Of analyses, on this machine.
        apps: Of apps, on this machine.
        project_id: The project of this machine's own database that its app runs are counted to.
        fetch: Fetches a source.
        turns: How many requests are carried out at the same time; shared with others that work on this machine.
    """

    def __init__(
        self,
        room: AnalysisRoom,
        apps: AppsRoom,
        project_id: UUID,
        fetch: FetchSource,
        turns: asyncio.Semaphore | None = None,
    ) -> None:
        self._room = room
        self._apps = apps
        self._project_id = project_id
        self._fetch = fetch
        self._turns = turns or nullcontext()
        self._in_use: list[str] = []

    async def execute(
        self, request: AnalyzeRequest, report: Report
    ) -> AsyncIterator[tuple[ToolRunOrder, ToolOutput]]:
        """Run the tools of a request; each output is yielded as soon as its tool has ended.

        Raises:
            RefereeError: The source cannot be had.
        """
        async with self._turns:
            async for order, output in self._execute(request, report):
                yield order, output

    async def _execute(
        self, request: AnalyzeRequest, report: Report
    ) -> AsyncIterator[tuple[ToolRunOrder, ToolOutput]]:
        self._in_use.append(request.source_digest)
        try:
            await report("", "fetching the source")
            snapshot = await self._obtain_source(request)
            job = Job(
                project_id=self._project_id,
                holder=f"request {request.request_id}",
                snapshot=snapshot,
                template=None if request.template is None else parse_template(request.template),
                traceparent=parse_traceparent(request.traceparent),
            )
            async for order, output in run_job(self._room, self._apps, job, request.tool_runs, report):
                yield order, output
        finally:
            self._in_use.remove(request.source_digest)
            await asyncio.shield(self._sweep())

    async def _obtain_source(self, request: AnalyzeRequest) -> SourceSnapshot:
        settings = self._room.settings
        scratch = settings.scratch_dir / f"request-{request.request_id.hex}"
        await asyncio.to_thread(remove_written_folder, scratch)
        try:
            folder = scratch / "source"
            await asyncio.to_thread(folder.mkdir, parents=True)
            await self._fetch(request.source_digest, scratch / "source.tar")
            limits = SourceLimits(
                files_count=settings.max_subject_files_count,
                total_bytes=settings.max_subject_bytes,
                file_bytes=settings.max_file_bytes,
            )
            return await asyncio.to_thread(
                unpack_snapshot,
                scratch / "source.tar",
                folder,
                settings.snapshots_dir,
                limits,
                source_digest=request.source_digest,
                name=request.subject,
            )
        finally:
            await asyncio.to_thread(remove_written_folder, scratch)

    async def _sweep(self) -> None:
        try:
            await sweep_app_runs(self._apps)
            await asyncio.to_thread(
                sweep_snapshots, self._room.settings.snapshots_dir, frozenset(self._in_use)
            )
        except (RefereeError, OSError) as error:
            log.warning("analyzer.not_swept", error=str(error)[:300])


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What tools are run on."""

    project_id: UUID
    holder: str
    """Who holds the app, for people."""
    snapshot: SourceSnapshot
    template: Template | None = None
    traceparent: str | None = None
    running: RunningApp | None = None
    """An app that runs already, elsewhere; None: it is started from the source when a tool needs it."""


async def run_job(
    room: AnalysisRoom, apps: AppsRoom, job: Job, orders: Sequence[ToolRunOrder], report: Report
) -> AsyncIterator[tuple[ToolRunOrder, ToolOutput]]:
    """Run tools one after another and yield each output."""
    async with _Seat(apps, job) as seat:
        for order in orders:
            await report(order.tool, "running")
            yield order, await _run_order(room, job, seat, order)


async def _run_order(room: AnalysisRoom, job: Job, seat: _Seat, order: ToolRunOrder) -> ToolOutput:
    if order.tool not in TOOL_NAMES:
        return ToolOutput(outcome=Outcome.unavailable, reason=f"This analyzer has no tool {order.tool!r}.")
    description = get_tool(order.tool).describe()
    trouble = await seat.gate.find_trouble(description.service)
    if trouble:
        return ToolOutput(
            outcome=Outcome.failed,
            reason=f"The {description.service.value} service of the analyzer cannot work now: {trouble}",
        )
    if description.needs == "source":
        return await _run_in_scratch(room, job, order, None)
    if job.running is not None:
        use = AppUse(running=job.running, app_run_id=UUID(int=0), verify=_trust, confirm=_trust)
        return await _run_in_scratch(room, job, order, use)
    held = await seat.hold(room)
    if held is None:
        if description.needs == "running_app":
            return seat.refusal
        return await _run_in_scratch(room, job, order, None)
    try:
        async with held.take_turn():
            use = AppUse(
                running=held.running,
                app_run_id=held.run.app_run_id,
                verify=held.check,
                confirm=held.confirm,
            )
            return await _run_in_scratch(room, job, order, use)
    except AppFailed as error:
        return ToolOutput(outcome=Outcome.target_unreachable, reason=error.explain())


async def _trust() -> None:
    """An app elsewhere is not asked from here: its tools say whether they reached it."""


async def _run_in_scratch(
    room: AnalysisRoom, job: Job, order: ToolRunOrder, app: AppUse | None
) -> ToolOutput:
    parameters: dict[str, JsonValue] = dict(order.parameters)
    workpiece = Workpiece(
        key=ToolRunKey(
            tool_run_id=order.tool_run_id,
            analysis_id=UUID(int=0),
            subject_id=UUID(int=0),
            project_id=job.project_id,
            tool=order.tool,
            parameters_digest="",
            attempt=0,
        ),
        tool=get_tool(order.tool),
        parameters=parameters,
        snapshot=job.snapshot,
        template=job.template,
        app=app,
        traceparent=job.traceparent,
    )
    scratch = room.settings.scratch_dir / f"remote-{order.transfer_id.hex}"
    touching = asyncio.create_task(_touch(job.snapshot.root))
    try:
        await asyncio.to_thread(remove_written_folder, scratch)
        await asyncio.to_thread(scratch.mkdir, parents=True)
        return await run_tool(room, workpiece, scratch)
    finally:
        touching.cancel()
        await asyncio.to_thread(remove_written_folder, scratch)


async def _touch(root: Path) -> None:
    """Show that a source is in use, as long as a tool runs on it."""
    while True:
        await asyncio.to_thread(root.touch)
        await asyncio.sleep(_TOUCH_S)


class _Seat:
    """The app of a job: started when the first tool needs it, given back at the end."""

    def __init__(self, apps: AppsRoom, job: Job) -> None:
        self.gate = ServiceGate()
        self.refusal = ToolOutput(outcome=Outcome.target_unreachable, reason="The app does not run.")
        self._apps = apps
        self._job = job
        self._stack = AsyncExitStack()
        self._held: HeldApp | None = None
        self._starts_count = 0

    async def __aenter__(self) -> _Seat:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def hold(self, room: AnalysisRoom) -> HeldApp | None:
        """Return the app if it answers, starting it when it is not up; ``refusal`` says why there is none."""
        if self._held is not None:
            try:
                await self._held.check()
            except AppFailed as error:
                self._held = None
                self.refusal = ToolOutput(outcome=Outcome.target_unreachable, reason=error.explain())
                await self._stack.aclose()
            else:
                return self._held
        if self._starts_count < _STARTS_MAX_COUNT:
            self._starts_count += 1
            await self._start(room)
        return self._held

    async def _start(self, room: AnalysisRoom) -> None:
        job = self._job
        listing = await room.artifacts.put_bytes(render_listing(job.snapshot), "application/json")
        source = AppSource(
            project_id=job.project_id,
            app_id=None,
            name=job.snapshot.name,
            snapshot=job.snapshot,
            listing=listing,
        )
        try:
            self._held = await self._stack.enter_async_context(
                hold_app(self._apps, source, holder=job.holder)
            )
        except NothingToRun:
            self._starts_count = _STARTS_MAX_COUNT
            self.refusal = ToolOutput(
                outcome=Outcome.not_applicable, reason="Nothing in the subject can be started."
            )
        except AppFailed as error:
            self._starts_count = _STARTS_MAX_COUNT  # what fails to start once fails again
            self.refusal = ToolOutput(outcome=Outcome.target_unreachable, reason=error.explain())
