"""Who gets which request: the rows that server, worker and analyzers agree through.

::

    waiting ── given to an analyzer ──> assigned ── every tool run has an outcome ──> completed
       ^                                   │
       └── it is gone, or gave it up ──────┘
    waiting | assigned ── given out too often, or too late ──> failed
    waiting | assigned ── the analysis was cancelled ──> cancelled

A request is given out in one transaction: its row, a try at each of its tool runs, and one expected
transfer for each. Clocks are the database's. Whoever needs a request and its tool runs locks the
request first.

Not here: waiting for the end of a request (``waiting.py``) and what is said to analyzers
(``connections.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.analyzers.committing import LIVE_TOPIC
from referee.analysis.analyzers.protocol import (
    AnalyzeRequest,
    HeartbeatReport,
    Registration,
    StatusUpdate,
    ToolRunOrder,
)
from referee.analysis.analyzers.queries import is_connected
from referee.analysis.analyzers.tables import AnalyzerRequestRow, AnalyzerRow, AnalyzerTransferRow
from referee.analysis.running import AnalysisRoom, begin_attempt
from referee.analysis.tables import AnalysisRow, SubjectRow, ToolRunRow
from referee.apps import get_app, load_template
from referee.core.errors import Conflict
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.templates import Endpoint, Template
from referee.core.trace_context import parse_traceparent
from referee.core.vocabulary import Service
from referee.foundation.web.live import publish

__all__ = [
    "Registered",
    "assign_request",
    "build_order",
    "disconnect_analyzer",
    "end_request",
    "give_back_request",
    "list_lost_requests",
    "note_status",
    "record_beat",
    "register_analyzer",
]

log = structlog.get_logger("referee.analyzers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What follows from an analyzer's introduction."""

    send_again: tuple[UUID, ...]
    """Requests that it was given and never received."""
    forget: tuple[UUID, ...]
    """Requests that it is still at, and that are no longer its own."""


async def register_analyzer(
    session: AsyncSession, project_id: UUID, registration: Registration, connection_id: UUID
) -> Registered:
    """Let a connection speak for an analyzer from now on, instead of any earlier one.

    Raises:
        Conflict: Another project's analyzer has this id.
    """
    values = {
        "name": registration.name,
        "version": registration.version,
        "services_json": [service.value for service in dict.fromkeys(registration.services)],
        "tools_json": [tool.model_dump(mode="json") for tool in registration.tools],
        "slots_count": registration.slots_count,
        "connection_id": connection_id,
        "connected_at": func.clock_timestamp(),
        "beat_at": func.clock_timestamp(),
    }
    known = await session.scalar(
        insert(AnalyzerRow)
        .values(analyzer_id=registration.analyzer_id, project_id=project_id, **values)
        .on_conflict_do_update(
            index_elements=["analyzer_id"], set_=values, where=AnalyzerRow.project_id == project_id
        )
        .returning(AnalyzerRow.analyzer_id)
    )
    if known is None:
        raise Conflict(
            "analyzer.id_taken",
            "An analyzer of another project has this id.",
            "Give each analyzer a home of its own (REFEREE_HOME).",
        )
    await publish(session, LIVE_TOPIC, project_id=project_id)
    return await _settle_requests(session, registration)


async def _settle_requests(session: AsyncSession, registration: Registration) -> Registered:
    """Compare what the server has given to an analyzer with what it is at."""
    still_at, has_results = set(registration.requests), set(registration.results)
    rows = await session.scalars(
        select(AnalyzerRequestRow)
        .where(
            AnalyzerRequestRow.analyzer_id == registration.analyzer_id,
            AnalyzerRequestRow.state == "assigned",
        )
        .order_by(AnalyzerRequestRow.request_id)
        .with_for_update()
    )
    send_again: list[UUID] = []
    own: set[UUID] = set()
    for row in rows:
        own.add(row.request_id)
        missing = set(
            await session.scalars(
                select(ToolRunRow.tool_run_id).where(
                    ToolRunRow.analysis_id == row.analysis_id,
                    ToolRunRow.service == row.service,
                    ToolRunRow.outcome.is_(None),
                )
            )
        )
        if row.request_id in still_at or missing <= has_results:
            row.is_accepted = True
        elif row.is_accepted:  # it had it and has forgotten it: it was started anew
            row.state, row.reason, row.is_accepted = "waiting", "The analyzer was started anew.", False
        else:
            send_again.append(row.request_id)
    return Registered(send_again=tuple(send_again), forget=tuple(sorted(still_at - own)))


