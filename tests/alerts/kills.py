"""Kill evaluators and senders with ``kill -9`` while thousands of thresholds are crossed, and count what was told."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, insert, select, update
from tests.alerts.conftest import START
from tests.alerts.receivers import open_webhook

from referee.alerts import AlertsRoom
from referee.alerts.channels import create_channel
from referee.alerts.delivering import deliver_due
from referee.alerts.evaluating import find_last_end
from referee.alerts.firing import evaluate_due
from referee.alerts.own_sources import OWN_SOURCES
from referee.alerts.rules import read_rule
from referee.alerts.sealing import open_sealer
from referee.alerts.service import create_rule
from referee.alerts.tables import (
    AlertChannelRow,
    AlertDeliveryRow,
    AlertEvaluationRow,
    AlertNotificationRow,
    AlertRuleRow,
    MetricSampleRow,
)
from referee.alerts.words import ChannelKind
from referee.alerts.workflows import register_alert_workflows
from referee.foundation.access import get_project
from referee.foundation.jobs import JobEngine
from referee.foundation.outgoing import open_guard
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import open_database

__all__ = ["AlertKills", "run_alert_kills"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertKills:
    """What was counted."""

    crossings: int
    """Changes of state that the values ask for."""
    notifications: int
    lost: int
    doubled: int
    """Notifications of one change beyond the first; by the table, and by the ids that the receiver saw."""
    out_of_order: int
    undelivered: int
    sent_again: int
    """Messages that came twice under one id, because their sender died before it wrote down that it was done."""
    kills: int
    evaluations: int
    duration_s: float


def open_room(settings: Settings, database: object) -> AlertsRoom:
    """Return a room that watches planted samples."""
    return AlertsRoom(
        settings=settings,
        database=database,  # type: ignore[arg-type]  # the door keeps its type out of a process's first second
        sources={source.name: source for source in OWN_SOURCES},
        guard=open_guard(settings),
        sealer=open_sealer(settings.home),
    )


async def work(settings: Settings, minutes: int) -> None:
    """Evaluate minute after minute and send, until everything is told. Killed at any instant, and run again."""
    database = await open_database(settings)
    room = open_room(settings, database)
    engine = JobEngine(settings, database)
    register_alert_workflows(room, engine)
    await engine.start(is_worker=False)
    async with database.transaction() as session:
        await session.execute(update(AlertChannelRow).values(busy_until=None))
        channel_id = (await session.scalars(select(AlertChannelRow.channel_id))).one()

    async def evaluate() -> None:
        async with database.reading() as session:
            done_at = await session.scalar(select(func.min(AlertRuleRow.evaluated_at)))
        first = 0 if done_at is None else round((done_at - START).total_seconds() / 60)
        for minute in range(first, minutes):
            await evaluate_due(room, engine, now=START + timedelta(minutes=minute))

    async def send() -> None:
        while not evaluating.done():
            await deliver_due(room, engine, channel_id)
            await asyncio.sleep(0.05)

    evaluating = asyncio.create_task(evaluate())
    await send()
    await evaluating
    await deliver_due(room, engine, channel_id)
    await engine.stop()
    await database.close()


async def prepare(settings: Settings, url: str, rules: int, minutes: int) -> str:
    """Make rules that cross at every minute, and their values; return the receiver's secret."""
    database = await open_database(settings)
    room = open_room(settings, database)
    project_id = (await get_project(database, "default")).project_id
    _, secret = await create_channel(room, project_id, name="hook", kind=ChannelKind.webhook, address=url)
    given = {
        "source": "metrics", "measure": "value", "filter": "name:planted", "aggregation": "max",
        "window": "1m", "every": "1m", "critical_threshold": 10, "resolved_threshold": 5, "minimum_count": 1,
    }  # fmt: skip
    for number in range(rules):
        await create_rule(room, project_id, read_rule({"name": f"rule {number}", **given}, room.sources))
    samples = [
        {
            "name": "planted",
            "labels": "",
            "at": START + timedelta(minutes=minute - 0.5),
            "value": 20 if minute % 2 else 1,
        }
        for minute in range(minutes)
    ]
    async with database.transaction() as session:
        await session.execute(insert(MetricSampleRow), samples)
        await session.execute(update(AlertRuleRow).values(next_at=find_last_end(60, START)))
    await database.close()
    assert secret is not None
    return secret


