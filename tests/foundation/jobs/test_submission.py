"""Submitting: once per key, with the caller's rows or not at all, and never into a full queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
from sqlalchemy import text

from referee.core.errors import Conflict, InvalidInput, TooManyRequests
from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobContext, JobEngine, count_jobs
from referee.foundation.store import Database

Submit = Callable[..., Awaitable[Job]]


async def do_nothing(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {}


@pytest.fixture
async def engine(engine: JobEngine) -> AsyncIterator[JobEngine]:
    """An engine that only submits."""
    engine.register_queue("tiny", max_waiting_count=2)
    engine.register("nothing", do_nothing, queue="parents")
    engine.register("tiny", do_nothing, queue="tiny")
    await engine.start(is_worker=False)
    yield engine


async def count_enqueued(database: Database) -> int:
    async with database.transaction() as session:
        return int(await session.scalar(text("SELECT count(*) FROM dbos.workflow_status")) or 0)


async def test_fifty_submitters_of_one_key_get_one_job(submit: Submit, database: Database) -> None:
    jobs = await asyncio.gather(*(submit("nothing", {"size": 1}, key="same") for _ in range(50)))

    assert len({job.job_id for job in jobs}) == 1
    assert await count_enqueued(database) == 1


async def test_the_same_key_with_other_arguments_is_a_conflict(submit: Submit) -> None:
    job = await submit("nothing", {"size": 1}, key="same")

    with pytest.raises(Conflict) as caught:
        await submit("nothing", {"size": 2}, key="same")

    assert caught.value.code == "jobs.key_used_otherwise"
    assert caught.value.context == {"job_id": str(job.job_id)}


async def test_the_order_of_arguments_makes_no_difference_to_a_key(submit: Submit) -> None:
    first = await submit("nothing", {"a": 1, "b": [2.5, None]}, key="same")
    second = await submit("nothing", {"b": [2.5, None], "a": 1}, key="same")

    assert first.job_id == second.job_id


async def test_a_submission_that_is_rolled_back_leaves_no_job(
    engine: JobEngine, database: Database, project_id: UUID
) -> None:
    async def submit_and_fail() -> None:
        async with database.transaction() as session:
            await engine.submit(
                session, kind="nothing", arguments={}, project_id=project_id, key="k", title="t"
            )
            raise LookupError

    with pytest.raises(LookupError):
        await submit_and_fail()

    async with database.transaction() as session:
        assert await count_jobs(session) == 0
    assert await count_enqueued(database) == 0


async def test_a_full_queue_refuses_a_new_job_and_still_knows_the_old_ones(submit: Submit) -> None:
    first = await submit("tiny", key="1")
    await submit("tiny", key="2")

    with pytest.raises(TooManyRequests) as caught:
        await submit("tiny", key="3")
    again = await submit("tiny", key="1")

    assert caught.value.code == "jobs.queue_full"
    assert again.job_id == first.job_id


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"kind": "absent"}, "jobs.kind_unknown"),
        ({"priority": 0}, "jobs.priority_invalid"),
        ({"priority": 2**31}, "jobs.priority_invalid"),
        ({"title": ""}, "jobs.title_invalid"),
        ({"key": "k" * 501}, "jobs.key_invalid"),
        ({"arguments": {"text": "a\x00b"}}, "database.text_not_storable"),
    ],
)
async def test_what_cannot_be_a_job_is_refused_in_one_sentence(
    engine: JobEngine, database: Database, project_id: UUID, values: dict[str, object], code: str
) -> None:
    given: dict[str, object] = {"kind": "nothing", "arguments": {}, "key": None, "title": "t", **values}

    with pytest.raises(InvalidInput) as caught:
        async with database.transaction() as session:
            await engine.submit(session, project_id=project_id, **given)  # type: ignore[arg-type]

    assert caught.value.code == code
    assert await count_enqueued(database) == 0


async def test_arguments_that_are_not_json_are_a_fault_of_the_caller(submit: Submit) -> None:
    with pytest.raises(TypeError, match="the arguments of a job must be JSON"):
        await submit("nothing", {"when": object()})


async def test_an_engine_with_a_kind_on_an_unknown_queue_does_not_start(
    job_settings: object, database: Database
) -> None:
    engine = JobEngine(job_settings, database)  # type: ignore[arg-type]  # Settings
    engine.register("lost", do_nothing, queue="absent")

    with pytest.raises(ValueError, match="absent"):
        await engine.start(is_worker=False)
