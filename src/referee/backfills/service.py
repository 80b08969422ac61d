"""Verbs of runs on a server: accept, pause, resume, cancel, tune, undo. What a run does is the engine's."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.backfills import local
from referee.backfills.ledger import RunOptions
from referee.backfills.planning import check_plan, make_plan
from referee.backfills.queries import get_run
from referee.backfills.registry import create_backfill
from referee.backfills.room import BackfillsRoom
from referee.backfills.states import RunState
from referee.backfills.tables import BackfillRunRow
from referee.backfills.targets.opening import is_postgres_address, open_target, resolve_address
from referee.backfills.targets.pinning import pin_postgres_address
from referee.backfills.views import BackfillRun
from referee.core.errors import Conflict, InvalidInput
from referee.core.ids import new_id
from referee.foundation.jobs import JobEngine
from referee.foundation.outgoing import open_guard
from referee.foundation.web.live import publish

__all__ = [
    "OWN_DATABASE",
    "WORK",
    "ServerRun",
    "address_of",
    "ask_run",
    "create_run",
    "resume_run",
    "retry_dead_letters",
    "undo_run",
]

WORK: Final = "backfills.work"
"""Kind of the job that runs, plans or undoes."""
OWN_DATABASE: Final = "own"
"""The word for the server's own database."""
_ENVIRONMENT_PREFIX: Final = "env:REFEREE_BACKFILL_"
_MAX_DATABASE_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRun:
    """What to run."""

    backfill: str
    database: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    is_dry: bool = False
    scope: str = "all"
    options: RunOptions = field(default_factory=RunOptions)
    plan_run_id: UUID | None = None
    """A dry run whose plan it has to match."""
    is_difference_accepted: bool = False
    has_backup: bool = True
    idempotency_key: str | None = None


async def create_run(
    room: BackfillsRoom, engine: JobEngine, project_id: UUID, request: ServerRun
) -> BackfillRun:
    """Accept a run: look whether the database is what it is for, and commit it with its job.

    The same idempotency key with the same request returns the run that exists.

    Raises:
        NotFound: There is no such backfill, file or plan.
        InvalidInput: A parameter or the database's address is not allowed.
        Conflict: The database has another schema, the plan differs, or the key was used for another request.
        Unavailable: The database does not answer.
        TooManyRequests: The queue is full.
    """
    create_backfill(request.backfill, request.parameters)
    _check_database(request.database)
    stored = await _describe(room, project_id, request)
    digest = hashlib.sha256(
        json.dumps([request.backfill, request.database, request.is_dry, stored], sort_keys=True).encode()
    ).hexdigest()
    known = await _find_by_key(room, project_id, request, digest)
    if known is not None:
        return known
    await asyncio.to_thread(_look, room, request, stored)
    async with room.database.transaction() as session:
        run_id = await session.scalar(
            insert(BackfillRunRow)
            .values(
                backfill_run_id=new_id(),
                project_id=project_id,
                backfill=request.backfill,
                database=request.database,
                is_dry=request.is_dry,
                request_json=stored,
                idempotency_key=request.idempotency_key,
                request_digest=digest,
            )
            .on_conflict_do_nothing(index_elements=["project_id", "idempotency_key"])
            .returning(BackfillRunRow.backfill_run_id)
        )
        if run_id is not None:
            await _submit(session, engine, project_id, run_id, "run")
            return await get_run(session, project_id, run_id)
    known = await _find_by_key(room, project_id, request, digest)
    assert known is not None  # noqa: S101 - the row that conflicted is committed and never deleted
    return known


async def ask_run(
    room: BackfillsRoom,
    project_id: UUID,
    run_id: UUID,
    *,
    requested: str | None = None,
    options: Mapping[str, float] | None = None,
) -> BackfillRun:
    """Ask a run to pause or to cancel, or change how it works; it hears after its present batch.

    Raises:
        NotFound: The project has no such run.
        Conflict: It has ended, or has not begun.
    """
    run = await _read(room, project_id, run_id)
    if run.is_dry or run.state not in (RunState.running, RunState.paused, RunState.failed):
        raise Conflict(
            "backfill.run_not_open",
            f"The run is {run.state}{', and only plans' if run.is_dry else ''}.",
            "Only a run that works or waits can be asked for something.",
        )
    asked = await asyncio.to_thread(
        lambda: local.ask(address_of(room, run.database), run.backfill, requested=requested, options=options)
    )
    async with room.database.transaction() as session:
        values: dict[str, Any] = {"run_json": local.dump_run(asked)}
        if asked.state is RunState.cancelled:
            values |= {"state": asked.state.value, "reason": asked.reason}
        await session.execute(
            update(BackfillRunRow).where(BackfillRunRow.backfill_run_id == run_id).values(**values)
        )
        await tell(session, project_id, run_id)
        return await get_run(session, project_id, run_id)


