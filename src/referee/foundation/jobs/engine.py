"""The engine of a process: what is registered, submitting, cancelling, waiting, and running as a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.clock import Clock, SystemClock
from referee.core.findings import JsonValue
from referee.foundation.access import get_project
from referee.foundation.jobs import metrics
from referee.foundation.jobs.beat import Heartbeat
from referee.foundation.jobs.children import settle_children
from referee.foundation.jobs.ending import end_job
from referee.foundation.jobs.faults import is_database_loss, persist
from referee.foundation.jobs.identity import read_own_identity
from referee.foundation.jobs.kinds import (
    DEFAULT_MAX_ATTEMPTS,
    SCHEDULE_KIND_PREFIX,
    EndHook,
    JobFunction,
    Kind,
    KindRegistry,
)
from referee.foundation.jobs.leases import Lease
from referee.foundation.jobs.library import JobLibrary, Queue, Schedule
from referee.foundation.jobs.queries import get_job
from referee.foundation.jobs.runner import JobRunner
from referee.foundation.jobs.states import DEFAULT_PRIORITY, ChildJob, Job
from referee.foundation.jobs.submission import submit_job
from referee.foundation.jobs.upkeep import hand_back_own
from referee.foundation.settings import Settings
from referee.foundation.store import Database

__all__ = ["JobEngine"]

logger = structlog.get_logger(__name__)

SCHEDULES_QUEUE: Final = "schedules"
SCHEDULES_POLL_S: Final = 1.0
SHORT_LOOK_S: Final = 0.05
LONG_LOOK_S: Final = 0.5
DEFAULT_PROJECT_SLUG: Final = "default"


class JobEngine:
    """Durable jobs for one process.

    Register queues, kinds and schedules first, the same in every process; then
    ``start``. Everything happens on the event loop that runs ``start``.

    Args:
        settings: Lease times, poll time, bound of waiting jobs, retention.
        database: Where jobs live.
        clock: Instants and durations of this process; ownership goes by the database's clock.
    """

    def __init__(self, settings: Settings, database: Database, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.database = database
        self.clock: Clock = clock or SystemClock()
        self.kinds = KindRegistry()
        self.queues: dict[str, Queue] = {}
        self._schedules: dict[str, Schedule] = {}
        self._library: JobLibrary | None = None
        self._lease: Lease | None = None
        self._runner: JobRunner | None = None
        self._heartbeat: Heartbeat | None = None
        self._bell = asyncio.Event()

    @property
    def library(self) -> JobLibrary:
        """The handle on the library, once started."""
        if self._library is None:
            raise RuntimeError("the job engine has not been started")
        return self._library

    @property
    def executor_id(self) -> str | None:
        """Name of this worker; None when this process runs no jobs."""
        return None if self._lease is None else self._lease.executor_id

    def register(
        self,
        kind: str,
        function: JobFunction,
        *,
        queue: str,
        timeout_s: float | None = None,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        on_end: EndHook | None = None,
    ) -> None:
        """Register a kind of job. Before ``start``.

        Args:
            kind: Name, such as ``analysis.run``.
            function: Runs it; its value is the job's result. A ``RefereeError`` fails the job with
                its code, message and hint.
            queue: Where it waits; registered by ``register_queue``.
            timeout_s: From its first start, over all attempts; then it fails as ``jobs.timed_out``.
            max_attempts: Lost with its worker this many times without a step's progress, it fails as
                ``jobs.attempts_exhausted``.
            on_end: Called in the transaction that ends a job of this kind, however it ends: the place
                to change a row of yours together with it.
        """
        self.kinds.add(
            Kind(
                name=kind,
                function=function,
                queue=queue,
                timeout_s=timeout_s,
                max_attempts=max_attempts,
                on_end=on_end,
            )
        )

    def register_queue(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        worker_concurrency: int | None = None,
        max_waiting_count: int | None = None,
        poll_s: float | None = None,
    ) -> None:
        """Register a queue. Before ``start``. Each costs a worker one thread.

        Args:
            name: Its name.
            concurrency: Jobs running at the same time in all workers together; None: no limit.
            worker_concurrency: Jobs running at the same time in one worker; None: no limit.
            max_waiting_count: Further ones are refused; None: the setting ``queue_max_count``.
                Children are exempt, since their parent has been accepted.
            poll_s: Time between two looks of a worker; None: the setting ``queue_poll_s``.
        """
        if name in self.queues:
            raise ValueError(f"the queue {name} is registered twice")
        self.queues[name] = Queue(
            name=name,
            concurrency=concurrency,
            worker_concurrency=worker_concurrency,
            max_waiting_count=max_waiting_count or self.settings.queue_max_count,
            poll_s=poll_s or self.settings.queue_poll_s,
        )

    def register_schedule(self, name: str, cron: str, function: JobFunction) -> None:
        """Register a job that is submitted again and again, once per due instant. Before ``start``.

        Args:
            name: Its name; the jobs are of the kind ``schedule.<name>``, in the project ``default``.
            cron: Five fields, or six with the seconds first. UTC.
            function: Runs it, with the argument ``scheduled_at`` (ISO 8601).
        """
        if SCHEDULES_QUEUE not in self.queues:
            self.register_queue(SCHEDULES_QUEUE, worker_concurrency=1, poll_s=SCHEDULES_POLL_S)
        self.register(f"{SCHEDULE_KIND_PREFIX}{name}", function, queue=SCHEDULES_QUEUE)
        self._schedules[name] = Schedule(name=name, cron=cron)

    async def start(self, *, is_worker: bool, worker_kind: str = "server") -> None:
        """Be able to submit; as a worker also take jobs, on the event loop that is running now.

        Args:
            is_worker: Whether to run jobs.
            worker_kind: ``server`` or ``worker``, for people.

        Raises:
            Conflict: Another engine of this process runs jobs.
        """
        unknown = self.kinds.list_queues() - self.queues.keys()
        if unknown:
            raise ValueError(
                f"kinds of jobs wait on queues that are not registered: {', '.join(sorted(unknown))}"
            )
        self._library = JobLibrary(self.database)
        try:
            await self._library.migrate()
            if is_worker:
                await self._start_worker(worker_kind)
        except BaseException:
            await self.stop()
            raise

    async def _start_worker(self, worker_kind: str) -> None:
        lease = Lease(
            self.database,
            self.clock,
            read_own_identity(),
            kind=worker_kind,
            ttl_s=self.settings.lease_ttl_s,
            beat_s=self.settings.lease_beat_s,
        )
        await lease.acquire()
        self._lease = lease
        self._runner = JobRunner(self, lease)
        await self.library.launch(
            executor_id=lease.executor_id,
            queues=list(self.queues.values()),
            schedules=list(self._schedules.values()),
            run_job=self._runner.run,
            run_schedule=self._submit_scheduled,
        )
        self._heartbeat = Heartbeat(self, lease, self._runner)
        self._heartbeat.start()
        logger.info("worker.started", executor_id=lease.executor_id, kind=worker_kind)

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Take no more jobs, let running ones end for ``drain_s``, hand the rest back to their queues."""
        if self._runner is not None:
            self._runner.refuse_more()
            await self._runner.wait_until_idle(drain_s)
            await self._runner.interrupt_all()
        if self._library is not None:
            await self._library.shut_down()
        if self._heartbeat is not None:
            await self._heartbeat.stop()
        if self._lease is not None:
            await self._give_up_lease(self._lease)
        if self._library is not None:
            self._library.close()
        self._library = self._lease = self._runner = self._heartbeat = None

    async def _give_up_lease(self, lease: Lease) -> None:
        """Hand everything back and delete the lease. Without a database others will take over instead."""
        try:
            await hand_back_own(self, lease.executor_id)
            await lease.release()
        except Exception as error:
            if not is_database_loss(error):
                raise
            logger.warning("worker.stopped_without_database", executor_id=lease.executor_id)
        else:
            logger.info("worker.stopped", executor_id=lease.executor_id)

    async def submit(
        self,
        session: AsyncSession,
        *,
        kind: str,
        arguments: Mapping[str, JsonValue],
        project_id: UUID,
        key: str | None,
        priority: int = DEFAULT_PRIORITY,
        title: str,
    ) -> Job:
        """Submit a job in the caller's transaction: it exists if and only if that commits.

        Args:
            session: In a transaction of ``database``.
            kind: A registered kind.
            arguments: JSON.
            project_id: Whose job it is.
            key: Idempotency key in the project: the same key with the same arguments is the same job.
                None: always a new job.
            priority: 1 … ``MAX_PRIORITY``; the lower number goes first.
            title: For people.

        Returns:
            The new job, or the one that has the key.

        Raises:
            Conflict: The key belongs to a job with other arguments.
            TooManyRequests: Too many jobs wait in the queue.
            InvalidInput: The kind is unknown, or a value out of range.
        """
        with metrics.CREATION_SECONDS.time():
            return await submit_job(
                session,
                self.library,
                self.kinds,
                self.queues,
                kind=kind,
                arguments=arguments,
                project_id=project_id,
                key=key,
                priority=priority,
                title=title,
            )

    async def cancel(self, job_id: UUID) -> Job:
        """Cancel a job and all its descendants; running steps notice within about 1 s.

        Returns:
            The job: cancelled, or as it ended before.

        Raises:
            NotFound: There is no such job.
        """
        async with self.database.transaction() as session:
            job = await end_job(
                session, self.library, self.kinds, job_id, state="cancelled", should_cancel=True
            )
            if job is None:
                job = await get_job(session, job_id)
        self.ring()
        return job

    async def wait(self, job_id: UUID, timeout_s: float) -> Job:
        """Return the job when it has ended, or as it is when the time is up.

        Raises:
            NotFound: There is no such job.
        """
        deadline_s = time.monotonic() + timeout_s
        look_s = SHORT_LOOK_S
        while True:
            async with self.database.transaction() as session:
                job = await get_job(session, job_id)
            remaining_s = deadline_s - time.monotonic()
            if job.is_ended or remaining_s <= 0:
                return job
            await self.wait_for_bell(min(look_s, remaining_s))
            look_s = min(look_s * 1.5, LONG_LOOK_S)

    def ring(self) -> None:
        """Wake whoever waits for a job to end: one of this process has."""
        self._bell.set()
        self._bell = asyncio.Event()

    async def wait_for_bell(self, timeout_s: float) -> None:
        """Return when a job of this process has ended, or when the time is up."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return

    async def settle_children(
        self, parent_job_id: UUID, children: Sequence[ChildJob]
    ) -> list[dict[str, Any]]:
        """Start the children of a job that are not there yet and wait for all. For ``JobContext``."""
        return await settle_children(self, parent_job_id, children)

    async def _submit_scheduled(self, scheduled_at: datetime, name: str) -> None:
        """Submit the job of a schedule's due instant; the key makes it one job for all workers."""
        instant = scheduled_at.isoformat()

        async def write() -> None:
            project = await get_project(self.database, DEFAULT_PROJECT_SLUG)
            async with self.database.transaction() as session:
                await self.submit(
                    session,
                    kind=f"{SCHEDULE_KIND_PREFIX}{name}",
                    arguments={"scheduled_at": instant},
                    project_id=project.project_id,
                    key=f"schedule:{name}:{instant}",
                    title=f"Schedule {name}",
                )

        await persist(write)
