"""Lists and counts of jobs, and the commands that print them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from uuid import UUID

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from referee.core.errors import InvalidInput, NotFound
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.foundation.jobs import (
    Job,
    JobContext,
    JobEngine,
    count_jobs,
    get_job,
    get_queue_ages_s,
    list_jobs,
    queue_age_s,
    refresh_metrics,
    waiting_count,
)
from referee.foundation.jobs.commands import app
from referee.foundation.metrics import render_metrics
from referee.foundation.settings import Settings
from referee.foundation.store import Database, open_database

Submit = Callable[..., Awaitable[Job]]


async def run_nothing(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {}


@pytest.fixture
async def jobs(engine: JobEngine, submit: Submit) -> list[Job]:
    """Five waiting jobs, oldest first; the last one of another kind and queue."""
    engine.register("even", run_nothing, queue="parents")
    engine.register("odd", run_nothing, queue="children")
    await engine.start(is_worker=False)
    return [await submit(kind) for kind in ("even", "even", "even", "even", "odd")]


async def test_pages_give_each_job_once_newest_first(jobs: list[Job], database: Database) -> None:
    async with database.reading() as session:
        first = await list_jobs(session, limit=2)
        second = await list_jobs(session, limit=2, cursor=first.next_cursor)
        third = await list_jobs(session, limit=2, cursor=second.next_cursor)

    found = [job.job_id for page in (first, second, third) for job in page.items]
    assert found == [job.job_id for job in reversed(jobs)]
    assert [page.total_count for page in (first, second, third)] == [5, 5, 5]
    assert third.next_cursor is None


async def test_filters_agree_with_counts(
    jobs: list[Job], engine: JobEngine, database: Database, project_id: UUID
) -> None:
    await engine.cancel(jobs[0].job_id)
    async with database.reading() as session:
        assert (await list_jobs(session, states=["cancelled"])).total_count == 1
        assert await count_jobs(session, states=["queued"], kinds=["even"]) == 3
        assert await count_jobs(session, text="A OD") == 1
        assert await count_jobs(session, text="%") == 0
        assert await count_jobs(session, queue="children") == 1
        assert await count_jobs(session, project_id=project_id) == 5
        assert await count_jobs(session, project_id=new_id()) == 0
        assert await count_jobs(session, has_parent=True) == 0
        assert await waiting_count(session) == 4
        assert await waiting_count(session, "parents") == 3


@pytest.mark.parametrize("values", [{"limit": 0}, {"limit": 1001}, {"cursor": "nonsense"}])
async def test_a_page_that_cannot_be_is_refused(database: Database, values: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        async with database.reading() as session:
            await list_jobs(session, **values)  # type: ignore[arg-type]


async def test_a_job_of_another_project_is_not_found(jobs: list[Job], database: Database) -> None:
    with pytest.raises(NotFound):
        async with database.reading() as session:
            await get_job(session, jobs[0].job_id, project_id=new_id())


async def test_the_age_of_a_queue_is_that_of_its_oldest_waiting_job(
    jobs: list[Job], database: Database
) -> None:
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE jobs SET queued_at = now() - interval '1 hour' WHERE queue = 'children'")
        )
    async with database.transaction() as session:
        ages_s = await get_queue_ages_s(session)
        assert await queue_age_s(session) == pytest.approx(3600, abs=60)
        assert await queue_age_s(session, "absent") == 0

    assert ages_s["children"] == pytest.approx(3600, abs=60)
    assert ages_s["parents"] < 60


async def test_metrics_show_what_the_database_says(jobs: list[Job], database: Database) -> None:
    async with database.transaction() as session:
        await refresh_metrics(session)
    page = render_metrics().decode()

    assert 'referee_jobs_active_count{kind="even",state="queued"} 4.0' in page
    assert 'referee_jobs_queue_age_seconds{queue="children"}' in page
    assert "referee_jobs_creation_seconds_count" in page


@pytest.fixture
def run_command(database_settings: Settings) -> Callable[..., str]:
    """Run ``referee job …`` the way the root command does."""

    @asynccontextmanager
    async def compose(*, is_worker: bool | None) -> AsyncIterator[SimpleNamespace]:
        database = await open_database(database_settings)
        engine = JobEngine(database_settings, database)
        engine.register_queue("parents")
        engine.register("even", run_nothing, queue="parents")
        await engine.start(is_worker=bool(is_worker))
        yield SimpleNamespace(engine=engine)
        await engine.stop()
        await database.close()

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments), obj=compose, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


async def submit_in_command(settings: Settings) -> UUID:
    database = await open_database(settings)
    engine = JobEngine(settings, database)
    engine.register_queue("parents")
    engine.register("even", run_nothing, queue="parents")
    await engine.start(is_worker=False)
    async with database.transaction() as session:
        project_id = await session.scalar(text("SELECT project_id FROM projects"))
        job = await engine.submit(
            session, kind="even", arguments={"n": 2}, project_id=project_id, key=None, title="A [bold] job"
        )
    await engine.stop()
    await database.close()
    return job.job_id


def test_the_commands_list_show_and_cancel_a_job(
    run_command: Callable[..., str], database_settings: Settings
) -> None:
    job_id = asyncio.run(submit_in_command(database_settings))

    listed = json.loads(run_command("list", "--json", "--state", "queued"))
    shown = json.loads(run_command("show", f"job_{job_id.hex}", "--json"))
    cancelled = run_command("cancel", str(job_id))
    again = run_command("cancel", str(job_id))

    assert [item["job_id"] for item in listed["items"]] == [str(job_id)]
    assert (shown["state"], shown["arguments"], shown["children"]) == ("queued", {"n": 2}, [])
    assert cancelled.splitlines()[-1] == f"Cancelled job_{job_id.hex} (A [bold] job)."
    assert again.splitlines() == cancelled.splitlines()[-1:]
    assert "cancelled" in run_command("list")
    assert run_command("list", "--state", "failed") == "No such jobs.\n"


def test_an_unknown_state_is_refused(run_command: Callable[..., str]) -> None:
    with pytest.raises(InvalidInput, match="is not a state"):
        run_command("list", "--state", "done")