async def resume_run(
    room: BackfillsRoom, engine: JobEngine, project_id: UUID, run_id: UUID, *, is_forced: bool = False
) -> BackfillRun:
    """Let a run go on at its cursor that was paused or failed.

    Args:
        room: Of backfills.
        engine: Of jobs.
        project_id: Whose.
        run_id: Which.
        is_forced: Whether it is taken from a process that holds it and is surely gone.

    Raises:
        NotFound: The project has no such run.
        Conflict: It works, or has ended.
    """
    return await _work_again(
        room,
        engine,
        project_id,
        run_id,
        "force" if is_forced else "run",
        (RunState.paused, RunState.failed),
        RunState.queued,
    )


async def retry_dead_letters(
    room: BackfillsRoom, engine: JobEngine, project_id: UUID, run_id: UUID
) -> BackfillRun:
    """Start a new run over the rows that one could not process. Asked twice, it is one run.

    Raises:
        NotFound: The project has no such run.
        Conflict: It has not ended, or every row could be processed.
    """
    run = await _read(room, project_id, run_id)
    if run.is_dry or run.state not in (RunState.finished, RunState.failed) or not run.failed_count:
        raise Conflict(
            "backfill.nothing_to_retry",
            f"The run is {run.state}{', and only plans' if run.is_dry else ''}, with no failed rows to try again."
            if run.state in (RunState.finished, RunState.failed)
            else f"The run is {run.state}.",
            "Rows can be tried again when a run has ended that could not process them.",
        )
    options = run.run if run.run is not None else run.request["options"]
    retry = ServerRun(
        backfill=run.backfill,
        database=run.database,
        parameters=run.request["parameters"],
        scope="dead_letters",
        options=RunOptions(
            batch_size=options["batch_size"], throttle_ms=options["throttle_ms"], max_failure_share=1.0
        ),
        has_backup=False,
        idempotency_key=f"retry:{run_id}",
    )
    return await create_run(room, engine, project_id, retry)


async def undo_run(room: BackfillsRoom, engine: JobEngine, project_id: UUID, run_id: UUID) -> BackfillRun:
    """Set what a run filled back to NULL.

    Raises:
        NotFound: The project has no such run.
        Conflict: It works, or was undone.
    """
    states = (RunState.finished, RunState.failed, RunState.cancelled, RunState.paused)
    return await _work_again(room, engine, project_id, run_id, "undo", states, RunState.undoing)


def address_of(room: BackfillsRoom, database: str) -> str:
    """Return the address behind the word of a run. Blocking.

    What stands in a variable is the operator's; an address of PostgreSQL that a person sent passes the guard.

    Raises:
        InvalidInput: The address cannot be understood, or says too much.
        Forbidden: It leads where the server may not connect to.
        Unavailable: The name of its host is not known.
    """
    if database == OWN_DATABASE:
        return room.database.url
    address = resolve_address(database)
    if database.startswith(_ENVIRONMENT_PREFIX) or not is_postgres_address(address):
        return address
    return pin_postgres_address(address, open_guard(room.settings))


async def tell(session: AsyncSession, project_id: UUID, run_id: UUID) -> None:
    """Let open pages look again after the commit."""
    await publish(session, f"backfill:{run_id}", {})
    await publish(session, "backfills", {"backfill_run_id": str(run_id)}, project_id=project_id)


async def _work_again(
    room: BackfillsRoom,
    engine: JobEngine,
    project_id: UUID,
    run_id: UUID,
    action: str,
    states: tuple[RunState, ...],
    state: RunState,
) -> BackfillRun:
    async with room.database.transaction() as session:
        run = await get_run(session, project_id, run_id)
        changed = await session.scalar(
            update(BackfillRunRow)
            .where(
                BackfillRunRow.backfill_run_id == run_id,
                BackfillRunRow.is_dry.is_(False),
                BackfillRunRow.state.in_([one.value for one in states]),
            )
            .values(state=state.value, reason="", finished_at=None)
            .returning(BackfillRunRow.backfill_run_id)
        )
        if changed is None:
            raise Conflict(
                "backfill.run_not_open",
                f"The run is {run.state}{', and only plans' if run.is_dry else ''}.",
                f"It can be asked to {action} when it is {', '.join(states)}.",
            )
        await _submit(session, engine, project_id, run_id, action)
        return await get_run(session, project_id, run_id)


