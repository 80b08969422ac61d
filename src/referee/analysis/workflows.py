"""The jobs of the analysis room.

``analysis.run`` carries one analysis to its end: answer from the cache what is
unchanged, run the other tools as child jobs (longest first, so both cores stay
busy to the end), those of a service that an analyzer elsewhere offers as one job
of that service, then finish. ``analysis.tool_run`` runs one tool. Both may be
executed again after a crash; their effects are recorded once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, case, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.analyzers import REMOTE_SERVICE, find_remote_services
from referee.analysis.app_lane import run_app_lane
from referee.analysis.caching import find_cached_runs, load_cached_result
from referee.analysis.finishing import close_tool_runs, fail_analysis, finish_analysis
from referee.analysis.metrics import TOOL_RUNS
from referee.analysis.recording import record_tool_run
from referee.analysis.running import (
    AnalysisRoom,
    PreparedTool,
    Workpiece,
    load_workpiece,
    prepare_tool,
)
from referee.analysis.service import RUN_ANALYSIS, start_analysis
from referee.analysis.settling import execute_tool_run
from referee.analysis.tables import AnalysisRow, ToolRunRow
from referee.apps import AppsRoom, sweep_app_runs, sweep_snapshots
from referee.core.errors import RefereeError, Unavailable
from referee.core.findings import JsonValue
from referee.core.vocabulary import AnalysisState, ExitMeaning, Outcome, ParseState, Service
from referee.foundation.jobs import ChildJob, Job, JobContext, JobEngine, JobRow
from referee.foundation.sandbox import end_orphans, remove_written_folder
from referee.foundation.web.live import publish
from referee.tools.registry import TOOL_NAMES, get_tool

__all__ = ["ANALYSIS_QUEUE", "RUN_TOOL", "TOOL_QUEUE", "register_workflows", "sweep_analyses"]

ANALYSIS_QUEUE = "analyses"
TOOL_QUEUE = "tools"
APP_QUEUE = "apps"
RUN_TOOL = "analysis.tool_run"
RUN_APP_LANE = "analysis.app_lane"

_ANALYSES_AT_ONCE = 8
"""Per worker: an analysis itself only waits, so several may overlap and keep the tool slots busy."""
_LANE_JOB_TIMEOUT_S = 21_600.0
"""Far above what all tools of one lane may take together."""
_SCRATCH_AGE_S = 86_400.0
"""Older than any tool run can get."""
_TOOL_JOB_TIMEOUT_S = 7_200.0
"""Far above any tool's own deadline: ends a tool run only when supervision itself has failed."""

log = structlog.get_logger("referee.analysis")


