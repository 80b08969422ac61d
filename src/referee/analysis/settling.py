"""Read what a tool left behind, decide what became of its run, and record that.

Unreadable output is an outcome too. A tool run may be executed more than once (a worker dies, a lease is
lost); it is recorded once (``recording.py``).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, replace
from uuid import UUID

import structlog
from sqlalchemy import select

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
from referee.analysis.running import (
    AnalysisRoom,
    AppUse,
    ToolOutput,
    UsedTool,
    Workpiece,
    take_up,
    use_tool,
)
from referee.analysis.storable import make_storable
from referee.analysis.tables import ToolRunRow
from referee.core.errors import RefereeError
from referee.core.findings import Coverage, JsonValue, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Outcome, ParseState
from referee.foundation.sandbox import remove_written_folder
from referee.foundation.store import Artifact
from referee.foundation.web.live import publish
from referee.tools.contract import (
    FiledStreams,
    PiecewiseStreams,
    RawOutput,
    Tool,
    ToolPlan,
)
from referee.tools.reading import OutputUnreadable
from referee.tools.sarif import SarifInvocation, render_sarif, validate_sarif

__all__ = ["execute_tool_run", "judge_output", "refuse_tool_run", "settle_tool"]

_SOURCE_ARTIFACT_BYTES = 1_000_000
"""A larger file is not kept for its findings' pages; their code line still is."""

_STREAMS_AT_ONCE = 2
"""Streams of one result that are hashed and written at the same time."""
_RAW_TYPE = "application/octet-stream"

log = structlog.get_logger("referee.analysis")


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
    return await settle_tool(room, tool_run_id, await use_tool(room, tool_run_id, executor_id, app=app))


async def settle_tool(room: AnalysisRoom, tool_run_id: UUID, used: UsedTool | None) -> dict[str, JsonValue]:
    """Read the output of a tool that has run and record the result.

    Returns:
        ``{"tool", "outcome"}`` as recorded.
    """
    if used is not None:
        try:
            result = await judge_output(room, used.workpiece, used.output)
        finally:
            await asyncio.to_thread(remove_written_folder, used.scratch)
        await _record(room, used.workpiece.key, replace(result, ended_at=used.output.ended_at))
    return await _recorded(room, tool_run_id)


async def refuse_tool_run(
    room: AnalysisRoom, tool_run_id: UUID, executor_id: str, outcome: Outcome, reason: str
) -> dict[str, JsonValue]:
    """Record that a tool cannot run, and why, unless it has a result.

    Returns:
        ``{"tool", "outcome"}`` as recorded.
    """
    workpiece = await take_up(room, tool_run_id, executor_id)
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
            file = raw.streams.find_file(name) if isinstance(raw.streams, FiledStreams) else None
            if file is not None:
                return await room.artifacts.adopt_file(file.path, file.sha256, _RAW_TYPE)
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
