"""Sends spans from a process of its own over a few connections, as exporters do, and watches the server meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

__all__ = ["Load", "Watched", "find_share", "measure_folder_bytes", "send_spans"]

REPEATED = frozenset((429, 502, 503, 504))
"""What OTLP lets a client send again."""


@dataclass(slots=True)
class Load:
    """What came of sending."""

    spans_count: int = 0
    """Acknowledged."""
    took_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    troubles: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Watched:
    """Processor time and memory of a server with all its processes."""

    list_processes: Callable[[], list[psutil.Process]]
    peak_bytes: int = 0
    """Proportional share of memory, so that what processes share counts once."""
    _seen: dict[int, float] = field(default_factory=dict)

    def look(self) -> None:
        """Note what each process has used so far; one that ends keeps what it had."""
        size_bytes = 0
        for process in self.list_processes():
            with contextlib.suppress(psutil.Error, OSError):
                times = process.cpu_times()
                self._seen[process.pid] = times.user + times.system
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
                size_bytes += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        self.peak_bytes = max(self.peak_bytes, size_bytes)

    def read_cpu_s(self) -> float:
        """Return the processor time of all, in seconds."""
        self.look()
        return sum(self._seen.values())


def send_spans(
    url: str,
    headers: Mapping[str, str],
    bodies: list[tuple[int, bytes]],
    watched: Watched,
    *,
    connections: int = 4,
    spans_per_s: float | None = None,
    limit_s: float = 600.0,
) -> Load:
    """Send every body once and return what was acknowledged.

    Args:
        url: On this machine.
        headers: Beside content type and length.
        bodies: Spans and protobuf of each request.
        watched: Looked at four times a second.
        connections: How many send at the same time.
        spans_per_s: Sent at this pace whatever the answers (open loop); None: as fast as answers come.
        limit_s: Seconds after which nothing more is sent.
    """
    context = multiprocessing.get_context("spawn")
    begin, results = context.Event(), context.Queue()
    given = (url, dict(headers), bodies, connections, spans_per_s, limit_s, begin, results)
    sender = context.Process(target=_send, args=given, daemon=True)
    sender.start()
    results.get(timeout=120)
    begin.set()
    deadline_s = time.monotonic() + limit_s + 60
    try:
        while time.monotonic() < deadline_s:
            watched.look()
            with contextlib.suppress(Exception):  # queue.Empty, by whichever name multiprocessing raises it
                load: Load = results.get(timeout=0.25)
                return load
        raise TimeoutError("The sender gave no result.")
    finally:
        sender.join(10)
        sender.kill()


def find_share(values: list[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of all lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def measure_folder_bytes(folder: Path) -> int:
    """Return what a folder takes on disk."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_blocks * 512
    return total


def _send(
    url: str,
    headers: dict[str, str],
    bodies: list[tuple[int, bytes]],
    connections: int,
    spans_per_s: float | None,
    limit_s: float,
    begin: Any,
    results: Any,
) -> None:
    load = Load()
    results.put("ready")
    begin.wait()
    asyncio.run(_Sender(url, headers, list(reversed(bodies)), spans_per_s, load).run(connections, limit_s))
    results.put(load)


class _Sender:
    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        waiting: list[tuple[int, bytes]],
        spans_per_s: float | None,
        load: Load,
    ) -> None:
        parts = urlsplit(url)
        if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError("Spans are sent to this machine only.")
        self.host, self.port = parts.hostname, parts.port or 80
        lines = {"Host": parts.netloc, "Content-Type": "application/x-protobuf", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.head = f"POST {parts.path} HTTP/1.1\r\n{head}Content-Length: ".encode()
        self.waiting, self.spans_per_s, self.load = waiting, spans_per_s, load
        self.begun_s = self.deadline_s = 0.0
        self.sent_count = 0

    async def run(self, connections: int, limit_s: float) -> None:
        """Send everything."""
        self.begun_s = time.perf_counter()
        self.deadline_s = self.begun_s + limit_s
        await asyncio.gather(*(self._work() for _ in range(connections)))
        self.load.took_s = time.perf_counter() - self.begun_s

    async def _work(self) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while self.waiting:
            count, body = self.waiting.pop()
            due_s = await self._wait_for_turn(count)
            while time.perf_counter() < self.deadline_s:
                try:
                    streams = streams or await asyncio.open_connection(self.host, self.port)
                    status = await asyncio.wait_for(self._ask(*streams, body), 120)
                except (OSError, EOFError, ValueError, TimeoutError) as error:
                    self._note(type(error).__name__)
                    streams = None
                    await asyncio.sleep(0.05)
                    continue
                if status == 200:
                    self.load.latencies_s.append(time.perf_counter() - due_s)
                    self.load.spans_count += count
                    break
                self._note(str(status))
                if status not in REPEATED:
                    break
                await asyncio.sleep(0.1)
        if streams is not None:
            streams[1].close()

    async def _wait_for_turn(self, count: int) -> float:
        """Return when the request was due: an answer is late from then on."""
        if self.spans_per_s is None:
            return time.perf_counter()
        due_s = self.begun_s + self.sent_count / self.spans_per_s
        self.sent_count += count
        await asyncio.sleep(max(due_s - time.perf_counter(), 0))
        return due_s

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> int:
        writer.write(self.head + str(len(body)).encode() + b"\r\n\r\n")
        writer.write(body)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"chunked" in head:
            while size := int((await reader.readline()).split(b";")[0], 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        elif (at := head.find(b"content-length:")) >= 0:
            await reader.readexactly(int(head[at + 15 : head.index(b"\r\n", at)]))
        return int(head[9:12])

    def _note(self, trouble: str) -> None:
        self.load.troubles[trouble] = self.load.troubles.get(trouble, 0) + 1
