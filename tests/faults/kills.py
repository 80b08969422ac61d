"""Kill Referee's processes at random while analyses run, then count what is lost and what is double.

A client submits small analyses over HTTP and notes every acknowledgement in a
journal that is fsynced before the next request. Processes are ended by
``kill -9`` at random instants and started again. At the end everything that was
acknowledged must have ended, once, and every count must agree. The bench
(``bench/faults.py``) runs the same with more kills.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from referee.foundation.settings import load_settings
from referee.foundation.store import open_database

__all__ = ["Count", "Herd", "run_kills"]

READY_TIMEOUT_S = 120.0
END_TIMEOUT_S = 420.0
OUTSTANDING_MAX_COUNT = 6
TOOLS = ("bandit", "vulture", "radon", "jshint", "ruff")

UNFINISHED = "SELECT count(*) FROM analyses WHERE state IN ('queued', 'running')"

ORACLE = {
    "tool_runs_without_outcome": "SELECT count(*) FROM tool_runs WHERE outcome IS NULL",
    "tool_runs_with_two_accepted_results": """
        SELECT count(*) FROM (SELECT tool_run_id FROM tool_run_attempts WHERE is_accepted
                               GROUP BY tool_run_id HAVING count(*) > 1) AS doubled""",
    "tool_runs_that_ran_without_an_accepted_result": """
        SELECT count(*) FROM tool_runs
         WHERE did_run AND cached_from_tool_run_id IS NULL AND outcome <> 'cancelled' AND NOT EXISTS (
             SELECT 1 FROM tool_run_attempts AS tries
              WHERE tries.tool_run_id = tool_runs.tool_run_id AND tries.is_accepted)""",
    "tool_runs_that_did_not_succeed": """
        SELECT count(*) FROM tool_runs WHERE outcome NOT IN ('succeeded', 'not_applicable')""",
    "tool_runs_with_other_findings_than_counted": """
        SELECT count(*) FROM tool_runs WHERE findings_count + suppressed_count <> (
            SELECT count(*) FROM occurrences WHERE occurrences.tool_run_id = tool_runs.tool_run_id)""",
    "tool_runs_missing": """
        SELECT count(*) FROM analyses WHERE 5 <> (
            SELECT count(*) FROM tool_runs WHERE tool_runs.analysis_id = analyses.analysis_id)""",
    "analyses_with_two_jobs": """
        SELECT count(*) FROM (SELECT arguments_json ->> 'analysis_id' FROM jobs WHERE kind = 'analysis.run'
                               GROUP BY 1 HAVING count(*) > 1) AS doubled""",
    "analyses_not_completed": "SELECT count(*) FROM analyses WHERE state <> 'completed'",
    "jobs_not_ended": "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND kind LIKE 'analysis.%'",
}  # fmt: skip
"""What must be nought in the database when everything has ended."""


@dataclass(slots=True, kw_only=True)
class Count:
    """What became of one run. Everything from ``lost`` to ``processes_left`` must be nought."""

    seed: int
    kills: int = 0
    kills_by_target: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    not_ended: int = 0
    disagreeing: int = 0
    problems_found_by_verify: int = 0
    processes_left: int = 0
    oracle: dict[str, int] = field(default_factory=dict)
    attempts_repeated: int = 0
    """Tool runs that needed more than one attempt: proof that kills hit running tools."""
    ready_s: list[float] = field(default_factory=list)
    """From start to ``/ready``, for each start of the server."""
    taken_over_s: list[float] = field(default_factory=list)
    """From the kill of a worker, or from the start of the next one if none was left, until its jobs were
    taken over."""
    duration_s: float = 0.0

    @property
    def faults(self) -> dict[str, int]:
        """Everything that is not nought and must be."""
        must = {
            name: getattr(self, name)
            for name in (
                "lost", "doubled", "not_ended", "disagreeing", "problems_found_by_verify", "processes_left",
            )
        }  # fmt: skip
        return {name: count for name, count in {**must, **self.oracle}.items() if count}

    def dump(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)


class Herd:
    """The processes of one home: a server, a worker beside it, their database; each may be killed.

    Args:
        base: Folder for the home, logs and temporary files.
        tools_dir: Installed tools.
        has_worker: Whether a worker runs beside the server.
    """

    def __init__(self, base: Path, tools_dir: Path, *, has_worker: bool) -> None:
        self.home = base / "home"
        self.logs = base / "logs"
        self.temporary = base / "tmp"
        self.has_worker = has_worker
        for folder in (self.home, self.logs, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)
        self.port = _find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("REFEREE_")},
            "REFEREE_HOME": str(self.home),
            "REFEREE_TOOLS_DIR": str(tools_dir),
            "REFEREE_LOG_FORMAT": "json",
            "REFEREE_DATABASE_IDLE_STOP_S": "1",
            "TMPDIR": str(self.temporary),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._starts_count = 0

    def start(self, target: str) -> None:
        """Start the server or the worker."""
        self._starts_count += 1
        arguments = ["up", "--port", str(self.port)] if target == "server" else ["worker"]
        with (self.logs / f"{self._starts_count:04d}-{target}.log").open("wb") as log:
            self.processes[target] = subprocess.Popen(
                [sys.executable, "-m", "referee", *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def start_all(self) -> float:
        """Start whatever does not run, and return the seconds until the server is ready."""
        begun_s = time.monotonic()
        for target in ("server", "worker") if self.has_worker else ("server",):
            process = self.processes.get(target)
            if process is None or process.poll() is not None:
                self.start(target)
        while not self.is_ready():
            if self.processes["server"].poll() is not None:
                raise AssertionError(f"the server ended by itself: {self.read_last_log()}")
            if time.monotonic() - begun_s > READY_TIMEOUT_S:
                raise AssertionError(f"the server is not ready: {self.read_last_log()}")
            time.sleep(0.02)
        return time.monotonic() - begun_s

    def is_ready(self) -> bool:
        """Whether the server takes work."""
        try:
            return httpx.get(f"{self.url}/ready", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self, target: str) -> None:
        """End a process as a power cut would: the server, the worker, the database or its supervisor."""
        if target in ("server", "worker"):
            process = self.processes[target]
            process.kill()
            process.wait()
            return
        file = "database.lock" if target == "supervisor" else "database/postmaster.pid"
        try:
            os.kill(int((self.home / file).read_text().split()[0]), signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            return  # It is just being started.

    def stop(self) -> None:
        """Stop everything in good order."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def list_left(self) -> list[str]:
        """Return the command lines of processes that still belong to this home."""
        found = []
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                environment = process.environ()
            except psutil.Error:
                continue
            if process.pid != os.getpid() and (
                str(self.home) in words
                or environment.get("REFEREE_HOME") == str(self.home)
                or environment.get("HOME", "").startswith(f"{self.home}/")
            ):
                found.append(words)
        return found

    def read_last_log(self) -> str:
        """Return the end of the latest log."""
        return sorted(self.logs.iterdir())[-1].read_text(errors="replace")[-3_000:]

    def verify(self) -> list[str]:
        """Return the problems that ``referee verify`` names."""
        result = subprocess.run(
            [sys.executable, "-m", "referee", "verify", "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if result.returncode == 0:
            return []
        return result.stdout.splitlines() or [result.stderr]


class Client(threading.Thread):
    """Submits analyses for as long as it may, and notes each acknowledgement on disk before the next."""

    def __init__(self, herd: Herd, subjects: list[Path], journal: Path, choose: random.Random) -> None:
        super().__init__(daemon=True)
        self._herd = herd
        self._subjects = subjects
        self._choose = choose
        self._journal = journal
        self._over = threading.Event()
        self.sent: set[str] = set()
        self.failure: str | None = None

    def run(self) -> None:
        """Submit one after another; an answer that was lost is asked for again with the same key."""
        with self._journal.open("w") as journal, httpx.Client(timeout=20, trust_env=False) as client:
            while not self._over.is_set():
                key = uuid4().hex
                self.sent.add(key)
                analysis_id = self._submit(client, key, str(self._choose.choice(self._subjects)))
                if analysis_id is None:
                    continue
                journal.write(json.dumps({"key": key, "analysis_id": analysis_id}) + "\n")
                journal.flush()
                os.fsync(journal.fileno())
                self._wait_for_room(client)

    def finish(self) -> dict[str, str]:
        """Stop, and return the journal: key → analysis id."""
        self._over.set()
        self.join(120)
        lines = (json.loads(line) for line in self._journal.read_text().splitlines())
        return {line["key"]: line["analysis_id"] for line in lines}

    def _submit(self, client: httpx.Client, key: str, path: str) -> str | None:
        body = {"path": path, "tools": list(TOOLS)}
        while not self._over.is_set():
            try:
                answer = client.post(
                    f"{self._herd.url}/v1/analyses", json=body, headers={"Idempotency-Key": key}
                )
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 202:
                return str(answer.json()["analysis_id"])
            if answer.status_code < 500 and answer.status_code != 429:
                self.failure = answer.text
                return None
            time.sleep(0.05)
        return None

    def _wait_for_room(self, client: httpx.Client) -> None:
        """Keep few analyses unfinished, so that kills hit running ones and the end is near."""
        while not self._over.is_set():
            try:
                answer = client.get(
                    f"{self._herd.url}/v1/analyses",
                    params={"filter": "state:queued OR state:running", "limit": 1},
                ).json()
                if answer["total_count"] < OUTSTANDING_MAX_COUNT:
                    return
            except (httpx.HTTPError, KeyError, ValueError):
                pass
            time.sleep(0.1)


def run_kills(
    base: Path,
    tools_dir: Path,
    *,
    kills: int,
    seed: int,
    targets: tuple[str, ...] = ("server", "server", "worker"),
    tell: Callable[[str], None] = lambda _: None,
) -> Count:
    """Kill processes again and again while analyses run, and count.

    Args:
        base: An empty folder.
        tools_dir: Installed tools.
        kills: How often.
        seed: Of everything that is random here.
        targets: What is killed, chosen evenly.
        tell: Is told each kill.
    """
    choose = random.Random(seed)
    begun_s = time.monotonic()
    killed_at: list[datetime] = []
    count = Count(seed=seed)
    herd = Herd(base, tools_dir, has_worker="worker" in targets)
    client = Client(herd, write_subjects(base / "subjects", choose), base / "journal", choose)
    try:
        count.ready_s.append(herd.start_all())
        client.start()
        for number in range(1, kills + 1):
            target = choose.choice(targets)
            time.sleep(choose.expovariate(1 / 1.5) + 0.05)
            herd.kill(target)
            killed_at.append(datetime.now(UTC))
            count.kills += 1
            count.kills_by_target[target] = count.kills_by_target.get(target, 0) + 1
            # Now and then the next kill hits a process that is just starting.
            if target in ("server", "worker") and choose.random() < 0.2:
                herd.start(target)
                continue
            count.ready_s.append(herd.start_all())
            tell(f"kill {number} of {kills}: {target}, ready after {count.ready_s[-1]:.1f} s")
        herd.start_all()
        journal = client.finish()
        count.sent, count.acknowledged = len(client.sent), len(journal)
        assert client.failure is None, client.failure
        asyncio.run(_judge(herd, client, journal, count))
        count.disagreeing = _compare_surfaces(herd, journal)
    finally:
        client.finish()
        herd.stop()
    count.problems_found_by_verify = len(herd.verify())
    count.processes_left = len(_wait_until_left(herd))
    count.taken_over_s = _read_take_overs(herd.logs, killed_at)
    count.duration_s = time.monotonic() - begun_s
    return count


def write_subjects(folder: Path, choose: random.Random) -> list[Path]:
    """Write small folders that differ."""
    subjects = []
    for number in range(60):
        subject = folder / f"subject-{number}"
        subject.mkdir(parents=True)
        for module in range(choose.randint(1, 4)):
            calls = "\n".join(
                f"def run_{index}(name):\n    return subprocess.call('ls {number} ' + name, shell=True)\n"
                for index in range(choose.randint(0, 12))
            )
            (subject / f"module_{module}.py").write_text(f"import subprocess\nSEED = {number}\n\n{calls}\n")
        if choose.random() < 0.4:
            (subject / "page.js").write_text(f"var a = {number}\nif (a = 1) {{ eval('a') }}\n")
        subjects.append(subject)
    return subjects


async def _judge(herd: Herd, client: Client, journal: dict[str, str], count: Count) -> None:
    settings = load_settings(home=herd.home, database_idle_stop_s=1.0)
    database = await open_database(settings)
    try:
        deadline_s = time.monotonic() + END_TIMEOUT_S
        while True:
            async with database.reading() as session:
                unfinished = await _scalar(session, UNFINISHED)
            if unfinished == 0 or time.monotonic() > deadline_s:
                break
            await asyncio.sleep(0.25)
        await asyncio.sleep(2.5)  # the jobs of analyses that have ended note their own end
        count.not_ended = unfinished
        async with database.reading() as session:
            rows = (await session.execute(text("SELECT idempotency_key, analysis_id FROM analyses"))).all()
            stored = [(str(key), str(analysis_id)) for key, analysis_id in rows]
            count.oracle = {name: await _scalar(session, statement) for name, statement in ORACLE.items()}
            count.attempts_repeated = await _scalar(
                session, "SELECT count(*) FROM tool_runs WHERE attempts_count > 1"
            )
    finally:
        await database.close()
    count.lost = sum((key, analysis_id) not in set(stored) for key, analysis_id in journal.items())
    count.doubled = len(stored) - len({key for key, _ in stored})
    count.doubled += sum(key not in client.sent for key, _ in stored)


async def _scalar(session: AsyncSession, statement: str) -> int:
    return int((await session.execute(text(statement))).scalar_one())


def _compare_surfaces(herd: Herd, journal: dict[str, str]) -> int:
    """Return how many analyses say other numbers in the API, in their ledger and in their files."""
    wrong = 0
    with httpx.Client(base_url=herd.url, timeout=30, trust_env=False) as client:
        for analysis_id in journal.values():
            analysis = client.get(f"/v1/analyses/{analysis_id}").json()
            listed = client.get(f"/v1/analyses/{analysis_id}/findings", params={"limit": 1}).json()
            folder = herd.home / "results" / str(analysis["results_path"])
            manifest = json.loads((folder / "manifest.json").read_text())
            summary = json.loads((folder / manifest["primary_result"]).read_text())["results"]["summary"]
            counted = sum(run["findings_count"] or 0 for run in analysis["tool_runs"])
            suppressed = sum(run["suppressed_count"] or 0 for run in analysis["tool_runs"])
            if (listed["total_count"], summary["total_findings"]) != (counted + suppressed, counted):
                wrong += 1
    return wrong


def _wait_until_left(herd: Herd) -> list[str]:
    """Return what is still there after the time in which a database without clients stops."""
    deadline_s = time.monotonic() + 20
    while (left := herd.list_left()) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return left


def _read_take_overs(logs: Path, killed_at: list[datetime]) -> list[float]:
    """Return how long jobs of dead workers waited: since the last kill, or since the worker that took them began."""
    found = []
    for log in sorted(logs.iterdir()):
        started_at: datetime | None = None
        for line in log.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
                at = datetime.fromisoformat(entry["at"])
            except (ValueError, KeyError, TypeError):
                continue
            if entry.get("event") == "worker.started":
                started_at = at
            if entry.get("event") == "worker.taken_over" and started_at and entry.get("jobs_count"):
                since = max([started_at, *(killed for killed in killed_at if killed <= at)])
                found.append((at - since).total_seconds())
    return found


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
