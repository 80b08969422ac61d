"""The job that has one service of one analysis run by an analyzer, and waits until that is done.

Analysis workers and the server that analyzers connect to may be different processes; they meet in
the database. The job is the only one that gives a request up: it takes it back from an analyzer
that is gone, and fails it when it was given out too often, took too long, or nobody offers it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import case, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.analyzers.committing import LIVE_TOPIC, complete_request
from referee.analysis.analyzers.dispatch import end_request, give_back_request
from referee.analysis.analyzers.protocol import AnalyzerLimits
from referee.analysis.analyzers.queries import is_connected
from referee.analysis.analyzers.replica_records import describe_replicas, list_replicas, seconds_ago
from referee.analysis.analyzers.sweeping import sweep_parts
from referee.analysis.analyzers.tables import AnalyzerRequestRow, AnalyzerRow
from referee.analysis.breakers import record_service_failure
from referee.analysis.running import AnalysisRoom
from referee.analysis.settling import refuse_tool_run
from referee.analysis.tables import AnalysisRow, ToolRunRow
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.vocabulary import ExitMeaning, Outcome, ParseState, Service
from referee.foundation.jobs import Job, JobContext, JobEngine
from referee.foundation.web.live import publish
from referee.tools.registry import get_tool

__all__ = [
    "REMOTE_QUEUE",
    "REMOTE_SERVICE",
    "ensure_request",
    "is_service_forsaken",
    "register_remote_workflows",
    "run_remote_service",
]

REMOTE_SERVICE: Final = "analysis.remote_service"
REMOTE_QUEUE: Final = "remote_services"

_WAITING_AT_ONCE: Final = 64
"""Per worker: these jobs only wait."""
_START_S: Final = 1_800.0
"""Of a request's time: fetching the source, installing and starting the app, handing over."""
_DAY_S: Final = 86_400.0

