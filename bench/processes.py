"""How fast the command line and the server start, and what an idle server takes."""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
from bench.measuring import Measured, temporary_folder, tools_dir

__all__ = ["find_free_port", "list_home_processes", "measure_command", "measure_server"]

REPEATS = 9
IDLE_S = 20.0


def measure_command() -> list[Measured]:
    """Time ``referee --help``."""
    program = str(Path(sys.executable).with_name("referee"))
    times = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(REPEATS):
        begun_s = time.perf_counter()
        subprocess.run([program, "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - begun_s) * 1000)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_ms = (used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime) * 1000 / REPEATS
    return [
        Measured(
            name="`referee --help`, median of 9",
            value=statistics.median(times),
            unit="ms",
            goal=300,
            details={"all_ms": times},
        ),
        Measured(name="… its processor time, mean", value=cpu_ms, unit="ms"),
    ]


def measure_server() -> list[Measured]:
    """Time ``referee up`` on a home that was used before, then look at its memory when idle."""
    with temporary_folder() as folder:
        environment = {
            **os.environ,
            "REFEREE_HOME": str(folder / "home"),
            "REFEREE_TOOLS_DIR": str(tools_dir()),
            "REFEREE_DATABASE_IDLE_STOP_S": "0",
        }
        _start(environment).terminate_and_wait()
        ready, cpu = [], []
        for _ in range(3):
            server = _start(environment)
            ready.append(server.ready_s)
            cpu.append(server.cpu_s())
            if len(ready) < 3:
                server.terminate_and_wait()
        begun_s = time.perf_counter()
        time.sleep(IDLE_S)
        cpu_s = server.cpu_s()
        time.sleep(IDLE_S)
        busy_share = (server.cpu_s() - cpu_s) / IDLE_S
        memory = server.memory_bytes()
        idle_s = time.perf_counter() - begun_s
        server.terminate_and_wait()
    return [
        Measured(
            name="`referee up` until ready, warm, median of 3",
            value=statistics.median(ready),
            unit="s",
            goal=3.0,
            details={"all_s": ready},
        ),
        Measured(name="… its processor time, median", value=statistics.median(cpu), unit="s"),
        Measured(
            name="idle memory of server and database (PSS)",
            value=sum(memory.values()) / 1e6,
            unit="MB",
            goal=300,
            details={"by_process_bytes": memory, "idle_s": idle_s},
        ),
        Measured(
            name="idle processor time of server and database",
            value=busy_share * 100,
            unit="% of a core",
            goal=3,
        ),
    ]


class _Server:
    """A running server and the time it took to be ready."""

    def __init__(self, process: subprocess.Popen[bytes], ready_s: float, home: str) -> None:
        self.process = process
        self.ready_s = ready_s
        self._home = home

    def list_processes(self) -> list[psutil.Process]:
        """Return the server, the database's supervisor and all of the database's processes."""
        return list_home_processes(self._home)

    def memory_bytes(self) -> dict[str, int]:
        """Return the proportional share of memory of each process."""
        found = {}
        for process in self.list_processes():
            try:
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
                name = " ".join(process.cmdline())[:80] or process.name()
            except (OSError, psutil.Error):
                continue
            kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            found[f"{process.pid} {name}"] = kibibytes * 1024
        return found

    def cpu_s(self) -> float:
        """Return the processor time of all so far."""
        total = 0.0
        for process in self.list_processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
        return total

    def terminate_and_wait(self) -> None:
        """Stop it in good order, with its database."""
        self.process.terminate()
        self.process.wait(60)
        deadline_s = time.monotonic() + 30
        while self.list_processes() and time.monotonic() < deadline_s:
            time.sleep(0.05)


def _start(environment: dict[str, str]) -> _Server:
    port = find_free_port()
    begun_s = time.perf_counter()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("referee")), "up", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5, trust_env=False).status_code == 200:
                return _Server(process, time.perf_counter() - begun_s, environment["REFEREE_HOME"])
        except httpx.HTTPError:
            if process.poll() is not None:
                raise AssertionError(f"the server ended with {process.returncode}") from None
        time.sleep(0.01)


def list_home_processes(home: str) -> list[psutil.Process]:
    """Return every process that works for a home, and what they started."""
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("REFEREE_HOME") == home or any(
                home in word for word in process.cmdline()
            )
        except psutil.Error:
            continue
        if is_ours and process.pid != os.getpid():
            found += [process, *process.children(recursive=True)]
    return list({process.pid: process for process in found}.values())


def find_free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
