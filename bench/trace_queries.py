"""Questions to a store of many spans: lists, searches, filters, sums, sessions, exports, pages.

Each is asked over one open connection, as a browser or a client does, and its answer is read to the end. What counts is
the processor time of server and database together, which other work on the machine does not change; the time on the
clock stands beside it.
"""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from bench.measuring import Measured, temporary_folder
from bench.otlp_load import Watched, send_spans
from bench.otlp_spans import make_span_set
from bench.trace_servers import TraceServer, start_referee

__all__ = ["measure_trace_queries"]

SPANS_PER_CHUNK = 50_000
SPANS_PER_REQUEST = 500
WARMING = 1
IDLE_S = 5.0
REPEATS = 12
QUESTION_LIMIT_S = 8.0
ANSWER_S = 120.0
LARGE_SPANS = 1_000_000
LARGE_GOAL_MS = 150.0
DAY_MS = 86_400_000
PAGE_GOAL_MS = 100.0


@dataclass(frozen=True, slots=True)
class _Question:
    """One route with what it is asked; each repetition may ask for something else."""

    name: str
    goal_ms: float | None
    """At 100,000 spans."""
    ask: Callable[[], httpx.Response]


def measure_trace_queries(*, spans: int, folder: Path | None) -> list[Measured]:
    """Fill a store, or take one that was filled before, and ask everything.

    Args:
        spans: How many the store has at least.
        folder: Where the store stays for the next run; None: in a folder that is removed.
    """
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(temporary_folder()) if folder is None else folder
        where.mkdir(parents=True, exist_ok=True, mode=0o711)
        server = stack.enter_context(start_referee(where))
        _fill(server, spans)
        client = stack.enter_context(
            httpx.Client(base_url=server.base, timeout=ANSWER_S, trust_env=False, follow_redirects=False)
        )
        return list(_measure(client, server, spans))


def _fill(server: TraceServer, spans: int) -> None:
    watched = Watched(server.list_processes)
    held = server.count_spans()
    while held < spans:
        chunk = make_span_set(
            min(SPANS_PER_CHUNK, spans - held), per_request=SPANS_PER_REQUEST, seed=held + 1
        )
        load = send_spans(server.url, server.headers, chunk.bodies, watched)
        held += load.spans_count
        print(f"{held:,} spans …", file=sys.stderr, flush=True)
        if load.spans_count != chunk.spans_count:
            raise AssertionError(f"Referee took {load.spans_count} spans of {chunk.spans_count}")


def _measure(client: httpx.Client, server: TraceServer, spans: int) -> Iterator[Measured]:
    idle = _Used(server)
    time.sleep(IDLE_S)
    idle_share = idle.read_s() / IDLE_S
    for question in _list_questions(client):
        for _ in range(WARMING):  # what is read for the first time since the start is no yardstick
            question.ask().raise_for_status()
        used, begun_s, times_ms, size_bytes = _Used(server), time.monotonic(), list[float](), 0
        while len(times_ms) < REPEATS and time.monotonic() - begun_s < QUESTION_LIMIT_S:
            asked_s = time.perf_counter()
            answer = question.ask()
            times_ms.append((time.perf_counter() - asked_s) * 1000)
            size_bytes = len(answer.raise_for_status().content)
        used_s = used.read_s() - idle_share * (time.monotonic() - begun_s)
        goal_ms = question.goal_ms
        if goal_ms is not None and spans >= LARGE_SPANS:
            goal_ms = max(goal_ms, LARGE_GOAL_MS)
        yield Measured(
            name=f"{question.name} ({statistics.median(times_ms):,.0f} ms on the clock)",
            value=max(used_s, 0) / len(times_ms) * 1000,
            unit="ms",
            goal=goal_ms,
            details={"all_ms": times_ms, "answer_bytes": size_bytes, "spans_count": spans},
        )


class _Used:
    """Processor time that all processes of a server use from now on."""

    def __init__(self, server: TraceServer) -> None:
        self._server = server
        self._before_ns = self._read()

    def read_s(self) -> float:
        """Return the seconds so far."""
        before = self._before_ns
        return sum(used_ns - before.get(key, 0) for key, used_ns in self._read().items()) / 1e9

    def _read(self) -> dict[tuple[int, str], int]:
        """Return nanoseconds of each process by itself, and of those below it that have ended."""
        found: dict[tuple[int, str], int] = {}
        for process in self._server.list_processes():
            with contextlib.suppress(OSError, psutil.Error):
                threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
                found[process.pid, "own"] = sum(int(path.read_text().split()[0]) for path in threads)
                ended = process.cpu_times()
                found[process.pid, "ended"] = int((ended.children_user + ended.children_system) * 1e9)
        return found