log = structlog.get_logger("referee.analyzers")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was found at one look at a request."""

    is_ended: bool = False
    failure: str = ""
    """Why the request is to be given up; empty: it goes on."""
    stage: str = ""


def register_remote_workflows(
    room: AnalysisRoom, engine: JobEngine, limits: AnalyzerLimits | None = None
) -> None:
    """Make the job known to the engine. Called before it starts."""
    bounds = limits or AnalyzerLimits()
    engine.register_queue(
        REMOTE_QUEUE, concurrency=None, worker_concurrency=_WAITING_AT_ONCE,
        max_waiting_count=room.settings.queue_max_count,
    )  # fmt: skip

    async def run(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return await run_remote_service(room, bounds, context, arguments)

    async def sweep(_: JobContext, __: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"removed_count": await sweep_parts(room)}

    engine.register(REMOTE_SERVICE, run, queue=REMOTE_QUEUE, timeout_s=_DAY_S, on_end=_end_job)
    engine.register_schedule("sweep_transfers", "17 * * * *", sweep)


async def run_remote_service(
    room: AnalysisRoom, limits: AnalyzerLimits, context: JobContext, arguments: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """Have a service of an analysis run elsewhere. The function of a job.

    Args:
        room: Of analyses.
        limits: Times.
        context: Of the job.
        arguments: ``analysis_id`` and ``service``.

    Returns:
        Outcome by tool.
    """
    analysis_id, service = UUID(str(arguments["analysis_id"])), Service(str(arguments["service"]))

    async def ask() -> str:
        return str(await ensure_request(room, analysis_id, service))

    request_id = UUID(await context.step("ask", ask))

    async def wait() -> dict[str, JsonValue]:
        stage = ""
        while True:
            look = await _look(room, limits, request_id)
            if look.failure:
                await _fail(room, request_id, analysis_id, service, look.failure)
            elif look.is_ended:
                return await _list_outcomes(room, analysis_id, service)
            if look.stage and look.stage != stage:
                stage = look.stage
                await context.report_progress(stage)
            await asyncio.sleep(limits.look_s)

    return await context.step("wait", wait)


async def ensure_request(room: AnalysisRoom, analysis_id: UUID, service: Service) -> UUID:
    """Return the request of a service of an analysis, made when it is not there."""
    async with room.database.transaction() as session:
        analysis = await session.get_one(AnalysisRow, analysis_id)
        tools = await session.scalars(
            select(ToolRunRow.tool).where(
                ToolRunRow.analysis_id == analysis_id, ToolRunRow.service == service.value
            )
        )
        deadline_s = _START_S + sum(_longest_s(room, tool) for tool in tools)
        await session.execute(
            insert(AnalyzerRequestRow)
            .values(
                request_id=new_id(),
                project_id=analysis.project_id,
                analysis_id=analysis_id,
                service=service.value,
                deadline_at=func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, deadline_s),
            )
            .on_conflict_do_nothing(index_elements=["analysis_id", "service"])
        )
        await publish(session, LIVE_TOPIC, project_id=analysis.project_id)
        return (
            await session.execute(
                select(AnalyzerRequestRow.request_id).where(
                    AnalyzerRequestRow.analysis_id == analysis_id,
                    AnalyzerRequestRow.service == service.value,
                )
            )
        ).scalar_one()


def _longest_s(room: AnalysisRoom, tool: str) -> float:
    """Return how long a tool may take on a machine that is busy."""
    limits = get_tool(tool).describe().limits
    return min(limits.wall_s, room.settings.tool_wall_max_s) * limits.wall_stretch


async def _look(room: AnalysisRoom, limits: AnalyzerLimits, request_id: UUID) -> _Look:
    """See how a request stands, and take it from an analyzer that is gone."""
    async with room.database.transaction() as session:
        await complete_request(session, request_id)
        row = (
            await session.execute(
                select(AnalyzerRequestRow)
                .where(AnalyzerRequestRow.request_id == request_id)
                .with_for_update()
            )
        ).scalar_one()
        if row.state in ("completed", "failed", "cancelled"):
            return _Look(is_ended=True)
        if await session.scalar(
            select(AnalyzerRequestRow.deadline_at < func.clock_timestamp()).where(
                AnalyzerRequestRow.request_id == request_id
            )
        ):
            return _Look(failure="The analyzers did not come to an end in the time that its tools may take.")
        if row.state == "assigned":
            if not await _is_gone(session, row, limits.ttl_s):
                return _Look(stage=row.stage)
            await give_back_request(
                session, request_id, f"The analyzer was not heard for {limits.ttl_s:g} s."
            )
            log.warning("request.given_back", request_id=str(request_id), analyzer_id=str(row.analyzer_id))
            return _Look(stage="waits for another analyzer")
        if row.attempts_count >= limits.attempts_count:
            return _Look(
                failure=f"It was given to an analyzer {row.attempts_count} times without an end."
                f" {row.reason}".rstrip()
            )
        if await _is_forsaken(session, row, limits):
            return _Look(failure=await _explain_forsaken(room, session, row, limits))
        return _Look(stage="waits for an analyzer")


async def _explain_forsaken(
    room: AnalysisRoom, session: AsyncSession, row: AnalyzerRequestRow, limits: AnalyzerLimits
) -> str:
    """Say that nobody took a request, and of each listening analyzer of the settings why it did not."""
    service = Service(row.service)
    replicas = await list_replicas(session, room.settings.analyzer_urls, service)
    if replicas:
        return (
            f"None of the {len(replicas)} analyzers of REFEREE_{service.value.upper()}_ANALYZER_URLS could be used"
            f" for {limits.patience_s:g} s. {describe_replicas(replicas)} {row.reason}".rstrip()
        )
    return (
        f"No analyzer that offers the {row.service} service was connected for"
        f" {limits.patience_s:g} s. {row.reason}".rstrip()
    )


async def _is_gone(session: AsyncSession, row: AnalyzerRequestRow, ttl_s: float) -> bool:
    """Whether the analyzer that has a request was not heard for too long."""
    heard = await session.scalar(
        select(
            exists().where(
                AnalyzerRow.analyzer_id == row.analyzer_id, AnalyzerRow.beat_at > seconds_ago(ttl_s)
            )
        )
    )
    return not heard


async def _is_forsaken(session: AsyncSession, row: AnalyzerRequestRow, limits: AnalyzerLimits) -> bool:
    """Whether nobody has offered the service since the request began to wait, for longer than patience allows."""
    offers = AnalyzerRow.services_json.contains([row.service])
    heard = await session.scalar(
        select(
            exists().where(
                AnalyzerRow.project_id == row.project_id,
                offers,
                is_connected(limits.ttl_s) | (AnalyzerRow.beat_at > seconds_ago(limits.patience_s)),
            )
        )
    )
    waited_since = row.assigned_at or row.created_at
    is_patient = await session.scalar(select(seconds_ago(limits.patience_s) < waited_since))
    return not heard and not is_patient


async def is_service_forsaken(
    session: AsyncSession, project_id: UUID, service: Service, ttl_s: float
) -> bool:
    """Whether work of a service waits, or is with an analyzer that is gone, and none that offers it is connected."""
    is_open = exists().where(
        AnalyzerRequestRow.project_id == project_id,
        AnalyzerRequestRow.service == service.value,
        AnalyzerRequestRow.state.in_(("waiting", "assigned")),
    )
    is_offered = exists().where(
        AnalyzerRow.project_id == project_id,
        AnalyzerRow.services_json.contains([service.value]),
        is_connected(ttl_s),
    )
    return bool(await session.scalar(select(is_open & ~is_offered)))


async def _fail(
    room: AnalysisRoom, request_id: UUID, analysis_id: UUID, service: Service, reason: str
) -> None:
    """Give a request up: each tool run without an outcome fails with the reason, and the breaker hears of it."""
    async with room.database.reading() as session:
        waiting = (
            await session.scalars(
                select(ToolRunRow.tool_run_id).where(
                    ToolRunRow.analysis_id == analysis_id,
                    ToolRunRow.service == service.value,
                    ToolRunRow.outcome.is_(None),
                )
            )
        ).all()
    log.warning("request.failed", request_id=str(request_id), service=service.value, reason=reason)
    # The request ends last: after a crash in between the next look comes here again.
    for tool_run_id in waiting:
        await refuse_tool_run(
            room, tool_run_id, "analyzers", Outcome.failed, f"The remote {service.value} service: {reason}"
        )
    await record_service_failure(room, service, reason)
    async with room.database.transaction() as session:
        await end_request(session, analysis_id, service.value, state="failed", reason=reason)


async def _list_outcomes(room: AnalysisRoom, analysis_id: UUID, service: Service) -> dict[str, JsonValue]:
    async with room.database.reading() as session:
        rows = await session.execute(
            select(ToolRunRow.tool, ToolRunRow.outcome)
            .where(ToolRunRow.analysis_id == analysis_id, ToolRunRow.service == service.value)
            .order_by(ToolRunRow.position)
        )
        return {tool: outcome for tool, outcome in rows}


async def _end_job(session: AsyncSession, job: Job) -> None:
    """End the request of a job that failed or was cancelled, and give its tool runs their outcome."""
    if job.state not in ("failed", "cancelled"):
        return
    analysis_id, service = UUID(str(job.arguments["analysis_id"])), str(job.arguments["service"])
    reason = job.error.message if job.error is not None else f"Its job was {job.state}."
    await end_request(
        session,
        analysis_id,
        service,
        state="failed" if job.state == "failed" else "cancelled",
        reason=reason,
    )
    await session.execute(
        update(ToolRunRow)
        .where(
            ToolRunRow.analysis_id == analysis_id,
            ToolRunRow.service == service,
            ToolRunRow.outcome.is_(None),
        )
        .values(
            outcome=(Outcome.failed if job.state == "failed" else Outcome.cancelled).value,
            reason=reason,
            did_run=ToolRunRow.started_at.is_not(None),
            exit_meaning=case(
                (ToolRunRow.started_at.is_(None), ExitMeaning.not_run.value),
                else_=ExitMeaning.unknown.value,
            ),
            parse_state=ParseState.not_attempted.value,
            finished_at=func.clock_timestamp(),
        )
    )
