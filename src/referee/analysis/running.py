"""Run one tool on one subject: take a tool run up, prepare its tool, use it.

Everything that can go wrong with a tool ends as an outcome of its tool run: a
missing program, a crash, a hang. Only trouble of Referee's own (the database,
the disk) is raised, and then the job is tried again.

What the tool left behind is read and recorded in ``settling.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.caching import compute_cache_key
from referee.analysis.recording import ToolRunKey
from referee.analysis.tables import AnalysisRow, SubjectRow, ToolRunAttemptRow, ToolRunRow
from referee.apps import AppFailed, load_snapshot, load_template
from referee.core.errors import InvalidInput, Unavailable
from referee.core.findings import JsonValue
from referee.core.sources import SourceSnapshot
from referee.core.templates import Template
from referee.core.vocabulary import Outcome, Service
from referee.foundation.sandbox import Command, CommandResult, Limits, remove_written_folder, run_command
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database
from referee.foundation.web.live import publish
from referee.tools.contract import (
    InstallKit,
    RawOutput,
    RunKit,
    RunningApp,
    Tool,
    ToolPlan,
)
from referee.tools.registry import get_tool

if TYPE_CHECKING:
    from referee.foundation.llm import LlmClient

__all__ = [
    "AnalysisRoom",
    "AppUse",
    "PreparedTool",
    "ToolOutput",
    "UsedTool",
    "Workpiece",
    "begin_attempt",
    "load_workpiece",
    "make_ready",
    "prepare_tool",
    "run_tool",
    "take_up",
    "use_tool",
]

log = structlog.get_logger("referee.analysis")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRoom:
    """What the analysis room works with."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    install_kit: InstallKit
    judge: LlmClient | None = None
    """The language model that may judge, where one is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUse:
    """A running app that one tool may use now."""

    running: RunningApp
    app_run_id: UUID
    verify: Callable[[], Awaitable[None]]
    """Asks the app from where the tool runs; raises ``AppFailed`` when it does not answer."""
    confirm: Callable[[], Awaitable[None]]
    """The same before a tool starts, where an answer of this very moment may count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workpiece:
    """One tool run to execute."""

    key: ToolRunKey
    tool: Tool
    parameters: Mapping[str, JsonValue]
    snapshot: SourceSnapshot
    template: Template | None = None
    app: AppUse | None = None
    traceparent: str | None = None
    """W3C trace context, for the environment of the tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTool:
    """A tool that is installed, with its plan for a subject."""

    version: str
    plan: ToolPlan
    cache_key: str | None
    kit: RunKit


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput:
    """What a tool left behind, before anything was read out of it; or why it did not run."""

    raw: RawOutput | None = None
    """None: it did not run."""
    plan: ToolPlan | None = None
    """The plan it ran with; given whenever there is raw output."""
    version: str | None = None
    cache_key: str | None = None
    outcome: Outcome = Outcome.failed
    """Only when there is no raw output."""
    reason: str = ""
    """One sentence, only when there is no raw output."""
    app_lost: str = ""
    """Why the app did not answer any more when the tool had ended; empty when it did, or there was none."""
    ended_at: datetime | None = None
    """When the tool had ended, where its output is read later; None: as it is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedTool:
    """A tool that has run; its output is still to be read and recorded."""

    workpiece: Workpiece
    output: ToolOutput
    scratch: Path


async def make_ready(room: AnalysisRoom, tool_run_id: UUID) -> PreparedTool | ToolOutput | None:
    """Do everything for a tool run that can be done before its turn at the app.

    Returns:
        The tool with its plan; or its output where it cannot run; None when it has an outcome.
    """
    async with room.database.reading() as session:
        workpiece = await load_workpiece(room, session, tool_run_id, attempt=0)
    return None if workpiece is None else await _prepare_or_refuse(room, workpiece, room.settings.scratch_dir)


