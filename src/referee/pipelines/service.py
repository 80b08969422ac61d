"""Verbs of the pipelines room: accept, pause, resume, cancel, retry and extend.

Plain values in and out. What is accepted is committed with all its cells and the job that drives it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import cancel_analysis
from referee.apps import AppFolder
from referee.apps.roots import check_roots
from referee.core.errors import Conflict, InvalidInput, NotFound
from referee.core.ids import new_id
from referee.foundation.jobs import JobEngine
from referee.foundation.store import Artifact, record_artifacts
from referee.foundation.web.live import publish
from referee.pipelines.deciding import record_request
from referee.pipelines.definition import (
    GeneratePart,
    PipelineDefinition,
    check_definition,
    parse_definition,
)
from referee.pipelines.definition_reading import ReadDocument
from referee.pipelines.planning import (
    CellPlan,
    ensure_cells,
    find_existing_apps,
    plan_existing,
    plan_generated,
    read_existing_folder,
)
from referee.pipelines.queries import count_cells, get_pipeline
from referee.pipelines.room import PipelinesRoom
from referee.pipelines.states import ACTIVE_CELL_STATES, CellState, PipelineState
from referee.pipelines.tables import CellRow, PipelineEventRow, PipelineRow
from referee.pipelines.views import Pipeline

__all__ = [
    "DRIVE",
    "LEFT_OUT",
    "PipelineRequest",
    "cancel_pipeline",
    "create_pipeline",
    "extend_pipeline",
    "find_accepted",
    "note_event",
    "pause_pipeline",
    "resume_pipeline",
    "retry_cells",
    "start_drive",
]

DRIVE = "pipelines.drive"
"""Kind of the job that sets one cell after another going."""
LEFT_OUT = "pipeline.left_out"
"""Kind of the event that names what of the folder is no app."""
_LEFT_OUT_COUNT = 20
"""That are named; ``referee app import`` names more."""

log = structlog.get_logger("referee.pipelines")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRequest:
    """A pipeline to accept."""

    definition_text: str
    """YAML or JSON."""
    idempotency_key: str | None = None


async def create_pipeline(
    room: PipelinesRoom,
    engine: JobEngine,
    project_id: UUID,
    request: PipelineRequest,
    *,
    are_apps_ours: bool = False,
) -> Pipeline:
    """Accept a pipeline: check it, and commit it with every cell and the job that drives it.

    The same idempotency key with the same file returns the pipeline that exists.

    Args:
        room: The room.
        engine: For the job that drives it.
        project_id: Whose.
        request: What is asked for.
        are_apps_ours: The apps it names were put there by this server; nobody reads a folder of the machine by it.

    Raises:
        InvalidInput: The file cannot be read or says what cannot be done.
        Forbidden: It names apps that exist, others reach this server, and no folders are allowed.
        Conflict: The idempotency key was used for another file.
        TooManyRequests: The queue is full.
    """

    async def create() -> Pipeline:
        known = await find_accepted(room, project_id, request)
        if known is not None:
            return known
        return await _create(room, engine, project_id, request, are_apps_ours=are_apps_ours)

    if request.idempotency_key is None:
        return await create()
    return await room.arrivals.share((project_id, request, are_apps_ours), create)


async def find_accepted(room: PipelinesRoom, project_id: UUID, request: PipelineRequest) -> Pipeline | None:
    """Return the pipeline that was accepted for the same idempotency key and file; None when there is none.

    Raises:
        Conflict: The key was used for another file.
    """
    if request.idempotency_key is None:
        return None
    async with room.database.reading() as session:
        return await _find_by_key(session, project_id, request)


async def _create(
    room: PipelinesRoom,
    engine: JobEngine,
    project_id: UUID,
    request: PipelineRequest,
    *,
    are_apps_ours: bool,
) -> Pipeline:
    definition = parse_definition(request.definition_text)
    if definition.existing is not None and not are_apps_ours:
        check_roots(room.settings)
    data = request.definition_text.encode()
    artifact = await room.artifacts.put_bytes(data, "application/yaml")
    folder = await read_existing_folder(definition, allowed_roots=room.settings.source_roots)
    async with room.database.transaction() as session:
        pipeline_id = await _insert(session, project_id, request, definition, artifact)
        if pipeline_id is None:  # another process was quicker
            known = await _find_by_key(session, project_id, request)
            assert known is not None  # noqa: S101 - the unique key says so
            return known
        left_out: list[str] = []
        plans = await plan_cells(session, project_id, definition, folder, left_out)
        await ensure_cells(session, pipeline_id, definition, plans)
        await note_event(session, pipeline_id, "pipeline.accepted", f"Accepted with {_cells(len(plans))}.")
        if left_out:
            await note_event(session, pipeline_id, LEFT_OUT, _describe_left_out(left_out))
        await start_drive(session, engine, project_id, pipeline_id)
        await publish(session, "pipelines", {"pipeline_id": str(pipeline_id)}, project_id=project_id)
        return await get_pipeline(session, project_id, pipeline_id)


async def plan_cells(
    session: AsyncSession,
    project_id: UUID,
    definition: PipelineDefinition,
    folder: AppFolder | None,
    left_out: list[str] | None = None,
) -> list[CellPlan]:
    """Return the cells that a definition stands for; ``left_out`` takes what of its folder is no app.

    Raises:
        InvalidInput: A template or an app is not known, or there are too many.
    """
    if definition.generate is not None:
        return await plan_generated(session, project_id, definition.generate)
    existing = definition.existing
    assert existing is not None  # noqa: S101 - a definition has one of the two
    apps = await find_existing_apps(session, project_id, existing, folder, left_out=left_out)
    return plan_existing(apps, existing)


async def pause_pipeline(room: PipelinesRoom, project_id: UUID, pipeline_id: UUID) -> Pipeline:
    """Begin no further cell; those at work come to their end.

    Raises:
        NotFound: There is none.
        Conflict: It has ended or is paused.
    """
    async with room.database.transaction() as session:
        row = await _lock(session, project_id, pipeline_id)
        if row.state not in (PipelineState.queued.value, PipelineState.running.value):
            raise _wrong_state(row, "only one that is queued or running can be paused")
        await _set_state(
            session, row, PipelineState.paused, "It was paused; cells at work come to their end."
        )
        await record_request(session, row, "pause", "A person paused it.")
        return await get_pipeline(session, project_id, pipeline_id)


async def resume_pipeline(
    room: PipelinesRoom, engine: JobEngine, project_id: UUID, pipeline_id: UUID
) -> Pipeline:
    """Go on with a paused pipeline.

    Raises:
        NotFound: There is none.
        Conflict: It is not paused.
    """
    async with room.database.transaction() as session:
        row = await _lock(session, project_id, pipeline_id)
        if row.state != PipelineState.paused.value:
            raise _wrong_state(row, "only a paused one can be resumed")
        await _set_state(session, row, PipelineState.queued, "It was resumed.")
        await record_request(session, row, "resume", "A person had it go on.")
        await start_drive(session, engine, project_id, pipeline_id)
        return await get_pipeline(session, project_id, pipeline_id)


async def cancel_pipeline(
    room: PipelinesRoom, engine: JobEngine, project_id: UUID, pipeline_id: UUID
) -> Pipeline:
    """Stop a pipeline; cells that ended keep their results.

    Raises:
        NotFound: There is none.
        Conflict: It has ended.
    """
    async with room.database.transaction() as session:
        row = await _lock(session, project_id, pipeline_id)
        if PipelineState(row.state).is_ended:
            raise _wrong_state(row, "there is nothing to cancel")
        await _set_state(session, row, PipelineState.cancelled, "It was cancelled.")
        await record_request(session, row, "cancel", "A person cancelled it.")
    await stop_cells(room, engine, project_id, pipeline_id)
    async with room.database.reading() as session:
        return await get_pipeline(session, project_id, pipeline_id)


async def stop_cells(room: PipelinesRoom, engine: JobEngine, project_id: UUID, pipeline_id: UUID) -> None:
    """End every open cell of a cancelled pipeline, with its job and its analysis. Idempotent."""
    async with room.database.transaction() as session:
        is_open = CellRow.state.in_([CellState.waiting.value, *(state.value for state in ACTIVE_CELL_STATES)])
        stopped = (
            await session.execute(
                update(CellRow)
                .where(CellRow.pipeline_id == pipeline_id, is_open)
                .values(
                    state=CellState.cancelled.value,
                    reason="Its pipeline was cancelled.",
                    finished_at=func.clock_timestamp(),
                )
                .returning(CellRow.job_id, CellRow.analysis_id)
            )
        ).all()
        drive_id = await session.scalar(
            select(PipelineRow.job_id).where(PipelineRow.pipeline_id == pipeline_id)
        )
        await publish(session, f"pipeline:{pipeline_id}", {"state": "cancelled"})
    for job_id in [drive_id, *(job_id for job_id, _ in stopped)]:
        if job_id is not None:
            await engine.cancel(job_id)
    for _, analysis_id in stopped:
        if analysis_id is not None:
            try:
                await cancel_analysis(room.analysis, engine, project_id, analysis_id)
            except Conflict:  # it has ended meanwhile
                log.info("analysis.ended_before_cancel", analysis_id=str(analysis_id))


async def retry_cells(
    room: PipelinesRoom, engine: JobEngine, project_id: UUID, pipeline_id: UUID
) -> Pipeline:
    """Set every cell that ended without valid results going again. Results that are there are kept.

    Raises:
        NotFound: There is none.
        Conflict: It is at work, or every cell is valid.
    """
    async with room.database.transaction() as session:
        row = await _lock(session, project_id, pipeline_id)
        if not PipelineState(row.state).is_ended:
            raise _wrong_state(row, "wait for it, or cancel it first")
        cells = await session.scalars(
            update(CellRow)
            .where(
                CellRow.pipeline_id == pipeline_id,
                ~CellRow.is_valid,
                CellRow.state.in_(("partially_completed", "failed", "skipped", "cancelled", "completed")),
            )
            .values(
                state=CellState.waiting.value,
                reason="It is tried again.",
                attempts_count=0,
                retry_at=None,
                finished_at=None,
            )
            .returning(CellRow.cell_id)
        )
        count = len(cells.all())
        if count == 0:
            raise Conflict(
                "pipeline.nothing_to_retry", "Every cell is valid.", "Extend it with a model or a template."
            )
        await _set_state(session, row, PipelineState.queued, f"{_cells(count)} are tried again.")
        await start_drive(session, engine, project_id, pipeline_id)
        return await get_pipeline(session, project_id, pipeline_id)


async def extend_pipeline(
    room: PipelinesRoom,
    engine: JobEngine,
    project_id: UUID,
    pipeline_id: UUID,
    *,
    models: Sequence[str] = (),
    templates: Sequence[str] = (),
) -> Pipeline:
    """Add models or templates to a generating pipeline; cells that are there stay as they are.

    Raises:
        NotFound: There is none, or a template is not known.
        Conflict: It analyses apps that exist, or was cancelled.
        InvalidInput: Nothing new was named.
    """
    async with room.database.transaction() as session:
        row = await _lock(session, project_id, pipeline_id)
        if row.state == PipelineState.cancelled.value:
            raise _wrong_state(row, "a cancelled one stays as it is")
        definition = PipelineDefinition.model_validate(row.definition_json)
        if definition.generate is None:
            raise Conflict(
                "pipeline.not_generating",
                "It analyses apps that exist.",
                "Start another pipeline for further apps.",
            )
        extended = _extend(definition, definition.generate, models, templates)
        before = (await count_cells(session, [pipeline_id]))[pipeline_id].total_count
        await ensure_cells(
            session, pipeline_id, extended, await plan_cells(session, project_id, extended, None)
        )
        after = (await count_cells(session, [pipeline_id]))[pipeline_id].total_count
        row.definition_json = extended.model_dump(mode="json")
        await note_event(session, pipeline_id, "pipeline.extended", f"Extended by {_cells(after - before)}.")
        if PipelineState(row.state).is_ended:
            await _set_state(session, row, PipelineState.queued, "It was extended.")
            await start_drive(session, engine, project_id, pipeline_id)
        return await get_pipeline(session, project_id, pipeline_id)


async def start_drive(session: AsyncSession, engine: JobEngine, project_id: UUID, pipeline_id: UUID) -> None:
    """Submit a job that drives a pipeline, instead of any earlier one. In the caller's transaction."""
    drive, name = (
        await session.execute(
            update(PipelineRow)
            .where(PipelineRow.pipeline_id == pipeline_id)
            .values(drives_count=PipelineRow.drives_count + 1, finished_at=None)
            .returning(PipelineRow.drives_count, PipelineRow.name)
        )
    ).one()
    job = await engine.submit(
        session,
        kind=DRIVE,
        arguments={"pipeline_id": str(pipeline_id), "drive": drive},
        project_id=project_id,
        key=f"pipeline:{pipeline_id}:{drive}",
        title=f"Pipeline {name}",
    )
    await session.execute(
        update(PipelineRow).where(PipelineRow.pipeline_id == pipeline_id).values(job_id=job.job_id)
    )


