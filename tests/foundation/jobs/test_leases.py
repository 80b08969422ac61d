"""Leases and identities: who is provably gone, who may judge, whose lease counts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text, update

from referee.core.clock import ManualClock
from referee.foundation.jobs import JobEngine, WorkerLeaseRow, list_workers
from referee.foundation.jobs.identity import ProcessIdentity, is_provably_gone, read_own_identity
from referee.foundation.jobs.leases import Lease
from referee.foundation.store import Database


@pytest.fixture
def own() -> ProcessIdentity:
    return read_own_identity()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2030, 1, 1, tzinfo=UTC))


def make_lease(database: Database, clock: ManualClock, identity: ProcessIdentity) -> Lease:
    return Lease(database, clock, identity, kind="worker", ttl_s=15, beat_s=3)


def test_a_live_process_is_not_gone(own: ProcessIdentity) -> None:
    assert not is_provably_gone(own, own)


def test_an_ended_process_is_gone_and_so_is_one_that_nobody_has_waited_for(own: ProcessIdentity) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()
        other = replace(own, pid=process.pid, process_start="1")
        assert is_provably_gone(other, own)
    assert is_provably_gone(other, own)


def test_another_process_with_the_same_pid_does_not_stand_for_the_old_one(own: ProcessIdentity) -> None:
    assert is_provably_gone(replace(own, process_start="1"), own)


def test_nothing_is_known_of_processes_of_other_machines_and_namespaces(own: ProcessIdentity) -> None:
    assert not is_provably_gone(replace(own, machine="elsewhere", pid=2**22 + 1), own)


async def test_a_lease_is_good_for_its_time_to_live_by_our_own_clock(
    database: Database, clock: ManualClock, own: ProcessIdentity
) -> None:
    lease = make_lease(database, clock, own)
    await lease.acquire()

    assert lease.is_held
    clock.advance(timedelta(seconds=14))
    assert lease.is_held
    assert await lease.renew()
    clock.advance(timedelta(seconds=14))
    assert lease.is_held
    clock.advance(timedelta(seconds=1))
    assert not lease.is_held


async def test_a_worker_judges_only_after_a_whole_time_to_live_without_a_gap(
    database: Database, clock: ManualClock, own: ProcessIdentity
) -> None:
    lease = make_lease(database, clock, own)
    await lease.acquire()
    for _ in range(5):
        assert not lease.may_judge()
        clock.advance(timedelta(seconds=3))
        await lease.renew()

    assert lease.may_judge()
    clock.advance(timedelta(seconds=10))
    await lease.renew()
    assert not lease.may_judge()


async def test_a_lease_that_was_taken_cannot_be_renewed_and_can_be_written_again(
    database: Database, clock: ManualClock, own: ProcessIdentity
) -> None:
    lease = make_lease(database, clock, own)
    await lease.acquire()
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM worker_leases"))

    assert not await lease.renew()
    await lease.acquire()
    assert await lease.renew()


async def test_an_expired_lease_of_another_machine_is_taken_only_by_who_may_judge(
    engine: JobEngine, database: Database, clock: ManualClock, own: ProcessIdentity
) -> None:
    await engine.start(is_worker=False)
    other = make_lease(database, clock, replace(own, machine="elsewhere"))
    await other.acquire()
    async with database.transaction() as session:
        await session.execute(
            update(WorkerLeaseRow).values(expires_at=WorkerLeaseRow.expires_at - timedelta(seconds=60))
        )
    judge = make_lease(database, clock, own)
    await judge.acquire()

    async with database.transaction() as session:
        assert await judge.find_dead(session, engine.library) == []
    for _ in range(6):
        clock.advance(timedelta(seconds=3))
        await judge.renew()
    async with database.transaction() as session:
        dead = await judge.find_dead(session, engine.library)
        left = (await session.scalars(select(WorkerLeaseRow.executor_id))).all()

    assert [worker.executor_id for worker in dead] == [other.executor_id]
    assert [worker.reason for worker in dead] == ["its lease expired"]
    assert left == [judge.executor_id]


async def test_a_lease_whose_process_is_gone_is_taken_at_once_though_it_has_not_expired(
    engine: JobEngine, database: Database, clock: ManualClock, own: ProcessIdentity
) -> None:
    await engine.start(is_worker=False)
    gone = make_lease(database, clock, replace(own, process_start="1"))
    await gone.acquire()
    judge = make_lease(database, clock, own)
    await judge.acquire()

    async with database.transaction() as session:
        dead = await judge.find_dead(session, engine.library)

    assert [(worker.executor_id, worker.reason) for worker in dead] == [
        (gone.executor_id, "its process is gone")
    ]


async def test_only_live_leases_are_workers(
    database: Database, clock: ManualClock, own: ProcessIdentity
) -> None:
    live = make_lease(database, clock, own)
    expired = make_lease(database, clock, own)
    await live.acquire()
    await expired.acquire()
    async with database.transaction() as session:
        await session.execute(
            update(WorkerLeaseRow)
            .where(WorkerLeaseRow.executor_id == expired.executor_id)
            .values(expires_at=WorkerLeaseRow.started_at)
        )
        workers = await list_workers(session)

    assert [(worker.executor_id, worker.pid, worker.running_count) for worker in workers] == [
        (live.executor_id, own.pid, 0)
    ]
