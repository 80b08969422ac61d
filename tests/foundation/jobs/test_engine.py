"""One worker in this process: steps, errors, children, time limits, order, progress, schedules."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import Conflict, NotFound, RefereeError, Unavailable
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.foundation.jobs import (
    ChildJob,
    Job,
    JobContext,
    JobEngine,
    JobError,
    JobProgress,
    get_job,
    list_jobs,
    list_workers,
)
from referee.foundation.settings import Settings
from referee.foundation.store import Database

Submit = Callable[..., Awaitable[Job]]
Arguments = dict[str, JsonValue]


async def test_a_job_runs_on_the_loop_of_the_process_and_its_result_is_kept(
    engine: JobEngine, submit: Submit
) -> None:
    async def greet(context: JobContext, arguments: Arguments) -> Arguments:
        is_own_loop = (
            asyncio.get_running_loop() is loop and threading.current_thread() is threading.main_thread()
        )
        greeting = await context.step("greet", lambda: f"Hello {arguments['name']}")
        return {"greeting": greeting, "is_own_loop": is_own_loop, "attempt": context.attempt}

    loop = asyncio.get_running_loop()
    engine.register("greeting", greet, queue="parents")
    await engine.start(is_worker=True)

    ended = await engine.wait((await submit("greeting", {"name": "Ada"})).job_id, timeout_s=60)

    assert ended.state == "succeeded"
    assert ended.result == {"greeting": "Hello Ada", "is_own_loop": True, "attempt": 1}


async def test_an_error_of_ours_fails_the_job_with_its_own_words(engine: JobEngine, submit: Submit) -> None:
    async def fail(context: JobContext, arguments: Arguments) -> Arguments:
        raise NotFound("demo.absent", "There is no such demo.", "Make one.")

    engine.register("failing", fail, queue="parents")
    await engine.start(is_worker=True)

    ended = await engine.wait((await submit("failing")).job_id, timeout_s=60)

    assert ended.state == "failed"
    assert ended.error == JobError(code="demo.absent", message="There is no such demo.", hint="Make one.")


@pytest.mark.parametrize("value", [{"x": object()}, {"x": float("nan")}])
async def test_a_result_that_is_not_json_fails_the_job(
    engine: JobEngine, submit: Submit, value: Arguments
) -> None:
    async def give(context: JobContext, arguments: Arguments) -> Arguments:
        return value

    engine.register("giving", give, queue="parents")
    await engine.start(is_worker=True)

    ended = await engine.wait((await submit("giving")).job_id, timeout_s=60)

    assert ended.error is not None
    assert ended.error.code == "jobs.crashed"
    assert "the result of a giving job must be JSON" in ended.error.message


async def test_any_other_exception_is_a_crash_that_is_never_silent(engine: JobEngine, submit: Submit) -> None:
    async def crash(context: JobContext, arguments: Arguments) -> Arguments:
        raise ZeroDivisionError("of course")

    engine.register("crashing", crash, queue="parents")
    await engine.start(is_worker=True)

    ended = await engine.wait((await submit("crashing")).job_id, timeout_s=60)

    assert ended.error == JobError(
        code="jobs.crashed",
        message="The job ended with ZeroDivisionError: of course.",
        hint="The log has the traceback.",
    )


async def test_a_step_is_tried_again_after_an_error_that_may_pass_and_not_after_one_that_stays(
    engine: JobEngine, submit: Submit
) -> None:
    tries: list[str] = []

    def flaky() -> str:
        tries.append("flaky")
        if tries.count("flaky") < 3:
            raise Unavailable("demo.busy", "Busy.")
        return "fine"

    def permanent() -> str:
        tries.append("permanent")
        raise Conflict("demo.conflict", "No.", "Never.", answer=42)

    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        fine = await context.step("flaky", flaky, retries=5, pause_s=0.01)
        try:
            await context.step("permanent", permanent, retries=5, pause_s=0.01)
        except Conflict as error:
            return {"fine": fine, "code": error.code, "answer": error.context["answer"]}  # type: ignore[dict-item]
        return {}

    engine.register("trying", run, queue="parents")
    await engine.start(is_worker=True)

    ended = await engine.wait((await submit("trying")).job_id, timeout_s=60)

    assert ended.result == {"fine": "fine", "code": "demo.conflict", "answer": 42}
    assert tries == ["flaky"] * 3 + ["permanent"]


async def test_a_replay_reads_values_and_errors_of_finished_steps_back(
    engine: JobEngine, submit: Submit
) -> None:
    ran: list[str] = []
    is_second_step_begun = asyncio.Event()
    gate = asyncio.Event()

    def refuse() -> None:
        ran.append("refuse")
        raise Conflict("demo.refused", "No.", "Never.", count=3, where={"a path"})

    def crash() -> None:
        ran.append("crash")
        raise ZeroDivisionError("of course")

    async def wait() -> str:
        is_second_step_begun.set()
        await gate.wait()
        return "waited"

    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        errors: list[JsonValue] = []
        for name, function in (("refuse", refuse), ("crash", crash)):
            try:
                await context.step(name, function)
            except RefereeError as error:
                errors.append([type(error).__name__, error.code, str(error)])
        return {"errors": errors, "value": await context.step("wait", wait), "attempt": context.attempt}

    engine.register("replaying", run, queue="parents")
    await engine.start(is_worker=True)
    job = await submit("replaying")
    await is_second_step_begun.wait()
    await engine.stop()
    gate.set()
    await engine.start(is_worker=True)
    ended = await engine.wait(job.job_id, timeout_s=60)

    assert ended.result == {
        "errors": [
            ["Conflict", "demo.refused", "No. Never."],
            [
                "RefereeError",
                "jobs.step_crashed",
                "The step crash ended with ZeroDivisionError: of course. The log has the traceback.",
            ],
        ],
        "value": "waited",
        "attempt": 2,
    }
    assert ran == ["refuse", "crash"]


async def test_a_step_and_a_job_that_take_too_long_are_ended(engine: JobEngine, submit: Submit) -> None:
    ended_steps: list[str] = []

    async def hang(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended_steps.append(name)

    async def step_too_long(context: JobContext, arguments: Arguments) -> Arguments:
        await context.step("hang", hang, "step", timeout_s=0.1)
        return {}

    async def job_too_long(context: JobContext, arguments: Arguments) -> Arguments:
        await context.step("hang", hang, "job")
        return {}

    engine.register("step_too_long", step_too_long, queue="parents")
    engine.register("job_too_long", job_too_long, queue="parents", timeout_s=0.3)
    await engine.start(is_worker=True)

    jobs = [await submit("step_too_long"), await submit("job_too_long")]
    ended = [await engine.wait(job.job_id, timeout_s=60) for job in jobs]

    assert [job.error.code for job in ended if job.error] == ["jobs.step_timed_out", "jobs.timed_out"]
    assert sorted(ended_steps) == ["job", "step"]


async def test_steps_side_by_side_all_finish(engine: JobEngine, submit: Submit) -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        return {"doubles": list(await asyncio.gather(*(context.step(f"s{i}", double, i) for i in range(5))))}

    engine.register("gathering", run, queue="parents")
    await engine.start(is_worker=True)

    ended = await engine.wait((await submit("gathering")).job_id, timeout_s=60)

    assert ended.result == {"doubles": [0, 2, 4, 6, 8]}


async def test_children_run_on_their_queue_and_a_failing_one_is_a_value(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    async def parent(context: JobContext, arguments: Arguments) -> Arguments:
        results = await context.run_children(
            [ChildJob(name=f"c{i}", kind="child", arguments={"i": i}, title=f"child {i}") for i in range(4)]
        )
        return {
            "states": [result.state for result in results],
            "values": [dict(result.result or {}) for result in results],
            "codes": [result.error.code if result.error else None for result in results],
        }

    async def child(context: JobContext, arguments: Arguments) -> Arguments:
        number = arguments["i"]
        assert isinstance(number, int)
        return {"inverse": 1 / number}

    engine.register("parent", parent, queue="parents")
    engine.register("child", child, queue="children")
    await engine.start(is_worker=True)

    job = await submit("parent")
    ended = await engine.wait(job.job_id, timeout_s=60)
    async with database.transaction() as session:
        children = await list_jobs(session, parent_job_id=job.job_id)

    assert ended.result == {
        "states": ["failed", "succeeded", "succeeded", "succeeded"],
        "values": [{}, {"inverse": 1.0}, {"inverse": 0.5}, {"inverse": 1 / 3}],
        "codes": ["jobs.crashed", None, None, None],
    }
    assert {child.queue for child in children.items} == {"children"}
    assert {child.project_id for child in children.items} == {ended.project_id}


async def test_a_child_on_its_parents_queue_is_refused(engine: JobEngine, submit: Submit) -> None:
    async def parent(context: JobContext, arguments: Arguments) -> Arguments:
        await context.run_children([ChildJob(name="c", kind="parent", arguments={}, title="child")])
        return {}

    engine.register("parent", parent, queue="parents")
    await engine.start(is_worker=True)

    ended = await engine.wait((await submit("parent")).job_id, timeout_s=60)

    assert ended.error is not None
    assert ended.error.code == "jobs.child_on_parent_queue"


async def test_the_lower_priority_number_goes_first(
    job_settings: Settings, engine: JobEngine, submit: Submit
) -> None:
    order: list[JsonValue] = []

    async def note(context: JobContext, arguments: Arguments) -> Arguments:
        order.append(arguments["name"])
        return {}

    engine.register_queue("single", concurrency=1, worker_concurrency=1)
    engine.register("note", note, queue="single")
    await engine.start(is_worker=False)
    jobs = [await submit("note", {"name": str(priority)}, priority=priority) for priority in (30, 10, 20, 10)]
    await engine.stop()
    await engine.start(is_worker=True)
    for job in jobs:
        await engine.wait(job.job_id, timeout_s=60)

    assert order == ["10", "10", "20", "30"]


async def test_progress_is_written_at_intervals_and_the_last_one_always(
    engine: JobEngine, submit: Submit
) -> None:
    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        for done_count in range(101):
            await context.report_progress("Counting", done_count, 100)
        return {}

    engine.register("counting", run, queue="parents")
    await engine.start(is_worker=True)

    ended = await engine.wait((await submit("counting")).job_id, timeout_s=60)

    assert ended.progress == JobProgress(message="Counting", done_count=100, total_count=100)


async def test_a_room_is_told_of_the_end_in_the_same_transaction_and_cannot_prevent_it(
    engine: JobEngine, submit: Submit
) -> None:
    told: list[tuple[str, str]] = []

    async def note_end(session: AsyncSession, job: Job) -> None:
        inside = await get_job(session, job.job_id)
        told.append((job.state, inside.state))
        raise ZeroDivisionError

    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        return {}

    engine.register("told", run, queue="parents", on_end=note_end)
    await engine.start(is_worker=True)

    ended = await engine.wait((await submit("told")).job_id, timeout_s=60)

    assert ended.state == "succeeded"
    assert told == [("succeeded", "succeeded")]


async def test_a_schedule_submits_its_job_once_for_each_due_instant(
    engine: JobEngine, database: Database
) -> None:
    ran = asyncio.Event()
    instants: list[JsonValue] = []

    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        instants.append(arguments["scheduled_at"])
        ran.set()
        return {}

    engine.register_schedule("tick", "* * * * * *", run)
    await engine.start(is_worker=True)
    await asyncio.wait_for(ran.wait(), timeout=60)
    await engine.stop()
    async with database.transaction() as session:
        jobs = await list_jobs(session, kinds=["schedule.tick"])

    assert jobs.total_count >= 1
    assert {job.key for job in jobs.items} >= {f"schedule:tick:{instant}" for instant in instants}
    assert len(set(map(str, instants))) == len(instants)


async def test_a_second_worker_in_one_process_is_refused(
    engine: JobEngine, job_settings: Settings, database: Database
) -> None:
    await engine.start(is_worker=True)
    second = JobEngine(job_settings, database)

    with pytest.raises(Conflict) as caught:
        await second.start(is_worker=True)

    assert caught.value.code == "jobs.already_running"
    async with database.transaction() as session:
        assert [worker.executor_id for worker in await list_workers(session)] == [engine.executor_id]


async def test_an_engine_can_be_stopped_and_started_again(engine: JobEngine, submit: Submit) -> None:
    async def run(context: JobContext, arguments: Arguments) -> Arguments:
        return {"thread": await context.step("thread", lambda: "ran")}

    engine.register("again", run, queue="parents")
    for _ in range(2):
        await engine.start(is_worker=True)
        ended = await engine.wait((await submit("again")).job_id, timeout_s=60)
        assert ended.state == "succeeded"
        await engine.stop()

    assert await asyncio.to_thread(lambda: "threads work") == "threads work"


async def test_waiting_for_an_unknown_job_says_so(engine: JobEngine) -> None:
    await engine.start(is_worker=False)

    with pytest.raises(NotFound):
        await engine.wait(new_id(), timeout_s=1)
