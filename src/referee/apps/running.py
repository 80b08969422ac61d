"""Verbs of running apps for people: read what to run, find a run, stop it."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.holding import AppSource
from referee.apps.room import AppsRoom
from referee.apps.runs import LIVE_STATES, AppRun, get_app_run, list_leases
from referee.apps.service import ensure_app, locate_source
from referee.apps.sources import SourceLimits, render_listing, take_snapshot
from referee.apps.tables import AppLeaseRow, AppRunRow
from referee.core.errors import Conflict, NotFound, Unavailable
from referee.core.ids import parse_id
from referee.foundation.jobs import ProcessIdentity, is_provably_gone, read_own_identity
from referee.foundation.settings import Settings
from referee.foundation.store import open_database
from referee.foundation.web.live import publish

__all__ = ["find_app_run", "read_app_source", "stop_app_run", "stop_people_runs"]

_STOP_TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 0.1


async def read_app_source(
    room: AppsRoom, project_id: UUID, path: str, *, model: str | None = None, number: int | None = None
) -> AppSource:
    """Take a snapshot of the folder that a person named.

    Raises:
        InvalidInput: The path or its source is not usable.
    """
    settings = room.settings
    location = locate_source(path, allowed_roots=settings.source_roots, model=model, number=number)
    name = location.path.name or "root"
    if location.model is not None:
        name = f"{location.model}/app{location.number}"
    limits = SourceLimits.from_settings(settings)
    snapshot = await asyncio.to_thread(
        take_snapshot, location.path, settings.snapshots_dir, limits, name=name
    )
    listing = await room.artifacts.put_bytes(render_listing(snapshot), "application/json")
    app_id = None
    if location.model is not None and location.number is not None:
        async with room.database.transaction() as session:
            app = await ensure_app(
                session,
                project_id=project_id,
                model=location.model,
                number=location.number,
                path=location.path,
            )
        app_id = app.app_id
    return AppSource(project_id=project_id, app_id=app_id, name=name, snapshot=snapshot, listing=listing)


async def find_app_run(room: AppsRoom, project_id: UUID, text: str) -> AppRun:
    """Return a run by its id, or the latest one of the folder's app or source.

    Raises:
        NotFound: There is none.
    """
    async with room.database.reading() as session:
        if "/" not in text and "." not in text:
            return await get_app_run(session, project_id, parse_id(text, "app_run"))
        location = locate_source(text, allowed_roots=room.settings.source_roots)
        name = location.path.name or "root"
        if location.model is not None:
            name = f"{location.model}/app{location.number}"
        found = await session.scalar(
            select(AppRunRow.app_run_id)
            .where(AppRunRow.project_id == project_id, AppRunRow.name == name)
            .order_by(AppRunRow.created_at.desc())
            .limit(1)
        )
        if found is None:
            raise NotFound(
                "app_run.not_found", f"{name} was never run.", f"Run it with `referee app run {text}`."
            )
        return await get_app_run(session, project_id, found)


async def stop_app_run(
    room: AppsRoom, project_id: UUID, app_run_id: UUID, *, is_waited: bool = True
) -> AppRun:
    """Give back the leases of people, and by default wait until the app has stopped.

    Args:
        room: Of apps.
        project_id: Whose.
        app_run_id: Which.
        is_waited: Whether to return only when nothing of it runs any more; else it stops soon by itself.

    Raises:
        NotFound: There is no such run.
        Conflict: A tool uses it now; the message says which.
    """
    async with room.database.transaction() as session:
        run = await get_app_run(session, project_id, app_run_id)
        if run.state.is_final:
            return run
        await _require_unused(session, app_run_id)
        await session.execute(
            delete(AppLeaseRow).where(AppLeaseRow.app_run_id == app_run_id, AppLeaseRow.is_person)
        )
        await publish(session, "app_runs", {"app_run_id": str(app_run_id)}, project_id=project_id)
    if not is_waited:
        return run
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S + room.settings.app_linger_s):
            return await _wait_until_ended(room, project_id, app_run_id)
    except TimeoutError:
        raise Conflict(
            "app_run.still_held",
            "The app is still up: somebody else has taken a lease on it.",
            "Look with `referee app status`.",
        ) from None


async def _wait_until_ended(room: AppsRoom, project_id: UUID, app_run_id: UUID) -> AppRun:
    while True:
        async with room.database.reading() as session:
            run = await get_app_run(session, project_id, app_run_id)
        if run.state.is_final:
            return run
        await asyncio.sleep(_LOOK_S)


async def stop_people_runs(settings: Settings) -> int:
    """Stop every app of this machine that only people keep up. Returns how many.

    Runs that a tool of another worker uses go on. Nothing is opened where no app was left up.
    """
    if not settings.app_runs_dir.is_dir() or not any(settings.app_runs_dir.iterdir()):
        return 0
    own = read_own_identity()
    live = (AppRunRow.machine == own.machine, AppRunRow.state.in_(LIVE_STATES))
    is_held = exists().where(
        AppLeaseRow.app_run_id == AppRunRow.app_run_id, AppLeaseRow.expires_at > func.clock_timestamp()
    )
    database = await open_database(settings)
    try:
        async with database.transaction() as session:
            await session.execute(
                delete(AppLeaseRow).where(
                    AppLeaseRow.is_person,
                    AppLeaseRow.app_run_id.in_(select(AppRunRow.app_run_id).where(*live)),
                )
            )
            rows = await session.execute(
                select(AppRunRow.host_pid, AppRunRow.host_started).where(
                    *live, ~is_held, AppRunRow.host_pid.is_not(None)
                )
            )
            hosts = [
                ProcessIdentity(host="", machine=own.machine, pid=pid, process_start=started or "unknown")
                for pid, started in rows
                if pid is not None
            ]
        async with asyncio.timeout(_STOP_TIMEOUT_S + settings.app_linger_s):
            while not all(is_provably_gone(host, own) for host in hosts):
                await asyncio.sleep(_LOOK_S)
        return len(hosts)
    except TimeoutError:
        raise Unavailable(
            "app_run.stop_slow", "An app does not stop.", "Look with `referee app status`."
        ) from None
    finally:
        await database.close()


async def _require_unused(session: AsyncSession, app_run_id: UUID) -> None:
    # The run's row is locked: nobody gets a lease while the leases are looked at.
    await session.execute(select(AppRunRow.state).where(AppRunRow.app_run_id == app_run_id).with_for_update())
    users = [lease.holder for lease in await list_leases(session, app_run_id) if not lease.is_person]
    if users:
        raise Conflict(
            "app_run.in_use", f"The app is used by {users[0]}.", "Wait for it, or cancel it first."
        )
