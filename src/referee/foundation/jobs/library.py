"""The only place that talks to DBOS, the library that runs the jobs.

What it does for us: durable queues with limits and priorities, steps whose
results are kept, and ownership of a running job that is checked at each
checkpoint. One workflow of the library is one job of ours and has its id.

Private parts in use, because the public ones do not reach: the handle's
``_sys_db`` (migrations, pending jobs of one owner, handing a job back), the
function that looks after one queue, which we run in threads of our own with a
pause of our own, and reads of ``dbos.workflow_status``. A contract test fails
when they change.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

import psycopg
import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions
from dbos import _error as library_errors
from dbos import _queue as library_queue
from dbos import _utils as library_utils
from dbos._serialization import DBOSPortableJSONSerializer
from psycopg.conninfo import make_conninfo
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from referee.core.errors import Conflict, RefereeError
from referee.core.findings import JsonValue
from referee.foundation.jobs.pauses import ALL_QUEUES, CHANNEL, QueueEar, QueuePause
from referee.foundation.store import Database

__all__ = [
    "JOB_DISOWNED",
    "JobLibrary",
    "Queue",
    "Schedule",
    "SettledJob",
]

APPLICATION_NAME: Final = "referee"
APPLICATION_VERSION: Final = "1"
"""Constant: the library hands no job of one version to a process of another."""
SCHEMA: Final = "dbos"
JOB_WORKFLOW: Final = "referee.job"
SCHEDULE_WORKFLOW: Final = "referee.schedule"
MAX_THREADS: Final = 16
"""Also bounds ``asyncio.to_thread`` of the whole process, which the library points at its own pool."""
_LISTENER_S: Final = 0.1
"""Sleep of a thread of the library that has nothing to do here, and that every stop waits for."""
IDLE_TRANSACTION_MS: Final = 15_000
"""After this the database ends a session that froze inside a transaction, and frees its locks."""

JOB_CANCELLED = library_errors.DBOSWorkflowCancelledError
JOB_TAKEN_OVER = library_errors.DBOSWorkflowConflictIDError
JOB_DISOWNED: Final = (JOB_CANCELLED, JOB_TAKEN_OVER)
"""Raised inside a job that was cancelled or runs elsewhere now. Not ``Exception``: only the runner catches them."""

STOP_PATIENCE_S: Final = 10.0
"""For a thread that is in the middle of a look."""
ABSENT_QUEUE_S: Final = 1.0
"""Before a queue whose row cannot be read is tried again."""

POOL_IDLE_COUNT: Final = 3
POOL_BUSY_COUNT: Final = 16
CONNECT_TIMEOUT_S: Final = 10

_logger = logging.getLogger("dbos")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Where jobs wait, and how many of them may run."""

    name: str
    concurrency: int | None
    """Running at the same time in all workers together; None: no limit."""
    worker_concurrency: int | None
    """Running at the same time in one worker; None: no limit."""
    max_waiting_count: int
    poll_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a job is due again and again."""

    name: str
    cron: str
    """Five fields, or six with the seconds first. UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledJob:
    """A job that is over for the library, or that it does not know."""

    job_id: UUID
    status: str | None
    """Word of the library; None when it knows no such job."""