async def use_tool(
    room: AnalysisRoom,
    tool_run_id: UUID,
    executor_id: str,
    *,
    app: AppUse | None,
    prepared: PreparedTool | ToolOutput | None = None,
) -> UsedTool | None:
    """Run a tool, and leave its output to ``settle_tool``. None when the tool run has an outcome.

    Args:
        room: Of analyses.
        tool_run_id: Which.
        executor_id: Who runs it.
        app: The running app, for tools that need or may use one.
        prepared: What ``make_ready`` returned.
    """
    workpiece = await take_up(room, tool_run_id, executor_id)
    if workpiece is None:
        return None
    workpiece = replace(workpiece, app=app)
    scratch = room.settings.scratch_dir / f"{tool_run_id.hex}-{workpiece.key.attempt}"
    try:
        await asyncio.to_thread(scratch.mkdir, parents=True)
        output = await run_tool(room, workpiece, scratch, prepared=prepared)
        if app is not None:  # others have their turn before this is recorded
            async with room.database.reading() as session:
                output = replace(output, ended_at=await session.scalar(select(func.clock_timestamp())))
    except BaseException:
        await asyncio.to_thread(remove_written_folder, scratch)
        raise
    return UsedTool(workpiece=workpiece, output=output, scratch=scratch)


async def load_workpiece(
    room: AnalysisRoom, session: AsyncSession, tool_run_id: UUID, *, attempt: int
) -> Workpiece | None:
    """Return what is needed to execute a tool run, or None when it has an outcome."""
    row = (
        await session.execute(
            select(ToolRunRow, AnalysisRow, SubjectRow)
            .join(AnalysisRow, AnalysisRow.analysis_id == ToolRunRow.analysis_id)
            .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
            .where(ToolRunRow.tool_run_id == tool_run_id)
        )
    ).one()
    run, analysis, subject = row
    if run.outcome is not None:
        return None
    template = None
    if analysis.template_id is not None:
        template = await load_template(session, room.artifacts, analysis.project_id, analysis.template_id)
    listing = await room.artifacts.read_bytes(analysis.listing_sha256)
    snapshot = await asyncio.to_thread(load_snapshot, listing, room.settings.snapshots_dir)
    key = ToolRunKey(
        tool_run_id=tool_run_id,
        analysis_id=analysis.analysis_id,
        subject_id=subject.subject_id,
        project_id=analysis.project_id,
        tool=run.tool,
        parameters_digest=run.parameters_digest,
        attempt=attempt,
    )
    return Workpiece(
        key=key,
        tool=get_tool(run.tool),
        parameters=run.parameters_json,
        snapshot=snapshot,
        template=template,
        traceparent=analysis.traceparent,
    )


async def prepare_tool(room: AnalysisRoom, workpiece: Workpiece, scratch: Path) -> PreparedTool:
    """Install a tool if need be, and let it plan.

    Raises:
        Unavailable: The tool cannot be had here.
    """
    tool = workpiece.tool
    description = tool.describe()
    parameters = description.resolve_parameters(workpiece.parameters)
    installation = await tool.ensure_installed(room.install_kit)
    if not await asyncio.to_thread(installation.program.exists):
        raise Unavailable(
            "tools.program_missing",
            f"{description.name} has lost its program {installation.program}.",
            f"Remove the folder {installation.root} and run `referee tool install {description.name}`.",
        )
    version = await tool.probe_version(installation)
    plan = await asyncio.to_thread(tool.plan, workpiece.snapshot, parameters)
    limits = replace(
        description.limits,
        output_bytes=min(description.limits.output_bytes, room.settings.raw_output_max_bytes),
        wall_s=min(description.limits.wall_s, room.settings.tool_wall_max_s),
    )
    kit = RunKit(
        snapshot=workpiece.snapshot,
        installation=installation,
        install_kit=room.install_kit,
        scratch_dir=scratch,
        limits=limits,
        cores_count=1,
        run_command=run_command,
        app=None if workpiece.app is None else workpiece.app.running,
        template=workpiece.template,
        judge=room.judge if description.service is Service.ai else None,
    )
    cache_key = compute_cache_key(description, installation.lock_digest, version, plan, workpiece.snapshot)
    return PreparedTool(version=version, plan=plan, cache_key=cache_key, kit=kit)


