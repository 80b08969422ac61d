"""The processes that host apps: start one, and find out whether one is gone.

A host on this machine is asked of the kernel, not judged by its silence: on a busy machine a living process
may say nothing for minutes. Silence alone ends a run only where no process can be looked for, or where it
has lasted so long that the process must hang.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from pydantic import SecretStr
from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.room import AppsRoom
from referee.apps.runs import LIVE_STATES, AppRunState, FailureKind, end_app_run
from referee.apps.tables import AppRunRow
from referee.core.errors import Unavailable
from referee.foundation.jobs import ProcessIdentity, is_provably_gone, read_own_identity, read_process_start
from referee.foundation.settings import Settings
from referee.foundation.store import Database

__all__ = ["HANG_S", "end_if_lost", "start_host", "sweep_app_runs", "write_patiently"]

HANG_S: Final = 600.0
"""Without a word for so long, a process that is still there counts as one that hangs."""
_UNHOSTED_S: Final = 60.0
"""Between the making of a run and the start of its host, by the process that made it."""

_AGAIN_S: Final = 1.0

log = structlog.get_logger("referee.apps")


async def start_host(room: AppsRoom, app_run_id: UUID) -> None:
    """Start the process that runs the app, on its own: it outlives whoever asked for it.

    Its number is put on record at once, so that others know whom to look for while it still loads.
    """
    pid = await asyncio.to_thread(_spawn, room.settings, app_run_id)
    started = read_process_start(pid) or "gone"
    async with room.database.transaction() as session:
        await session.execute(
            update(AppRunRow)
            .where(
                AppRunRow.app_run_id == app_run_id,
                AppRunRow.state == AppRunState.starting.value,
                AppRunRow.host_pid.is_(None),
            )
            .values(host_pid=pid, host_started=started)
        )


async def sweep_app_runs(room: AppsRoom) -> int:
    """End the rows of runs whose process is gone. Returns how many."""
    own = read_own_identity()
    async with room.database.reading() as session:
        live = (
            await session.scalars(
                select(AppRunRow.app_run_id)
                .where(
                    AppRunRow.state.in_(LIVE_STATES),
                    or_(  # those of before the machine was started again have another name for it
                        AppRunRow.machine == own.machine,
                        AppRunRow.beat_at < func.clock_timestamp() - timedelta(seconds=HANG_S),
                    ),
                )
                .limit(1_000)
            )
        ).all()
    ended_count = 0
    for app_run_id in live:
        async with room.database.transaction() as session:
            ended_count += await end_if_lost(session, app_run_id, own)
    return ended_count


async def end_if_lost(session: AsyncSession, app_run_id: UUID, own: ProcessIdentity) -> bool:
    """End a live run whose host is gone, with its ports and leases. Returns whether it was ended."""
    row = (
        await session.execute(
            select(
                AppRunRow.host_pid,
                AppRunRow.host_started,
                AppRunRow.machine,
                (func.extract("epoch", func.clock_timestamp() - AppRunRow.beat_at)).label("silent_s"),
            )
            .where(AppRunRow.app_run_id == app_run_id, AppRunRow.state.in_(LIVE_STATES))
            .with_for_update()
        )
    ).first()
    if row is None:
        return False
    if row.host_pid is None:
        why = "The process that should hold the app was never started." if row.silent_s > _UNHOSTED_S else ""
    else:
        host = ProcessIdentity(
            host="", machine=row.machine, pid=row.host_pid, process_start=row.host_started or "unknown"
        )
        why = "The process that held the app is gone." if is_provably_gone(host, own) else ""
    if not why and row.silent_s > HANG_S:
        why = f"The process that held the app has said nothing for {HANG_S:g} s."
    if why:
        await end_app_run(session, app_run_id, failure=FailureKind.host_lost, reason=why)
        log.warning("app_run.host_lost", app_run_id=str(app_run_id), reason=why)
    return bool(why)


async def write_patiently(
    database: Database, change: Callable[[AsyncSession], Awaitable[None]], *, patience_s: float
) -> None:
    """Run a change in a transaction; where the database is away or too busy, again until patience ends.

    Raises:
        Unavailable: It did not come back.
    """
    ends_s = time.monotonic() + patience_s
    while True:
        try:
            async with database.transaction() as session:
                return await change(session)
        except Unavailable as error:
            if time.monotonic() >= ends_s:
                raise
            log.warning("app_run.database_away", reason=error.message)
        await asyncio.sleep(_AGAIN_S)


def _spawn(settings: Settings, app_run_id: UUID) -> int:
    """Start a host. Returns its process id."""
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    with (settings.logs_dir / "apps.log").open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "referee.apps.hosting", str(app_run_id)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
            env=_host_environment(settings, os.environ),
        )
    # A parent that lives on has to take note of its end, or the kernel keeps a trace of it.
    threading.Thread(target=process.wait, name=f"host of {app_run_id}", daemon=True).start()
    return process.pid


def _host_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with what of the settings the host needs, wherever they came from."""
    needed = {
        name: getattr(settings, name)
        for name in type(settings).model_fields
        if name in ("home", "tools_dir", "log_format", "log_level")
        or name.startswith(("app_", "artifacts_", "database_"))
    }
    kept = {name: value for name, value in environment.items() if not name.startswith("REFEREE_")}
    method = environment.get("REFEREE_SANDBOX_METHOD")
    if method:
        kept["REFEREE_SANDBOX_METHOD"] = method
    return kept | {
        f"REFEREE_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in needed.items()
        if value is not None
    }
