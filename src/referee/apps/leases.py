"""Who holds an app now.

A lease holds until its instant. One that a process of this machine renews holds as long as that process
lives: on a busy machine a renewal may come late, and a living holder must not lose its app for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.hosts import HANG_S
from referee.apps.tables import AppLeaseRow
from referee.foundation.jobs import ProcessIdentity, is_provably_gone

__all__ = ["count_live_leases", "free_turn_of_dead"]

_LEASES_MAX_COUNT: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Lease:
    lease_id: UUID
    has_turn: bool
    overdue_s: float
    """Since its instant; below zero before that."""
    machine: str | None
    holder_pid: int | None
    holder_started: str | None

    def is_live(self, own: ProcessIdentity) -> bool:
        """Whether it holds: by its time, or because its holder lives and is only late."""
        if self.overdue_s < 0:
            return True
        if self.holder_pid is None or self.machine != own.machine or self.overdue_s > HANG_S:
            return False
        holder = ProcessIdentity(
            host="",
            machine=self.machine,
            pid=self.holder_pid,
            process_start=self.holder_started or "unknown",
        )
        return not is_provably_gone(holder, own)


async def count_live_leases(session: AsyncSession, app_run_id: UUID, own: ProcessIdentity) -> int:
    """Return how many leases hold a run now, by the database's clock. Counts no further than 1,000."""
    return sum(lease.is_live(own) for lease in await _read_leases(session, app_run_id))


async def free_turn_of_dead(session: AsyncSession, app_run_id: UUID, own: ProcessIdentity) -> None:
    """Take the turn from a holder that died in it."""
    dead = [
        lease.lease_id
        for lease in await _read_leases(session, app_run_id)
        if lease.has_turn and not lease.is_live(own)
    ]
    if dead:
        await session.execute(
            update(AppLeaseRow).where(AppLeaseRow.lease_id.in_(dead)).values(has_turn=False)
        )


async def _read_leases(session: AsyncSession, app_run_id: UUID) -> list[_Lease]:
    rows = await session.execute(
        select(
            AppLeaseRow.lease_id,
            AppLeaseRow.has_turn,
            func.extract("epoch", func.clock_timestamp() - AppLeaseRow.expires_at),
            AppLeaseRow.machine,
            AppLeaseRow.holder_pid,
            AppLeaseRow.holder_started,
        )
        .where(AppLeaseRow.app_run_id == app_run_id)
        .order_by(AppLeaseRow.expires_at.desc())
        .limit(_LEASES_MAX_COUNT)
    )
    return [_Lease(*row) for row in rows]