async def note_event(
    session: AsyncSession, pipeline_id: UUID, kind: str, message: str, *, cell_id: UUID | None = None
) -> None:
    """Put down what happened, for people."""
    await session.execute(
        insert(PipelineEventRow).values(pipeline_id=pipeline_id, cell_id=cell_id, kind=kind, message=message)
    )
    await publish(session, f"pipeline:{pipeline_id}", {"event": kind})


async def _insert(
    session: AsyncSession,
    project_id: UUID,
    request: PipelineRequest,
    definition: PipelineDefinition,
    artifact: Artifact,
) -> UUID | None:
    """Return the id of the new pipeline; None when its idempotency key is taken."""
    await record_artifacts(session, [artifact])
    made = await session.scalar(
        insert(PipelineRow)
        .values(
            pipeline_id=new_id(),
            project_id=project_id,
            name=definition.name,
            definition_sha256=artifact.sha256,
            definition_json=definition.model_dump(mode="json"),
            budget_usd=None if definition.budget_usd is None else Decimal(str(definition.budget_usd)),
            idempotency_key=request.idempotency_key,
            request_digest=_digest(request),
        )
        .on_conflict_do_nothing(index_elements=["project_id", "idempotency_key"])
        .returning(PipelineRow.pipeline_id)
    )
    return None if made is None else UUID(str(made))


