"""Holding apps: started once, kept up while they are used, explained when they do not run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.apps.conftest import (
    ANSWER_OK,
    SERVER,
    WriteApp,
    fetch,
    list_hosts,
    list_processes,
    read_source,
)
from tests.faults.marked_apps import Stranger, find_free_port, write_marked_app

from referee.apps import AppFailed, AppRunState, AppsRoom, FailureKind, NothingToRun, hold_app
from referee.apps.holding import lease_app, wait_until_up
from referee.apps.hosts import sweep_app_runs
from referee.apps.logs import read_log
from referee.apps.running import stop_app_run
from referee.apps.runs import AppRun, get_app_run, list_app_runs
from referee.core.errors import Conflict

CRASH = "import sys\nprint('it needs', 'a key', flush=True)\nsys.exit(3)\n"
SLEEP = "import time\nprint('busy', flush=True)\ntime.sleep(600)\n"
ANSWER_500 = "self.send_error(500)"


async def read_run(room: AppsRoom, project_id: UUID, run_id: UUID) -> AppRun:
    """Return a run as it stands now."""
    async with room.database.reading() as session:
        return await get_app_run(session, project_id, run_id)


async def wait_until(room: AppsRoom, project_id: UUID, run_id: UUID, *states: AppRunState) -> AppRun:
    """Return a run once it is in one of these states."""
    async with asyncio.timeout(30):
        while (run := await read_run(room, project_id, run_id)).state not in states:
            await asyncio.sleep(0.05)
    return run


async def test_app_answers_while_it_is_held_and_stops_afterwards(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, tmp_path: Path
) -> None:
    source = await read_source(room, project_id, write_app())

    async with hold_app(room, source, holder="test") as held:
        await held.check()
        (target,) = held.running.targets
        body = await fetch(held.running.network, f"{target.url}/", tmp_path)

    ended = await wait_until(room, project_id, held.run.app_run_id, AppRunState.stopped)
    log = await read_log(room, ended, "backend")
    assert (body.strip(), ended.failure, "request /" in log.text) == ("hello", None, True)
    assert list_processes(f"REFEREE_APP_COMPONENT={ended.app_run_id}") == []
    assert not (room.settings.app_runs_dir / ended.app_run_id.hex).exists()


async def test_two_holders_of_one_source_share_its_run(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    source = await read_source(room, project_id, write_app())

    async with hold_app(room, source, holder="first") as first:
        async with hold_app(room, source, holder="second") as second:
            pass
        await first.check()

    assert first.run.app_run_id == second.run.app_run_id


async def test_many_holders_at_once_start_one_run(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    source = await read_source(room, project_id, write_app())
    leases = await asyncio.gather(*(lease_app(room, source, holder=str(n), ttl_s=60) for n in range(8)))

    run_ids = {run_id for run_id, _ in leases}
    await wait_until_up(room, project_id, run_ids.pop())

    async with room.database.reading() as session:
        page = await list_app_runs(session, project_id)
    assert (run_ids, page.total_count, len(list_hosts(room.settings))) == (set(), 1, 1)


async def test_only_one_holder_has_the_turn(room: AppsRoom, project_id: UUID, write_app: WriteApp) -> None:
    source = await read_source(room, project_id, write_app())
    order: list[str] = []

    async with hold_app(room, source, holder="a") as first, hold_app(room, source, holder="b") as second:
        async with first.take_turn():
            waiting = asyncio.create_task(_take_turn(second.take_turn(), order))
            await first.check()
            order.append("first is done")
        await waiting

    assert order == ["first is done", "second has the turn"]


async def test_turn_that_was_never_given_back_is_the_holders_own(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    source = await read_source(room, project_id, write_app())
    order: list[str] = []
    async with hold_app(room, source, holder="a") as first, hold_app(room, source, holder="b") as second:
        async with (
            room.database.transaction() as session
        ):  # as when the database is away at the end of a turn
            await session.execute(
                text("UPDATE app_leases SET has_turn = true WHERE lease_id = :lease"),
                {"lease": first.lease_id},
            )
        async with asyncio.timeout(20), first.take_turn():
            waiting = asyncio.create_task(_take_turn(second.take_turn(), order))
            own = asyncio.create_task(_take_turn(first.take_turn(), order))
            await first.check()
            order.append("first is done")
        await asyncio.gather(waiting, own)
    assert order[0] == "first is done"


async def _take_turn(turn: object, order: list[str]) -> None:
    async with turn:  # type: ignore[attr-defined]  # what take_turn returns
        order.append("second has the turn")


@pytest.mark.parametrize(
    ("code", "failure", "said"),
    [
        (CRASH, FailureKind.crashed, "it needs a key"),
        pytest.param(
            SERVER.format(answer=ANSWER_500), FailureKind.unhealthy, "request /", marks=pytest.mark.slow
        ),
        pytest.param(SLEEP, FailureKind.never_listened, "busy", marks=pytest.mark.slow),
    ],
    ids=["crashed", "unhealthy", "never_listened"],
)
@pytest.mark.parametrize("room", [{"app_start_timeout_s": 2.5}], indirect=True)
async def test_app_that_does_not_run_is_explained_with_its_last_lines(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, code: str, failure: FailureKind, said: str
) -> None:
    source = await read_source(room, project_id, write_app(code))

    with pytest.raises(AppFailed) as failed:
        async with hold_app(room, source, holder="test"):
            pass

    assert failed.value.kind is failure
    assert any(said in line for line in failed.value.lines), failed.value.lines


@pytest.mark.slow
async def test_app_on_another_port_than_it_was_told_is_found(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    code = SERVER.format(answer=ANSWER_OK.strip()).replace('int(os.environ["PORT"])', "4000 + 321")
    source = await read_source(room, project_id, write_app(code))

    async with hold_app(room, source, holder="test") as held:
        await held.check()

    assert [target.port for target in held.running.targets] == [4321]


async def test_folder_without_an_app_has_nothing_to_run(
    room: AppsRoom, project_id: UUID, tmp_path: Path
) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "shapes.py").write_text("def area(a, b):\n    return a * b\n")

    with pytest.raises(NothingToRun):
        async with hold_app(room, await read_source(room, project_id, folder), holder="test"):
            pass


async def test_app_whose_host_is_killed_is_gone_and_said_to_be(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    source = await read_source(room, project_id, write_app())
    async with hold_app(room, source, holder="test") as held:
        (host,) = list_hosts(room.settings)
        os.kill(host, signal.SIGKILL)
        async with asyncio.timeout(20):
            while list_processes(f"REFEREE_APP_COMPONENT={held.run.app_run_id}"):
                await asyncio.sleep(0.02)

        with pytest.raises(AppFailed):
            await held.check()

    await sweep_app_runs(room)
    ended = await read_run(room, project_id, held.run.app_run_id)
    assert (ended.state, ended.failure) == (AppRunState.failed, FailureKind.host_lost)


@pytest.mark.slow
async def test_app_that_crashes_in_use_is_failed_and_can_be_started_again(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, tmp_path: Path
) -> None:
    answer = """
        if self.path == "/die":
            import os as system
            system._exit(7)
