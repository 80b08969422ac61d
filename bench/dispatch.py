"""How soon a job begins when the server had nothing to do before."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Final
from uuid import uuid4

import httpx
from bench.measuring import Measured, temporary_folder, tools_dir
from sqlalchemy import text
from tests.faults.kills import Herd

from referee.foundation.settings import load_settings
from referee.foundation.store import open_database

__all__ = ["measure_dispatch"]

PIPELINES_COUNT: Final = 10
QUIET_S: Final = 5.0
"""Before each pipeline, so that its queues are quiet again."""
END_TIMEOUT_S: Final = 120.0


def measure_dispatch() -> list[Measured]:
    """Accept one small pipeline after another on an idle server; time each job from its queue to its start."""
    with temporary_folder() as folder:
        app = folder / "models" / "tiny" / "app1"
        app.mkdir(parents=True)
        herd = Herd(folder / "herd", tools_dir(), has_worker=False)
        try:
            herd.start_all()
            with httpx.Client(base_url=herd.url, timeout=60, trust_env=False) as client:
                for number in range(PIPELINES_COUNT):
                    (app / "main.py").write_text(f"NAME = {number}\n")
                    time.sleep(QUIET_S)
                    _run(client, str(folder / "models"))
            waits_ms = asyncio.run(_read_waits_ms(herd))
        finally:
            herd.stop()
    return [
        Measured(
            name="a job on an idle server, from acceptance to its start, median",
            value=statistics.median(waits_ms),
            unit="ms",
            goal=100,
            details={"all_ms": waits_ms},
        ),
        Measured(name=f"… the longest of {len(waits_ms)}", value=max(waits_ms), unit="ms"),
    ]


def _run(client: httpx.Client, folder: str) -> None:
    definition = {"name": "one", "existing": {"folder": folder}, "analysis": {"tools": ["vulture"]}}
    accepted = client.post(
        "/v1/pipelines", json={"definition": definition}, headers={"Idempotency-Key": uuid4().hex}
    )
    assert accepted.status_code == 202, accepted.text
    url, begun_s = f"/v1/pipelines/{accepted.json()['pipeline_id']}", time.monotonic()
    while client.get(url).json()["finished_at"] is None:
        assert time.monotonic() - begun_s < END_TIMEOUT_S, "the pipeline does not end"
        time.sleep(0.5)


async def _read_waits_ms(herd: Herd) -> list[float]:
    database = await open_database(load_settings(home=herd.home, database_idle_stop_s=1.0))
    try:
        async with database.reading() as session:
            rows = await session.execute(
                text(
                    "SELECT extract(epoch FROM started_at - created_at) * 1000 FROM jobs "
                    "WHERE started_at IS NOT NULL AND kind NOT LIKE 'schedule%' ORDER BY created_at"
                )
            )
            return [float(wait_ms) for (wait_ms,) in rows]
    finally:
        await database.close()
