"""The heartbeat of a worker: renew the lease, and after each renewal look after everyone's jobs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import DBAPIError

from referee.core.errors import RefereeError
from referee.foundation.jobs import metrics
from referee.foundation.jobs.faults import is_database_loss
from referee.foundation.jobs.kinds import SCHEDULE_KIND_PREFIX
from referee.foundation.jobs.upkeep import StuckSweep, delete_ended_jobs, reconcile, take_over

if TYPE_CHECKING:
    from referee.foundation.jobs.engine import JobEngine
    from referee.foundation.jobs.leases import Lease
    from referee.foundation.jobs.runner import JobRunner

__all__ = ["Heartbeat"]

logger = structlog.get_logger(__name__)

RECONCILE_EVERY_S: Final = 10.0
RETENTION_EVERY_S: Final = 3600.0
SCHEDULED_KEEP_DAYS: Final = 1.0
"""A job every minute would soon be most of the list."""


class Heartbeat:
    """Two tasks: one renews and does nothing else, so that it is never late; one does the upkeep."""

    def __init__(self, engine: JobEngine, lease: Lease, runner: JobRunner) -> None:
        self._engine = engine
        self._lease = lease
        self._runner = runner
        self._sweep = StuckSweep(engine, runner, lease.executor_id)
        self._renewed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._reconcile_at_s = 0.0
        self._retain_at_s = time.monotonic() + RETENTION_EVERY_S

    def start(self) -> None:
        """Begin. The lease has been acquired."""
        self._renewed.set()
        self._tasks = [
            asyncio.create_task(self._renew_for_ever(), name="jobs-lease"),
            asyncio.create_task(self._look_after_for_ever(), name="jobs-upkeep"),
        ]

    async def stop(self) -> None:
        """End both tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _renew_for_ever(self) -> None:
        while True:
            begun_s = time.monotonic()
            try:
                is_held = await (self._renew() if self._lease.is_held else self._regain())
            except Exception:
                logger.exception("worker.lease_fault", executor_id=self._lease.executor_id)
                is_held = False
            if is_held:
                self._renewed.set()
            await asyncio.sleep(max(0.05, self._lease.beat_s - (time.monotonic() - begun_s)))

    async def _renew(self) -> bool:
        """Renew in time, or lose the lease and end this worker's steps."""
        try:
            async with asyncio.timeout(max(0.05, self._lease.get_remaining_s())):
                if await self._lease.renew():
                    return True
            reason = "another worker has taken it"
        except (RefereeError, DBAPIError, OSError, TimeoutError) as error:
            if self._lease.is_held:
                logger.warning("worker.renewal_failed", executor_id=self._lease.executor_id, error=str(error))
                return False
            reason = "it could not be renewed in time"
        await self._lose(reason)
        return False

    async def _lose(self, reason: str) -> None:
        self._lease.drop()
        metrics.LEASES_LOST.inc()
        logger.error(
            "worker.lease_lost",
            executor_id=self._lease.executor_id,
            reason=reason,
            running_count=self._runner.running_count,
        )
        await self._runner.interrupt_all()

    async def _regain(self) -> bool:
        """Take the lease again, once nothing of what ran under the lost one is left."""
        self._lease.drop()
        if not await self._runner.interrupt_all():
            logger.error("worker.steps_linger", running_count=self._runner.running_count)
            return False
        try:
            async with asyncio.timeout(self._lease.ttl_s):
                await self._lease.acquire()
        except (RefereeError, DBAPIError, OSError, TimeoutError) as error:
            logger.warning("worker.renewal_failed", executor_id=self._lease.executor_id, error=str(error))
            return False
        logger.info("worker.lease_regained", executor_id=self._lease.executor_id)
        return True

    async def _look_after_for_ever(self) -> None:
        while True:
            await self._renewed.wait()
            self._renewed.clear()
            try:
                await self._look_after()
            except Exception as error:
                if is_database_loss(error):
                    logger.warning("worker.upkeep_postponed", error=str(error))
                else:
                    logger.exception("worker.upkeep_failed")

    async def _look_after(self) -> None:
        await take_over(self._engine, self._lease)
        await self._sweep.run()
        now_s = time.monotonic()
        if now_s >= self._reconcile_at_s:
            self._reconcile_at_s = now_s + RECONCILE_EVERY_S
            await reconcile(self._engine)
        if now_s >= self._retain_at_s:
            self._retain_at_s = now_s + RETENTION_EVERY_S
            keep_days = self._engine.settings.job_keep_days
            await delete_ended_jobs(self._engine, older_than_days=keep_days)
            await delete_ended_jobs(
                self._engine,
                older_than_days=min(keep_days, SCHEDULED_KEEP_DAYS),
                kind_prefix=SCHEDULE_KIND_PREFIX,
            )