async def _find_by_key(session: AsyncSession, project_id: UUID, request: PipelineRequest) -> Pipeline | None:
    """Return the pipeline that was accepted for the same key and file; None when the key is new.

    Raises:
        Conflict: The key was used for another file.
    """
    found = (
        await session.execute(
            select(PipelineRow.pipeline_id, PipelineRow.request_digest).where(
                PipelineRow.project_id == project_id,
                PipelineRow.idempotency_key == request.idempotency_key,
            )
        )
    ).one_or_none()
    if found is None:
        return None
    pipeline_id, digest = found
    if digest != _digest(request):
        raise Conflict(
            "pipeline.key_reused",
            "The idempotency key was used for another pipeline.",
            "Use a new key for a new pipeline.",
        )
    return await get_pipeline(session, project_id, pipeline_id)


def _digest(request: PipelineRequest) -> str:
    return hashlib.sha256(request.definition_text.encode()).hexdigest()


async def _lock(session: AsyncSession, project_id: UUID, pipeline_id: UUID) -> PipelineRow:
    row = (
        await session.execute(
            select(PipelineRow)
            .where(PipelineRow.pipeline_id == pipeline_id, PipelineRow.project_id == project_id)
            .with_for_update()
        )
    ).scalar_one_or_none()
    if row is None:
        raise NotFound(
            "pipeline.not_found", "There is no such pipeline.", "List them with `referee pipeline list`."
        )
    return row


