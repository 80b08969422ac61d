"""Verbs of the analysis room: accept, cancel and retry analyses; judge findings.

Plain values in and out. A 2xx or a printed id means that the rows are
committed; nothing half-made stays behind when a request is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.breakers import find_closed_services
from referee.analysis.finding_queries import get_finding
from referee.analysis.finishing import close_tool_runs, finish_analysis
from referee.analysis.metrics import CREATION_SECONDS
from referee.analysis.queries import get_analysis, list_tool_runs
from referee.analysis.requests import AnalysisRequest, PlannedRun, plan_runs
from referee.analysis.results import digest_json
from referee.analysis.running import AnalysisRoom
from referee.analysis.tables import AnalysisRow, FindingEventRow, FindingRow, SubjectRow, ToolRunRow
from referee.analysis.views import Analysis, Finding
from referee.apps import (
    KnownTemplate,
    SourceLimits,
    SourceLocation,
    ensure_app,
    find_template,
    get_app,
    get_template,
    locate_source,
    render_listing,
    take_snapshot,
)
from referee.apps.line_counts import count_code_lines
from referee.core.errors import Conflict, InvalidInput, Unavailable
from referee.core.ids import format_id, new_id
from referee.core.sources import SourceSnapshot
from referee.core.trace_context import make_traceparent, parse_traceparent
from referee.core.vocabulary import (
    AnalysisState,
    ExitMeaning,
    FindingState,
    Outcome,
    ParseState,
    Service,
    SubjectKind,
)
from referee.foundation.jobs import JobEngine
from referee.foundation.store import Artifact, record_artifacts
from referee.foundation.web.live import publish

__all__ = [
    "RUN_ANALYSIS",
    "cancel_analysis",
    "create_analysis",
    "dismiss_finding",
    "reopen_finding",
    "retry_analysis",
    "set_finding_link",
    "start_analysis",
]

RUN_ANALYSIS = "analysis.run"
"""Kind of the job that carries an analysis to its end."""


async def create_analysis(
    room: AnalysisRoom, engine: JobEngine, project_id: UUID, request: AnalysisRequest
) -> Analysis:
    """Accept an analysis: check, copy the source, and commit what is planned together with its job.

    The same idempotency key with the same request returns the analysis that exists.

    Raises:
        InvalidInput: Path, tools, parameters or source are not usable, or the path lies outside the
            allowed roots.
        Conflict: The idempotency key was used for another request.
        TooManyRequests: The queue is full.
        Unavailable: Every service that was asked for keeps failing and gets no new work now.
    """
    started = time.monotonic()
    async with room.database.reading() as session:
        known = await _find_by_key(session, project_id, request)
        if known is not None:  # told again, even when the folder has changed or gone since
            return await get_analysis(session, project_id, known)
    runs = plan_runs(request)
    location = locate_source(
        request.path, allowed_roots=room.settings.source_roots, model=request.model, number=request.number
    )
    name = _subject_name(location)
    snapshot = await asyncio.to_thread(
        take_snapshot,
        location.path,
        room.settings.snapshots_dir,
        SourceLimits.from_settings(room.settings),
        name=name,
    )
    listing = await room.artifacts.put_bytes(render_listing(snapshot), "application/json")
    lines_count = await asyncio.to_thread(count_code_lines, snapshot)
    async with room.database.transaction() as session:
        existing = await _find_by_key(session, project_id, request)
        if existing is None:
            refused = await find_closed_services(session, room, {run.service for run in runs})
            _require_service(runs, refused)
            existing = await _insert(
                session, engine, project_id, request, runs, refused, location, snapshot, listing, lines_count
            )
            await publish(session, "analyses", {"analysis_id": str(existing)}, project_id=project_id)
        analysis = await get_analysis(session, project_id, existing)
    if not request.is_probe:
        CREATION_SECONDS.observe(time.monotonic() - started)
    return analysis


async def cancel_analysis(
    room: AnalysisRoom, engine: JobEngine, project_id: UUID, analysis_id: UUID
) -> Analysis:
    """Stop an analysis; tools that ended keep their results.

    Raises:
        NotFound: There is none.
        Conflict: It has ended.
    """
    async with room.database.transaction() as session:
        analysis = await get_analysis(session, project_id, analysis_id)
        if analysis.state.is_final:
            raise Conflict(
                "analysis.ended",
                f"The analysis has ended as {analysis.state.value.replace('_', ' ')}.",
                "There is nothing to cancel.",
            )
        await close_tool_runs(session, analysis_id, Outcome.cancelled, "The analysis was cancelled.")
        await start_analysis(session, analysis_id)
    if analysis.job_id is not None:
        await engine.cancel(analysis.job_id)
    await finish_analysis(room, project_id, analysis_id, is_cancelled=True)
    async with room.database.reading() as session:
        return await get_analysis(session, project_id, analysis_id)


async def retry_analysis(
    room: AnalysisRoom, engine: JobEngine, project_id: UUID, analysis_id: UUID
) -> Analysis:
    """Start a new analysis of the same subject with the same tools and parameters.

    Results of tools that succeeded come from the cache where the source is unchanged, so a
    retry asks only the tools that are missing.

    Raises:
        NotFound: There is none.
        Conflict: It has not ended.
    """
    async with room.database.reading() as session:
        analysis = await get_analysis(session, project_id, analysis_id)
        tool_runs = await list_tool_runs(session, analysis_id)
        row = (
            await session.execute(select(AnalysisRow).where(AnalysisRow.analysis_id == analysis_id))
        ).scalar_one()
    if not analysis.state.is_final:
        raise Conflict("analysis.running", "The analysis has not ended.", "Wait for it, or cancel it first.")
    if analysis.profile == "imported":
        raise Conflict(
            "analysis.imported",
            "The analysis was imported; this server has not run its tools.",
            "Start an analysis of the app's source instead.",
        )
    request = AnalysisRequest(
        path=analysis.subject.path,
        tools=tuple(run.tool for run in tool_runs),
        profile=analysis.profile,
        parameters={  # what the first attempt ran with, whatever presets mean by now
            run.tool: dict(run.parameters) for run in tool_runs
        },
        template=None if row.template_id is None else format_id("template", row.template_id),
        model=analysis.subject.model,
        number=analysis.subject.number,
    )
    return await create_analysis(room, engine, project_id, request)


async def dismiss_finding(
    room: AnalysisRoom, project_id: UUID, finding_id: UUID, *, reason: str, actor: str
) -> Finding:
    """Say that a finding does not count, and why.

    Raises:
        NotFound: There is none.
        InvalidInput: The reason is empty or longer than 1,000 characters.
        Conflict: It is dismissed or fixed already.
    """
    reason = reason.strip()
    if not reason or len(reason) > 1_000:
        raise InvalidInput(
            "finding.reason_needed",
            "A dismissal needs a reason of 1 to 1,000 characters.",
            "Say why it does not count.",
        )
    return await _change_state(
        room, project_id, finding_id, FindingState.open, FindingState.dismissed, reason, actor
    )


async def reopen_finding(room: AnalysisRoom, project_id: UUID, finding_id: UUID, *, actor: str) -> Finding:
    """Take a dismissal back.

    Raises:
        NotFound: There is none.
        Conflict: It is not dismissed.
    """
    return await _change_state(
        room,
        project_id,
        finding_id,
        FindingState.dismissed,
        FindingState.open,
        "The dismissal was taken back.",
        actor,
    )


async def set_finding_link(
    room: AnalysisRoom, project_id: UUID, finding_id: UUID, *, is_linked: bool, actor: str
) -> Finding:
    """Take a finding out of the cluster of the same problem, or let it in again.

    Let in again, it joins when the next analysis sees it.

    Raises:
        NotFound: There is none.
    """
    async with room.database.transaction() as session:
        finding = await get_finding(session, project_id, finding_id)
        values: dict[str, object] = {"is_link_refused": not is_linked}
        if not is_linked:
            values["cluster_id"] = None
        await session.execute(update(FindingRow).where(FindingRow.finding_id == finding_id).values(**values))
        reason = "It may be linked with others again." if is_linked else "It was taken out of its cluster."
        await _record_event(session, finding_id, finding.state, reason, actor)
        return await get_finding(session, project_id, finding_id)


async def _insert(
    session: AsyncSession,
    engine: JobEngine,
    project_id: UUID,
    request: AnalysisRequest,
    runs: tuple[PlannedRun, ...],
    refused: Mapping[Service, str],
    location: SourceLocation,
    snapshot: SourceSnapshot,
    listing: Artifact,
    lines_count: int | None,
) -> UUID:
    await record_artifacts(session, [listing])
    template = await _find_template(session, project_id, request)
    subject_id = await _ensure_subject(session, project_id, location, snapshot.name, template)
    template_id = await _find_template_of(session, project_id, subject_id, template)
    analysis_id = await session.scalar(
        insert(AnalysisRow)
        .values(
            analysis_id=new_id(),
            project_id=project_id,
            subject_id=subject_id,
            state=AnalysisState.queued.value,
            profile=request.profile,
            parameters_json={tool: dict(values) for tool, values in request.parameters.items()},
            is_cache_allowed=request.is_cache_allowed,
            source_digest=snapshot.source_digest,
            listing_sha256=listing.sha256,
            files_count=len(snapshot.files),
            excluded_count=sum(max(entry.files_count, 1) for entry in snapshot.excluded),
            code_lines_count=lines_count,
            template_id=template_id,
            traceparent=parse_traceparent(request.traceparent) or make_traceparent(),
            idempotency_key=request.idempotency_key,
            request_digest=_request_digest(request),
        )
        .on_conflict_do_nothing(index_elements=["project_id", "idempotency_key"])
        .returning(AnalysisRow.analysis_id)
    )
    if analysis_id is None:  # the same key was committed between our look and our insert
        existing = await _find_by_key(session, project_id, request)
        assert existing is not None  # noqa: S101 - a conflicting row is committed and never deleted
        return existing
    await session.execute(
        insert(ToolRunRow),
        [
            {
                "tool_run_id": new_id(),
                "analysis_id": analysis_id,
                "position": run.position,
                "tool": run.tool,
                "service": run.service.value,
                "parameters_json": run.parameters_json,
                "parameters_digest": run.parameters_digest,
                **_refusal(refused.get(run.service)),
            }
            for run in runs
        ],
    )
    job = await engine.submit(
        session,
        kind=RUN_ANALYSIS,
        arguments={"analysis_id": str(analysis_id), "project_id": str(project_id)},
        project_id=project_id,
        key=f"analysis:{analysis_id}",
        title=f"Analyse {snapshot.name}",
    )
    await session.execute(
        update(AnalysisRow).where(AnalysisRow.analysis_id == analysis_id).values(job_id=job.job_id)
    )
    return UUID(str(analysis_id))


def _require_service(runs: tuple[PlannedRun, ...], refused: Mapping[Service, str]) -> None:
    if all(run.service in refused for run in runs):
        raise Unavailable(
            "analysis.services_failing",
            " ".join(refused[service] for service in sorted(refused)),
            "Try again later; `referee status` shows the services.",
        )


def _refusal(reason: str | None) -> dict[str, object]:
    """Return the facts of a tool run that is left out because its service gets no work; all null for another."""
    is_left_out = reason is not None
    return {
        "outcome": Outcome.skipped.value if is_left_out else None,
        "reason": reason or "",
        "did_run": False if is_left_out else None,
        "exit_meaning": ExitMeaning.not_run.value if is_left_out else None,
        "parse_state": ParseState.not_attempted.value if is_left_out else None,
        "finished_at": datetime.now(UTC) if is_left_out else None,
    }


async def _find_template(
    session: AsyncSession, project_id: UUID, request: AnalysisRequest
) -> KnownTemplate | None:
    if request.template is None:
        return None
    return await get_template(session, project_id, request.template)


async def _find_template_of(
    session: AsyncSession, project_id: UUID, subject_id: UUID, given: KnownTemplate | None
) -> UUID | None:
    """Return the template to judge by: the one given, else the latest version of the app's own."""
    if given is not None:
        return given.template_id
    row = (await session.execute(select(SubjectRow).where(SubjectRow.subject_id == subject_id))).scalar_one()
    if row.app_id is None:
        return None
    app = await get_app(session, project_id, row.app_id)
    known = None if app.template is None else await find_template(session, project_id, app.template)
    return None if known is None else known.template_id


