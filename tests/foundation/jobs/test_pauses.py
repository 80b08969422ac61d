"""A worker looks into its queues when it is told of a job, and seldom while nothing happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable

import psycopg
from sqlalchemy import text

from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobContext, JobEngine
from referee.foundation.jobs.pauses import CHANNEL, IDLE_LOOK_S, QueuePause
from referee.foundation.store import Database

Submit = Callable[..., Awaitable[Job]]

OFTEN_S = 0.01
SOON_S = 1.0
"""Far more than a look takes, far less than a quiet pause."""


async def answer(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {}


def make_quiet() -> QueuePause:
    """Return a pause that hears and has had its first look."""
    pause = QueuePause()
    pause.set_deaf(False)
    pause.wait(OFTEN_S)
    return pause


def measure_wait_s(pause: QueuePause, act: Callable[[], None]) -> float:
    """Return how long a wait goes on after something was done to it from another thread."""
    done_s = 0.0

    def act_and_note() -> None:
        nonlocal done_s
        done_s = time.monotonic()
        act()

    timer = threading.Timer(0.1, act_and_note)
    timer.start()
    pause.wait(OFTEN_S)
    ended_s = time.monotonic()
    timer.join()
    return ended_s - done_s


def test_a_quiet_queue_is_looked_into_as_soon_as_it_is_told_of_a_job() -> None:
    pause = make_quiet()

    waited_s = measure_wait_s(pause, pause.ring)

    assert 0 <= waited_s < SOON_S


def test_a_quiet_queue_is_not_looked_into_as_often_as_a_lively_one() -> None:
    pause = make_quiet()
    done = threading.Event()

    def look() -> None:
        pause.wait(OFTEN_S)
        done.set()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()

    is_over_early = done.wait(50 * OFTEN_S)
    pause.set()
    thread.join()

    assert not is_over_early


def test_a_queue_stays_lively_for_a_while_after_a_word() -> None:
    pause = make_quiet()
    pause.ring()
    pause.wait(OFTEN_S)
    begun_s = time.monotonic()

    pause.wait(OFTEN_S)

    assert time.monotonic() - begun_s < SOON_S


def test_a_queue_is_looked_into_often_while_no_word_can_be_heard() -> None:
    pause = make_quiet()

    waited_s = measure_wait_s(pause, lambda: pause.set_deaf(True))

    assert waited_s < SOON_S


def test_a_wait_ends_at_once_when_the_thread_has_to_end() -> None:
    pause = make_quiet()

    waited_s = measure_wait_s(pause, pause.set)

    assert waited_s < SOON_S
    assert pause.wait(IDLE_LOOK_S) is True


async def test_the_coming_and_the_end_of_a_job_are_told_with_its_queue(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    engine.register("answering", answer, queue="parents")
    await engine.start(is_worker=False)
    async with await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True) as connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        job = await submit("answering")
        await engine.cancel(job.job_id)
        heard = [said.payload async for said in connection.notifies(timeout=30, stop_after=2)]

    assert heard == ["parents", "parents"]


async def test_jobs_are_taken_after_the_connection_for_hearing_was_cut(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    engine.register("answering", answer, queue="parents")
    await engine.start(is_worker=True)
    await engine.wait((await submit("answering")).job_id, timeout_s=60)
    async with database.transaction() as session:
        cut = await session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'referee-jobs-ear' AND datname = current_database()"
            )
        )
        assert cut.scalars().all() == [True]

    ended = await engine.wait((await submit("answering")).job_id, timeout_s=60)

    assert ended.state == "succeeded"
