"""``kill -9`` of the server, or of a process of its database, while spans arrive.

A client here does what an exporter does: it sends a request again until it is acknowledged. What was acknowledged must
be there exactly once, and sums of sessions must say the same.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from tests.faults.marked_apps import find_free_port
from tests.traces.requests import make_request, make_span

__all__ = ["RunningServer", "TraceCount", "run_trace_kills"]

READY_S = 300.0
CLIENTS = 4
SPANS_PER_REQUEST = 25
EVENTS_PER_PAGE = 5_000
TARGETS = ("server", "server", "server", "server", "backend")


@dataclass(slots=True)
class TraceCount:
    """What was counted after the last kill."""

    kills: int = 0
    acknowledged: int = 0
    sent_again: int = 0
    """Requests that got no answer and were sent once more."""
    lost: int = 0
    doubled: int = 0
    sums_wrong: int = 0
    """How far the sums of sessions are from the spans that are there."""
    server_errors: int = 0
    """Answers of 500."""

    @property
    def faults(self) -> dict[str, int]:
        """What must be 0 and is not."""
        found = {name: getattr(self, name) for name in ("lost", "doubled", "sums_wrong", "server_errors")}
        return {name: value for name, value in found.items() if value}


class RunningServer:
    """A server on a home of its own, which can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = find_free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
        deadline_s = time.monotonic() + 60
        while self.list_database_processes() and time.monotonic() < deadline_s:
            time.sleep(0.1)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        environment = {**os.environ, "REFEREE_HOME": str(self.home), "REFEREE_DATABASE_IDLE_STOP_S": "2"}
        program = str(Path(sys.executable).with_name("referee"))
        self.home.mkdir(exist_ok=True)
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "up", "--port", str(self.port)], env=environment, stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + READY_S
        while True:
            try:
                if httpx.get(f"{self.base}/ready", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError((self.home / "server.log").read_text()[-2_000:])
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the server as a loss of power would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def kill_backend(self, chooser: random.Random) -> None:
        """Kill one process that serves a connection; PostgreSQL then throws all of them out and recovers."""
        serving: list[psutil.Process] = []
        for process in self.list_database_processes():
            with contextlib.suppress(psutil.Error):
                if "postgres: postgres referee" in " ".join(process.cmdline()):
                    serving.append(process)
        if serving:
            with contextlib.suppress(psutil.Error):
                chooser.choice(serving).kill()

    def list_database_processes(self) -> list[psutil.Process]:
        """Return the database's first process and all below it."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if str(self.home / "database") in words and "-D" in words:
                    found += [process, *process.children(recursive=True)]
            except psutil.Error:
                continue
        return found


def run_trace_kills(
    folder: Path, *, kills: int, seed: int, tell: Callable[[str], None] = lambda _: None
) -> TraceCount:
    """Send spans from several clients, kill at random, and count when all is over."""
    chooser, count = random.Random(seed), TraceCount()
    with RunningServer(folder / "home") as server:
        stop = threading.Event()
        clients = [_Client(server.base, number, stop) for number in range(CLIENTS)]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        try:
            for number in range(kills):
                time.sleep(chooser.uniform(0.3, 2.0))
                target = chooser.choice(TARGETS) if number else "backend"
                if target == "server":
                    server.kill()
                    server.start()
                else:
                    server.kill_backend(chooser)
                count.kills += 1
                tell(
                    f"{number + 1}: {target} killed, {sum(len(one.acknowledged) for one in clients)} acknowledged"
                )
            time.sleep(1)
        finally:
            stop.set()
            for thread in threads:
                thread.join(120)
        _count_up(server.base, clients, count)
    return count


class _Client:
    def __init__(self, base: str, number: int, stop: threading.Event) -> None:
        self.base, self.number, self.stop = base, number, stop
        self.acknowledged: list[str] = []
        self.sent_again = self.server_errors = 0

    def run(self) -> None:
        """Send one request after another; each until it is acknowledged, also after the end was called."""
        request_number = 0
        with httpx.Client(base_url=self.base, timeout=30, trust_env=False) as client:
            while not self.stop.is_set():
                names, body = self._make(request_number)
                request_number += 1
                while not self._send(client, body):
                    self.sent_again += 1
                    time.sleep(0.05)
                self.acknowledged += names

    def _make(self, request_number: int) -> tuple[list[str], bytes]:
        trace_id = (self.number + 1).to_bytes(8, "big") + request_number.to_bytes(8, "big")
        names = [f"c{self.number}-{request_number}-{number}" for number in range(SPANS_PER_REQUEST)]
        spans = [
            make_span(
                number + 1,
                trace_id=trace_id,
                parent=number or None,
                name=name,
                honeyhive__session_id=f"session-{self.number}",
            )
            for number, name in enumerate(names)
        ]
        return names, make_request(spans)

    def _send(self, client: httpx.Client, body: bytes) -> bool:
        try:
            answer = client.post(
                "/v1/traces", content=body, headers={"Content-Type": "application/x-protobuf"}
            )
        except httpx.HTTPError:
            return False
        self.server_errors += answer.status_code == 500
        return answer.status_code == 200


def _count_up(base: str, clients: Sequence[_Client], count: TraceCount) -> None:
    acknowledged = {name for client in clients for name in client.acknowledged}
    shown: Counter[str] = Counter()
    with httpx.Client(base_url=base, timeout=120, trust_env=False) as client:
        page = 1
        while True:
            wanted = {"filters": [], "limit": EVENTS_PER_PAGE, "page": page, "projections": ["event_name"]}
            answer = client.post("/v1/events/export", json=wanted).raise_for_status().json()
            shown.update(event["event_name"] for event in answer["events"])
            if len(answer["events"]) < EVENTS_PER_PAGE:
                break
            page += 1
        sessions = client.get("/v1/sessions").raise_for_status().json()["items"]
    count.acknowledged = len(acknowledged)
    count.sent_again = sum(client.sent_again for client in clients)
    count.server_errors = sum(client.server_errors for client in clients)
    count.lost = len(acknowledged - set(shown))
    count.doubled = sum(number - 1 for number in shown.values())
    count.sums_wrong = abs(sum(session["events_count"] for session in sessions) - sum(shown.values()))