""" + ANSWER_OK.strip("\n")
    source = await read_source(room, project_id, write_app(SERVER.format(answer=answer.strip())))
    async with hold_app(room, source, holder="test") as held:
        url = held.running.targets[0].url
        with pytest.raises(AssertionError):
            await fetch(held.running.network, f"{url}/die", tmp_path)
        ended = await wait_until(room, project_id, held.run.app_run_id, AppRunState.failed)

    async with hold_app(room, source, holder="again") as again:
        await again.check()
    assert (ended.failure, again.run.app_run_id != ended.app_run_id) == (FailureKind.crashed, True)


async def test_lease_that_nobody_renews_runs_out_and_the_app_stops(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    source = await read_source(room, project_id, write_app())
    run_id, lease_id = await lease_app(room, source, holder="a worker that dies", ttl_s=60)
    run = await wait_until_up(room, project_id, run_id)

    async with room.database.transaction() as session:  # the minute is over, and so is the worker
        await session.execute(
            text(
                "UPDATE app_leases SET expires_at = expires_at - interval '1 minute', holder_started = '0'"
                " WHERE lease_id = :id"
            ),
            {"id": lease_id},
        )

    ended = await wait_until(room, project_id, run_id, AppRunState.stopped)
    assert (run.state, ended.reason) == (AppRunState.running, "Nobody held it any more.")


@pytest.mark.parametrize("room", [{"app_lease_ttl_s": 600.0}], indirect=True)
async def test_app_stays_up_on_a_machine_too_busy_for_signs_of_life(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, request: pytest.FixtureRequest
) -> None:
    source = await read_source(room, project_id, write_app())
    async with hold_app(room, source, holder="late") as held, hold_app(room, source, holder="other") as other:
        async with held.take_turn():
            await execute(
                room, "UPDATE app_leases SET expires_at = now() - interval '590 seconds'"
            )  # no renewal came for minutes
            await asyncio.sleep(2.5)  # two beats of the host, which looks whether anybody holds the app
            (host,) = list_hosts(room.settings)
            os.kill(host, signal.SIGSTOP)
            request.addfinalizer(lambda: resume(host))
            await execute(
                room, "UPDATE app_runs SET beat_at = now() - interval '590 seconds'"
            )  # nor any beat
            await sweep_app_runs(room)
            await held.check()
            has_taken_turn = await other._try_turn()
        resume(host)

        run = await read_run(room, project_id, held.run.app_run_id)
    assert (run.state, has_taken_turn) == (AppRunState.running, False)


async def execute(room: AppsRoom, statement: str) -> None:
    """Change the database behind everybody's back."""
    async with room.database.transaction() as session:
        await session.execute(text(statement))


