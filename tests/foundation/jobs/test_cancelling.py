"""Cancelling: a running tool's process ends, children end with their parent, an ended job stays as it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import psutil
import pytest

from referee.core.errors import NotFound
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.foundation.jobs import ChildJob, Job, JobContext, JobEngine, get_child_id, get_job, list_jobs
from referee.foundation.store import Database

Submit = Callable[..., Awaitable[Job]]
Arguments = dict[str, JsonValue]


class Sleeper:
    """A step that runs a sleeping process and ends it when it is cancelled itself."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.pids: list[int] = []

    async def sleep(self) -> None:
        process = await asyncio.create_subprocess_exec("sleep", "300")
        self.pids.append(process.pid)
        self.begun.set()
        try:
            await process.wait()
        finally:
            process.kill()
            await process.wait()
            self.ended.set()

    async def run(self, context: JobContext, arguments: Arguments) -> Arguments:
        await context.step("sleep", self.sleep)
        return {}


async def test_cancelling_reaches_a_running_process_within_about_a_second(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    sleeper = Sleeper()
    engine.register("sleeping", sleeper.run, queue="parents")
    await engine.start(is_worker=True)
    job = await submit("sleeping")
    await sleeper.begun.wait()

    begun_s = time.monotonic()
    cancelled = await engine.cancel(job.job_id)
    await asyncio.wait_for(sleeper.ended.wait(), timeout=60)
    took_s = time.monotonic() - begun_s

    assert cancelled.state == "cancelled"
    assert took_s < 5  # about 1 s on a quiet machine
    assert not psutil.pid_exists(sleeper.pids[0])
    async with database.transaction() as session:
        assert (await get_job(session, job.job_id)).state == "cancelled"


async def test_children_are_cancelled_with_their_parent_running_or_waiting(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    sleeper = Sleeper()

    async def parent(context: JobContext, arguments: Arguments) -> Arguments:
        await context.run_children(
            [ChildJob(name=str(i), kind="child", arguments={}, title=str(i)) for i in range(4)]
        )
        return {}

    engine.register("parent", parent, queue="parents")
    engine.register("child", sleeper.run, queue="children")
    await engine.start(is_worker=True)
    job = await submit("parent")
    await sleeper.begun.wait()

    await engine.cancel(job.job_id)
    await asyncio.wait_for(sleeper.ended.wait(), timeout=60)
    await engine.stop()
    async with database.transaction() as session:
        children = await list_jobs(session, parent_job_id=job.job_id)

    assert [child.state for child in children.items] == ["cancelled"] * 4
    assert {child.error.code for child in children.items if child.error} == {"jobs.parent_ended"}
    assert not any(psutil.pid_exists(pid) for pid in sleeper.pids)


async def test_a_cancelled_child_is_a_value_for_its_parent(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    sleeper = Sleeper()

    async def parent(context: JobContext, arguments: Arguments) -> Arguments:
        child = ChildJob(name="one", kind="child", arguments={}, title="One")
        return {"states": [result.state for result in await context.run_children([child])]}

    engine.register("parent", parent, queue="parents")
    engine.register("child", sleeper.run, queue="children")
    await engine.start(is_worker=True)
    job = await submit("parent")
    await sleeper.begun.wait()

    await engine.cancel(get_child_id(job.job_id, "one"))
    ended = await engine.wait(job.job_id, timeout_s=60)

    assert ended.result == {"states": ["cancelled"]}


async def test_a_waiting_job_that_is_cancelled_never_runs(engine: JobEngine, submit: Submit) -> None:
    sleeper = Sleeper()

    async def quick(context: JobContext, arguments: Arguments) -> Arguments:
        return {}

    engine.register("sleeping", sleeper.run, queue="parents")
    engine.register("quick", quick, queue="parents")
    await engine.start(is_worker=False)
    job = await submit("sleeping")
    cancelled = await engine.cancel(job.job_id)
    await engine.stop()
    await engine.start(is_worker=True)
    await engine.wait((await submit("quick")).job_id, timeout_s=60)

    assert cancelled.state == "cancelled"
    assert cancelled.attempts_count == 0
    assert not sleeper.begun.is_set()


async def test_cancelling_an_ended_job_changes_nothing(engine: JobEngine, submit: Submit) -> None:
    async def quick(context: JobContext, arguments: Arguments) -> Arguments:
        return {"x": 1}

    engine.register("quick", quick, queue="parents")
    await engine.start(is_worker=True)
    job = await engine.wait((await submit("quick")).job_id, timeout_s=60)

    assert await engine.cancel(job.job_id) == job


async def test_cancelling_an_unknown_job_says_so(engine: JobEngine) -> None:
    await engine.start(is_worker=False)

    with pytest.raises(NotFound):
        await engine.cancel(new_id())
