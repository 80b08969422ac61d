from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from referee.core.findings import JsonValue
from referee.foundation.jobs import ChildJob, Job, JobContext, JobEngine

Submit = Callable[..., Awaitable[Job]]


async def test_a_job_runs_on_the_loop_of_the_process_and_its_result_is_kept(
    engine: JobEngine, submit: Submit
) -> None:
    async def greet(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        is_own_loop = (
            asyncio.get_running_loop() is loop and threading.current_thread() is threading.main_thread()
        )
        greeting = await context.step("greet", lambda: f"Hello {arguments['name']}")
        return {"greeting": greeting, "is_own_loop": is_own_loop, "attempt": context.attempt}

    loop = asyncio.get_running_loop()
    engine.register("greeting", greet, queue="parents")
    await engine.start(is_worker=True)

    job = await submit("greeting", {"name": "Ada"})
    ended = await engine.wait(job.job_id, timeout_s=10)

    assert ended.state == "succeeded", ended
    assert ended.result == {"greeting": "Hello Ada", "is_own_loop": True, "attempt": 1}


async def test_children_run_on_their_queue_and_a_failing_one_is_a_value(
    engine: JobEngine, submit: Submit
) -> None:
    async def parent(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        results = await context.run_children(
            [ChildJob(name=f"c{i}", kind="child", arguments={"i": i}, title=f"child {i}") for i in range(4)]
        )
        return {
            "states": [result.state for result in results],
            "values": [dict(r.result or {}) for r in results],
        }

    async def child(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        number = arguments["i"]
        assert isinstance(number, int)
        return {"inverse": 1 / number}

    engine.register("parent", parent, queue="parents")
    engine.register("child", child, queue="children")
    await engine.start(is_worker=True)

    job = await submit("parent")
    ended = await engine.wait(job.job_id, timeout_s=10)

    assert ended.result == {
        "states": ["failed", "succeeded", "succeeded", "succeeded"],
        "values": [{}, {"inverse": 1.0}, {"inverse": 0.5}, {"inverse": 1 / 3}],
    }
