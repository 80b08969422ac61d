"""What a job's function is given: durable steps, children, progress."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload
from uuid import UUID

import structlog
from sqlalchemy import update

from referee.core.errors import RefereeError, Unavailable
from referee.core.findings import JsonValue
from referee.foundation.jobs.attempts import excuse_attempts
from referee.foundation.jobs.faults import (
    describe_error,
    dump_error,
    is_database_loss,
    is_worth_retrying,
    load_error,
    persist,
)
from referee.foundation.jobs.kinds import to_json
from referee.foundation.jobs.states import ChildJob, ChildResult, Job, JobError, JobProgress, get_child_id
from referee.foundation.jobs.tables import JobRow

if TYPE_CHECKING:
    from referee.foundation.jobs.engine import JobEngine

__all__ = ["JobContext"]

Value = TypeVar("Value")

logger = structlog.get_logger(__name__)

PROGRESS_PAUSE_S: Final = 0.5
"""Time between two writes of progress: what a person can follow, and little for the database."""
DATABASE_RETRIES_COUNT: Final = 8
"""Tries a step gets for a lost database alone; with the pauses between them about a minute."""
LONGEST_PAUSE_S: Final = 30.0


class JobContext:
    """One attempt at one job.

    A function runs from its beginning in each attempt, so everything it does with
    the world outside belongs into steps: a finished step is not repeated, its value
    is read back. Between steps it must come to the same steps in the same order.
    """

    def __init__(self, engine: JobEngine, job: Job) -> None:
        self.engine = engine
        self.job = job
        self._has_progressed = False
        self._progress: JobProgress | None = None
        self._progress_writer: asyncio.Task[None] | None = None

    @property
    def job_id(self) -> UUID:
        """Id of the job."""
        return self.job.job_id

    @property
    def project_id(self) -> UUID:
        """The project it belongs to."""
        return self.job.project_id

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1. No two attempts at one job have the same number."""
        return self.job.attempts_count

    @overload
    async def step(
        self,
        name: str,
        function: Callable[..., Awaitable[Value]],
        *args: object,
        timeout_s: float | None = None,
        retries: int = 0,
        pause_s: float = 1.0,
    ) -> Value: ...

    @overload
    async def step(
        self,
        name: str,
        function: Callable[..., Value],
        *args: object,
        timeout_s: float | None = None,
        retries: int = 0,
        pause_s: float = 1.0,
    ) -> Value: ...

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: object,
        timeout_s: float | None = None,
        retries: int = 0,
        pause_s: float = 1.0,
    ) -> Any:
        """Run ``function(*args)`` as a durable step, or return what it returned before.

        It may run more than once when a worker dies in it, so it must tolerate that.
        When the job is cancelled it is cancelled within about 1 s. A lost database is
        tried again by itself, whatever ``retries`` says. Steps side by side (``asyncio.gather``)
        are told apart by the order in which they begin, so begin them all at once.

        Args:
            name: What it does; the same in every attempt.
            function: Asynchronous, or synchronous and then run in a thread (which cannot be cancelled).
            *args: Its arguments.
            timeout_s: Of one try.
            retries: Further tries after an error that another try may not give.
            pause_s: Before the first further try; doubled for each one after.

        Returns:
            Its value after a way through JSON.

        Raises:
            RefereeError: The one it raised; ``jobs.step_timed_out``; ``jobs.step_crashed`` for any
                other exception and for a value that is not JSON. A replay raises the same.
        """
        causes: list[Exception] = []
        is_replayed = True

        async def attempt() -> dict[str, JsonValue]:
            nonlocal is_replayed
            is_replayed = False
            try:
                value = await _try(name, functools.partial(function, *args), timeout_s, retries, pause_s)
                return {"value": to_json(value, f"the value of the step {name}")}
            except Exception as error:
                causes.append(error)
                return {"error": dump_error(_explain_step(name, error))}

        outcome = await self.engine.library.run_step(name, attempt)
        if not is_replayed:
            await self._note_progress_of_attempt()
        dumped = outcome.get("error")
        if isinstance(dumped, Mapping):
            raise load_error(dumped) from (causes[-1] if causes else None)
        return outcome["value"]

    async def run_children(self, children: Sequence[ChildJob]) -> list[ChildResult]:
        """Run jobs on their queues, wait for all, and return how each ended, in order.

        A child that fails is a value, and leaves the others alone. After a take-over
        the same children are waited for. They end with their parent if it is cancelled.

        Raises:
            InvalidInput: Two children have one name, or one would wait on its parent's own queue.
            Conflict: A child of that name was started with other arguments.
        """
        if not children:
            return []
        settled = await self.step("run_children", self.engine.settle_children, self.job_id, tuple(children))
        return [
            ChildResult(
                name=child.name,
                job_id=get_child_id(self.job_id, child.name),
                state=end["state"],
                result=end["result"],
                error=None if end["error"] is None else JobError(**end["error"]),
            )
            for child, end in zip(children, settled, strict=True)
        ]

    async def report_progress(
        self, message: str, done_count: int | None = None, total_count: int | None = None
    ) -> None:
        """Say how far the job is. Cheap to call often: written at most twice a second, the last one always."""
        self._progress = JobProgress(message=message, done_count=done_count, total_count=total_count)
        if self._progress_writer is None or self._progress_writer.done():
            self._progress_writer = asyncio.create_task(self._write_progress_until_quiet())

    async def _note_progress_of_attempt(self) -> None:
        """Excuse the attempts before this one: the job has come further than they did."""
        if self.attempt > 1 and not self._has_progressed:
            self._has_progressed = True
            await persist(lambda: excuse_attempts(self.engine.database, self.job_id, self.attempt - 1))

    async def settle_progress(self) -> None:
        """Write what was reported last, and stop. Called by the runner at the end."""
        if self._progress_writer is not None:
            self._progress_writer.cancel()
            await asyncio.gather(self._progress_writer, return_exceptions=True)
            await self._write_progress()

    async def _write_progress_until_quiet(self) -> None:
        while self._progress is not None:
            await self._write_progress()
            await asyncio.sleep(PROGRESS_PAUSE_S)

    async def _write_progress(self) -> None:
        progress, self._progress = self._progress, None
        if progress is None:
            return
        try:
            async with self.engine.database.transaction() as session:
                await session.execute(
                    update(JobRow)
                    .where(
                        JobRow.job_id == self.job_id,
                        JobRow.state == "running",
                        JobRow.attempts_count == self.attempt,
                    )
                    .values(progress_json=asdict(progress))
                )
        except RefereeError as error:
            # Progress is not a fact: the next report makes up for a lost one.
            logger.warning("job.progress_not_written", job_id=str(self.job_id), code=error.code)