def register_workflows(room: AnalysisRoom, apps: AppsRoom, engine: JobEngine) -> None:
    """Make the room's jobs known to the engine. Called before it starts."""
    engine.register_queue(
        ANALYSIS_QUEUE, concurrency=None, worker_concurrency=_ANALYSES_AT_ONCE,
        max_waiting_count=room.settings.queue_max_count,
    )  # fmt: skip
    engine.register_queue(
        TOOL_QUEUE, concurrency=None, worker_concurrency=room.settings.worker_tool_slots_count,
        max_waiting_count=room.settings.queue_max_count * 20,
    )  # fmt: skip
    engine.register_queue(
        APP_QUEUE, concurrency=None, worker_concurrency=room.settings.worker_app_slots_count,
        max_waiting_count=room.settings.queue_max_count,
    )  # fmt: skip
    engine.register(RUN_ANALYSIS, _bind(room, _run_analysis), queue=ANALYSIS_QUEUE, on_end=_end_analysis_job)
    engine.register(
        RUN_TOOL,
        _bind(room, _run_tool),
        queue=TOOL_QUEUE,
        timeout_s=_TOOL_JOB_TIMEOUT_S,
        on_end=_end_tool_job,
    )

    async def run_lane(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return await run_app_lane(room, apps, context, arguments)

    engine.register(
        RUN_APP_LANE, run_lane, queue=APP_QUEUE, timeout_s=_LANE_JOB_TIMEOUT_S, on_end=_end_lane_job
    )


def _bind(
    room: AnalysisRoom,
    function: Callable[[AnalysisRoom, JobContext, dict[str, JsonValue]], Awaitable[dict[str, JsonValue]]],
) -> Callable[[JobContext, dict[str, JsonValue]], Awaitable[dict[str, JsonValue]]]:
    async def run(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return await function(room, context, arguments)

    return run


async def _run_analysis(
    room: AnalysisRoom, context: JobContext, arguments: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    analysis_id, project_id = UUID(str(arguments["analysis_id"])), UUID(str(arguments["project_id"]))

    async def begin() -> list[JsonValue]:
        async with room.database.transaction() as session:
            await start_analysis(session, analysis_id)
            await publish(session, f"analysis:{analysis_id}", {"state": "running"})
        await _reuse_results(room, analysis_id)
        return await _waiting_runs(room, analysis_id, await find_remote_services(room, project_id))

    async def finish() -> str:
        return (await finish_analysis(room, project_id, analysis_id)).value

    async def fail(reason: str) -> str:
        async with room.database.transaction() as session:
            await fail_analysis(session, analysis_id, f"The results could not be stored: {reason}")
        return AnalysisState.failed.value

    waiting = await context.step("begin", begin)
    children = _plan_children(analysis_id, [run for run in waiting if isinstance(run, dict)])
    if children:
        results = await context.run_children(children)
        for result in results:
            if result.error is not None:
                log.error(
                    "tool_run.job_failed",
                    tool=result.name,
                    code=result.error.code,
                    message=result.error.message,
                )
    try:
        state = await context.step("finish", finish, retries=3)
    except RefereeError as error:
        state = await context.step("fail", fail, error.message)
    return {"state": state}


def _plan_children(analysis_id: UUID, waiting: Sequence[Mapping[str, JsonValue]]) -> list[ChildJob]:
    """Return the jobs that together run the waiting tools, those first that take longest."""
    remote = list(dict.fromkeys(str(run["service"]) for run in waiting if run["is_remote"]))
    children = [
        ChildJob(
            name=f"remote_{service}",
            kind=REMOTE_SERVICE,
            arguments={"analysis_id": str(analysis_id), "service": service},
            title=f"{service} on an analyzer",
            priority=1,
        )
        for service in remote
    ]
    local = [run for run in waiting if not run["is_remote"]]
    if any(run["is_in_lane"] for run in local):
        lane_arguments: dict[str, JsonValue] = {"analysis_id": str(analysis_id)}
        children.append(
            ChildJob(name="app", kind=RUN_APP_LANE, arguments=lane_arguments, title="running app", priority=1)
        )
    children.extend(
        ChildJob(
            name=str(run["tool"]),
            kind=RUN_TOOL,
            arguments={"tool_run_id": run["tool_run_id"]},
            title=str(run["tool"]),
            priority=int(str(run["position"])) + 1,
        )
        for run in local
        if not run["is_in_lane"]
    )
    return children


async def _end_analysis_job(session: AsyncSession, job: Job) -> None:
    """Fail the analysis of a job that failed, in the same transaction: neither is left behind by the other."""
    if job.state == "failed":
        reason = job.error.message if job.error is not None else "its job failed."
        await fail_analysis(
            session,
            UUID(str(job.arguments["analysis_id"])),
            f"The analysis could not be carried out: {reason}",
        )


async def _end_tool_job(session: AsyncSession, job: Job) -> None:
    """Give the tool run of a job that failed or was cancelled its outcome."""
    if job.state in ("failed", "cancelled"):
        await _end_tool_runs(session, job, ToolRunRow.tool_run_id == UUID(str(job.arguments["tool_run_id"])))


async def _end_lane_job(session: AsyncSession, job: Job) -> None:
    """Give the tool runs of a lane that failed or was cancelled their outcome."""
    if job.state in ("failed", "cancelled"):
        lane_tools = [name for name in TOOL_NAMES if get_tool(name).describe().needs != "source"]
        await _end_tool_runs(
            session,
            job,
            ToolRunRow.analysis_id == UUID(str(job.arguments["analysis_id"])),
            ToolRunRow.tool.in_(lane_tools),
        )


async def _end_tool_runs(session: AsyncSession, job: Job, *which: ColumnElement[bool]) -> None:
    outcome = Outcome.failed if job.state == "failed" else Outcome.cancelled
    reason = job.error.message if job.error is not None else f"Its job was {job.state}."
    await session.execute(
        update(ToolRunRow)
        .where(*which, ToolRunRow.outcome.is_(None))
        .values(
            outcome=outcome.value,
            reason=reason,
            did_run=ToolRunRow.started_at.is_not(None),
            exit_meaning=case(
                (ToolRunRow.started_at.is_(None), ExitMeaning.not_run.value),
                else_=ExitMeaning.unknown.value if job.state == "failed" else ExitMeaning.killed.value,
            ),
            parse_state=ParseState.not_attempted.value,
            finished_at=text("clock_timestamp()"),
        )
    )


async def _run_tool(
    room: AnalysisRoom, context: JobContext, arguments: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    tool_run_id = UUID(str(arguments["tool_run_id"]))

    async def execute() -> dict[str, JsonValue]:
        return await execute_tool_run(room, tool_run_id, context.engine.executor_id or "none")

    return await context.step("execute", execute)


async def _waiting_runs(room: AnalysisRoom, analysis_id: UUID, remote: frozenset[Service]) -> list[JsonValue]:
    async with room.database.reading() as session:
        rows = await session.execute(
            select(ToolRunRow.tool_run_id, ToolRunRow.tool, ToolRunRow.position, ToolRunRow.service)
            .where(ToolRunRow.analysis_id == analysis_id, ToolRunRow.outcome.is_(None))
            .order_by(ToolRunRow.position)
        )
        return [
            {
                "tool_run_id": str(tool_run_id),
                "tool": tool,
                "position": position,
                "service": service,
                "is_remote": service in remote,
                "is_in_lane": get_tool(tool).describe().needs != "source",
            }
            for tool_run_id, tool, position, service in rows
        ]


async def _reuse_results(room: AnalysisRoom, analysis_id: UUID) -> None:
    """Answer from the result cache every tool whose answer cannot have changed."""
    async with room.database.reading() as session:
        analysis = (
            await session.execute(select(AnalysisRow).where(AnalysisRow.analysis_id == analysis_id))
        ).scalar_one()
        if not analysis.is_cache_allowed:
            return
        known = await session.scalar(
            select(ToolRunRow.tool_run_id)
            .join(AnalysisRow, AnalysisRow.analysis_id == ToolRunRow.analysis_id)
            .where(
                AnalysisRow.project_id == analysis.project_id,
                AnalysisRow.source_digest == analysis.source_digest,
                AnalysisRow.analysis_id != analysis_id,
                ToolRunRow.outcome == "succeeded",
            )
            .limit(1)
        )
        if known is None:
            return
        waiting = await session.scalars(
            select(ToolRunRow.tool_run_id).where(
                ToolRunRow.analysis_id == analysis_id,
                ToolRunRow.outcome.is_(None),
                ToolRunRow.tool.in_([n for n in TOOL_NAMES if get_tool(n).describe().needs == "source"]),
            )
        )
        pieces = [await load_workpiece(room, session, tool_run_id, attempt=0) for tool_run_id in waiting]
    await asyncio.gather(*(_reuse_unless_it_fails(room, piece) for piece in pieces if piece is not None))


async def _reuse_unless_it_fails(room: AnalysisRoom, workpiece: Workpiece) -> None:
    """Answer from the cache if that can be done: what goes wrong there costs one run of the tool, nothing else."""
    try:
        await _reuse_result(room, workpiece)
    except Unavailable:
        raise  # the database or the disk: the step is tried again
    except Exception:
        log.exception("cache.not_used", tool=workpiece.key.tool)


async def _reuse_result(room: AnalysisRoom, workpiece: Workpiece) -> None:
    prepared = await _prepare(room, workpiece)
    if prepared is None or prepared.cache_key is None or prepared.plan.not_applicable is not None:
        return
    async with room.database.reading() as session:
        found = await find_cached_runs(session, [prepared.cache_key], project_id=workpiece.key.project_id)
        cached_from = found.get(prepared.cache_key)
        if cached_from is None:
            return
        result = await load_cached_result(session, cached_from)
    for artifact in result.artifacts:
        if await room.artifacts.check(artifact.sha256) is not None:
            log.warning("cache.artifact_broken", tool=workpiece.key.tool, sha256=artifact.sha256)
            return
    async with room.database.transaction() as session:
        is_accepted = await record_tool_run(session, workpiece.key, result, cached_from=cached_from)
        await publish(session, f"analysis:{workpiece.key.analysis_id}", {"tool": workpiece.key.tool})
    if is_accepted:
        TOOL_RUNS.labels(workpiece.key.tool, result.outcome.value).inc()


async def _prepare(room: AnalysisRoom, workpiece: Workpiece) -> PreparedTool | None:
    """Return the tool with its plan, or None when it is not there: the tool run itself will say why."""
    scratch = room.settings.scratch_dir / f"plan-{workpiece.key.tool_run_id.hex}"
    try:
        return await prepare_tool(room, workpiece, scratch)
    except RefereeError:
        return None
    finally:
        await asyncio.to_thread(remove_written_folder, scratch)


async def sweep_analyses(room: AnalysisRoom, apps: AppsRoom) -> int:
    """End analyses whose job has ended without them, remove copies of sources nobody needs, and end orphans.

    Returns:
        Analyses ended. Count.
    """
    async with room.database.reading() as session:
        unfinished = (
            await session.execute(
                select(AnalysisRow.analysis_id, AnalysisRow.project_id, JobRow.state)
                .join(JobRow, JobRow.job_id == AnalysisRow.job_id)
                .where(
                    AnalysisRow.state.in_(("queued", "running")), JobRow.state.in_(("cancelled", "failed"))
                )
                .limit(1_000)
            )
        ).all()
        needed = await session.scalars(
            select(AnalysisRow.source_digest).where(AnalysisRow.state.in_(("queued", "running"))).distinct()
        )
        keep = frozenset(needed)
    for analysis_id, project_id, job_state in unfinished:
        if job_state == "failed":
            async with room.database.transaction() as session:
                await fail_analysis(session, analysis_id, "The analysis could not be carried out.")
            continue
        async with room.database.transaction() as session:
            await close_tool_runs(session, analysis_id, Outcome.cancelled, "The analysis was cancelled.")
            await start_analysis(session, analysis_id)
        await finish_analysis(room, project_id, analysis_id, is_cancelled=True)
    await sweep_app_runs(apps)
    await asyncio.to_thread(sweep_snapshots, room.settings.snapshots_dir, keep)
    await asyncio.to_thread(end_orphans, room.settings.scratch_dir)
    await asyncio.to_thread(_sweep_scratch, room.settings.scratch_dir)
    return len(unfinished)


def _sweep_scratch(scratch_dir: Path) -> None:
    """Remove working folders that a killed worker left behind. Blocking."""
    oldest = time.time() - _SCRATCH_AGE_S
    for folder in scratch_dir.iterdir() if scratch_dir.is_dir() else ():
        if folder.lstat().st_mtime < oldest:
            remove_written_folder(folder)