async def _set_state(session: AsyncSession, row: PipelineRow, state: PipelineState, reason: str) -> None:
    row.state, row.reason = state.value, reason
    if state is PipelineState.cancelled:
        row.finished_at = (await session.execute(select(text("clock_timestamp()")))).scalar_one()
    await session.flush()
    await note_event(session, row.pipeline_id, f"pipeline.{state.value}", reason)
    await publish(session, "pipelines", {"pipeline_id": str(row.pipeline_id)}, project_id=row.project_id)


def _extend(
    definition: PipelineDefinition, part: GeneratePart, models: Sequence[str], templates: Sequence[str]
) -> PipelineDefinition:
    new_models = [model for model in dict.fromkeys(models) if model not in part.models]
    new_templates = [slug for slug in dict.fromkeys(templates) if slug not in part.templates]
    if not new_models and not new_templates:
        raise InvalidInput(
            "pipeline.nothing_new", "No model or template was named that it has not.", "Name a new one."
        )
    document = definition.model_dump(mode="json")
    document["generate"] = {
        **part.model_dump(mode="json"),
        "models": [*part.models, *new_models],
        "templates": [*part.templates, *new_templates],
    }
    return check_definition(ReadDocument(document))


def _wrong_state(row: PipelineRow, why: str) -> Conflict:
    return Conflict(
        "pipeline.wrong_state",
        f"The pipeline is {row.state.replace('_', ' ')}, and {why}.",
        "Look at it with `referee pipeline show`.",
    )


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count:,} cells"


def _describe_left_out(left_out: Sequence[str]) -> str:
    more = len(left_out) - _LEFT_OUT_COUNT
    rest = f"\nand {more:,} more" if more > 0 else ""
    return f"Left out of the folder, {len(left_out):,}:\n" + "\n".join(left_out[:_LEFT_OUT_COUNT]) + rest