async def begin_attempt(session: AsyncSession, tool_run_id: UUID, executor_id: str) -> int | None:
    """Put one more try at a tool run on record.

    Returns:
        Its number, from 1; None when the tool run has an outcome.
    """
    attempt: int | None = await session.scalar(
        update(ToolRunRow)
        .where(ToolRunRow.tool_run_id == tool_run_id, ToolRunRow.outcome.is_(None))
        .values(
            attempts_count=ToolRunRow.attempts_count + 1,
            started_at=func.coalesce(ToolRunRow.started_at, text("clock_timestamp()")),
        )
        .returning(ToolRunRow.attempts_count)
    )
    if attempt is None:
        return None
    await session.execute(
        insert(ToolRunAttemptRow).values(tool_run_id=tool_run_id, attempt=attempt, executor_id=executor_id)
    )
    return attempt


async def take_up(room: AnalysisRoom, tool_run_id: UUID, executor_id: str) -> Workpiece | None:
    """Begin an attempt at a tool run. Returns what is needed for it; None when the tool run has an outcome."""
    async with room.database.transaction() as session:
        attempt = await begin_attempt(session, tool_run_id, executor_id)
        if attempt is None:
            return None
        workpiece = await load_workpiece(room, session, tool_run_id, attempt=attempt)
        if workpiece is not None:
            await publish(session, f"analysis:{workpiece.key.analysis_id}", {"tool": workpiece.key.tool})
        return workpiece


async def run_tool(
    room: AnalysisRoom,
    workpiece: Workpiece,
    scratch: Path,
    *,
    prepared: PreparedTool | ToolOutput | None = None,
) -> ToolOutput:
    """Install, plan and run a tool, and return what it left behind, whatever became of it.

    Args:
        room: Of analyses.
        workpiece: What to run.
        scratch: An empty folder of this attempt alone.
        prepared: What ``make_ready`` returned; None: nothing was done before.
    """
    if prepared is None:
        prepared = await _prepare_or_refuse(room, workpiece, scratch)
    if isinstance(prepared, ToolOutput):
        return prepared
    app = workpiece.app
    kit = replace(prepared.kit, scratch_dir=scratch, app=None if app is None else app.running)
    try:
        if app is not None:
            await app.confirm()
        raw = await workpiece.tool.run(_with_trace(kit, workpiece.traceparent), prepared.plan)
    except InvalidInput as error:  # the sandbox refused the command before anything ran
        return ToolOutput(outcome=Outcome.failed, reason=str(error), version=prepared.version)
    except AppFailed as error:
        return ToolOutput(
            outcome=Outcome.target_unreachable, reason=error.explain(), version=prepared.version
        )
    return ToolOutput(
        raw=raw,
        plan=prepared.plan,
        version=prepared.version,
        cache_key=prepared.cache_key,
        app_lost=await _find_loss(app),
    )


async def _prepare_or_refuse(
    room: AnalysisRoom, workpiece: Workpiece, scratch: Path
) -> PreparedTool | ToolOutput:
    """Return the tool with its plan, or its output where it cannot run or has nothing to do."""
    try:
        prepared = await prepare_tool(room, workpiece, scratch)
    except Unavailable as error:
        return ToolOutput(outcome=Outcome.unavailable, reason=str(error))
    except InvalidInput as error:
        return ToolOutput(outcome=Outcome.failed, reason=str(error))
    if prepared.plan.not_applicable is None:
        return prepared
    return ToolOutput(
        outcome=Outcome.not_applicable, reason=prepared.plan.not_applicable, version=prepared.version
    )


def _with_trace(kit: RunKit, traceparent: str | None) -> RunKit:
    """Return a kit whose commands find the trace they belong to in their environment."""
    if traceparent is None:
        return kit
    run = kit.run_command

    async def run_in_trace(command: Command, limits: Limits, output_dir: Path) -> CommandResult:
        environment = {**command.environment, "TRACEPARENT": traceparent}
        return await run(replace(command, environment=environment), limits, output_dir)

    return replace(kit, run_command=run_in_trace)


async def _find_loss(app: AppUse | None) -> str:
    """Return why the app does not answer any more, empty when it does or there is none."""
    if app is not None:
        try:
            await app.verify()
        except AppFailed as error:
            return error.explain()
    return ""
