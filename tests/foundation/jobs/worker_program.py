"""A worker of its own process, for tests: runs a few kinds of jobs and says on standard output what they do.

Started as ``python worker_program.py '<settings as JSON>'``. SIGTERM stops it cleanly.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

import structlog

from referee import __version__
from referee.core.findings import JsonValue
from referee.foundation.jobs import ChildJob, JobContext, JobEngine
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import open_database


def say(*words: object) -> None:
    """Write one event; a line of this size is written at once, whoever else writes."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def run_two_steps(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Finish one step, then be in a second one until the file ``gate`` is there."""

    async def second() -> str:
        say("second-begun", context.job_id, os.getpid())
        gate = Path(str(arguments["gate"]))
        while not await asyncio.to_thread(gate.exists):
            await asyncio.sleep(0.02)
        say("second-ended", context.job_id, os.getpid())
        return f"second in attempt {context.attempt}"

    def first() -> str:
        say("first-done", context.job_id, os.getpid())
        return f"first in attempt {context.attempt}"

    return {"first": await context.step("first", first), "second": await context.step("second", second)}


async def run_poison(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """End the process that runs it."""

    def die() -> None:
        say("dying", context.job_id, context.attempt)
        os.kill(os.getpid(), signal.SIGKILL)

    await context.step("die", die)
    return {}


async def run_family(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Run two children that wait for the gate."""
    say("family-begun", context.job_id, context.attempt)
    results = await context.run_children(
        [
            ChildJob(name=name, kind="child", arguments=arguments, title=f"Child {name}")
            for name in ("one", "two")
        ]
    )
    return {"states": [result.state for result in results]}


def make_engine(settings: Settings, database: object) -> JobEngine:
    """Return an engine with all kinds of this program."""
    engine = JobEngine(settings, database)  # type: ignore[arg-type]  # a Database
    engine.register_queue("parents", worker_concurrency=4)
    engine.register_queue("children", worker_concurrency=2)
    engine.register_queue("scarce", concurrency=2, worker_concurrency=1)
    engine.register("two_steps", run_two_steps, queue="parents")
    engine.register("poison", run_poison, queue="parents", max_attempts=2)
    engine.register("family", run_family, queue="parents")
    engine.register("child", run_two_steps, queue="children")
    engine.register("scarce", run_two_steps, queue="scarce")
    return engine


async def main() -> None:
    """Run until told to stop."""
    settings = load_settings(**json.loads(sys.argv[1]))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    database = await open_database(settings, migrate=False)
    engine = make_engine(settings, database)
    await engine.start(is_worker=True, worker_kind="worker")
    say("ready", engine.executor_id, __version__)
    await stop.wait()
    await engine.stop()
    await database.close()
    say("stopped")


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main())