def _list_questions(client: httpx.Client) -> list[_Question]:
    chooser = random.Random(5)
    traces = _read(client, "/v1/traces?limit=50")
    sessions = _read(client, "/v1/sessions?limit=50")
    trace_ids = [one["trace_id"] for one in traces["items"]]
    session_ids = [one["session_id"] for one in sessions["items"]]
    event_ids = [one["event_id"] for one in _export(client, limit=50).json()["events"]]

    def get(address: Callable[[], str] | str) -> Callable[[], httpx.Response]:
        return lambda: client.get(address if isinstance(address, str) else address())

    def user() -> str:
        return f"user-{chooser.randrange(2_000)}"

    def one_of(values: list[str]) -> str:
        return chooser.choice(values)

    return [
        _Question("latest 50 traces", 10, get("/v1/traces?limit=50")),
        _Question("traces, second page", 10, get(f"/v1/traces?limit=50&cursor={traces['next_cursor']}")),
        _Question("one trace, all spans", 10, get(lambda: f"/v1/traces/{one_of(trace_ids)}")),
        _Question("traces with an error", 10, get("/v1/traces?limit=50&filter=is:failed")),
        _Question("traces by text of an error", 50, get("/v1/traces?limit=50&filter=error:Timeout")),
        _Question("traces by user", 50, get(lambda: f"/v1/traces?limit=50&filter=user:{user()}")),
        _Question("traces by model", 50, get("/v1/traces?limit=50&filter=model:gemini-2.0-flash")),
        _Question("traces by metadata", 50, get("/v1/traces?limit=50&filter=metadata.env:staging")),
        _Question("traces by name", 50, get("/v1/traces?limit=50&filter=name:agent")),
        _Question("traces of 24 h", 10, get("/v1/traces?limit=50&filter=started:%3E=-24h")),
        _Question("traces over 8 s", 50, get("/v1/traces?limit=50&filter=duration:%3E=8")),
        _Question("latest 50 sessions", 10, get("/v1/sessions?limit=50")),
        _Question("sessions by user", 50, get(lambda: f"/v1/sessions?limit=50&filter=user:{user()}")),
        _Question("sessions with an error", 50, get("/v1/sessions?limit=50&filter=is:error")),
        _Question("sessions by tokens", 50, get("/v1/sessions?limit=50&filter=tokens:%3E=1000")),
        _Question("one session, as a tree", 10, get(lambda: f"/v1/sessions/{one_of(session_ids)}")),
        _Question("one event", 10, get(lambda: f"/v1/events/{one_of(event_ids)}")),
        *_list_event_questions(client, user, session_ids, chooser),
        *_list_sums(client),
        _Question("live tail, JSON", 10, get("/v1/spans?limit=50")),
        _Question("page of traces", PAGE_GOAL_MS, get("/ui/traces")),
        _Question("page of sessions", PAGE_GOAL_MS, get("/ui/sessions")),
        _Question("page of one trace", PAGE_GOAL_MS, get(lambda: f"/ui/traces/{one_of(trace_ids)}")),
        _Question("page of charts", PAGE_GOAL_MS, get("/ui/charts")),
    ]


def _list_event_questions(
    client: httpx.Client, user: Callable[[], str], session_ids: list[str], chooser: random.Random
) -> Iterator[_Question]:
    def by(
        name: str,
        goal_ms: float | None,
        *filters: tuple[str, str, Callable[[], object] | object],
        **other: Any,
    ) -> _Question:
        def ask() -> httpx.Response:
            wanted = [
                {"field": field, "operator": operator, "value": value() if callable(value) else value}
                for field, operator, value in filters
            ]
            return _export(client, filters=wanted, **{"limit": 50, **other})

        return _Question(f"events {name}", goal_ms, ask)

    yield by("latest 50", 10)
    yield by("of a session", 10, ("session_id", "is", lambda: chooser.choice(session_ids)))
    yield by("by user", 50, ("user_id", "is", user))
    yield by("with an error", 50, ("error", "exists", None))
    yield by("by text in outputs", 150, ("outputs", "contains", "generator expression"))
    yield by(
        "by text in outputs, within 24 h",
        50,
        ("outputs", "contains", "generator expression"),
        dateRange=_last_ms(1),
    )
    yield by("by metadata", 50, ("metadata.env", "is", "staging"))
    yield by("by metadata that none has", 150, ("metadata.run_id", "is", "none has it"))
    yield by("by type", 50, ("event_type", "is", "model"))
    yield by("by name", 50, ("event_name", "is", "guardrail"))
    yield by("by name, the 100th page", 150, ("event_name", "is", "guardrail"), page=100)
    yield by("by cost", 150, ("cost", "greater than", 0.001))
    yield by("1,000 at once", None, limit=1_000)


def _list_sums(client: httpx.Client) -> Iterator[_Question]:
    def chart(name: str, goal_ms: float, **wanted: object) -> _Question:
        given: dict[str, str] = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in {"dateRange": _last_ms(7), "bucketing": "day", **wanted}.items()
        }
        return _Question(name, goal_ms, lambda: client.get("/v1/events/chart", params=given))

    yield chart("per day: count", 20, metric="events", func="count")
    yield chart("per day: p50 duration", 20, metric="duration", func="median")
    yield chart("per day: p95 duration", 20, metric="duration", func="p95")
    yield chart("per day: cost", 20, metric="cost", func="sum")
    yield chart("per day and model: tokens", 20, metric="total_tokens", func="sum", groupBy="model")
    yield chart("per day: mean duration, from spans", 150, metric="duration", func="avg")
    yield chart(
        "per day by metadata: count, from spans", 150, metric="events", func="count", groupBy="metadata.env"
    )


def _last_ms(days: int) -> Mapping[str, int]:
    now_ms = time.time_ns() // 1_000_000 // 3_600_000 * 3_600_000
    return {"$gte": now_ms - days * DAY_MS, "$lte": now_ms}


def _export(client: httpx.Client, **wanted: Any) -> httpx.Response:
    return client.post("/v1/events/export", json={"filters": [], **wanted})


def _read(client: httpx.Client, address: str) -> dict[str, Any]:
    read: dict[str, Any] = client.get(address).raise_for_status().json()
    return read