async def _try(
    name: str, call: Callable[[], Any], timeout_s: float | None, retries: int, pause_s: float
) -> object:
    """Call until it succeeds or its tries are used up."""
    failures_count = losses_count = 0
    while True:
        try:
            return await _call(name, call, timeout_s)
        except Exception as error:
            if is_database_loss(error) and losses_count < DATABASE_RETRIES_COUNT:
                losses_count += 1
                pause = min(0.25 * 2**losses_count, LONGEST_PAUSE_S)
            elif failures_count < retries and is_worth_retrying(error):
                pause = min(pause_s * 2**failures_count, LONGEST_PAUSE_S)
                failures_count += 1
            else:
                raise
            logger.warning("job.step_retried", step=name, pause_s=pause, exc_info=error)
            await asyncio.sleep(pause)


async def _call(name: str, call: Callable[[], Any], timeout_s: float | None) -> object:
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            if inspect.iscoroutinefunction(_unwrap(call)):
                return await call()
            value = await asyncio.to_thread(call)
            return await value if inspect.isawaitable(value) else value
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise Unavailable(
            "jobs.step_timed_out",
            f"The step {name} took longer than {timeout_s:g} s.",
            "Try again, or allow it more time.",
        ) from error


def _unwrap(call: Callable[[], Any]) -> Callable[..., Any]:
    while isinstance(call, functools.partial):
        call = call.func
    return call


def _explain_step(name: str, error: Exception) -> RefereeError:
    """Return the error of ours that stands for what a step raised."""
    if isinstance(error, RefereeError):
        return error
    logger.error("job.step_crashed", step=name, exc_info=error)
    described = describe_error(error, code="jobs.step_crashed", subject=f"The step {name}")
    return RefereeError(described.code, described.message, described.hint)
