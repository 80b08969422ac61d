"""How fast a large result comes from an analyzer to the server, beside a plain upload, and at what memory."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
import uvicorn
from bench.measuring import Measured, temporary_folder, tools_dir
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from referee.analysis.analyzers.client import (
    CUTS_BEFORE_PUT_COUNT,
    AnalyzerClient,
    AnalyzerProfile,
    Report,
)
from referee.analysis.analyzers.connecting import ServerAddress
from referee.analysis.analyzers.protocol import AnalyzeRequest, ToolOffer, ToolRunOrder
from referee.analysis.analyzers.spool import Spool, SpooledResult
from referee.analysis.running import ToolOutput
from referee.core.ids import new_id
from referee.core.vocabulary import Outcome, Service
from referee.tools.contract import RawOutput, ToolPlan

__all__ = ["measure_analyzers"]

STREAMS = 4
STREAM_BYTES = 25_000_000
TOTAL_BYTES = STREAMS * STREAM_BYTES
"""Of one result: 100 MB in streams that the server's settings allow as they are."""
ROUNDS = 3
PIECE_BYTES = 256 * 1024
VULTURE = b'{"kind": "end", "files": 1}\n'


def measure_analyzers() -> list[Measured]:
    """Hand 100 MB over by WebSocket, by the API's PUT, and by a plain PUT to a file, in turn."""
    with temporary_folder() as folder:
        subject = folder / "subject"
        subject.mkdir()
        (subject / "main.py").write_text("x = 1\n")
        with _start_server(folder / "home") as (address, server_pid), _start_plain(folder) as plain:
            times: dict[str, list[float]] = {"websocket": [], "put": [], "plain": []}
            peaks: dict[str, list[int]] = {"server": [], "analyzer": []}
            with (
                _Analyzer(folder / "by-websocket", address, CUTS_BEFORE_PUT_COUNT) as by_websocket,
                _Analyzer(folder / "by-put", address, 0) as by_put,
            ):
                idle: dict[int, int] = {}
                for number in range(ROUNDS + 1):
                    is_counted = number > 0  # the first is to warm up
                    times["plain"] += [_upload(plain, folder)][: int(is_counted)]
                    by_websocket.connect()
                    grown, took_s = _hand_over(address, subject, by_websocket, server_pid, idle)
                    by_websocket.disconnect()
                    times["websocket"] += [took_s][: int(is_counted)]
                    for process, values in peaks.items():
                        values.append(grown[process])
                    by_put.connect()
                    _, took_s = _hand_over(address, subject, by_put, server_pid, idle)
                    by_put.disconnect()
                    times["put"] += [took_s][: int(is_counted)]
            recorded = re.findall(r"recorded_ms=(\d+)", (folder / "home" / "logs" / "server.log").read_text())
    return _tell(times, peaks, [int(text) for text in recorded])


def _tell(
    times: Mapping[str, list[float]], peaks: Mapping[str, list[int]], recorded_ms: list[int]
) -> list[Measured]:
    medians = {way: statistics.median(values) for way, values in times.items()}
    return [
        Measured(
            name="100 MB result over the WebSocket, recorded, beside a plain PUT to a file",
            value=medians["websocket"] / medians["plain"],
            unit="times as long",
            goal=3.0,
            details={"all_s": dict(times), "recorded_ms": recorded_ms},
        ),
        Measured(name="… over the WebSocket, median of 3", value=medians["websocket"], unit="s"),
        Measured(name="… by PUT to the API, median of 3", value=medians["put"], unit="s"),
        Measured(
            name="plain PUT of 100 MB to a file, flushed, median of 3", value=medians["plain"], unit="s"
        ),
        *(
            Measured(
                name=f"memory of the {process} above idle meanwhile, highest of 4",
                value=max(values) / (1 << 20),
                unit="MB",
                goal=64,
                details={"all_bytes": values},
            )
            for process, values in peaks.items()
        ),
    ]


class _Analyzer:
    """An analyzer in a process of its own, told by lines what to do."""

    def __init__(self, folder: Path, address: str, cuts_before_put_count: int) -> None:
        folder.mkdir()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench.analyzers",
                "analyzer",
                str(folder),
                address,
                str(cuts_before_put_count),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def __enter__(self) -> _Analyzer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def connect(self) -> None:
        self._tell("connect")

    def disconnect(self) -> None:
        self._tell("disconnect")

    def end_request(self) -> None:
        self._tell("end")

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self.read_line() == {"done": word}

    def read_line(self) -> dict[str, object]:
        assert self._process.stdout is not None
        line: dict[str, object] = json.loads(self._process.stdout.readline())
        return line


def _hand_over(
    address: str, subject: Path, analyzer: _Analyzer, server_pid: int, idle: dict[int, int]
) -> tuple[dict[str, int], float]:
    """Have one analysis done; how far each process was above its first idle, and how long the hand-over took."""
    pids = {"server": server_pid, "analyzer": analyzer.pid}
    with httpx.Client(base_url=f"http://{address}", timeout=60) as client:
        _wait(lambda: "static" in client.get("/v1/analyzers").json()["services"])
        for pid in pids.values():
            idle.setdefault(pid, _read_memory(pid, "VmRSS"))
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak counts from here
        request = {"path": str(subject), "tools": ["vulture", "bandit"], "is_cache_allowed": False}
        analysis_id = client.post("/v1/analyses", json=request).raise_for_status().json()["analysis_id"]
        told = analyzer.read_line()
        grown = {name: _read_memory(pid, "VmHWM") - idle[pid] for name, pid in pids.items()}
        detail = client.get(f"/v1/analyses/{analysis_id}").json()
        assert [run["outcome"] for run in detail["tool_runs"] if run["tool"] == "vulture"] == ["succeeded"]
        analyzer.end_request()
        _wait(lambda: client.get(f"/v1/analyses/{analysis_id}").json()["state"] == "completed")
    return grown, float(str(told["took_s"]))