class JobLibrary:
    """One process's handle on the library: always able to submit, able to run after ``launch``.

    Args:
        database: Where our own tables are; the library's are beside them, in a schema of their own.
    """

    _launched: ClassVar[JobLibrary | None] = None

    def __init__(self, database: Database) -> None:
        _logger.addHandler(logging.NullHandler())  # before the library adds a console handler of its own
        self._database = database
        self._engine = _create_engine(database)
        self._client = DBOSClient(
            system_database_engine=self._engine,
            dbos_system_schema=SCHEMA,
            serializer=DBOSPortableJSONSerializer(),
            system_database_polling_concurrency=4,
            application_name=APPLICATION_NAME,
            lazy=True,
        )
        self._ear: QueueEar | None = None
        self._pauses: dict[str, QueuePause] = {}
        self._threads: list[threading.Thread] = []

    async def migrate(self) -> None:
        """Bring the library's own schema to the version this release needs. Safe beside others doing the same."""
        await asyncio.to_thread(self._client._sys_db.run_migrations)

    def close(self) -> None:
        """Give the connections back."""
        self._client.destroy()
        self._engine.dispose()

    # Submitting, from any process

    def enqueue(self, session: Session, job_id: UUID, *, queue: str, priority: int) -> None:
        """Enqueue a job inside the caller's transaction."""
        options: EnqueueOptions = {
            "workflow_name": JOB_WORKFLOW,
            "workflow_id": str(job_id),
            "workflow_id_reuse_policy": "reject",
            "queue_name": queue,
            "priority": priority,
            "app_version": APPLICATION_VERSION,
        }
        self._client.enqueue_in_transaction(session, options, str(job_id))

    async def cancel(self, job_ids: Sequence[UUID]) -> None:
        """Take jobs off their queues and mark them cancelled; their running steps notice within about 1 s."""
        await self._client.cancel_workflows_async([str(job_id) for job_id in job_ids])

    async def delete(self, job_ids: Sequence[UUID]) -> None:
        """Forget jobs and their steps."""
        await self._client.delete_workflows_async([str(job_id) for job_id in job_ids])

    async def hand_back(self, executor_id: str, only: Callable[[str], bool] | None = None) -> list[str]:
        """Return the claimed jobs of a worker to their queues.

        Conditional on the owner, so that several workers may do it at once.

        Args:
            executor_id: The worker that will not finish them.
            only: Tells which workflow ids are meant; None: all.

        Returns:
            The workflow ids that went back.
        """
        return await asyncio.to_thread(self._hand_back, executor_id, only)

    def _hand_back(self, executor_id: str, only: Callable[[str], bool] | None) -> list[str]:
        database = self._client._sys_db
        pending = [
            row.workflow_id for row in database.get_pending_workflows(executor_id, APPLICATION_VERSION)
        ]
        returned = [
            workflow_id
            for workflow_id in pending
            if (only is None or only(workflow_id))
            and database.reenqueue_for_recovery(workflow_id, [executor_id], library_utils.INTERNAL_QUEUE_NAME)
        ]
        if returned:
            with self._engine.begin() as connection:
                connection.execute(sa.select(sa.func.pg_notify(CHANNEL, ALL_QUEUES)))
        return returned

    # Reading its state

    async def list_owners(self, session: AsyncSession) -> set[str]:
        """Return the executor ids that have claimed jobs."""
        rows = await session.execute(
            sa.text(f"SELECT DISTINCT executor_id FROM {SCHEMA}.workflow_status WHERE status = 'PENDING'")  # noqa: S608
        )
        return {executor_id for (executor_id,) in rows if executor_id is not None}

    async def list_claimed(self, session: AsyncSession, executor_id: str) -> set[str]:
        """Return the workflow ids that one worker has claimed and not finished."""
        rows = await session.execute(
            sa.text(
                f"SELECT workflow_uuid FROM {SCHEMA}.workflow_status "  # noqa: S608 - a constant
                "WHERE status = 'PENDING' AND executor_id = :executor_id"
            ),
            {"executor_id": executor_id},
        )
        return {workflow_id for (workflow_id,) in rows}

    async def list_settled(self, session: AsyncSession, *, grace_s: float, limit: int) -> list[SettledJob]:
        """Return our unended jobs, older than ``grace_s``, that are over for the library or unknown to it."""
        rows = await session.execute(
            sa.text(
                "SELECT job.job_id, workflow.status FROM jobs AS job "  # noqa: S608 - a constant
                f"LEFT JOIN {SCHEMA}.workflow_status AS workflow ON workflow.workflow_uuid = job.job_id::text "
                "WHERE job.state IN ('queued', 'running') "
                "AND coalesce(workflow.status, '') NOT IN ('ENQUEUED', 'PENDING', 'DELAYED') "
                "AND job.created_at < now() - make_interval(secs => :grace_s) LIMIT :limit"
            ),
            {"grace_s": grace_s, "limit": limit},
        )
        return [SettledJob(job_id=job_id, status=status) for job_id, status in rows]

    # Running jobs

    async def launch(
        self,
        *,
        executor_id: str,
        queues: Sequence[Queue],
        schedules: Sequence[Schedule],
        run_job: Callable[[str], Awaitable[dict[str, JsonValue]]],
        run_schedule: Callable[[datetime, str], Awaitable[None]],
    ) -> None:
        """Begin to take jobs, on the event loop that is running now.

        Raises:
            Conflict: This process runs jobs already; the library allows one runner in a process.
        """
        if JobLibrary._launched is not None:
            raise Conflict(
                "jobs.already_running",
                "This process runs jobs already.",
                "Stop the other engine of this process first.",
            )

        async def job(job_id: str) -> dict[str, JsonValue]:
            return await run_job(job_id)

        async def schedule(scheduled_at: datetime, name: str) -> None:
            await run_schedule(scheduled_at, name)

        await self._register_queues(queues)
        instance = DBOS(config=self._config(executor_id))
        DBOS.workflow(name=JOB_WORKFLOW, max_recovery_attempts=None)(job)
        schedule_workflow = DBOS.workflow(name=SCHEDULE_WORKFLOW, max_recovery_attempts=None)(schedule)
        DBOS.listen_queues(
            []
        )  # its own threads ask every queue ten times a second for ever; ours do it instead
        JobLibrary._launched = self
        # Not in a thread: the library adopts the loop that runs in the launching thread.
        DBOS.launch()
        self._look_into(queues, instance)
        await self._apply_schedules(schedules, schedule_workflow)

    async def shut_down(self) -> None:
        """Stop taking jobs. The caller has ended its running ones first."""
        if JobLibrary._launched is not self:
            return
        await self._stop_looking()
        # The library's pool ends with it; whoever calls asyncio.to_thread afterwards needs another one.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_THREADS, "referee-thread"))
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        JobLibrary._launched = None

    async def run_step(
        self, name: str, attempt: Callable[[], Awaitable[dict[str, JsonValue]]]
    ) -> Mapping[str, JsonValue]:
        """Run one step of the current job, or return what it returned before.

        A cancelled job's step is cancelled within about 1 s.
        """

        async def step() -> dict[str, JsonValue]:
            return await attempt()

        return await DBOS.run_step_async({"name": name, "preemptible": True}, step)

    def _config(self, executor_id: str) -> DBOSConfig:
        return {
            "name": APPLICATION_NAME,
            "system_database_engine": self._engine,
            "dbos_system_schema": SCHEMA,
            "application_version": APPLICATION_VERSION,
            "executor_id": executor_id,
            "serializer": DBOSPortableJSONSerializer(),
            "enable_otlp": False,
            "log_level": "WARNING",
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": _LISTENER_S,
            "run_migrations": False,
            "max_executor_threads": MAX_THREADS,
            "sys_db_polling_concurrency": 4,
        }

    def _look_into(self, queues: Sequence[Queue], instance: DBOS) -> None:
        """Take jobs off the queues from now on, each in a thread of its own."""
        self._pauses = {queue.name: QueuePause() for queue in queues}
        self._threads = [
            threading.Thread(
                target=_look_for_ever, args=(pause, instance, name), name=f"queue-{name}", daemon=True
            )
            for name, pause in self._pauses.items()
        ]
        for thread in self._threads:
            thread.start()
        self._ear = QueueEar(self._database, self._pauses)
        self._ear.start()

    async def _stop_looking(self) -> None:
        if self._ear is not None:
            await self._ear.stop()
        for pause in self._pauses.values():
            pause.set()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, STOP_PATIENCE_S)
        self._ear, self._pauses, self._threads = None, {}, []

    async def _register_queues(self, queues: Sequence[Queue]) -> None:
        """Declare the queues before anybody looks into them."""
        for queue in queues:
            await self._client.register_queue_async(
                queue.name,
                global_concurrency=queue.concurrency,
                worker_concurrency=queue.worker_concurrency,
                polling_interval_sec=queue.poll_s,
                on_conflict="always_update",
            )

    async def _apply_schedules(self, schedules: Sequence[Schedule], workflow: Callable[..., Any]) -> None:
        known = {schedule.name for schedule in schedules}
        for stored in await DBOS.list_schedules_async():
            if stored["schedule_name"] not in known:
                await DBOS.delete_schedule_async(stored["schedule_name"])
        await DBOS.apply_schedules_async(
            [
                {
                    "schedule_name": schedule.name,
                    "workflow_fn": workflow,
                    "schedule": schedule.cron,
                    "context": schedule.name,
                }
                for schedule in schedules
            ]
        )