async def record_beat(
    session: AsyncSession, analyzer_id: UUID, connection_id: UUID, report: HeartbeatReport | None = None
) -> bool:
    """Note that an analyzer was heard. Returns whether this connection still speaks for it."""
    values: dict[str, object] = {"beat_at": func.clock_timestamp()}
    if report is not None:
        values["status_json"] = report.model_dump(mode="json")
    heard = await session.scalar(
        update(AnalyzerRow)
        .where(AnalyzerRow.analyzer_id == analyzer_id, AnalyzerRow.connection_id == connection_id)
        .values(**values)
        .returning(AnalyzerRow.analyzer_id)
    )
    return heard is not None


async def disconnect_analyzer(
    session: AsyncSession,
    project_id: UUID,
    analyzer_id: UUID,
    connection_id: UUID,
    *,
    is_leaving: bool,
    ttl_s: float,
) -> None:
    """Note that a connection has ended, and let others have what need not wait for its return.

    An analyzer that took its leave gives all its requests back. One that was cut off may be at what it has
    accepted; what it has not accepted it has not begun, and goes to another analyzer if there is one.
    """
    gone = await session.scalar(
        update(AnalyzerRow)
        .where(AnalyzerRow.analyzer_id == analyzer_id, AnalyzerRow.connection_id == connection_id)
        .values(connection_id=None)
        .returning(AnalyzerRow.analyzer_id)
    )
    if gone is not None and is_leaving:
        await session.execute(
            update(AnalyzerRequestRow)
            .where(AnalyzerRequestRow.analyzer_id == analyzer_id, AnalyzerRequestRow.state == "assigned")
            .values(state="waiting", reason="The analyzer was stopped.", is_accepted=False, stage="")
        )
    elif gone is not None:
        await session.execute(
            update(AnalyzerRequestRow)
            .where(
                AnalyzerRequestRow.analyzer_id == analyzer_id,
                AnalyzerRequestRow.state == "assigned",
                AnalyzerRequestRow.is_accepted.is_(False),
                _is_offered_by_others(analyzer_id, ttl_s),
            )
            .values(
                state="waiting",
                reason="The analyzer was cut off before it took the request.",
                stage="",
                attempts_count=AnalyzerRequestRow.attempts_count - 1,  # nothing was attempted
            )
            .execution_options(synchronize_session=False)
        )
    await publish(session, LIVE_TOPIC, project_id=project_id)


def _is_offered_by_others(analyzer_id: UUID, ttl_s: float) -> ColumnElement[bool]:
    """Return the condition that another connected analyzer offers the service of a request."""
    return exists().where(
        AnalyzerRow.project_id == AnalyzerRequestRow.project_id,
        AnalyzerRow.analyzer_id != analyzer_id,
        AnalyzerRow.services_json.contains(func.jsonb_build_array(AnalyzerRequestRow.service)),
        is_connected(ttl_s),
    )


