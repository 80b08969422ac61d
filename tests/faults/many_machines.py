"""Several machines: a server, three workers, an analyzer, a PostgreSQL and an S3 server, each in a network of its own.

A bridge joins network namespaces, so that a machine can be cut off; each process has a
host name of its own, so that nobody can look whether another machine's process lives. What
stands for a shared file system is a folder. While a pipeline of 4 × 5 cells runs, a worker
is killed, another one is cut off for a minute, the database is ended and started again, and
S3 is ended for half a minute. Needs root.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import psutil
import psycopg
from tests.faults.kills import ORACLE as KILLS_ORACLE
from tests.s3_server import S3Server

from referee.foundation.store.server import find_bin_dir

__all__ = ["MachinesCount", "can_make_networks", "run_many_machines"]

MODELS: Final = ("alder", "birch", "cedar", "dogwood")
APPS_EACH: Final = 5
TOOLS: Final = ("bandit", "ruff", "vulture", "radon", "curl")
"""Four for the analyzer, and one that a worker runs against the app, which it starts."""
MACHINES: Final = ("database", "s3", "server", "worker1", "worker2", "worker3", "analyzer")
SERVER_PORT: Final = 8765
CUT_S: Final = 60.0
S3_AWAY_S: Final = 30.0
DATABASE_AWAY_S: Final = 5.0
READY_TIMEOUT_S: Final = 120.0
END_TIMEOUT_S: Final = 900.0

APP: Final = """\
import os
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer

NAME = {name!r}


def list_files(folder):
    return subprocess.call("ls " + folder, shell=True)


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(NAME.encode())


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
"""

RELAY: Final = """
import asyncio, sys
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def serve(reader, writer):
    try:
        there, back = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, back), copy(there, writer))
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[2])) as server:
        await server.serve_forever()
asyncio.run(main())
"""
"""What stands for a tunnel: the analyzer's key goes over TLS or within its machine only."""

ORACLE: Final = {
    "cells_other_than_20": "SELECT abs(count(*) - 20) FROM cells",
    "cells_not_valid": "SELECT count(*) FROM cells WHERE NOT is_valid OR state <> 'completed'",
    "pipelines_not_completed": "SELECT count(*) FROM pipelines WHERE state <> 'completed'",
    "tool_runs_with_two_accepted_results": KILLS_ORACLE["tool_runs_with_two_accepted_results"],
    "tool_runs_of_valid_cells_without_an_accepted_result": """
        SELECT count(*) FROM tool_runs JOIN cells USING (analysis_id)
         WHERE cells.is_valid AND NOT EXISTS (
             SELECT 1 FROM tool_run_attempts AS tries
              WHERE tries.tool_run_id = tool_runs.tool_run_id AND tries.is_accepted)""",
    "tool_runs_of_valid_cells_missing": f"""
        SELECT count(*) FROM cells WHERE is_valid AND {len(TOOLS)} <> (
            SELECT count(*) FROM tool_runs WHERE tool_runs.analysis_id = cells.analysis_id)""",  # noqa: S608
    "tool_runs_without_outcome": KILLS_ORACLE["tool_runs_without_outcome"],
    "apps_still_up": "SELECT count(*) FROM app_runs WHERE state IN ('starting', 'running', 'stopping')",
    "leases_of_apps_left": "SELECT count(*) FROM app_leases",
    "jobs_not_ended": "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND kind LIKE 'analysis.%'",
}  # fmt: skip
"""What must be nought when everything has ended."""


@dataclass(slots=True, kw_only=True)
class MachinesCount:
    """What became of it. Everything in ``faults`` must be nought."""

    oracle: dict[str, int] = field(default_factory=dict)
    not_ended: int = 0
    verify_exit_code: int = 0
    verify_told: str = ""
    reasons: list[str] = field(default_factory=list)
    """Of cells that are not valid."""
    executors: dict[str, int] = field(default_factory=dict)
    """Accepted tool runs by the host that made them."""
    cells_tried_again: int = 0
    tool_runs_repeated: int = 0
    events: list[str] = field(default_factory=list)
    events_before_the_end: int = 0
    """Troubles that had begun while the pipeline ran."""
    duration_s: float = 0.0

    @property
    def faults(self) -> dict[str, int]:
        """Everything that is not nought and must be."""
        must = {"not_ended": self.not_ended, "verify_exit_code": self.verify_exit_code, **self.oracle}
        return {name: count for name, count in must.items() if count}

    def dump(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)


