"""Spans in and questions answered, beside other backends that are given the same spans in the same run."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bench.measuring import Measured, temporary_folder
from bench.otlp_load import Load, Watched, find_share, measure_folder_bytes, send_spans
from bench.otlp_spans import SpanSet, make_span_set
from bench.trace_servers import PEERS, TraceServer, start_mlflow, start_phoenix, start_referee

__all__ = ["measure_traces"]

WARM_SPANS = 2_000
VISIBLE_S = 600.0
OPEN_SPANS_PER_S = 5_000
OPEN_SPANS_PER_REQUEST = 100
REPEATS = 9
QUERY_LIMIT_S = 60.0
GOALS_MS = {
    "latest 50 traces": 10,
    "one trace, all spans": 10,
    "error filter": 10,
    "attribute filter": 50,
    "text in output": 150,
}
STARTERS: dict[str, Callable[[Path], AbstractContextManager[TraceServer]]] = {
    "referee": start_referee,
    "phoenix": start_phoenix,
    "mlflow": start_mlflow,
}


def measure_traces(*, spans: int, peer_spans: int, has_peers: bool, per_request: int) -> list[Measured]:
    """Load and ask each backend, one after another.

    Args:
        spans: How many Referee gets.
        peer_spans: How many the others get: the first of the same ones.
        has_peers: Whether the others are measured; they are installed at the first use.
        per_request: Spans of one request.
    """
    span_set = make_span_set(spans, per_request=per_request, seed=1)
    measured: list[Measured] = []
    cpu_us: dict[str, float] = {}
    for name in ("referee", *(PEERS if has_peers else ())):
        given = span_set if name == "referee" else _take(span_set, peer_spans)
        print(f"{name}: {given.spans_count:,} spans …", file=sys.stderr, flush=True)
        with temporary_folder() as folder, STARTERS[name](folder) as server:
            found, cpu_us[name] = _measure_server(server, given)
            measured += found
    for name, factor in (("phoenix", 50), ("mlflow", 10)):
        if name in cpu_us:
            share = cpu_us[name] / cpu_us["referee"]
            measured.append(
                Measured(
                    name=f"processor time a span: Referee's as a share of {name}'s, which is {share:.0f} ×",
                    value=100 / share,
                    unit="%",
                    goal=100 / factor,
                )
            )
    return measured


def _take(span_set: SpanSet, spans: int) -> SpanSet:
    """Return the first requests of a set."""
    bodies: list[tuple[int, bytes]] = []
    count = 0
    for size, body in span_set.bodies:
        if count >= spans:
            break
        bodies.append((size, body))
        count += size
    traces = max(len(span_set.trace_ids) * count // span_set.spans_count - 2, 1)
    return SpanSet(
        bodies=bodies,
        spans_count=count,
        trace_ids=span_set.trace_ids[:traces],
        end_ns=span_set.end_ns,
        days=span_set.days,
    )


def _measure_server(server: TraceServer, span_set: SpanSet) -> tuple[list[Measured], float]:
    watched = Watched(server.list_processes)
    warm = make_span_set(WARM_SPANS, per_request=100, seed=99)
    send_spans(server.url, server.headers, warm.bodies, watched)
    _wait_for(server, WARM_SPANS)
    before_s, before_bytes = watched.read_cpu_s(), measure_folder_bytes(server.folder)
    begun_s = time.monotonic()
    load = send_spans(server.url, server.headers, span_set.bodies, watched)
    if load.spans_count != span_set.spans_count:
        raise AssertionError(f"{server.name} took {load.spans_count} spans: {load.troubles}")
    waited_s = _wait_for(server, WARM_SPANS + load.spans_count)
    # From the first byte sent to the answer that counts them all.
    visible_s = load.took_s if waited_s < 0.5 else time.monotonic() - begun_s
    cpu_us = (watched.read_cpu_s() - before_s) / load.spans_count * 1e6
    disk_bytes = (measure_folder_bytes(server.folder) - before_bytes) / load.spans_count
    is_ours = server.name == "referee"
    measured = _tell_load(server, span_set, load, visible_s, cpu_us, disk_bytes)
    measured += _measure_queries(server, span_set)
    if is_ours:
        measured += _measure_open_loop(server, watched)
    peak = Measured(
        name=f"{server.name}: peak memory, all processes (PSS)",
        value=watched.peak_bytes / 1e6,
        unit="MB",
        goal=600 if is_ours else None,
    )
    return [*measured, peak], cpu_us


def _tell_load(
    server: TraceServer, span_set: SpanSet, load: Load, visible_s: float, cpu_us: float, disk_bytes: float
) -> list[Measured]:
    name, is_ours = server.name, server.name == "referee"
    per_s = load.spans_count / visible_s
    return [
        Measured(
            name=f"{name}: durable and visible, µs a span ({per_s:,.0f} spans/s)",
            value=1e6 / per_s,
            unit="µs",
            goal=100 if is_ours else None,
            details={
                "spans_per_s": per_s,
                "spans_count": load.spans_count,
                "wire_bytes": span_set.size_bytes,
                "troubles": load.troubles,
            },
        ),
        Measured(
            name=f"{name}: processor time a span, all processes",
            value=cpu_us,
            unit="µs",
            goal=80 if is_ours else None,
        ),
        Measured(
            name=f"{name}: disk a span, write-ahead log included",
            value=disk_bytes,
            unit="bytes",
            goal=1_500 if is_ours else None,
        ),
        Measured(
            name=f"{name}: acknowledged after, p99, as fast as it takes them",
            value=find_share(load.latencies_s, 0.99) * 1000,
            unit="ms",
        ),
    ]


def _wait_for(server: TraceServer, count: int) -> float:
    """Wait until the backend's own API counts so many spans. Returns the seconds it took."""
    begun_s = time.monotonic()
    while server.count_spans() < count:
        if time.monotonic() - begun_s > VISIBLE_S:
            raise AssertionError(f"{server.name} shows {server.count_spans()} of {count} spans")
        time.sleep(0.5)
    return time.monotonic() - begun_s


def _measure_open_loop(server: TraceServer, watched: Watched) -> list[Measured]:
    span_set = make_span_set(10 * OPEN_SPANS_PER_S, per_request=OPEN_SPANS_PER_REQUEST, seed=7)
    load = send_spans(
        server.url,
        server.headers,
        span_set.bodies,
        watched,
        connections=64,
        spans_per_s=OPEN_SPANS_PER_S,
    )
    return [
        Measured(
            name=f"{server.name}: open loop at {OPEN_SPANS_PER_S:,} spans/s, acknowledged after, p99",
            value=find_share(load.latencies_s, 0.99) * 1000,
            unit="ms",
            goal=100,
            details={
                "p50_ms": find_share(load.latencies_s, 0.5) * 1000,
                "troubles": load.troubles,
                "took_s": load.took_s,
            },
        )
    ]


def _measure_queries(server: TraceServer, span_set: SpanSet) -> list[Measured]:
    measured = []
    for name, ask in server.make_queries(span_set).items():
        begun_s = time.monotonic()
        times_ms: list[float] = []
        for _ in range(REPEATS):
            asked_s = time.perf_counter()
            ask()
            times_ms.append((time.perf_counter() - asked_s) * 1000)
            if time.monotonic() - begun_s > QUERY_LIMIT_S:
                break
        measured.append(
            Measured(
                name=f"{server.name}: {name} at {span_set.spans_count:,} spans, median",
                value=statistics.median(times_ms),
                unit="ms",
                goal=GOALS_MS.get(name) if server.name == "referee" else None,
                details={"all_ms": times_ms},
            )
        )
    return measured
