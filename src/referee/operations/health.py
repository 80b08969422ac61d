"""Whether Referee is well: process, database and disk; workers and queues."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import Final, Literal

import psutil
from sqlalchemy import text

from referee.core.errors import RefereeError
from referee.foundation.jobs import list_workers, queue_age_s, waiting_count
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.foundation.web.formats import format_bytes, format_share

__all__ = ["Check", "check_health", "check_readiness"]

DISK_LOW_SHARE: Final = 0.1
"""Free share of the disk below which people are warned."""
DISK_FULL_SHARE: Final = 0.01
"""Free share below which no analysis can be promised to be kept."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str


async def check_health(settings: Settings, database: Database) -> tuple[Check, ...]:
    """Look at the process, the database and the disk."""
    memory = psutil.Process().memory_info().rss
    process = Check("process", "ok", f"{format_bytes(memory)} of memory")
    return process, await _check_database(database), _check_disk(settings)


async def check_readiness(database: Database) -> tuple[Check, ...]:
    """Look at whether work is taken: a live worker, and how long the oldest job waits."""
    try:
        async with database.reading() as session:
            workers = await list_workers(session)
            age_s = await queue_age_s(session)
            waiting = await waiting_count(session)
    except RefereeError as error:
        return (Check("workers", "fail", str(error)),)
    running = Check("workers", "ok" if workers else "fail", f"{len(workers)} live")
    queue = Check(
        "queue", "ok" if age_s < 300 else "warn", f"{waiting} waiting, the oldest for {age_s:.0f} s"
    )
    return running, queue


async def _check_database(database: Database) -> Check:
    started = time.monotonic()
    try:
        async with database.reading() as session:
            version = await session.scalar(text("SHOW server_version"))
    except RefereeError as error:
        return Check("database", "fail", str(error))
    return Check(
        "database", "ok", f"PostgreSQL {version}, answered in {(time.monotonic() - started) * 1000:.0f} ms"
    )


def _check_disk(settings: Settings) -> Check:
    usage = shutil.disk_usage(settings.home)
    free_share = usage.free / usage.total
    status: Literal["ok", "warn", "fail"] = "ok"
    if free_share < DISK_LOW_SHARE:
        status = "warn"
    if free_share < DISK_FULL_SHARE:
        status = "fail"
    return Check("disk", status, f"{format_bytes(usage.free)} free ({format_share(free_share)})")