def _wait(look: object) -> None:
    deadline_s = time.monotonic() + 120
    while not look():  # type: ignore[operator]  # a function
        assert time.monotonic() < deadline_s, "not seen within 120 s"
        time.sleep(0.05)


def _read_memory(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _upload(address: str, folder: Path) -> float:
    """Put 100 MB from a file; how long it took."""
    path = folder / "upload"
    if not path.exists():
        path.write_bytes(random.Random(0).randbytes(TOTAL_BYTES))

    def read() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    with httpx.Client(timeout=120) as client:
        begun_s = time.perf_counter()
        client.put(f"http://{address}/", content=read()).raise_for_status()
        return time.perf_counter() - begun_s


@contextmanager
def _start_server(home: Path) -> Iterator[tuple[str, int]]:
    program = str(Path(sys.executable).with_name("referee"))
    environment = {
        **os.environ,
        "REFEREE_HOME": str(home),
        "REFEREE_TOOLS_DIR": str(tools_dir()),
        "REFEREE_DATABASE_IDLE_STOP_S": "0",
    }
    subprocess.run(
        [program, "up", "--detach", "--port", "0"], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    try:
        state = json.loads((home / "server.json").read_text())
        yield f"127.0.0.1:{state['port']}", state["pid"]
    finally:
        subprocess.run([program, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _start_plain(folder: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.analyzers", "plain", str(folder / "plain")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


async def _serve_plain(path: Path) -> None:
    """Serve what writes the body of a PUT to a file and answers when it is flushed."""

    async def put(request: Request) -> Response:
        with path.open("wb") as file:
            async for piece in request.stream():
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(os.fsync, file.fileno())
        return JSONResponse({"size_bytes": path.stat().st_size})

    app = Starlette(routes=[Route("/", put, methods=["PUT"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("{}:{}".format(*server.servers[0].sockets[0].getsockname()[:2]), flush=True)
    await serving


class _Streams(Mapping[str, bytes]):
    """A tool's output whose large streams are views into bytes that were there before: no two are the same."""

    _bytes = memoryview(random.Random(os.getpid()).randbytes(STREAM_BYTES + 1_000))
    _made_count = 0

    def __init__(self) -> None:
        self._first = _Streams._made_count
        _Streams._made_count += STREAMS

    def __getitem__(self, name: str) -> bytes:
        if name == "stdout":
            return VULTURE
        start = self._first + int(name.removeprefix("part"))
        return cast(bytes, self._bytes[start : start + STREAM_BYTES])

    def __iter__(self) -> Iterator[str]:
        return iter(("stdout", *(f"part{number}" for number in range(STREAMS))))

    def __len__(self) -> int:
        return STREAMS + 1


class _TimedSpool(Spool):
    """Tells how long each result waited on the disk."""

    _kept_s = 0.0

    def put(
        self, *, transfer_id: UUID, request_id: UUID, tool_run_id: UUID, service: str, output: ToolOutput
    ) -> SpooledResult:
        result = super().put(
            transfer_id=transfer_id,
            request_id=request_id,
            tool_run_id=tool_run_id,
            service=service,
            output=output,
        )
        self._kept_s = time.perf_counter()
        return result

    def remove(self, result: SpooledResult) -> None:
        took_s = time.perf_counter() - self._kept_s
        super().remove(result)
        if result.total_bytes > TOTAL_BYTES:
            print(json.dumps({"took_s": took_s, "total_bytes": result.total_bytes}), flush=True)


async def _be_analyzer(folder: Path, address: str, cuts_before_put_count: int) -> None:
    """Connect, disconnect and end requests as the lines on standard input say."""
    may_end = asyncio.Event()

    async def execute(
        request: AnalyzeRequest, report: Report
    ) -> AsyncIterator[tuple[ToolRunOrder, ToolOutput]]:
        orders = {order.tool: order for order in request.tool_runs}
        streams = _Streams()
        sizes = {name: len(VULTURE) if name == "stdout" else STREAM_BYTES for name in streams}
        raw = RawOutput(
            streams=streams,
            total_bytes=sizes,
            end="exited",
            exit_code=0,
            duration_ms=1,
            cpu_ms=1,
            peak_memory_bytes=None,
            isolation=None,
            command=("vulture", "$SUBJECT"),
        )
        yield orders["vulture"], ToolOutput(raw=raw, plan=ToolPlan(parameters={}), version="1")
        await may_end.wait()
        may_end.clear()
        yield orders["bandit"], ToolOutput(outcome=Outcome.not_applicable, reason="It is not measured.")

    client = AnalyzerClient(
        AnalyzerProfile(
            analyzer_id=new_id(),
            name="bench",
            services=(Service.static,),
            tools=(ToolOffer(name="vulture", service=Service.static, version="1", is_available=True),),
        ),
        ServerAddress.parse(f"ws://{address}", None),
        _TimedSpool(folder),
        execute,
        cuts_before_put_count=cuts_before_put_count,
    )
    stop, running = asyncio.Event(), None
    while line := await asyncio.to_thread(sys.stdin.readline):
        word = line.strip()
        if word == "connect":
            stop.clear()
            running = asyncio.create_task(client.run(stop))
        elif word == "end":
            may_end.set()
        elif running is not None:
            stop.set()
            await running
        print(json.dumps({"done": word}), flush=True)


if __name__ == "__main__":
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    what, *given = sys.argv[1:]
    if what == "plain":
        asyncio.run(_serve_plain(Path(given[0])))
    else:
        asyncio.run(_be_analyzer(Path(given[0]), given[1], int(given[2])))
