"""Creating, changing and deleting runs, and reading what came out of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import Conflict, InvalidInput, NotFound
from referee.experiments.room import ExperimentsRoom
from referee.experiments.runs import queries
from referee.experiments.runs.aggregates import AGGREGATE_FUNCTIONS, DEFAULT_AGGREGATE
from referee.experiments.runs.comparing import RunComparison, compute_comparison
from referee.experiments.runs.datasets import find_dataset_names, is_external
from referee.experiments.runs.definitions import MetricDefinition
from referee.experiments.runs.definitions_store import list_definitions
from referee.experiments.runs.requests import OFFLINE_DATASET_ID, RunChanges, RunRequest
from referee.experiments.runs.results import RunResult, compute_result
from referee.experiments.runs.statistics_views import RunStatistics
from referee.experiments.runs.tables import ExperimentRunRow
from referee.experiments.runs.views import Run
from referee.foundation.web.live import publish
from referee.traces import Event, EventFilter, list_run_events

__all__ = [
    "RunOutcome",
    "RunPair",
    "check_aggregate_function",
    "compare_runs",
    "compute_pair_statistics",
    "create_run",
    "delete_run",
    "read_outcome",
    "read_pair",
    "read_run_events",
    "update_run",
]

RESERVED_IDS: Final = frozenset({"schema", "compare"})
"""Words that stand in addresses where a run's id stands."""
MAX_METRIC_NAMES_COUNT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A run with its result."""

    run: Run
    result: RunResult
    definitions: Sequence[MetricDefinition]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPair:
    """Two runs with their results and what changed from the old to the new one."""

    old: RunOutcome
    new: RunOutcome
    comparison: RunComparison


async def create_run(room: ExperimentsRoom, project_id: UUID, request: RunRequest) -> Run:
    """Create a run. The same creation under the same id again is the same run.

    Raises:
        InvalidInput: The id stands for something else in addresses.
        NotFound: The project has no such dataset.
        Conflict: Another run has that id.
    """
    run_id = request.run_id or str(uuid4())
    _check_run_id(run_id)
    async with room.database.transaction() as session:
        await _check_dataset(session, project_id, request.dataset_id)
        made = await session.scalar(
            insert(ExperimentRunRow)
            .values(
                project_id=project_id,
                run_id=run_id,
                name=request.name or f"run {run_id[:8]}",
                description=request.description,
                status=request.status,
                dataset_id=request.dataset_id,
                metadata_json=dict(request.metadata),
                results_json=dict(request.results),
                configuration_json=dict(request.configuration),
                event_ids_json=list(request.event_ids),
                metric_names_json=[],
                request_digest=request.digest,
            )
            .on_conflict_do_nothing(index_elements=["project_id", "run_id"])
            .returning(ExperimentRunRow.run_id)
        )
        if made is None:
            await _check_same_request(session, project_id, run_id, request)
        else:
            await publish(session, "runs", {"run_id": run_id}, project_id=project_id)
        return await queries.get_run(session, project_id, run_id)


async def update_run(
    room: ExperimentsRoom, project_id: UUID, run_id: str, changes: RunChanges
) -> tuple[Run, str | None]:
    """Change a run: metadata, results and configuration are merged key by key, the rest is replaced.

    Returns:
        The run as it is now, and a warning when something of the request could not be done.

    Raises:
        NotFound: The project has no such run.
    """
    async with room.database.transaction() as session:
        row = await session.scalar(
            select(ExperimentRunRow)
            .where(ExperimentRunRow.project_id == project_id, ExperimentRunRow.run_id == run_id)
            .with_for_update()
        )
        if row is None:
            raise _not_found()
        row.metadata_json = {**row.metadata_json, **changes.metadata}
        row.results_json = {**row.results_json, **changes.results}
        row.configuration_json = {**row.configuration_json, **changes.configuration}
        row.name = changes.name or row.name
        row.status = changes.status or row.status
        if changes.description is not None:
            row.description = changes.description
        if changes.event_ids is not None:
            row.event_ids_json = list(changes.event_ids)
        offline = changes.metadata.get(OFFLINE_DATASET_ID)
        if row.dataset_id is None and isinstance(offline, str) and offline:
            row.dataset_id = offline
        warning = _warn(row, changes)
        row.updated_at = (await session.execute(select(func.clock_timestamp()))).scalar_one()
        await session.flush()
        await publish(session, "runs", {"run_id": run_id}, project_id=project_id)
        return await queries.get_run(session, project_id, run_id), warning


async def delete_run(room: ExperimentsRoom, project_id: UUID, run_id: str) -> None:
    """Delete a run; its sessions and events stay.

    Raises:
        NotFound: The project has no such run.
    """
    async with room.database.transaction() as session:
        deleted = await session.scalar(
            delete(ExperimentRunRow)
            .where(ExperimentRunRow.project_id == project_id, ExperimentRunRow.run_id == run_id)
            .returning(ExperimentRunRow.run_id)
        )
        if deleted is None:
            raise _not_found()
        await publish(session, "runs", {"run_id": run_id}, project_id=project_id)


async def read_outcome(
    room: ExperimentsRoom,
    project_id: UUID,
    run_id: str,
    *,
    aggregate_function: str = DEFAULT_AGGREGATE,
    filters: Sequence[EventFilter] = (),
) -> RunOutcome:
    """Return a run with its result, computed from its events as they are now.

    Raises:
        NotFound: The project has no such run.
        InvalidInput: There is no such function.
    """
    check_aggregate_function(aggregate_function)
    async with room.database.reading() as session:
        run = await queries.get_run(session, project_id, run_id)
        definitions = await list_definitions(session, project_id)
    events = await list_run_events(room.database, project_id, run.run_id, run.session_ids)
    result = await asyncio.to_thread(
        compute_result,
        events,
        definitions=definitions,
        passing_ranges=run.passing_ranges,
        aggregate_function=aggregate_function,
        filters=filters,
    )
    if not filters:
        await _note_metric_names(room, run, result)
    return RunOutcome(run=run, result=result, definitions=definitions)


async def read_run_events(
    room: ExperimentsRoom, project_id: UUID, run_id: str
) -> tuple[Run, Sequence[Event]]:
    """Return a run and every event of its sessions.

    Raises:
        NotFound: The project has no such run.
    """
    async with room.database.reading() as session:
        run = await queries.get_run(session, project_id, run_id)
    return run, await list_run_events(room.database, project_id, run.run_id, run.session_ids)


async def read_pair(
    room: ExperimentsRoom,
    project_id: UUID,
    *,
    old_run_id: str,
    new_run_id: str,
    aggregate_function: str = DEFAULT_AGGREGATE,
    filters: Sequence[EventFilter] = (),
) -> RunPair:
    """Return two runs and what changed from the old to the new one.

    Raises:
        NotFound: The project has no such run.
        InvalidInput: There is no such function.
    """
    old, new = [
        await read_outcome(room, project_id, run_id, aggregate_function=aggregate_function, filters=filters)
        for run_id in (old_run_id, new_run_id)
    ]
    return RunPair(old=old, new=new, comparison=compare_runs(old, new))


def compare_runs(old: RunOutcome, new: RunOutcome) -> RunComparison:
    """Return what changed from one run to another."""
    return compute_comparison(
        old.result, new.result, definitions=new.definitions, passing_ranges=new.run.passing_ranges
    )


async def compute_pair_statistics(pair: RunPair) -> RunStatistics:
    """Return how surely the new run differs from the old one."""
    from referee.experiments.runs.statistics import compute_statistics  # noqa: PLC0415 - loads NumPy and SciPy

    return await asyncio.to_thread(
        compute_statistics,
        pair.old.result,
        pair.new.result,
        definitions=pair.new.definitions,
        passing_ranges=pair.new.run.passing_ranges,
    )


def check_aggregate_function(name: str) -> str:
    """Return the name of a function that results may be summed up with.

    Raises:
        InvalidInput: There is none of that name.
    """
    if name not in AGGREGATE_FUNCTIONS:
        raise InvalidInput(
            "run.aggregate_unknown",
            f"{name[:40]!r} is no function that a result can be summed up with.",
            f"Choose from {', '.join(AGGREGATE_FUNCTIONS)}.",
        )
    return name


def _check_run_id(run_id: str) -> None:
    if (
        run_id.strip() in RESERVED_IDS
        or "/" in run_id
        or not run_id.isprintable()
        or run_id.strip() != run_id
    ):
        raise InvalidInput(
            "run.id_invalid",
            f"{run_id[:80]!r} cannot be the id of a run.",
            "Leave it out, or send a UUID.",
        )


async def _check_dataset(session: AsyncSession, project_id: UUID, dataset_id: str | None) -> None:
    if dataset_id is None or is_external(dataset_id):
        return
    if not await find_dataset_names(session, project_id, [dataset_id]):
        raise NotFound(
            "dataset.not_found",
            "There is no such dataset.",
            "Name one of this project, or leave it out and put its EXT- id into metadata.offline_dataset_id.",
        )


async def _check_same_request(
    session: AsyncSession, project_id: UUID, run_id: str, request: RunRequest
) -> None:
    digest = await session.scalar(
        select(ExperimentRunRow.request_digest).where(
            ExperimentRunRow.project_id == project_id, ExperimentRunRow.run_id == run_id
        )
    )
    if digest != request.digest:
        raise Conflict(
            "run.id_taken",
            f"There is another run with the id {run_id[:80]}.",
            "Leave run_id out to get a new one, or change that run with PUT.",
        )


async def _note_metric_names(room: ExperimentsRoom, run: Run, result: RunResult) -> None:
    """Keep which metrics a run has, so that a list of runs can name them without reading all events."""
    names = sorted({metric.key.metric_name for metric in result.metrics})[:MAX_METRIC_NAMES_COUNT]
    if names == list(run.metric_names):
        return
    async with room.database.transaction() as session:
        await session.execute(
            update(ExperimentRunRow)
            .where(ExperimentRunRow.project_id == run.project_id, ExperimentRunRow.run_id == run.run_id)
            .values(metric_names_json=names)
        )


def _warn(row: ExperimentRunRow, changes: RunChanges) -> str | None:
    if changes.dataset_id is not None and changes.dataset_id != row.dataset_id:
        return "The dataset of a run cannot be changed; it stays as it was."
    return None


def _not_found() -> NotFound:
    return NotFound("run.not_found", "There is no such run.", "List them with `referee run list`.")