def run_alert_kills(
    settings: Settings,
    *,
    crossings: int,
    rules: int,
    kills: int,
    seed: int,
    tell: Callable[[str], None] = print,
) -> AlertKills:
    """Cross thresholds so many times with so many kills between; return what was counted."""
    chance, began = random.Random(seed), time.monotonic()
    minutes = crossings // rules + 1
    settings = settings.model_copy(update={"outgoing_allowed": ["127.0.0.1"]})
    settings.ensure_home()
    environment = {
        **os.environ,
        "REFEREE_HOME": str(settings.home),
        "REFEREE_DATABASE_URL": settings.database_url or "",
        "REFEREE_OUTGOING_ALLOWED": "127.0.0.1",
        "REFEREE_ALERT_RETRY_S": "0",
        "REFEREE_LOG_LEVEL": "error",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
    }
    with open_webhook() as hook:
        hook.secret = asyncio.run(prepare(settings, hook.url, rules, minutes))
        killed = 0
        while True:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.alerts.kills", str(minutes)], env=environment
            )
            if killed >= kills:
                while child.poll() is None:
                    try:
                        child.wait(timeout=20)
                    except subprocess.TimeoutExpired:
                        tell(f"{time.monotonic() - began:.0f} s: {len(hook.bodies)} messages")
                if child.returncode == 0:
                    break
                raise RuntimeError("the last child failed")
            # Kills are spread over the whole run, and count where work is under way: once the child tells, at a
            # random instant after.
            goal = max(len(hook.bodies), crossings * killed // max(kills, 1))
            deadline = time.monotonic() + 600
            while len(hook.bodies) <= goal and child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.6))
            if child.poll() is not None:
                break
            child.send_signal(signal.SIGKILL)
            child.wait()
            killed += 1
            tell(f"kill {killed} of {kills}: {len(hook.bodies)} messages")
        told = [(str(body["data"]["rule_id"]), int(body["data"]["transition"])) for body in hook.bodies]
        ids = [head["webhook-id"] for head in hook.headers]
    stored, evaluations, waiting = asyncio.run(_read(settings))
    expected = {(rule, number) for rule in {rule for rule, _, _ in stored} for number in range(1, minutes)}
    by_change = Counter((str(rule), number) for rule, number, _ in stored)
    order = [(rule, number) for rule, number in dict.fromkeys(told)]
    last: Counter[str] = Counter()
    out_of_order = 0
    for rule, number in order:
        out_of_order += number != last[rule] + 1
        last[rule] = number
    return AlertKills(
        crossings=len(expected),
        notifications=len(stored),
        lost=len({(str(rule), number) for rule, number in expected} - set(told)),
        doubled=sum(count - 1 for count in by_change.values())
        + len(set(zip(told, ids, strict=True)))
        - len(set(told)),
        out_of_order=out_of_order,
        undelivered=waiting,
        sent_again=len(ids) - len(set(ids)),
        kills=killed,
        evaluations=evaluations,
        duration_s=time.monotonic() - began,
    )


async def _read(settings: Settings) -> tuple[list[tuple[UUID | None, int, str]], int, int]:
    database = await open_database(settings)
    async with database.reading() as session:
        rows = await session.execute(
            select(AlertNotificationRow.rule_id, AlertNotificationRow.transition, AlertNotificationRow.state)
        )
        stored = [(rule_id, number, state) for rule_id, number, state in rows]
        evaluations = await session.scalar(select(func.count()).select_from(AlertEvaluationRow)) or 0
        waiting = await session.scalar(
            select(func.count()).select_from(AlertDeliveryRow).where(AlertDeliveryRow.state != "delivered")
        )
    await database.close()
    return stored, evaluations, waiting or 0


if __name__ == "__main__":
    asyncio.run(work(load_settings(), int(sys.argv[1])))