async def _ensure_subject(
    session: AsyncSession,
    project_id: UUID,
    location: SourceLocation,
    name: str,
    template: KnownTemplate | None,
) -> UUID:
    app_id = None
    kind = SubjectKind.folder
    if location.model is not None and location.number is not None:
        app = await ensure_app(
            session,
            project_id=project_id,
            model=location.model,
            number=location.number,
            path=location.path,
            template=None if template is None else template.slug,
        )
        app_id, kind = app.app_id, SubjectKind.app
    statement = insert(SubjectRow).values(
        subject_id=new_id(),
        project_id=project_id,
        kind=kind.value,
        app_id=app_id,
        name=name,
        path=str(location.path),
    )
    if app_id is not None:
        statement = statement.on_conflict_do_update(
            index_elements=["app_id"],
            index_where=text("app_id IS NOT NULL"),
            set_={"path": statement.excluded.path, "name": statement.excluded.name},
        )
    else:
        statement = statement.on_conflict_do_update(
            index_elements=["project_id", "kind", "path"],
            index_where=text("app_id IS NULL"),
            set_={"name": statement.excluded.name},
        )
    return (await session.execute(statement.returning(SubjectRow.subject_id))).scalar_one()


async def _find_by_key(session: AsyncSession, project_id: UUID, request: AnalysisRequest) -> UUID | None:
    if request.idempotency_key is None:
        return None
    row = (
        await session.execute(
            select(AnalysisRow.analysis_id, AnalysisRow.request_digest).where(
                AnalysisRow.project_id == project_id, AnalysisRow.idempotency_key == request.idempotency_key
            )
        )
    ).first()
    if row is None:
        return None
    if row.request_digest != _request_digest(request):
        raise Conflict(
            "analysis.key_reused",
            "The idempotency key was used for another request.",
            "Use a new key for a new request.",
        )
    return UUID(str(row.analysis_id))


