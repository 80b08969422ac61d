"""Run one tool on one subject and record what became of it.

Everything that can go wrong with a tool ends as an outcome of its tool run: a
missing program, a crash, a hang, unreadable output. Only trouble of Referee's
own (the database, the disk) is raised, and then the job is tried again.

A tool run may be executed more than once (a worker dies, a lease is lost); it
is recorded once (``recording.py``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.caching import compute_cache_key
from referee.analysis.metrics import TOOL_RUNS
from referee.analysis.recording import ToolRunKey, record_tool_run
from referee.analysis.results import (
    PreparedOccurrence,
    RawStream,
    SourceLines,
    ToolRunResult,
    Verdict,
    judge_run,
    prepare_occurrences,
)
from referee.analysis.storable import make_storable
from referee.analysis.tables import AnalysisRow, SubjectRow, ToolRunAttemptRow, ToolRunRow
from referee.apps import AppFailed, load_snapshot, load_template
from referee.core.errors import InvalidInput, RefereeError, Unavailable
from referee.core.findings import Coverage, JsonValue, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.templates import Template
from referee.core.vocabulary import ExitMeaning, Outcome, ParseState, Service
from referee.foundation.sandbox import Command, CommandResult, Limits, remove_written_folder, run_command
from referee.foundation.settings import Settings
from referee.foundation.store import Artifact, ArtifactStore, Database
from referee.foundation.web.live import publish
from referee.tools.contract import InstallKit, PiecewiseStreams, RawOutput, RunKit, RunningApp, Tool, ToolPlan
from referee.tools.reading import OutputUnreadable
from referee.tools.registry import get_tool
from referee.tools.sarif import SarifInvocation, render_sarif, validate_sarif

if TYPE_CHECKING:
    from referee.foundation.llm import LlmClient

__all__ = [
    "AnalysisRoom",
    "AppUse",
    "ToolOutput",
    "Workpiece",
    "begin_attempt",
    "execute_tool_run",
    "judge_output",
    "load_workpiece",
    "prepare_tool",
    "refuse_tool_run",
    "run_tool",
]

_SOURCE_ARTIFACT_BYTES = 1_000_000
"""A larger file is not kept for its findings' pages; their code line still is."""

_STREAMS_AT_ONCE = 2
"""Streams of one result that are hashed and written at the same time."""
_RAW_TYPE = "application/octet-stream"

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


async def execute_tool_run(
    room: AnalysisRoom, tool_run_id: UUID, executor_id: str, *, app: AppUse | None = None
) -> dict[str, JsonValue]:
    """Run a tool and record the result, unless it has one.

    Args:
        room: Of analyses.
        tool_run_id: Which.
        executor_id: Who runs it.
        app: The running app, for tools that need or may use one.

    Returns:
        ``{"tool", "outcome"}`` as recorded.
    """
    workpiece = await _take_up(room, tool_run_id, executor_id)
    if workpiece is None:
        return await _recorded(room, tool_run_id)
    workpiece = replace(workpiece, app=app)
    scratch = room.settings.scratch_dir / f"{tool_run_id.hex}-{workpiece.key.attempt}"
    try:
        await asyncio.to_thread(scratch.mkdir, parents=True)
        result = await _obtain_result(room, workpiece, scratch)
    finally:
        await asyncio.to_thread(remove_written_folder, scratch)
    await _record(room, workpiece.key, result)
    return await _recorded(room, tool_run_id)


async def refuse_tool_run(
    room: AnalysisRoom, tool_run_id: UUID, executor_id: str, outcome: Outcome, reason: str
) -> dict[str, JsonValue]:
    """Record that a tool cannot run, and why, unless it has a result.

    Returns:
        ``{"tool", "outcome"}`` as recorded.
    """
    workpiece = await _take_up(room, tool_run_id, executor_id)
    if workpiece is not None:
        await _record(room, workpiece.key, _not_run(outcome, reason))
    return await _recorded(room, tool_run_id)


async def _record(room: AnalysisRoom, key: ToolRunKey, result: ToolRunResult) -> None:
    async with room.database.transaction() as session:
        is_accepted = await record_tool_run(session, key, result)
        await publish(session, f"analysis:{key.analysis_id}", {"tool": key.tool})
    if is_accepted:
        TOOL_RUNS.labels(key.tool, result.outcome.value).inc()
    log.info(
        "tool_run.finished",
        tool=key.tool,
        outcome=result.outcome.value,
        findings_count=result.findings_count,
        duration_ms=result.duration_ms,
        is_accepted=is_accepted,
    )


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


