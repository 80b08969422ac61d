"""Workers as real processes: killed, frozen, stopped, restarted."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from tests.foundation.jobs.conftest import StartWorker

from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobEngine, get_job, list_jobs, list_workers
from referee.foundation.store import Database


async def submit(
    engine: JobEngine, project_id: UUID, kind: str, arguments: dict[str, JsonValue] | None = None
) -> Job:
    async with engine.database.transaction() as session:
        return await engine.submit(
            session, kind=kind, arguments=arguments or {}, project_id=project_id, key=None, title=f"A {kind}"
        )


async def test_a_killed_workers_job_continues_at_once_when_its_process_is_gone(
    submitter: JobEngine, project_id: UUID, start_worker: StartWorker, database: Database, tmp_path: Path
) -> None:
    """At once: long before the lease, made to last for hours, runs out."""
    gate = tmp_path / "gate"
    job = await submit(submitter, project_id, "two_steps", {"gate": str(gate)})
    first = await start_worker()
    await first.wait_for("second-begun")

    first.process.kill()
    await first.process.wait()
    async with database.transaction() as session:
        await session.execute(text("UPDATE worker_leases SET expires_at = now() + interval '9 hours'"))
    second = await start_worker()
    await second.wait_for("second-begun")
    gate.touch()
    ended = await submitter.wait(job.job_id, timeout_s=60)

    assert ended.state == "succeeded"
    assert ended.result == {"first": "first in attempt 1", "second": "second in attempt 2"}
    assert ended.attempts_count == 2
    assert second.get_events("first-done") == []


async def test_a_killed_worker_of_another_machine_is_taken_over_when_its_lease_has_run_out(
    submitter: JobEngine, project_id: UUID, start_worker: StartWorker, database: Database, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    job = await submit(submitter, project_id, "two_steps", {"gate": str(gate)})
    first = await start_worker()
    await first.wait_for("second-begun")
    async with database.transaction() as session:
        await session.execute(text("UPDATE worker_leases SET machine = 'elsewhere'"))
    second = await start_worker()

    first.process.kill()
    killed_at_s = time.monotonic()
    await second.wait_for("second-begun")
    taken_over_s = time.monotonic() - killed_at_s
    gate.touch()
    ended = await submitter.wait(job.job_id, timeout_s=60)

    assert ended.result == {"first": "first in attempt 1", "second": "second in attempt 2"}
    assert second.get_events("first-done") == []
    assert taken_over_s > 1.0


async def test_a_frozen_worker_is_taken_over_and_ends_its_own_steps_when_it_wakes(
    submitter: JobEngine, project_id: UUID, start_worker: StartWorker, database: Database, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    job = await submit(submitter, project_id, "two_steps", {"gate": str(gate)})
    first = await start_worker()
    await first.wait_for("second-begun")
    second = await start_worker()

    first.process.send_signal(signal.SIGSTOP)
    await second.wait_for("second-begun")
    first.process.send_signal(signal.SIGCONT)
    await wait_until_worker_is_back(database, first.executor_id)
    gate.touch()
    ended = await submitter.wait(job.job_id, timeout_s=60)
    first.process.terminate()
    await first.read_to_end()

    assert ended.result == {"first": "first in attempt 1", "second": "second in attempt 2"}
    assert ended.executor_id == second.executor_id
    assert first.get_events("second-ended") == []
    assert first.events[-1] == ["stopped"]


async def wait_until_worker_is_back(database: Database, executor_id: str) -> None:
    """Wait until a worker has written its lease again."""
    async with database.transaction() as session:
        await session.execute(
            text(
                "DO $$ BEGIN FOR look IN 1..1000 LOOP"
                f"  EXIT WHEN EXISTS (SELECT FROM worker_leases WHERE executor_id = '{executor_id}');"
                "  PERFORM pg_sleep(0.05); END LOOP; END $$"
            )
        )
    async with database.transaction() as session:
        assert executor_id in {worker.executor_id for worker in await list_workers(session)}


async def test_a_stopped_worker_hands_its_job_back_without_counting_it_as_lost(
    submitter: JobEngine, project_id: UUID, start_worker: StartWorker, database: Database, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    job = await submit(submitter, project_id, "two_steps", {"gate": str(gate)})
    first = await start_worker()
    await first.wait_for("second-begun")

    first.process.terminate()
    await first.read_to_end()
    async with database.transaction() as session:
        waiting = await get_job(session, job.job_id)
        workers = await list_workers(session)
        excused_count = await session.scalar(text("SELECT excused_count FROM jobs"))
    gate.touch()
    second = await start_worker()
    ended = await submitter.wait(job.job_id, timeout_s=60)

    assert first.process.returncode == 0
    assert (waiting.state, workers, excused_count) == ("queued", [], 1)
    assert ended.result == {"first": "first in attempt 1", "second": "second in attempt 2"}
    assert second.get_events("first-done") == []


async def test_a_job_that_kills_its_workers_fails_with_a_reason(
    submitter: JobEngine, project_id: UUID, start_worker: StartWorker
) -> None:
    job = await submit(submitter, project_id, "poison")
    for _ in range(2):
        worker = await start_worker()
        await worker.read_to_end()
    await start_worker()
    ended = await submitter.wait(job.job_id, timeout_s=60)

    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.code == "jobs.attempts_exhausted"
    assert ended.attempts_count == 2


async def test_children_outlive_the_worker_of_their_parent_and_run_once(
    submitter: JobEngine, project_id: UUID, start_worker: StartWorker, database: Database, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    job = await submit(submitter, project_id, "family", {"gate": str(gate)})
    first = await start_worker()
    await first.wait_for("second-begun", count=2)

    first.process.kill()
    second = await start_worker()
    await second.wait_for("second-begun", count=2)
    await second.wait_for("family-begun")  # in any order: whoever is handed back first begins first
    gate.touch()
    ended = await submitter.wait(job.job_id, timeout_s=60)
    async with database.transaction() as session:
        children = await list_jobs(session, parent_job_id=job.job_id)

    assert ended.result == {"states": ["succeeded", "succeeded"]}
    assert children.total_count == 2
    assert second.get_events("first-done") == []
    assert second.get_events("family-begun") == [["family-begun", str(job.job_id), "2"]]


async def test_jobs_submitted_without_a_worker_are_run_by_the_next_one(
    submitter: JobEngine, project_id: UUID, start_worker: StartWorker, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    jobs = [await submit(submitter, project_id, "two_steps", {"gate": str(gate)}) for _ in range(3)]

    await start_worker()
    ended = [await submitter.wait(job.job_id, timeout_s=60) for job in jobs]

    assert [job.state for job in ended] == ["succeeded"] * 3


async def test_two_workers_share_a_queue_and_keep_its_limit(
    submitter: JobEngine, project_id: UUID, start_worker: StartWorker, database: Database, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    jobs = [await submit(submitter, project_id, "scarce", {"gate": str(gate)}) for _ in range(5)]
    workers = [await start_worker(), await start_worker()]
    for worker in workers:
        await worker.wait_for("second-begun")
    await start_worker()
    async with database.transaction() as session:
        running = await list_jobs(session, states=["running"])
    gate.touch()
    ended = [await submitter.wait(job.job_id, timeout_s=60) for job in jobs]

    assert [job.state for job in ended] == ["succeeded"] * 5
    assert running.total_count == 2
    assert {job.executor_id for job in running.items} == {worker.executor_id for worker in workers}
    assert count_overlaps(ended) == 2


def count_overlaps(jobs: list[Job]) -> int:
    """Return how many jobs ran at the same time at most."""
    changes = sorted(
        [(job.started_at, 1) for job in jobs if job.started_at]
        + [(job.finished_at, -1) for job in jobs if job.finished_at]
    )
    running = 0
    most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most
