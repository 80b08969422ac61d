"""Fixtures of the jobs room: an engine with short leases on a database of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol
from uuid import UUID

import pytest
from tests.foundation.jobs.worker_program import make_engine

from referee.core.findings import JsonValue
from referee.foundation.access import get_project
from referee.foundation.jobs import Job, JobContext, JobEngine
from referee.foundation.settings import Settings
from referee.foundation.store import Database

JobFunction = Callable[[JobContext, dict[str, JsonValue]], Awaitable[dict[str, JsonValue]]]


@pytest.fixture
def job_settings(database_settings: Settings) -> Settings:
    """Leases short enough to wait for."""
    return database_settings.model_copy(
        update={"lease_ttl_s": 2.0, "lease_beat_s": 0.3, "queue_poll_s": 0.05}
    )


@pytest.fixture
async def project_id(database: Database) -> UUID:
    return (await get_project(database, "default")).project_id


@pytest.fixture
async def engine(job_settings: Settings, database: Database) -> AsyncIterator[JobEngine]:
    """An engine with the queues ``parents`` and ``children``, not yet started; stopped after the test."""
    made = JobEngine(job_settings, database)
    made.register_queue("parents", worker_concurrency=4)
    made.register_queue("children", concurrency=4, worker_concurrency=2)
    yield made
    await made.stop()


@pytest.fixture
def submit(engine: JobEngine, database: Database, project_id: UUID) -> Callable[..., Awaitable[Job]]:
    """Submit a job in a transaction of its own."""

    async def submit_one(
        kind: str, arguments: dict[str, JsonValue] | None = None, key: str | None = None, priority: int = 100
    ) -> Job:
        async with database.transaction() as session:
            return await engine.submit(
                session,
                kind=kind,
                arguments=arguments or {},
                project_id=project_id,
                key=key,
                priority=priority,
                title=f"A {kind}",
            )

    return submit_one


class WorkerProcess:
    """A worker of another process, and what its jobs say."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log
        self.events: list[list[str]] = []

    @property
    def executor_id(self) -> str:
        return self.events[0][1]

    async def wait_for(self, word: str, count: int = 1, timeout_s: float = 120.0) -> list[list[str]]:
        """Read events until ``count`` of them begin with ``word``; return these."""
        async with asyncio.timeout(timeout_s):
            while len(self.get_events(word)) < count:
                line = await self._read_line()
                assert line, f"the worker ended before {word!r}: {self.log.read_text()}"
        return self.get_events(word)

    async def read_to_end(self) -> None:
        """Read what is left, and wait for the process to end."""
        while await self._read_line():
            pass
        await self.process.wait()

    def get_events(self, word: str) -> list[list[str]]:
        return [event for event in self.events if event[0] == word]

    async def _read_line(self) -> bytes:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        self.events += [line.decode().split()] if line else []
        return line


class StartWorker(Protocol):
    """Starts a worker, of the source in another folder if one is given."""

    def __call__(self, source: Path | None = None) -> Awaitable[WorkerProcess]: ...


@pytest.fixture
async def start_worker(job_settings: Settings, tmp_path: Path) -> AsyncIterator[StartWorker]:
    """Start workers as processes; they are ended after the test."""
    workers: list[WorkerProcess] = []

    async def start(source: Path | None = None) -> WorkerProcess:
        paths = [*([] if source is None else [str(source)]), os.environ.get("PYTHONPATH", "")]
        log = tmp_path / f"worker-{len(workers)}.log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("worker_program.py")),
                job_settings.model_dump_json(exclude={"allowed_roots"}),
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        worker = WorkerProcess(process, log)
        workers.append(worker)
        await worker.wait_for("ready")
        return worker

    yield start
    for worker in workers:
        if worker.process.returncode is None:
            worker.process.kill()
        await worker.read_to_end()


@pytest.fixture
async def submitter(job_settings: Settings, database: Database) -> AsyncIterator[JobEngine]:
    """An engine that knows the kinds of the worker program and only submits."""
    made = make_engine(job_settings, database)
    await made.start(is_worker=False)
    yield made
    await made.stop()