async def start_analysis(session: AsyncSession, analysis_id: UUID) -> None:
    """Move an analysis from queued to running."""
    await session.execute(
        update(AnalysisRow)
        .where(AnalysisRow.analysis_id == analysis_id, AnalysisRow.state == AnalysisState.queued.value)
        .values(state=AnalysisState.running.value, started_at=text("clock_timestamp()"))
    )


async def _change_state(
    room: AnalysisRoom,
    project_id: UUID,
    finding_id: UUID,
    expected: FindingState,
    state: FindingState,
    reason: str,
    actor: str,
) -> Finding:
    async with room.database.transaction() as session:
        finding = await get_finding(session, project_id, finding_id)
        changed = await session.scalar(
            update(FindingRow)
            .where(FindingRow.finding_id == finding_id, FindingRow.state == expected.value)
            .values(state=state.value, state_reason=reason if state is FindingState.dismissed else "")
            .returning(FindingRow.finding_id)
        )
        if changed is None:
            raise Conflict(
                "finding.state_differs",
                f"The finding is {finding.state.value}, not {expected.value}.",
                "Look at its history first.",
            )
        await _record_event(session, finding_id, state, reason, actor)
        await publish(session, "findings", {"finding_id": str(finding_id)}, project_id=project_id)
        return await get_finding(session, project_id, finding_id)


async def _record_event(
    session: AsyncSession, finding_id: UUID, state: FindingState, reason: str, actor: str
) -> None:
    await session.execute(
        insert(FindingEventRow).values(finding_id=finding_id, state=state.value, reason=reason, actor=actor)
    )


def _request_digest(request: AnalysisRequest) -> str:
    return digest_json(
        {
            "path": request.path,
            "tools": list(request.tools),
            "profile": request.profile,
            **({"services": list(request.services)} if request.services else {}),
            **({"load": request.load} if request.load != "quick" else {}),
            **({"template": request.template} if request.template is not None else {}),
            "parameters": {tool: dict(values) for tool, values in request.parameters.items()},
            "model": request.model,
            "number": request.number,
            "is_cache_allowed": request.is_cache_allowed,
        }
    )


def _subject_name(location: SourceLocation) -> str:
    if location.model is not None:
        return f"{location.model}/app{location.number}"
    return location.path.name or "root"