def _look_for_ever(pause: QueuePause, instance: DBOS, name: str) -> None:
    """Take jobs off one queue until the pause is set. The library gives up on a queue whose row is not there."""
    while not pause.is_set():
        try:
            queue = instance._sys_db.get_queue(name)
        except sa.exc.SQLAlchemyError as error:
            _logger.warning("The queue %s cannot be read: %s", name, error)
            queue = None
        if queue is not None:
            library_queue.queue_worker_thread(pause, instance, queue)
        pause.wait(ABSENT_QUEUE_S)


def _create_engine(database: Database) -> sa.Engine:
    """Return the pool of the library: few idle connections, more under load."""

    def connect_once() -> psycopg.Connection:
        return psycopg.connect(
            database.conninfo,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="referee-jobs",
            options=f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION_MS} -c timezone=UTC",
        )

    def connect() -> psycopg.Connection:
        try:
            return connect_once()
        except psycopg.OperationalError:
            if database.lease is None:
                raise
            try:
                database.lease.ensure_running()
            except RefereeError as error:
                # The library waits and tries again on the driver's errors only.
                raise psycopg.OperationalError(str(error)) from error
            database.conninfo = make_conninfo(database.conninfo, host=str(database.lease.socket_dir))
            return connect_once()

    return sa.create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=POOL_IDLE_COUNT,
        max_overflow=POOL_BUSY_COUNT - POOL_IDLE_COUNT,
        pool_timeout=30,
        pool_pre_ping=True,
    )