def can_make_networks() -> bool:
    """Whether this user may make network namespaces, a bridge, and pairs of links."""
    name = f"rf{uuid4().hex[:8]}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "delete", name)
        _ip("link", "add", name, "type", "bridge")
        _ip("link", "delete", name)
    except (OSError, subprocess.CalledProcessError):
        return False
    return os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class Networks:
    """The machines' networks."""

    mark: str
    """Begins the name of everything that is made."""
    net: str
    """First three numbers of all addresses."""

    def address(self, machine: str) -> str:
        """Address of a machine."""
        return f"{self.net}.{MACHINES.index(machine) + 2}"

    def launcher(self, machine: str) -> tuple[str, ...]:
        """Words that run what follows them on a machine: in its network, under its host name."""
        named = f'hostname {machine} && exec "$@"'
        return ("ip", "netns", "exec", f"{self.mark}-{machine}", "unshare", "--uts", "sh", "-c", named, "sh")

    def cut(self, machine: str) -> None:
        """Take a machine off the network; packets are lost in silence."""
        _ip("link", "set", self._link(machine), "down")

    def join(self, machine: str) -> None:
        """Bring it back."""
        _ip("link", "set", self._link(machine), "up")

    def _link(self, machine: str) -> str:
        return f"{self.mark}{MACHINES.index(machine)}"


@contextmanager
def make_networks() -> Iterator[Networks]:
    """Make a network for each machine, joined by a bridge, and remove all of it."""
    mark = f"rf{uuid4().hex[:6]}"
    networks = Networks(mark, f"10.{int(mark[2:4], 16)}.{int(mark[4:6], 16)}")
    _ip("link", "add", mark, "type", "bridge")
    try:
        _ip("address", "add", f"{networks.net}.1/24", "dev", mark)
        _ip("link", "set", mark, "up")
        for index, machine in enumerate(MACHINES):
            name, link = f"{mark}-{machine}", f"{mark}{index}"
            _ip("netns", "add", name)
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", link, "master", mark, "up")
            _ip("-n", name, "address", "add", f"{networks.address(machine)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")
        yield networks
    finally:
        for machine in MACHINES:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", f"{mark}-{machine}")
        _ip("link", "delete", mark)


class Postgres:
    """A PostgreSQL of one's own, on one machine, reached over TCP by all."""

    def __init__(self, folder: Path, networks: Networks) -> None:
        self._data = folder / "data"
        self._log = folder / "log"
        self._networks = networks
        self._process: subprocess.Popen[bytes] | None = None
        nobody = pwd.getpwnam("nobody")
        folder.mkdir()
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        self._as_nobody = (
            "setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
        )  # fmt: skip
        subprocess.run(
            [
                *self._as_nobody, find_bin_dir() / "initdb", "--auth=trust", "--username=referee", "--encoding=UTF8",
                "--locale=C", f"--pgdata={self._data}",
            ],
            check=True, capture_output=True, cwd=folder, env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {networks.net}.0/24 trust\n")

    @property
    def url(self) -> str:
        """For ``REFEREE_DATABASE_URL``."""
        return f"postgresql://referee@{self._networks.address('database')}/referee"

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._networks.launcher("database"), *self._as_nobody, str(find_bin_dir() / "postgres"),
                    "-D", str(self._data), "-c", f"listen_addresses={self._networks.address('database')}",
                    "-c", "unix_socket_directories=", "-c", "max_connections=200",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._data.parent, start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )  # fmt: skip
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                with psycopg.connect(self.url, dbname="postgres", connect_timeout=2, autocommit=True) as it:
                    if it.execute("SELECT 1 FROM pg_database WHERE datname = 'referee'").fetchone() is None:
                        it.execute("CREATE DATABASE referee")
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline_s, self._log.read_text(errors="replace")[-2_000:]
                time.sleep(0.2)

    def stop(self) -> None:
        """End it at once, as ``pg_ctl stop --mode=immediate`` does."""
        if self._process is not None:
            with suppress(OSError, ValueError, IndexError):
                os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
            self._process.wait()
            self._process = None