async def _submit(
    session: AsyncSession, engine: JobEngine, project_id: UUID, run_id: UUID, action: str
) -> None:
    number = await session.scalar(
        update(BackfillRunRow)
        .where(BackfillRunRow.backfill_run_id == run_id)
        .values(jobs_count=BackfillRunRow.jobs_count + 1)
        .returning(BackfillRunRow.jobs_count)
    )
    job = await engine.submit(
        session,
        kind=WORK,
        arguments={"backfill_run_id": str(run_id), "action": action},
        project_id=project_id,
        key=f"backfill:{run_id}:{number}",
        title="Undo a backfill" if action == "undo" else "Run a backfill",
    )
    await session.execute(
        update(BackfillRunRow).where(BackfillRunRow.backfill_run_id == run_id).values(job_id=job.job_id)
    )
    await tell(session, project_id, run_id)


async def _read(room: BackfillsRoom, project_id: UUID, run_id: UUID) -> BackfillRun:
    async with room.database.reading() as session:
        return await get_run(session, project_id, run_id)


async def _describe(room: BackfillsRoom, project_id: UUID, request: ServerRun) -> dict[str, Any]:
    plan: Mapping[str, Any] | None = None
    if request.plan_run_id is not None:
        planned = await _read(room, project_id, request.plan_run_id)
        if not planned.is_dry or planned.state is not RunState.finished or planned.run is None:
            raise Conflict(
                "backfill.plan_not_finished",
                "The run that was named has no finished plan.",
                "Name a dry run that is finished.",
            )
        plan = planned.run
    return {
        "parameters": dict(request.parameters),
        "scope": request.scope,
        "options": asdict(request.options),
        "plan": None if plan is None else dict(plan),
        "is_difference_accepted": request.is_difference_accepted,
        "has_backup": request.has_backup,
    }


def _look(room: BackfillsRoom, request: ServerRun, stored: Mapping[str, Any]) -> None:
    """Refuse at the door what the job could only fail with."""
    backfill = create_backfill(request.backfill, request.parameters)
    with open_target(address_of(room, request.database), is_read_only=True) as target:
        plan = make_plan(target, backfill, is_predicting=False)
        if stored["plan"] is not None and not request.is_difference_accepted:
            differences = check_plan(str(stored["plan"]["digest"]), plan)
            if differences:
                raise Conflict(
                    "backfill.plan_differs",
                    f"The plan differs now in: {', '.join(differences)}.",
                    "Plan again, or accept the difference.",
                    differences=differences,
                )


def _check_database(database: str) -> None:
    """A server stores the address: never with a password, and no path that depends on where it was started."""
    if database == OWN_DATABASE or database.startswith(_ENVIRONMENT_PREFIX):
        return
    if len(database) > _MAX_DATABASE_CHARS or database.startswith("env:"):
        raise InvalidInput(
            "backfill.database_not_allowed",
            "A server looks only into variables whose names begin with REFEREE_BACKFILL_.",
            f"Name one as {_ENVIRONMENT_PREFIX}NAME.",
        )
    if "://" in database and not database.startswith("sqlite:///"):
        if (
            "@" in database and ":" in database.split("://", 1)[1].rsplit("@", 1)[0]
        ) or "password" in database:
            raise InvalidInput(
                "backfill.password_in_address",
                "The address holds a password, which would be stored.",
                f"Put the address into a variable of the server and name it as {_ENVIRONMENT_PREFIX}NAME.",
            )
        return
    if not Path(database.removeprefix("sqlite:///")).is_absolute():
        raise InvalidInput(
            "backfill.path_relative", f"The path {database[:200]!r} is not absolute.", "Begin it with /."
        )


async def _find_by_key(
    room: BackfillsRoom, project_id: UUID, request: ServerRun, digest: str
) -> BackfillRun | None:
    if request.idempotency_key is None:
        return None
    async with room.database.reading() as session:
        found = (
            await session.execute(
                select(BackfillRunRow.backfill_run_id, BackfillRunRow.request_digest).where(
                    BackfillRunRow.project_id == project_id,
                    BackfillRunRow.idempotency_key == request.idempotency_key,
                )
            )
        ).one_or_none()
        if found is None:
            return None
        if found.request_digest != digest:
            raise Conflict(
                "backfill.key_reused",
                "The idempotency key was used for another run.",
                "Use a new key for a new run.",
            )
        return await get_run(session, project_id, found.backfill_run_id)