async def test_run_whose_host_ends_while_it_loads_is_over_at_once(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    source = await read_source(room, project_id, write_app())

    with pytest.raises(AppFailed) as failed:
        async with asyncio.timeout(20), hold_app(room, source, holder="test"):
            pass

    assert failed.value.kind is FailureKind.host_lost


@pytest.mark.slow
async def test_app_that_a_tool_uses_cannot_be_stopped_by_a_person(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    source = await read_source(room, project_id, write_app())
    async with hold_app(room, source, holder="analysis 1") as held:
        with pytest.raises(Conflict, match="used by analysis 1"):
            await stop_app_run(room, project_id, held.run.app_run_id)
        await held.check()

    stopped = await stop_app_run(room, project_id, held.run.app_run_id)
    assert stopped.state is AppRunState.stopped


async def test_malformed_description_is_said_before_anything_starts(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    folder = write_app()
    (folder / "referee.toml").write_text("[[components]]\nname = 3\n")

    with pytest.raises(AppFailed) as failed:
        async with hold_app(room, await read_source(room, project_id, folder), holder="test"):
            pass

    assert failed.value.kind is FailureKind.description_invalid
    assert list_hosts(room.settings) == []


def resume(pid: int) -> None:
    """Let a stopped process go on, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def test_port_that_another_process_has_taken_over_is_not_the_app(
    room: AppsRoom,
    project_id: UUID,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv("REFEREE_SANDBOX_METHOD", "limits_only")
    port, choose = find_free_port(), random.Random(1)
    app = write_marked_app(tmp_path, choose, port=port)
    stranger = Stranger(write_marked_app(tmp_path, choose, coveted=port), port)
    request.addfinalizer(stranger.end)
    async with hold_app(room, await read_source(room, project_id, app.folder), holder="test") as held:
        await held.check()
        (host,) = list_hosts(room.settings)
        os.kill(host, signal.SIGSTOP)  # so that nobody notes that the app has ended
        request.addfinalizer(lambda: resume(host))
        for pid in list_processes(f"REFEREE_APP_COMPONENT={held.run.app_run_id}"):
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while not stranger.is_listening:
                await asyncio.sleep(0.01)

        with pytest.raises(AppFailed) as failed:
            await held.check()

    resume(host)
    await wait_until(room, project_id, held.run.app_run_id, AppRunState.failed)
    assert failed.value.kind is FailureKind.port_taken


async def test_app_is_known_to_be_up_after_a_check_and_no_more_after_one_that_fails(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    source = await read_source(room, project_id, write_app())
    async with hold_app(room, source, holder="test") as held:
        before = held.is_known_up
        await held.check()
        after = held.is_known_up
        (host,) = list_hosts(room.settings)
        os.kill(host, signal.SIGKILL)
        with pytest.raises(AppFailed):
            await held.check()

    assert (before, after, held.is_known_up) == (False, True, False)


@pytest.mark.slow
async def test_app_whose_host_is_killed_is_over_at_the_next_look(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    source = await read_source(room, project_id, write_app())
    async with hold_app(room, source, holder="test") as held:
        (host,) = list_hosts(room.settings)
        os.kill(host, signal.SIGKILL)

        with pytest.raises(AppFailed) as failed:
            await held.check()
        ended = await read_run(room, project_id, held.run.app_run_id)

    assert (failed.value.kind, ended.failure) == (FailureKind.host_lost, FailureKind.host_lost)