class Machines:
    """Everything that runs."""

    def __init__(self, base: Path, tools_dir: Path, networks: Networks) -> None:
        self.base = base
        self.networks = networks
        self.postgres = Postgres(base / "postgres", networks)
        self.s3 = S3Server(base / "s3", host=networks.address("s3"), launcher=networks.launcher("s3"))
        self.url = f"http://{networks.address('server')}:{SERVER_PORT}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.headers: dict[str, str] = {}
        (base / "tmp").mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("REFEREE_")},
            "REFEREE_HOME": str(base / "home"),
            "REFEREE_TOOLS_DIR": str(tools_dir),
            "REFEREE_DATABASE_URL": self.postgres.url,
            "REFEREE_ALLOWED_ROOTS": str(base / "models"),
            "REFEREE_LOG_FORMAT": "json",
            "TMPDIR": str(base / "tmp"),
            **self.s3.variables("many"),
        }

    def start(self, machine: str, *arguments: str, **variables: str) -> None:
        """Start a process of Referee on a machine."""
        with (self.base / f"{machine}.log").open("ab") as log:
            self.processes[machine] = subprocess.Popen(
                [*self.networks.launcher(machine), sys.executable, "-m", "referee", *arguments],
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Referee here, in the network of the bridge."""
        return subprocess.run(
            [sys.executable, "-m", "referee", *arguments],
            env=self.environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    def start_all(self) -> None:
        """Start everything, and return when all workers and the analyzer are there."""
        self.postgres.start()
        self.s3.start()
        created = self.run("key", "create", "drill", "--scope", "admin")
        assert created.returncode == 0, created.stderr
        key = created.stdout.split()[0]
        self.headers = {"Authorization": f"Bearer {key}"}
        self.start("server", "up", "--host", self.networks.address("server"), "--port", str(SERVER_PORT))
        self._wait(lambda: self.get("/ready") is not None, "the server is not ready")
        for number in (1, 2, 3):
            self.start(f"worker{number}", "worker")
        relay = [sys.executable, "-c", RELAY, self.networks.address("server"), str(SERVER_PORT)]
        self.processes["relay"] = subprocess.Popen(
            [*self.networks.launcher("analyzer"), *relay], stdin=subprocess.DEVNULL, start_new_session=True
        )
        self.start(
            "analyzer", "analyzer", "--services", "static", "--name", "analyzer", "--server",
            f"ws://127.0.0.1:{SERVER_PORT}", REFEREE_HOME=str(self.base / "analyzer-home"),
            REFEREE_ANALYZER_KEY=key, REFEREE_DATABASE_URL="", REFEREE_ARTIFACTS_URL="",
        )  # fmt: skip
        self._wait(
            lambda: any(
                one["is_connected"] for one in (self.get("/v1/analyzers") or {}).get("analyzers", ())
            ),
            "the analyzer did not connect",
        )
        self._wait(lambda: self.count_workers() == 4, "not all workers are there")

    def get(self, path: str) -> Any:
        """Return what the server answers, or None."""
        with suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(f"{self.url}{path}", headers=self.headers, timeout=20, trust_env=False)
            if answer.status_code == 200:
                return answer.json()
        return None

    def count_workers(self) -> int:
        """Return how many leases of workers live."""
        return int(self.scalar("SELECT count(*) FROM worker_leases WHERE expires_at > clock_timestamp()"))

    def scalar(self, statement: str) -> Any:
        """Ask the database."""
        with psycopg.connect(self.postgres.url, connect_timeout=10) as connection:
            row = connection.execute(statement).fetchone()
            assert row is not None
            return row[0]

    def list_rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database for rows."""
        with psycopg.connect(self.postgres.url, connect_timeout=10) as connection:
            return connection.execute(statement).fetchall()

    def kill(self, machine: str) -> None:
        """End a machine's process as a power cut would, with what it started."""
        process = self.processes.pop(machine)
        with suppress(psutil.NoSuchProcess):
            for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        process.wait()

    def stop(self) -> None:
        """End everything: Referee's own in good order, then S3 and the database."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for machine in list(self.processes):
            with suppress(subprocess.TimeoutExpired):
                self.processes[machine].wait(60)
            self.kill(machine)
        self.s3.kill()
        self.postgres.stop()

    def _wait(self, is_so: Callable[[], bool], otherwise: str) -> None:
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not is_so():
            for machine, process in self.processes.items():
                assert process.poll() is None, f"{machine} ended: {self._read_log(machine)}"
            assert time.monotonic() < deadline_s, f"{otherwise}: {self._read_log('server')}"
            time.sleep(0.2)

    def _read_log(self, machine: str) -> str:
        path = self.base / f"{machine}.log"
        return path.read_text(errors="replace")[-3_000:] if path.exists() else ""


def run_many_machines(
    base: Path, tools_dir: Path, *, tell: Callable[[str], None] = lambda _: None
) -> MachinesCount:
    """Run the pipeline through all troubles, and count.

    Args:
        base: An empty folder that the user nobody may pass through.
        tools_dir: Installed tools.
        tell: Is told each trouble.
    """
    count = MachinesCount()
    begun_s = time.monotonic()
    _write_apps(base / "models")
    with make_networks() as networks:
        machines = Machines(base, tools_dir, networks)
        try:
            machines.start_all()
            tell(f"all machines are there after {time.monotonic() - begun_s:.0f} s")
            pipeline_id = _submit(machines)
            started_s = time.monotonic()

            def note(words: str) -> None:
                count.events.append(f"{time.monotonic() - started_s:.0f} s: {words}")
                tell(count.events[-1])

            troubles = [
                threading.Thread(target=trouble, args=(machines, note), daemon=True)
                for trouble in (_kill_worker, _cut_worker, _restart_database, _stop_s3)
            ]
            for trouble in troubles:
                trouble.start()
            has_ended = _wait_for_end(machines, pipeline_id, count)
            count.not_ended = int(not has_ended)
            note(f"the pipeline has {'' if has_ended else 'not '}ended")
            for trouble in troubles:
                trouble.join(180)
            _judge(machines, count)
            verified = machines.run("verify")
            count.verify_exit_code = verified.returncode
            count.verify_told = (verified.stdout + verified.stderr)[-2_000:]
        finally:
            machines.stop()
    count.duration_s = time.monotonic() - begun_s
    return count


def _write_apps(folder: Path) -> None:
    for model in MODELS:
        for number in range(1, APPS_EACH + 1):
            app = folder / model / f"app{number}"
            app.mkdir(parents=True)
            (app / "app.py").write_text(APP.format(name=f"{model} {number}"))
            (app / "Procfile").write_text("web: python app.py\n")


def _submit(machines: Machines) -> str:
    definition = {
        "name": "many machines",
        "existing": {"folder": str(machines.base / "models")},
        "analysis": {"tools": list(TOOLS), "is_cache_allowed": False},
        "limits": {"cells_at_once": 2, "attempts": 10, "retry_pauses_s": [1, 5]},
    }
    answer = httpx.post(
        f"{machines.url}/v1/pipelines", json={"definition": definition}, timeout=60, trust_env=False,
        headers={**machines.headers, "Idempotency-Key": uuid4().hex},
    )  # fmt: skip
    assert answer.status_code == 202, answer.text
    return str(answer.json()["pipeline_id"])


def _wait_for_end(machines: Machines, pipeline_id: str, count: MachinesCount) -> bool:
    deadline_s = time.monotonic() + END_TIMEOUT_S
    while time.monotonic() < deadline_s:
        pipeline: Mapping[str, Any] | None = machines.get(f"/v1/pipelines/{pipeline_id}")
        if pipeline is not None and pipeline["finished_at"] is not None:
            return True
        count.events_before_the_end = len(count.events)
        time.sleep(0.5)
    return False


def _kill_worker(machines: Machines, note: Callable[[str], None]) -> None:
    time.sleep(4)
    machines.kill("worker1")
    note("worker1 is killed and stays away")


def _cut_worker(machines: Machines, note: Callable[[str], None]) -> None:
    time.sleep(6)
    machines.networks.cut("worker2")
    note("worker2 is cut off")
    time.sleep(CUT_S)
    machines.networks.join("worker2")
    note("worker2 is back")


def _restart_database(machines: Machines, note: Callable[[str], None]) -> None:
    time.sleep(14)
    machines.postgres.stop()
    note("the database is ended")
    time.sleep(DATABASE_AWAY_S)
    machines.postgres.start()
    note("the database is back")


def _stop_s3(machines: Machines, note: Callable[[str], None]) -> None:
    time.sleep(28)
    machines.s3.kill()
    note("S3 is ended")
    time.sleep(S3_AWAY_S)
    machines.s3.start()
    note("S3 is back")


def _judge(machines: Machines, count: MachinesCount) -> None:
    deadline_s = time.monotonic() + 90
    while True:
        count.oracle = {name: int(machines.scalar(statement)) for name, statement in ORACLE.items()}
        if not any(count.oracle.values()) or time.monotonic() > deadline_s:
            break
        time.sleep(1)
    rows = machines.list_rows("SELECT state, reason FROM cells WHERE NOT is_valid OR state <> 'completed'")
    count.reasons = [f"{state}: {reason}" for state, reason in rows]
    count.cells_tried_again = machines.scalar("SELECT count(*) FROM cells WHERE tries_count > 1")
    count.tool_runs_repeated = machines.scalar("SELECT count(*) FROM tool_runs WHERE attempts_count > 1")
    accepted = machines.list_rows(
        "SELECT executor_id, count(*) FROM tool_run_attempts WHERE is_accepted GROUP BY 1 ORDER BY 1"
    )
    count.executors = {str(executor): int(number) for executor, number in accepted}


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
