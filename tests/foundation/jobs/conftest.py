"""Fixtures of the jobs room: an engine with short leases on a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest

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
