"""Apps that try to get out: what they reach, what they can exhaust, and what is said of it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from tests.apps.conftest import SERVER, WriteApp, fetch_json, list_processes, read_source
from tests.programs import skip_for_system

from referee.apps import AppRunState, AppsRoom, FailureKind, hold_app
from referee.apps.runs import AppRun, get_app_run
from referee.apps.starting import make_limits
from referee.foundation.sandbox import detect_isolation

pytestmark = pytest.mark.apt

PROBES = """
import ctypes
import json
import os
import pathlib
import signal
import socket
import sys


def attempt(function):
    try:
        value = function()
    except Exception as error:
        return "refused: " + type(error).__name__
    return value


def connect(host, port):
    socket.create_connection((host, port), timeout=2).close()
    return "reached"


def overwrite(path):
    pathlib.Path(path).write_text("forged")
    return "written"


def follow_link(path):
    link = pathlib.Path("link")
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return link.read_text()


def new_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    return "entered"


def other_processes():
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and b"pytest" in
            pathlib.Path("/proc", pid, "cmdline").read_bytes()]


def home_of_root():
    # An interpreter that lies in there is shown, and nothing beside it.
    return [name for name in os.listdir("/root") if not sys.base_prefix.startswith("/root/" + name + "/")]


def probe(given):
    secret, other, port, pid = given["secret"], given["other"], given["port"], given["pid"]
    return {
        "host file": attempt(lambda: pathlib.Path(secret).read_text()),
        "host file by link": attempt(lambda: follow_link(secret)),
        "shadow": attempt(lambda: pathlib.Path("/etc/shadow").read_text()),
        "home of root": attempt(home_of_root),
        "environment": [name for name in os.environ if "SECRET" in name or name.startswith("PYTEST")],
        "environment of others": attempt(
            lambda: "SECRET" in pathlib.Path("/proc", str(pid), "environ").read_text()),
        "other processes": attempt(other_processes),
        "kill": attempt(lambda: os.kill(pid, signal.SIGTERM) or "sent"),
        "loopback of the machine": attempt(lambda: connect("127.0.0.1", port)),
        "outside": attempt(lambda: connect("192.0.2.1", 80)),
        "name service": attempt(lambda: socket.getaddrinfo("example.org", 80) and "resolved"),
        "folder of another task": attempt(lambda: overwrite(other)),
        "system": attempt(lambda: overwrite("/usr/bin/referee-was-here")),
        "docker": attempt(lambda: os.stat("/var/run/docker.sock") and "there"),
        "user": os.getuid() == 0,
        "new namespace": attempt(new_namespace),
    }
"""
ANSWER_PROBES = """
        from urllib.parse import parse_qs, urlsplit
        given = json.loads(parse_qs(urlsplit(self.path).query).get("given", ["null"])[0])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(probe(given) if given else {}).encode())
"""
PROCESSES_LIMIT = make_limits(memory_bytes=1, disk_bytes=1).processes_count
EXHAUST = """
import threading
{code}
def start():
    threading.Timer(1.0, exhaust).start()
start()
"""
FORK_BOMB = """
import os, time
def exhaust():
    while True:
        try:
            if os.fork() == 0:
                time.sleep(600)
        except OSError:
            time.sleep(0.001)
"""
ALLOCATE = """
def exhaust():
    kept = []
    for _ in range(10 * 1024):
        kept.append(b"x" * 1024 * 1024)
"""
FILL_DISK = """
def exhaust():
    for number in range(10_000):
        with open(f"filler-{number}", "wb") as file:
            file.write(bytes(1024 * 1024))
"""


@pytest.fixture(autouse=True)
def _strong_isolation() -> None:
    isolation = detect_isolation()
    if isolation.method != "bubblewrap":
        skip_for_system(f"Apps can only be kept in by bubblewrap. {isolation.reason}")


@pytest.fixture
def listening_port() -> Iterator[int]:
    """A port of the machine's loopback on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=_accept, args=(server,), daemon=True)
        accepting.start()
        yield server.getsockname()[1]


def _accept(server: socket.socket) -> None:
    try:
        while True:
            server.accept()[0].close()
    except OSError:
        return


async def test_no_probe_gets_out_of_the_sandbox(
    room: AppsRoom,
    project_id: UUID,
    write_app: WriteApp,
    tmp_path: Path,
    listening_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "canary")
    secret = tmp_path / "secret"
    secret.write_text("canary")
    other = room.settings.app_runs_dir / "other" / "result.json"
    other.parent.mkdir(parents=True)
    other.write_text("genuine")
    given = f'{{"secret":"{secret}","other":"{other}","port":{listening_port},"pid":{os.getpid()}}}'
    code = PROBES + SERVER.format(answer=ANSWER_PROBES.strip())
    source = await read_source(room, project_id, write_app(code))

    async with hold_app(room, source, holder="test") as held:
        url = held.running.targets[0].url
        answers = await fetch_json(held.running.network, f"{url}/?given={given}", tmp_path)

    got_out = {
        name: value
        for name, value in answers.items()
        if value not in ([], False, "empty") and not str(value).startswith("refused: ")
    }
    assert got_out == {}
    assert (other.read_text(), secret.read_text()) == ("genuine", "canary")
    assert held.run.isolation is not None
    assert held.run.isolation["method"] == "bubblewrap"
    assert held.run.isolation["has_own_network"] is True


@pytest.mark.parametrize(
    ("code", "said"),
    [(ALLOCATE, "memory"), (FILL_DISK, "disk")],
    ids=["10 GB of memory", "full disk"],
)
@pytest.mark.parametrize(
    "room",
    [{"app_memory_max_bytes": 256 * 1024 * 1024, "app_disk_max_bytes": 32 * 1024 * 1024}],
    indirect=True,
)
async def test_app_that_exhausts_the_machine_is_ended_alone(
    room: AppsRoom, project_id: UUID, write_app: WriteApp, code: str, said: str
) -> None:
    answer = "self.send_response(200); self.end_headers()"
    source = await read_source(
        room, project_id, write_app(EXHAUST.format(code=code) + SERVER.format(answer=answer))
    )

    async with hold_app(room, source, holder="test") as held:
        ended = await _wait_until_ended(room, project_id, held.run.app_run_id)

    assert (ended.state, ended.failure) == (AppRunState.failed, FailureKind.crashed)
    assert said in ended.reason
    assert list_processes(f"REFEREE_APP_COMPONENT={ended.app_run_id}") == []


async def test_fork_bomb_stays_within_its_limit_and_ends_with_the_app(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    answer = "self.send_response(200); self.end_headers()"
    source = await read_source(
        room, project_id, write_app(EXHAUST.format(code=FORK_BOMB) + SERVER.format(answer=answer))
    )

    async with hold_app(room, source, holder="test") as held:
        marker = f"REFEREE_APP_COMPONENT={held.run.app_run_id}"
        async with asyncio.timeout(30):
            while len(list_processes(marker)) < PROCESSES_LIMIT // 2:
                await asyncio.sleep(0.05)
        counts = []
        for _ in range(5):
            counts.append(len(list_processes(marker)))
            await asyncio.sleep(0.1)

    assert max(counts) <= PROCESSES_LIMIT + 10
    await _wait_until_ended(room, project_id, held.run.app_run_id)
    assert list_processes(marker) == []


async def _wait_until_ended(room: AppsRoom, project_id: UUID, run_id: UUID) -> AppRun:
    async with asyncio.timeout(40):
        while True:
            async with room.database.reading() as session:
                run = await get_app_run(session, project_id, run_id)
            if run.state.is_final:
                return run
            await asyncio.sleep(0.1)
