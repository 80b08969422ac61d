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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
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
from referee.apps import load_snapshot
from referee.core.errors import InvalidInput, RefereeError, Unavailable
from referee.core.findings import Coverage, JsonValue, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Outcome, ParseState
from referee.foundation.sandbox import remove_written_folder, run_command
from referee.foundation.settings import Settings
from referee.foundation.store import Artifact, ArtifactStore, Database
from referee.foundation.web.live import publish
from referee.tools.contract import InstallKit, RawOutput, RunKit, Tool, ToolPlan
from referee.tools.reading import OutputUnreadable
from referee.tools.registry import get_tool
from referee.tools.sarif import SarifInvocation, render_sarif, validate_sarif

__all__ = ["AnalysisRoom", "Workpiece", "execute_tool_run", "load_workpiece", "prepare_tool"]

_SOURCE_ARTIFACT_BYTES = 1_000_000
"""A larger file is not kept for its findings' pages; their code line still is."""

log = structlog.get_logger("referee.analysis")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRoom:
    """What the analysis room works with."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    install_kit: InstallKit


@dataclass(frozen=True, slots=True, kw_only=True)
class Workpiece:
    """One tool run to execute."""

    key: ToolRunKey
    tool: Tool
    parameters: Mapping[str, JsonValue]
    snapshot: SourceSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTool:
    """A tool that is installed, with its plan for a subject."""

    version: str
    plan: ToolPlan
    cache_key: str
    kit: RunKit


async def execute_tool_run(room: AnalysisRoom, tool_run_id: UUID, executor_id: str) -> dict[str, JsonValue]:
    """Run a tool and record the result, unless it has one.

    Returns:
        ``{"tool", "outcome"}`` as recorded.
    """
    workpiece = await _begin_attempt(room, tool_run_id, executor_id)
    if workpiece is None:
        return await _recorded(room, tool_run_id)
    scratch = room.settings.scratch_dir / f"{tool_run_id.hex}-{workpiece.key.attempt}"
    try:
        await asyncio.to_thread(scratch.mkdir, parents=True)
        result = await _obtain_result(room, workpiece, scratch)
    finally:
        await asyncio.to_thread(remove_written_folder, scratch)
    async with room.database.transaction() as session:
        is_accepted = await record_tool_run(session, workpiece.key, result)
        await publish(session, f"analysis:{workpiece.key.analysis_id}", {"tool": workpiece.key.tool})
    if is_accepted:
        TOOL_RUNS.labels(workpiece.key.tool, result.outcome.value).inc()
    log.info(
        "tool_run.finished",
        tool=workpiece.key.tool,
        outcome=result.outcome.value,
        findings_count=result.findings_count,
        duration_ms=result.duration_ms,
        is_accepted=is_accepted,
    )
    return await _recorded(room, tool_run_id)


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
    return Workpiece(key=key, tool=get_tool(run.tool), parameters=run.parameters_json, snapshot=snapshot)


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
    )
    cache_key = compute_cache_key(description, installation.lock_digest, version, plan, workpiece.snapshot)
    return PreparedTool(version=version, plan=plan, cache_key=cache_key, kit=kit)


async def _begin_attempt(room: AnalysisRoom, tool_run_id: UUID, executor_id: str) -> Workpiece | None:
    async with room.database.transaction() as session:
        attempt = await session.scalar(
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
            insert(ToolRunAttemptRow).values(
                tool_run_id=tool_run_id, attempt=attempt, executor_id=executor_id
            )
        )
        workpiece = await load_workpiece(room, session, tool_run_id, attempt=attempt)
        if workpiece is not None:
            await publish(session, f"analysis:{workpiece.key.analysis_id}", {"tool": workpiece.key.tool})
        return workpiece


async def _obtain_result(room: AnalysisRoom, workpiece: Workpiece, scratch: Path) -> ToolRunResult:
    try:
        prepared = await prepare_tool(room, workpiece, scratch)
    except Unavailable as error:
        return _not_run(Outcome.unavailable, str(error))
    except InvalidInput as error:
        return _not_run(Outcome.failed, str(error))
    if prepared.plan.not_applicable is not None:
        return _not_run(Outcome.not_applicable, prepared.plan.not_applicable, prepared.version)
    try:
        raw = await workpiece.tool.run(prepared.kit, prepared.plan)
    except InvalidInput as error:  # the sandbox refused the command before anything ran
        return _not_run(Outcome.failed, str(error), prepared.version)
    report, unreadable = await _parse(workpiece.tool, raw, prepared.plan)
    return await _build_result(room, workpiece, prepared, raw, report, unreadable)


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
    prepared: PreparedTool,
    raw: RawOutput,
    report: ToolReport | None,
    unreadable: str | None,
) -> ToolRunResult:
    description = workpiece.tool.describe()
    verdict = judge_run(description, raw, report, unreadable)
    streams = {name: await _store_stream(room, data, raw, name) for name, data in sorted(raw.streams.items())}
    occurrences, sarif = await asyncio.to_thread(_describe, workpiece, prepared, raw, report, verdict)
    sources = await _store_sources(room, workpiece.snapshot, report)
    return ToolRunResult(
        outcome=verdict.outcome,
        reason=verdict.reason,
        did_run=verdict.did_run,
        exit_meaning=verdict.exit_meaning,
        parse_state=verdict.parse_state,
        exit_code=raw.exit_code,
        occurrences=occurrences,
        is_counted=report is not None and verdict.outcome is not Outcome.not_applicable,
        rules=report.rules if report else (),
        coverage=report.coverage if report else None,
        measurements=report.measurements if report else (),
        notices=report.notices if report else (),
        version=prepared.version,
        adapter_version=description.adapter_version,
        cache_key=prepared.cache_key,
        command=raw.command,
        isolation=None
        if raw.isolation is None
        else {**asdict(raw.isolation), "limits": list(raw.isolation.limits)},
        plan={"files_count": len(prepared.plan.files), "details": dict(prepared.plan.details)},
        raw=streams,
        sarif=await room.artifacts.put_bytes(sarif, "application/sarif+json"),
        sources=sources,
        duration_ms=raw.duration_ms,
        cpu_ms=raw.cpu_ms,
        peak_memory_bytes=raw.peak_memory_bytes,
    )


def _describe(
    workpiece: Workpiece, prepared: PreparedTool, raw: RawOutput, report: ToolReport | None, verdict: Verdict
) -> tuple[tuple[PreparedOccurrence, ...], bytes]:
    """Return the findings ready to store and their validated SARIF log. Blocking."""
    description = workpiece.tool.describe()
    lines = SourceLines(workpiece.snapshot)
    told = report or ToolReport((), (), Coverage("file", 0))
    occurrences = prepare_occurrences(description, told, lines)
    log = render_sarif(
        description,
        prepared.version,
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


async def _store_stream(room: AnalysisRoom, data: bytes, raw: RawOutput, name: str) -> RawStream:
    artifact = await room.artifacts.put_bytes(data, "application/octet-stream")
    return RawStream(
        artifact=artifact,
        total_bytes=raw.total_bytes.get(name, len(data)),
        is_truncated=name in raw.truncated,
    )


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