async def _take_up(room: AnalysisRoom, tool_run_id: UUID, executor_id: str) -> Workpiece | None:
    async with room.database.transaction() as session:
        attempt = await begin_attempt(session, tool_run_id, executor_id)
        if attempt is None:
            return None
        workpiece = await load_workpiece(room, session, tool_run_id, attempt=attempt)
        if workpiece is not None:
            await publish(session, f"analysis:{workpiece.key.analysis_id}", {"tool": workpiece.key.tool})
        return workpiece


async def _obtain_result(room: AnalysisRoom, workpiece: Workpiece, scratch: Path) -> ToolRunResult:
    return await judge_output(room, workpiece, await run_tool(room, workpiece, scratch))


async def run_tool(room: AnalysisRoom, workpiece: Workpiece, scratch: Path) -> ToolOutput:
    """Install, plan and run a tool, and return what it left behind, whatever became of it.

    Args:
        room: Of analyses.
        workpiece: What to run.
        scratch: An empty folder of this attempt alone.
    """
    try:
        prepared = await prepare_tool(room, workpiece, scratch)
    except Unavailable as error:
        return ToolOutput(outcome=Outcome.unavailable, reason=str(error))
    except InvalidInput as error:
        return ToolOutput(outcome=Outcome.failed, reason=str(error))
    version = prepared.version
    if prepared.plan.not_applicable is not None:
        return ToolOutput(
            outcome=Outcome.not_applicable, reason=prepared.plan.not_applicable, version=version
        )
    try:
        if workpiece.app is not None:
            await workpiece.app.verify()
        raw = await workpiece.tool.run(_with_trace(prepared.kit, workpiece.traceparent), prepared.plan)
    except InvalidInput as error:  # the sandbox refused the command before anything ran
        return ToolOutput(outcome=Outcome.failed, reason=str(error), version=version)
    except AppFailed as error:
        return ToolOutput(outcome=Outcome.target_unreachable, reason=error.explain(), version=version)
    return ToolOutput(
        raw=raw,
        plan=prepared.plan,
        version=version,
        cache_key=prepared.cache_key,
        app_lost=await _find_loss(workpiece.app),
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


async def judge_output(room: AnalysisRoom, workpiece: Workpiece, output: ToolOutput) -> ToolRunResult:
    """Read a tool's output and decide what became of the run; bytes go to the artifact store."""
    if output.raw is None or output.plan is None:
        return _not_run(output.outcome, output.reason, output.version)
    if output.raw.end == "not_started" and output.app_lost:  # the app took its network with it
        return _not_run(Outcome.target_unreachable, output.app_lost, output.version)
    report, unreadable = await _parse(workpiece.tool, output.raw, output.plan)
    if report is not None and output.app_lost:
        report = _doubt_report(report, output.app_lost)
    return await _build_result(room, workpiece, output, output.raw, output.plan, report, unreadable)


def _doubt_report(report: ToolReport, app_lost: str) -> ToolReport:
    """Return a report without findings: what it says of an absent app is nothing."""
    return replace(
        report,
        findings=(),
        measurements=(),
        unreachable=f"The app was gone when the tool had ended. {app_lost}",
    )


async def _parse(tool: Tool, raw: RawOutput, plan: ToolPlan) -> tuple[ToolReport | None, str | None]:
    if raw.end in ("not_started", "cancelled"):
        return None, None
    try:
        return await asyncio.to_thread(lambda: make_storable(tool.parse(raw, plan))), None
    except OutputUnreadable as error:
        return None, str(error)
    except RefereeError:
        raise
    except Exception as error:
        log.exception("tool_run.parser_crashed", tool=tool.describe().name)
        return None, f"Its output made the parser fail: {type(error).__name__}."


async def _build_result(
    room: AnalysisRoom,
    workpiece: Workpiece,
    output: ToolOutput,
    raw: RawOutput,
    plan: ToolPlan,
    report: ToolReport | None,
    unreadable: str | None,
) -> ToolRunResult:
    description = workpiece.tool.describe()
    verdict = judge_run(description, raw, report, unreadable)
    streams = await _store_streams(room, raw)
    occurrences, sarif = await asyncio.to_thread(
        _describe, workpiece, output.version or "", raw, report, verdict
    )
    sources = await _store_sources(room, workpiece.snapshot, report)
    return ToolRunResult(
        outcome=verdict.outcome,
        reason=verdict.reason,
        did_run=verdict.did_run,
        exit_meaning=verdict.exit_meaning,
        parse_state=verdict.parse_state,
        exit_code=raw.exit_code,
        occurrences=occurrences,
        app_run_id=None if workpiece.app is None else workpiece.app.app_run_id,
        is_counted=report is not None
        and verdict.outcome not in (Outcome.not_applicable, Outcome.target_unreachable),
        rules=report.rules if report else (),
        coverage=report.coverage if report else None,
        measurements=report.measurements if report else (),
        notices=report.notices if report else (),
        version=output.version,
        adapter_version=description.adapter_version,
        cache_key=output.cache_key,
        command=raw.command,
        isolation=None
        if raw.isolation is None
        else {**asdict(raw.isolation), "limits": list(raw.isolation.limits)},
        plan={"files_count": len(plan.files), "details": dict(plan.details)},
        raw=streams,
        sarif=await room.artifacts.put_bytes(sarif, "application/sarif+json"),
        sources=sources,
        duration_ms=raw.duration_ms,
        cpu_ms=raw.cpu_ms,
        peak_memory_bytes=raw.peak_memory_bytes,
    )


def _describe(
    workpiece: Workpiece, version: str, raw: RawOutput, report: ToolReport | None, verdict: Verdict
) -> tuple[tuple[PreparedOccurrence, ...], bytes]:
    """Return the findings ready to store and their validated SARIF log. Blocking."""
    description = workpiece.tool.describe()
    lines = SourceLines(workpiece.snapshot)
    told = report or ToolReport((), (), Coverage("file", 0))
    occurrences = prepare_occurrences(description, told, lines)
    log = render_sarif(
        description,
        version,
        told,
        invocation=SarifInvocation(
            is_successful=verdict.outcome is Outcome.succeeded,
            exit_code=raw.exit_code,
            reason=verdict.reason,
            command=raw.command,
        ),
        code_line=lines.line,
        fingerprints=[occurrence.fingerprint for occurrence in occurrences],
        automation_id=f"{workpiece.snapshot.name}/{description.name}",
        subject_digest=workpiece.snapshot.source_digest,
    )
    validate_sarif(log)
    return occurrences, json.dumps(log, ensure_ascii=False, separators=(",", ":")).encode()


async def _store_streams(room: AnalysisRoom, raw: RawOutput) -> dict[str, RawStream]:
    turn = asyncio.Semaphore(_STREAMS_AT_ONCE)

    async def store(name: str) -> Artifact:
        async with turn:
            if isinstance(raw.streams, PiecewiseStreams):
                return await room.artifacts.put_pieces(raw.streams.read_pieces(name), _RAW_TYPE)
            return await room.artifacts.put_bytes(raw.streams[name], _RAW_TYPE)

    names, truncated = sorted(raw.streams), raw.truncated
    artifacts = await asyncio.gather(*(store(name) for name in names))
    return {
        name: RawStream(
            artifact=artifact,
            total_bytes=raw.total_bytes.get(name, artifact.size_bytes),
            is_truncated=name in truncated,
        )
        for name, artifact in zip(names, artifacts, strict=True)
    }


async def _store_sources(
    room: AnalysisRoom, snapshot: SourceSnapshot, report: ToolReport | None
) -> dict[str, Artifact]:
    """Keep each file that a finding stands in, so that its page shows the code as it was."""
    if report is None:
        return {}
    paths = {finding.location.path for finding in report.findings if finding.location is not None}
    kept = sorted(
        path
        for path in paths
        if path in snapshot.by_path and snapshot.by_path[path].size_bytes <= _SOURCE_ARTIFACT_BYTES
    )
    return {path: await room.artifacts.put_file(snapshot.root / path, "text/plain") for path in kept}


def _not_run(outcome: Outcome, reason: str, version: str | None = None) -> ToolRunResult:
    return ToolRunResult(
        outcome=outcome,
        reason=reason,
        did_run=False,
        exit_meaning=ExitMeaning.not_run,
        parse_state=ParseState.not_attempted,
        version=version,
    )


async def _recorded(room: AnalysisRoom, tool_run_id: UUID) -> dict[str, JsonValue]:
    async with room.database.reading() as session:
        tool, outcome = (
            await session.execute(
                select(ToolRunRow.tool, ToolRunRow.outcome).where(ToolRunRow.tool_run_id == tool_run_id)
            )
        ).one()
    return {"tool": tool, "outcome": outcome}