async def assign_request(
    session: AsyncSession,
    project_id: UUID,
    analyzer_id: UUID,
    connection_id: UUID,
    *,
    attempts_count: int,
    ttl_s: float,
) -> UUID | None:
    """Give an analyzer the oldest waiting request of its services, if it has room.

    What it had before and did not bring to an end is another's turn, as long as there is another.

    Returns:
        The request; None when there is none, or the connection no longer speaks for the analyzer.
    """
    analyzer = (
        await session.execute(
            select(AnalyzerRow)
            .where(AnalyzerRow.analyzer_id == analyzer_id, AnalyzerRow.connection_id == connection_id)
            .with_for_update()
        )
    ).scalar_one_or_none()
    if analyzer is None:
        return None
    busy_count = await session.scalar(
        select(func.count())
        .select_from(AnalyzerRequestRow)
        .where(AnalyzerRequestRow.analyzer_id == analyzer_id, AnalyzerRequestRow.state == "assigned")
    )
    if (busy_count or 0) >= analyzer.slots_count:
        return None
    row = (
        await session.execute(
            select(AnalyzerRequestRow)
            .where(
                AnalyzerRequestRow.project_id == project_id,
                AnalyzerRequestRow.state == "waiting",
                AnalyzerRequestRow.service.in_([str(word) for word in analyzer.services_json]),
                AnalyzerRequestRow.attempts_count < attempts_count,
                AnalyzerRequestRow.analyzer_id.is_distinct_from(analyzer_id)
                | ~_is_offered_by_others(analyzer_id, ttl_s),
            )
            .order_by(AnalyzerRequestRow.created_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
    ).scalar_one_or_none()
    if row is None:
        return None
    row.state, row.analyzer_id, row.is_accepted, row.reason = "assigned", analyzer_id, False, ""
    row.attempts_count += 1
    row.assigned_at = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    await _expect_results(session, row, analyzer_id)
    await publish(session, LIVE_TOPIC, project_id=project_id)
    log.info(
        "request.assigned",
        request_id=str(row.request_id),
        service=row.service,
        analyzer_id=str(analyzer_id),
        attempt=row.attempts_count,
    )
    return row.request_id


async def _expect_results(session: AsyncSession, request: AnalyzerRequestRow, analyzer_id: UUID) -> None:
    """Begin a try at each tool run without an outcome, and expect its result."""
    waiting = await session.scalars(
        select(ToolRunRow.tool_run_id)
        .where(
            ToolRunRow.analysis_id == request.analysis_id,
            ToolRunRow.service == request.service,
            ToolRunRow.outcome.is_(None),
        )
        .order_by(ToolRunRow.position)
    )
    for tool_run_id in waiting.all():
        attempt = await begin_attempt(session, tool_run_id, f"analyzer:{analyzer_id}")
        if attempt is not None:
            await session.execute(
                insert(AnalyzerTransferRow).values(
                    transfer_id=new_id(),
                    request_id=request.request_id,
                    tool_run_id=tool_run_id,
                    attempt=attempt,
                    analyzer_id=analyzer_id,
                )
            )


async def build_order(room: AnalysisRoom, request_id: UUID, analyzer_id: UUID) -> AnalyzeRequest | None:
    """Return a request as its analyzer is told; None when it is no longer the analyzer's, or has nothing to run."""
    async with room.database.reading() as session:
        found = (
            await session.execute(
                select(AnalyzerRequestRow, AnalysisRow, SubjectRow)
                .join(AnalysisRow, AnalysisRow.analysis_id == AnalyzerRequestRow.analysis_id)
                .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
                .where(
                    AnalyzerRequestRow.request_id == request_id,
                    AnalyzerRequestRow.analyzer_id == analyzer_id,
                    AnalyzerRequestRow.state == "assigned",
                )
            )
        ).one_or_none()
        if found is None:
            return None
        request, analysis, subject = found
        orders = await _list_orders(session, request_id, analyzer_id)
        app = None if subject.app_id is None else await get_app(session, analysis.project_id, subject.app_id)
        template = None
        if analysis.template_id is not None:
            template = await load_template(session, room.artifacts, analysis.project_id, analysis.template_id)
    if not orders:
        return None
    return AnalyzeRequest(
        request_id=request_id,
        analysis_id=analysis.analysis_id,
        service=Service(request.service),
        subject=subject.name[:400],
        source_digest=analysis.source_digest,
        model_slug=None if app is None else app.model,
        app_number=None if app is None else app.number,
        tool_runs=list(orders),
        template=None if template is None else _describe_template(template),
        traceparent=parse_traceparent(analysis.traceparent),
        should_wait=True,
    )


def _describe_template(template: Template) -> dict[str, JsonValue]:
    """Return a template as the document that ``parse_template`` reads."""
    return {
        "slug": template.slug,
        "name": template.name,
        "category": template.category,
        "description": template.description,
        "backend_requirements": list(template.backend_requirements),
        "frontend_requirements": list(template.frontend_requirements),
        "admin_requirements": list(template.admin_requirements),
        "api_endpoints": [_describe_endpoint(one) for one in template.endpoints if not one.is_admin],
        "admin_api_endpoints": [_describe_endpoint(one) for one in template.endpoints if one.is_admin],
        "data_model": template.data_model,
    }


def _describe_endpoint(endpoint: Endpoint) -> dict[str, JsonValue]:
    return {
        "method": endpoint.method,
        "path": endpoint.path,
        "description": endpoint.description,
        "request": endpoint.request,
        "response": endpoint.response,
    }


async def _list_orders(session: AsyncSession, request_id: UUID, analyzer_id: UUID) -> Sequence[ToolRunOrder]:
    rows = await session.execute(
        select(AnalyzerTransferRow.transfer_id, ToolRunRow)
        .join(ToolRunRow, ToolRunRow.tool_run_id == AnalyzerTransferRow.tool_run_id)
        .where(
            AnalyzerTransferRow.request_id == request_id,
            AnalyzerTransferRow.analyzer_id == analyzer_id,
            AnalyzerTransferRow.attempt == ToolRunRow.attempts_count,
            ToolRunRow.outcome.is_(None),
        )
        .order_by(ToolRunRow.position)
    )
    return [
        ToolRunOrder(
            tool_run_id=run.tool_run_id,
            transfer_id=transfer_id,
            tool=run.tool,
            parameters=run.parameters_json,
        )
        for transfer_id, run in rows
    ]


async def note_status(session: AsyncSession, analyzer_id: UUID, status: StatusUpdate) -> bool:
    """Keep what an analyzer says about a request that is its own. Returns whether it is."""
    row = (
        await session.execute(
            select(AnalyzerRequestRow)
            .where(
                AnalyzerRequestRow.request_id == status.request_id,
                AnalyzerRequestRow.analyzer_id == analyzer_id,
                AnalyzerRequestRow.state == "assigned",
            )
            .with_for_update()
        )
    ).scalar_one_or_none()
    if row is None:
        return False
    row.is_accepted = True
    row.stage = (f"{status.tool}: {status.message}" if status.tool else status.message)[:300]
    if status.state == "failed":
        row.state, row.is_accepted, row.stage = "waiting", False, ""
        row.reason = status.message[:300] or "The analyzer could not carry it out."
    await publish(session, LIVE_TOPIC, project_id=row.project_id)
    return True


async def give_back_request(session: AsyncSession, request_id: UUID, reason: str) -> bool:
    """Take a request from its analyzer. Returns whether it had one."""
    taken = await session.scalar(
        update(AnalyzerRequestRow)
        .where(AnalyzerRequestRow.request_id == request_id, AnalyzerRequestRow.state == "assigned")
        .values(state="waiting", reason=reason, is_accepted=False, stage="")
        .returning(AnalyzerRequestRow.request_id)
    )
    return taken is not None


async def end_request(
    session: AsyncSession,
    analysis_id: UUID,
    service: str,
    *,
    state: Literal["cancelled", "failed"],
    reason: str,
) -> None:
    """End the request of a service that nobody waits for any more."""
    await session.execute(
        update(AnalyzerRequestRow)
        .where(
            AnalyzerRequestRow.analysis_id == analysis_id,
            AnalyzerRequestRow.service == service,
            AnalyzerRequestRow.state.in_(("waiting", "assigned")),
        )
        .values(state=state, reason=reason, stage="", finished_at=func.clock_timestamp())
    )


async def list_lost_requests(
    session: AsyncSession, analyzer_id: UUID, request_ids: Collection[UUID]
) -> dict[UUID, bool]:
    """Return which of these requests are no longer the analyzer's work, and whether it has completed them."""
    if not request_ids:
        return {}
    rows = await session.execute(
        select(AnalyzerRequestRow.request_id, AnalyzerRequestRow.state, AnalyzerRequestRow.analyzer_id).where(
            AnalyzerRequestRow.request_id.in_(request_ids)
        )
    )
    return {
        request_id: state == "completed"
        for request_id, state, owner in rows
        if state != "assigned" or owner != analyzer_id
    }
