"""What may go wrong beside a job: the database restarts, a claim is stuck, an end was not noted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, text, update

from referee.core.errors import Unavailable
from referee.core.findings import JsonValue
from referee.foundation.access import get_project
from referee.foundation.jobs import (
    ChildJob,
    Job,
    JobContext,
    JobEngine,
    JobRow,
    WorkerLeaseRow,
    count_jobs,
    delete_ended_jobs,
    list_jobs,
    reconcile,
)
from referee.foundation.settings import Settings
from referee.foundation.store import Database, open_database
from referee.foundation.store.server import stop_server

Submit = Callable[..., Awaitable[Job]]
Arguments = dict[str, JsonValue]


async def test_jobs_finish_when_the_database_restarts_under_them_and_repeat_no_finished_step(
    settings: Settings,
) -> None:
    begun: list[str] = []
    first_done = asyncio.Event()
    restarted = asyncio.Event()
    database = await open_database(settings)
    engine = JobEngine(settings.model_copy(update={"queue_poll_s": 0.05, "lease_beat_s": 0.3}), database)

    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        name = str(arguments["name"])

        async def first() -> str:
            begun.append(f"{name} first")
            first_done.set()
            return name

        async def second() -> str:
            await restarted.wait()
            async with database.transaction() as session:
                return str(await session.scalar(text("SELECT 'from the database'")))

        return {"first": await context.step("first", first), "second": await context.step("second", second)}

    engine.register_queue("work", worker_concurrency=6)
    engine.register("work", run, queue="work")
    await engine.start(is_worker=True)
    try:
        project_id = (await get_project(database, "default")).project_id
        jobs = []
        for index in range(6):
            async with database.transaction() as session:
                arguments: Arguments = {"name": str(index)}
                jobs.append(
                    await engine.submit(
                        session,
                        kind="work",
                        arguments=arguments,
                        project_id=project_id,
                        key=None,
                        title="Work",
                    )
                )
        await first_done.wait()
        await asyncio.to_thread(stop_server, settings)
        restarted.set()
        ended = [await wait_patiently(engine, job.job_id) for job in jobs]
    finally:
        await engine.stop()
        await database.close()

    assert [job.result for job in ended] == [
        {"first": str(index), "second": "from the database"} for index in range(6)
    ]
    assert sorted(begun) == sorted(set(begun))


async def wait_patiently(engine: JobEngine, job_id: UUID) -> Job:
    """Wait for a job while the database may be away."""
    for _ in range(20):
        try:
            return await engine.wait(job_id, timeout_s=30)
        except Unavailable:
            continue
    raise AssertionError("the database did not come back")


async def run_nothing(context: JobContext, arguments: Arguments) -> Arguments:
    return {}


async def test_a_claim_that_nobody_works_on_goes_back_to_its_queue(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    engine.register("nothing", run_nothing, queue="parents")
    engine.register_queue("unheard", poll_s=60.0)
    engine.register("unheard", run_nothing, queue="unheard")
    await engine.start(is_worker=True)
    job = await submit("nothing")
    await engine.wait(job.job_id, timeout_s=60)
    stuck = await submit("unheard")
    async with database.transaction() as session:
        claim = "UPDATE dbos.workflow_status SET status = 'PENDING', queue_name = 'parents', executor_id = :executor_id"
        await session.execute(
            text(f"{claim} WHERE workflow_uuid = :job_id"),
            {"executor_id": engine.executor_id, "job_id": str(stuck.job_id)},
        )

    ended = await engine.wait(stuck.job_id, timeout_s=60)

    assert ended.state == "succeeded"


async def test_ends_that_the_library_knows_and_we_do_not_are_noted(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    told: list[str] = []

    async def note(session: object, job: Job) -> None:
        told.append(job.state)

    engine.register("nothing", run_nothing, queue="parents", on_end=note)
    await engine.start(is_worker=False)
    cancelled, lost, broken, waiting = [await submit("nothing") for _ in range(4)]
    await engine.library.cancel([cancelled.job_id])
    await engine.library.delete([lost.job_id])
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE dbos.workflow_status SET status = 'ERROR' WHERE workflow_uuid = :job_id"),
            {"job_id": str(broken.job_id)},
        )
        await session.execute(update(JobRow).values(created_at=JobRow.created_at - timedelta(seconds=10)))

    assert await reconcile(engine) == 3
    assert await reconcile(engine) == 0

    jobs = [await engine.wait(job.job_id, timeout_s=0) for job in (cancelled, lost, broken, waiting)]
    assert [job.state for job in jobs] == ["cancelled", "failed", "failed", "queued"]
    assert [job.error.code for job in jobs if job.error] == ["jobs.lost", "jobs.engine_error"]
    assert sorted(told) == ["cancelled", "failed", "failed"]


async def test_an_outcome_that_is_in_our_row_already_is_not_worked_out_again(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    """As after a death between our row and the library's: the job is claimed anew and has nothing to do."""
    runs: list[str] = []

    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        runs.append("ran")
        return {"runs": len(runs)}

    engine.register("once", run, queue="parents")
    await engine.start(is_worker=True)
    job = await engine.wait((await submit("once")).job_id, timeout_s=60)
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE dbos.workflow_status SET status = 'ENQUEUED', queue_name = 'parents'")
        )
    await engine.wait((await submit("once")).job_id, timeout_s=60)

    again = await engine.wait(job.job_id, timeout_s=0)
    assert again == job
    assert len(runs) == 2


