"""The lane of an analysis in which its tools meet the running app, one after another.

One job holds the app for all of them: started once, checked before and after
each tool, restarted when a tool brought it down, and given back at the end.
Tools of all analyses take turns on one app, so a load test never measures a
scan, and a scan is never answered by an app under load.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import select

from referee.analysis.breakers import ServiceGate, record_service_failure, record_service_result
from referee.analysis.running import (
    AnalysisRoom,
    AppUse,
    PreparedTool,
    ToolOutput,
    UsedTool,
    make_ready,
    use_tool,
)
from referee.analysis.settling import refuse_tool_run, settle_tool
from referee.analysis.tables import AnalysisRow, SubjectRow, ToolRunRow
from referee.apps import AppFailed, AppSource, AppsRoom, HeldApp, NothingToRun, hold_app, load_snapshot
from referee.core.findings import JsonValue
from referee.core.vocabulary import Outcome
from referee.foundation.jobs import JobContext
from referee.foundation.store import Artifact
from referee.tools.registry import get_tool

__all__ = ["list_lane_runs", "run_app_lane"]

_STARTS_MAX_COUNT: Final = 3
"""Starts of the app within one lane: one, and two more after tools that brought it down."""

log = structlog.get_logger("referee.analysis")


async def run_app_lane(
    room: AnalysisRoom, apps: AppsRoom, context: JobContext, arguments: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """Run the tools of an analysis that need its app, in their order. The function of a job.

    Returns:
        Outcome by tool.
    """
    analysis_id = UUID(str(arguments["analysis_id"]))

    async def plan() -> list[JsonValue]:
        return await list_lane_runs(room, analysis_id)

    runs = [run for run in await context.step("plan", plan) if isinstance(run, dict)]
    async with _Seat(room, apps, analysis_id, len(runs)) as seat:

        async def work(place: int, tool: str, tool_run_id: UUID) -> JsonValue:
            executor_id = context.engine.executor_id or "none"
            try:
                result = await context.step(tool, seat.execute, place, tool, tool_run_id, executor_id)
                return result["outcome"]
            finally:
                seat.pass_on(place)  # also where the step was done before, or failed

        steps = [
            asyncio.create_task(work(place, str(run["tool"]), UUID(str(run["tool_run_id"]))))
            for place, run in enumerate(runs)
        ]
        try:
            outcomes = await asyncio.gather(*steps)
        finally:
            for step in steps:
                step.cancel()
            await asyncio.gather(*steps, return_exceptions=True)
    return {str(run["tool"]): outcome for run, outcome in zip(runs, outcomes, strict=True)}


async def list_lane_runs(room: AnalysisRoom, analysis_id: UUID) -> list[JsonValue]:
    """Return the tool runs of an analysis that need its app and have no outcome, in order."""
    async with room.database.reading() as session:
        rows = await session.execute(
            select(ToolRunRow.tool_run_id, ToolRunRow.tool)
            .where(ToolRunRow.analysis_id == analysis_id, ToolRunRow.outcome.is_(None))
            .order_by(ToolRunRow.position)
        )
        return [
            {"tool_run_id": str(tool_run_id), "tool": tool}
            for tool_run_id, tool in rows
            if get_tool(tool).describe().needs != "source"
        ]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why there is no app to use."""

    outcome: Outcome
    reason: str


