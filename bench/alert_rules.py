"""A thousand rules over a million spans, evaluated by a server that takes spans in meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measuring import Measured, temporary_folder
from bench.otlp_load import Watched, send_spans
from bench.otlp_spans import make_span_set
from bench.trace_servers import TraceServer, ask, start_referee
from sqlalchemy import Float, and_, cast, func, select, update
from tests.alerts.receivers import Webhook, open_webhook

from referee.alerts.tables import AlertEvaluationRow, AlertRuleRow
from referee.foundation.settings import load_settings
from referee.foundation.store import Database, open_database

__all__ = ["measure_alert_latency", "measure_alert_rules"]

RULES = 1_000
PART = 50_000
"""Spans that are made and sent before the next are made: a million at once would be gigabytes."""
DAYS = 1.0
PHASE_S = 60.0
"""One round of evaluations: rules are due at each full minute."""
PHASE_SPANS = 400_000
PAIRS = 2
CANARY = "canary"
FILTERS = (
    "", "is:failed", "type:model", "type:tool", "type:chain", "duration:>=1", "duration:>=0.1", "tokens:>=100",
    "cost:>=0.001", "name:agent", *(f"user:user-{number}" for number in range(30)),
    *(f"tokens:>={number}" for number in range(200, 1_200, 100)),
)  # fmt: skip
WINDOWS = ("5m", "15m", "1h", "6h")
NUMBERS = (
    ("errors", "average"), ("duration_ms", "p95"), ("duration_ms", "median"), ("total_tokens", "sum"),
    ("cost_usd", "max"),
)  # fmt: skip


def measure_alert_rules(*, spans: int) -> list[Measured]:
    """Load spans, then send more with and without rules that are due, in turn, and time everything."""
    os.environ["REFEREE_OUTGOING_ALLOWED"] = "127.0.0.1"
    with temporary_folder() as folder, open_webhook() as hook, start_referee(folder) as server:
        return asyncio.run(_measure(server, hook, folder / "home", spans))


def measure_alert_latency() -> list[Measured]:
    """Time from the end of a window to the message at its receiver, with nothing else to do."""
    os.environ["REFEREE_OUTGOING_ALLOWED"] = "127.0.0.1"
    took_s: list[float] = []
    with temporary_folder() as folder, open_webhook() as hook, start_referee(folder) as server:
        part = make_span_set(PART, per_request=500, seed=1, days=0.01)
        send_spans(server.url, server.headers, part.bodies, Watched(server.list_processes))
        ask(
            "POST",
            f"{server.base}/v1/alert-channels",
            {"name": "hook", "kind": "webhook", "address": hook.url},
        )
        for number in range(2):
            time.sleep((40 - time.time()) % 60)
            end = _find_next_minute().timestamp()
            with _canary(server, hook, number, True) as arrived:
                time.sleep(end - time.time() + 10)
            took_s += [at - end for at in arrived] or [float("inf")]
    name = f"an alert over {PART:,} spans at its receiver after its window closed, slower of {len(took_s)}"
    return [Measured(name=name, value=max(took_s), unit="s", goal=5, details={"took_s": took_s})]


async def _measure(server: TraceServer, hook: Webhook, home: Path, spans: int) -> list[Measured]:
    watched = Watched(server.list_processes)
    for seed in range(-(-spans // PART)):
        part = make_span_set(PART, per_request=500, seed=seed, days=DAYS)
        load = send_spans(server.url, server.headers, part.bodies, watched)
        _tell(f"{(seed + 1) * PART:,} spans loaded; {load.spans_count / load.took_s:,.0f} a second")
    ask("POST", f"{server.base}/v1/alert-channels", {"name": "hook", "kind": "webhook", "address": hook.url})
    for at, (where, window, (measure, aggregation)) in enumerate(
        itertools.product(FILTERS, WINDOWS, NUMBERS)
    ):
        rule = {
            "name": f"rule {at}", "source": "spans", "measure": measure, "filter": where, "aggregation": aggregation,
            "window": window, "every": "1m", "critical_threshold": 1e12, "minimum_count": 5,
        }  # fmt: skip
        ask("POST", f"{server.base}/v1/alerts", rule)
    database = await open_database(load_settings(home=home), migrate=False)
    try:
        return await _measure_phases(server, hook, database, watched, spans)
    finally:
        await database.close()


async def _measure_phases(
    server: TraceServer, hook: Webhook, database: Database, watched: Watched, spans: int
) -> list[Measured]:
    rates: dict[bool, list[float]] = {False: [], True: []}
    rounds_s: list[float] = []
    busy_s: list[float] = []
    for number in range(PAIRS * 2):
        is_evaluating = number % 4 in (1, 2)  # without, with, with, without: what grows is the same for both
        await _pause(database, not is_evaluating)
        part = make_span_set(PHASE_SPANS, per_request=500, seed=1_000 + number, days=DAYS)
        await _wait_for_second(30)
        end = _find_next_minute()
        with _canary(server, hook, number, is_evaluating) as arrived:
            load = await asyncio.to_thread(
                send_spans, server.url, server.headers, part.bodies, watched, limit_s=PHASE_S
            )
        rates[is_evaluating].append(load.spans_count / load.took_s)
        if is_evaluating:
            count, last_s = await _read_round(database, end)
            if count < RULES:
                raise AssertionError(f"{count} rules were evaluated at {end}")
            rounds_s.append(last_s)
            busy_s += [at - end.timestamp() for at in arrived]
        _tell(
            f"rules {'on' if is_evaluating else 'off'}: {rates[is_evaluating][-1]:,.0f} spans a second; {rounds_s}"
        )
    without, together = (statistics.mean(rates[key]) for key in (False, True))
    windows = len(FILTERS) * len(WINDOWS)
    details: dict[str, object] = {
        "rates": {str(key): value for key, value in rates.items()},
        "rounds_s": rounds_s,
    }
    rows: list[tuple[str, float, str, float | None]] = [
        (
            f"{RULES:,} rules ({windows} windows) over {spans:,} spans and those that came in",
            max(rounds_s),
            "s",
            60,
        ),
        ("… spans taken in meanwhile", together, "spans/s", None),
        ("… spans taken in without rules", without, "spans/s", None),
        ("… slower by", (1 - together / without) * 100, "%", 10),
        (
            "… an alert at the receiver after its window, evaluated with them",
            max(busy_s, default=999),
            "s",
            60,
        ),
    ]
    return [
        Measured(name=name, value=value, unit=unit, goal=goal, details=details)
        for name, value, unit, goal in rows
    ]


async def _pause(database: Database, is_paused: bool) -> None:
    async with database.transaction() as session:
        await session.execute(
            update(AlertRuleRow)
            .where(AlertRuleRow.name.like("rule %"))
            .values(is_paused=is_paused, next_at=_find_next_minute())
        )


async def _read_round(database: Database, end: datetime) -> tuple[int, float]:
    """Return how many rules were evaluated for the window that ended then, and when the last was, after its end."""
    while datetime.now(UTC) < end + timedelta(seconds=61):
        async with database.reading() as session:
            seconds = func.extract("epoch", func.max(AlertEvaluationRow.evaluated_at))
            count, last_s = (
                await session.execute(
                    select(func.count(), cast(seconds, Float))
                    .select_from(AlertEvaluationRow)
                    .join(
                        AlertRuleRow,
                        and_(
                            AlertRuleRow.rule_id == AlertEvaluationRow.rule_id,
                            AlertRuleRow.name.like("rule %"),
                        ),
                    )
                    .where(AlertEvaluationRow.to_at == end)
                )
            ).one()
        if count >= RULES:
            return int(count), float(last_s) - end.timestamp()
        await asyncio.sleep(1)
    return int(count), float("inf")


@contextmanager
def _canary(server: TraceServer, hook: Webhook, number: int, is_wanted: bool) -> Iterator[list[float]]:
    """Make a rule that fires at the next full minute, and note when the receiver has it."""
    arrived: list[float] = []
    is_over = threading.Event()
    name = f"{CANARY} {number}"
    if is_wanted:
        rule = {
            "name": name, "source": "spans", "measure": "spans", "aggregation": "count", "window": "15m", "every": "1m",
            "critical_threshold": 1, "minimum_count": 0,
        }  # fmt: skip
        ask("POST", f"{server.base}/v1/alerts", rule)

    def listen() -> None:
        while not is_over.is_set() and not arrived:
            arrived.extend(time.time() for body in hook.bodies if body["data"].get("rule") == name)
            is_over.wait(0.01)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield arrived
    finally:
        is_over.set()
        thread.join()


def _find_next_minute() -> datetime:
    return datetime.fromtimestamp((time.time() // 60 + 1) * 60, UTC)


async def _wait_for_second(second: int) -> None:
    await asyncio.sleep((second - time.time()) % 60)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