async def test_a_worker_whose_lease_was_taken_ends_its_steps_and_then_continues(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    attempts: list[int] = []
    second_begun = asyncio.Event()
    was_cancelled = asyncio.Event()

    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        async def hang() -> str:
            attempts.append(context.attempt)
            if context.attempt > 1:
                return "done"
            second_begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                was_cancelled.set()
            return "never"

        return {"value": await context.step("hang", hang)}

    engine.register("hanging", run, queue="parents")
    await engine.start(is_worker=True)
    job = await submit("hanging")
    await second_begun.wait()
    async with database.transaction() as session:
        await session.execute(delete(WorkerLeaseRow))
    await asyncio.wait_for(was_cancelled.wait(), timeout=60)
    ended = await engine.wait(job.job_id, timeout_s=60)

    assert ended.result == {"value": "done"}
    assert attempts == [1, 2]


async def test_retention_deletes_old_ended_jobs_with_their_children_and_nothing_else(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    async def parent(context: JobContext, arguments: Arguments) -> Arguments:
        await context.run_children([ChildJob(name="c", kind="child", arguments={}, title="child")])
        return {}

    engine.register("parent", parent, queue="parents")
    engine.register("child", run_nothing, queue="children")
    await engine.start(is_worker=True)
    old = await engine.wait((await submit("parent")).job_id, timeout_s=60)
    await engine.stop()
    await engine.start(is_worker=False)
    async with database.transaction() as session:
        await session.execute(
            update(JobRow)
            .where(JobRow.finished_at.is_not(None))
            .values(finished_at=JobRow.finished_at - timedelta(days=31))
        )
    waiting = await submit("parent")
    async with database.transaction() as session:
        await session.execute(
            update(JobRow)
            .where(JobRow.job_id == waiting.job_id)
            .values(created_at=JobRow.created_at - timedelta(days=90))
        )

    assert await delete_ended_jobs(engine, older_than_days=32) == 0
    assert await delete_ended_jobs(engine, older_than_days=30) == 1

    async with database.transaction() as session:
        assert [job.job_id for job in (await list_jobs(session)).items] == [waiting.job_id]
        assert await count_jobs(session, parent_job_id=old.job_id) == 0
        left = (await session.scalars(text("SELECT workflow_uuid FROM dbos.workflow_status"))).all()
    assert left == [str(waiting.job_id)]
