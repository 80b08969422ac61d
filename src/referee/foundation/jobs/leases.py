"""The lease of a worker: its right to run jobs, kept in the database by the database's clock.

A lease is lost when another worker has deleted it, or when this worker could
not renew it for a whole time to live by its own monotonic clock. An expired
lease that nobody has deleted can still be renewed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy import delete, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.clock import Clock
from referee.foundation.jobs.identity import ProcessIdentity, is_provably_gone
from referee.foundation.jobs.library import JobLibrary
from referee.foundation.jobs.tables import WorkerLeaseRow
from referee.foundation.store import Database

__all__ = ["DeadWorker", "Lease"]

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadWorker:
    """A worker whose jobs may be handed back."""

    executor_id: str
    reason: str


class Lease:
    """One worker's lease.

    Args:
        database: Where the leases are.
        clock: Measures how long this worker has gone without renewing.
        identity: This process.
        kind: ``server`` or ``worker``.
        ttl_s: Time to live after each renewal.
        beat_s: Time between two renewals.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        identity: ProcessIdentity,
        *,
        kind: str,
        ttl_s: float,
        beat_s: float,
    ) -> None:
        self.executor_id = identity.make_executor_id()
        self.ttl_s = ttl_s
        self.beat_s = beat_s
        self._database = database
        self._clock = clock
        self._identity = identity
        self._kind = kind
        self._valid_until_ns = 0
        self._renewing_since_ns: int | None = None
        self._held = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """Whether this worker may run jobs now, by its own clock."""
        return self._held.is_set() and self._clock.monotonic_ns() < self._valid_until_ns

    async def wait_until_held(self) -> None:
        """Return when this worker may run jobs."""
        await self._held.wait()

    def drop(self) -> None:
        """Stop counting on the lease: it is lost."""
        self._held.clear()
        self._renewing_since_ns = None

    async def acquire(self) -> None:
        """Write the lease, new or again after it was lost."""
        asked_ns = self._clock.monotonic_ns()
        values = {
            "expires_at": func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, self.ttl_s),
            "renewed_at": func.clock_timestamp(),
        }
        async with self._database.transaction() as session:
            await session.execute(
                insert(WorkerLeaseRow)
                .values(
                    **values,
                    executor_id=self.executor_id,
                    kind=self._kind,
                    host=self._identity.host,
                    machine=self._identity.machine,
                    pid=self._identity.pid,
                    process_start=self._identity.process_start,
                )
                .on_conflict_do_update(index_elements=["executor_id"], set_=values)
            )
        self._note_renewal(asked_ns)
        self._held.set()

    async def renew(self) -> bool:
        """Extend the lease. False when another worker has taken it away."""
        asked_ns = self._clock.monotonic_ns()
        async with self._database.transaction() as session:
            result = await session.execute(
                update(WorkerLeaseRow)
                .where(WorkerLeaseRow.executor_id == self.executor_id)
                .values(
                    expires_at=func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, self.ttl_s),
                    renewed_at=func.clock_timestamp(),
                )
                .returning(WorkerLeaseRow.executor_id)
            )
            is_there = result.first() is not None
        if is_there:
            self._note_renewal(asked_ns)
        return is_there

    async def release(self) -> None:
        """Delete the lease: whatever this worker has not handed back may be taken at once."""
        self.drop()
        async with self._database.transaction() as session:
            await session.execute(
                delete(WorkerLeaseRow).where(WorkerLeaseRow.executor_id == self.executor_id)
            )

    def get_remaining_s(self) -> float:
        """Return how long the lease is still good by our own clock; negative when it is not."""
        return (self._valid_until_ns - self._clock.monotonic_ns()) / NS_PER_S

    def may_judge(self) -> bool:
        """Whether this worker has renewed for one whole time to live without a gap.

        After an outage of the database all leases look expired. Whoever has just
        come back itself waits until the others have had time to come back too.
        """
        since_ns = self._renewing_since_ns
        return since_ns is not None and self._clock.monotonic_ns() - since_ns >= self.ttl_s * NS_PER_S

    async def find_dead(self, session: AsyncSession, library: JobLibrary) -> list[DeadWorker]:
        """Delete the leases of workers that are dead, and return these and owners without any lease.

        A lease is deleted in the same statement that finds it expired, so a worker
        that renews meanwhile is not dead, and one that comes later notices.
        """
        # Owners first: whoever has claimed a job by now has had its lease for longer.
        owners = await library.list_owners(session)
        rows = (await session.scalars(select(WorkerLeaseRow))).all()
        dead = []
        for row in rows:
            is_gone = row.executor_id != self.executor_id and is_provably_gone(
                _identity_of(row), self._identity
            )
            if row.executor_id == self.executor_id or not (is_gone or self.may_judge()):
                continue
            is_expired = WorkerLeaseRow.expires_at < func.clock_timestamp()
            deleted = await session.execute(
                delete(WorkerLeaseRow)
                .where(
                    WorkerLeaseRow.executor_id == row.executor_id,
                    or_(is_expired, true() if is_gone else is_expired),
                )
                .returning(WorkerLeaseRow.executor_id)
            )
            if deleted.first() is not None:
                reason = "its process is gone" if is_gone else "its lease expired"
                dead.append(DeadWorker(executor_id=row.executor_id, reason=reason))
        orphaned = owners - {row.executor_id for row in rows} - {self.executor_id}
        return dead + [DeadWorker(executor_id=owner, reason="it has no lease") for owner in sorted(orphaned)]

    def _note_renewal(self, asked_ns: int) -> None:
        """Count from when we asked: the database's clock cannot have started later than we think."""
        now_ns = self._clock.monotonic_ns()
        gap_ns = now_ns - (self._valid_until_ns - int(self.ttl_s * NS_PER_S))
        if self._renewing_since_ns is None or gap_ns > max(2 * self.beat_s, self.ttl_s / 2) * NS_PER_S:
            self._renewing_since_ns = now_ns
        self._valid_until_ns = asked_ns + int(self.ttl_s * NS_PER_S)


def _identity_of(row: WorkerLeaseRow) -> ProcessIdentity:
    return ProcessIdentity(host=row.host, machine=row.machine, pid=row.pid, process_start=row.process_start)