class _Seat:
    """The place of one analysis at its app.

    Tools have it one after another. While one does, the next is made ready; what one has left behind is
    read and recorded while the next one works.
    """

    def __init__(self, room: AnalysisRoom, apps: AppsRoom, analysis_id: UUID, tools_count: int) -> None:
        self._room = room
        self._apps = apps
        self._analysis_id = analysis_id
        self._gate = ServiceGate()
        self._stack = AsyncExitStack()
        self._held: HeldApp | None = None
        self._refusal: _Refusal | None = None
        self._starts_count = 0
        self._using = asyncio.Lock()
        self._passed = [asyncio.Event() for _ in range(tools_count)]

    async def __aenter__(self) -> _Seat:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def pass_on(self, place: int) -> None:
        """Let the tool behind this place have the app."""
        self._passed[place].set()

    async def _wait_for(self, places_count: int) -> None:
        """Wait until so many tools, the first ones, need the app no more."""
        for passed in self._passed[: max(0, places_count)]:
            await passed.wait()

    async def execute(
        self, place: int, tool: str, tool_run_id: UUID, executor_id: str
    ) -> dict[str, JsonValue]:
        """Run one tool on the app when it is its turn, or record why it cannot be."""
        service = get_tool(tool).describe().service
        await self._wait_for(place - 1)
        prepared = await make_ready(self._room, tool_run_id)
        await self._wait_for(place)
        # An app that has just answered proves more than the gate could; the tool asks it again before it starts.
        is_known_up = self._held is not None and self._held.is_known_up
        trouble = "" if is_known_up else await self._gate.find_trouble(service)
        if trouble:
            await record_service_failure(self._room, service, trouble)
            reason = f"The {service.value} service cannot work now: {trouble}"
            return await refuse_tool_run(self._room, tool_run_id, executor_id, Outcome.failed, reason)
        async with self._using:  # a step that is tried again has passed on before
            used = await self._use(tool, tool_run_id, executor_id, prepared)
        self.pass_on(place)
        if isinstance(used, _Refusal):
            result = await refuse_tool_run(self._room, tool_run_id, executor_id, used.outcome, used.reason)
        else:
            result = await settle_tool(self._room, tool_run_id, used)
        await record_service_result(self._room, service, str(result["outcome"]))
        return result

    async def _use(
        self, tool: str, tool_run_id: UUID, executor_id: str, prepared: PreparedTool | ToolOutput | None
    ) -> UsedTool | _Refusal | None:
        """Run a tool on the app, or without it where it can do without."""
        held = await self._hold()
        if held is None:
            if get_tool(tool).describe().needs == "running_app":
                return self._refusal or _Refusal(Outcome.target_unreachable, "The app does not run.")
            return await use_tool(self._room, tool_run_id, executor_id, app=None, prepared=prepared)
        try:
            async with held.take_turn():
                use = AppUse(
                    running=held.running,
                    app_run_id=held.run.app_run_id,
                    verify=held.check,
                    confirm=held.confirm,
                )
                return await use_tool(self._room, tool_run_id, executor_id, app=use, prepared=prepared)
        except AppFailed as error:
            return _Refusal(Outcome.target_unreachable, error.explain())

    async def _hold(self) -> HeldApp | None:
        """Return the app if it answers, starting it when it is not up."""
        if self._held is not None and self._held.is_known_up:
            return self._held
        if self._held is not None:
            try:
                await self._held.check()
            except AppFailed as error:
                log.warning("app_lane.app_gone", analysis_id=str(self._analysis_id), reason=error.explain())
                self._held = None
                self._refusal = _Refusal(Outcome.target_unreachable, error.explain())
                await self._stack.aclose()
            else:
                return self._held
        if self._starts_count >= _STARTS_MAX_COUNT:
            return None
        return await self._start()

    async def _start(self) -> HeldApp | None:
        self._starts_count += 1
        try:
            source = await self._load_source()
            self._held = await self._stack.enter_async_context(
                hold_app(self._apps, source, holder=f"analysis {self._analysis_id}")
            )
        except NothingToRun:
            self._starts_count = _STARTS_MAX_COUNT
            self._refusal = _Refusal(
                Outcome.not_applicable,
                "Nothing in the subject can be started: no Flask, FastAPI, Django, Express, Vite or static app,"
                " no Procfile and no referee.toml was found.",
            )
        except AppFailed as error:
            self._starts_count = _STARTS_MAX_COUNT  # what fails to start once fails again
            self._refusal = _Refusal(Outcome.target_unreachable, error.explain())
        return self._held

    async def _load_source(self) -> AppSource:
        async with self._room.database.reading() as session:
            analysis, subject = (
                await session.execute(
                    select(AnalysisRow, SubjectRow)
                    .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
                    .where(AnalysisRow.analysis_id == self._analysis_id)
                )
            ).one()
        listing = await self._room.artifacts.read_bytes(analysis.listing_sha256)
        snapshot = await asyncio.to_thread(load_snapshot, listing, self._room.settings.snapshots_dir)
        return AppSource(
            project_id=analysis.project_id,
            app_id=subject.app_id,
            name=subject.name,
            snapshot=snapshot,
            listing=Artifact(analysis.listing_sha256, len(listing), "application/json"),
        )
