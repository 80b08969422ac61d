"""Referee's own metrics as rows: what each process counted since its last look.

Every process has its own registry, and an alert is about all of them; so each writes down what its counters grew by.
The first look of a process counts from nothing, since that is where its counters began.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client.metrics_core import Metric
from sqlalchemy import delete, func, insert

from referee.alerts.metrics import DISK_FREE
from referee.alerts.room import AlertsRoom
from referee.alerts.tables import MetricSampleRow
from referee.core.errors import RefereeError
from referee.foundation.metrics import REGISTRY

__all__ = ["Sampler", "keep_samples"]

SAMPLE_S: Final = 15.0
KEPT_DAYS: Final = 40
"""A little more than the longest frequency of a rule."""
_MAX_SAMPLES: Final = 2_000
"""Of one look; labels are bounded, so this is never reached but by a fault."""
_DATABASE_GAUGES: Final = ("referee_jobs_",)
"""Gauges that are read from the database where a rule wants them, and mean nothing in one process."""

log = structlog.get_logger(__name__)


class Sampler:
    """What one process has written down so far."""

    def __init__(self, room: AlertsRoom) -> None:
        self._room = room
        self._seen: dict[tuple[str, str], float] = {}

    async def sample(self) -> int:
        """Write down what changed since the last look; return how many rows that were."""
        usage = await asyncio.to_thread(shutil.disk_usage, self._room.settings.home)
        DISK_FREE.set(usage.free / usage.total)
        rows, seen = self._read()
        if rows:
            async with self._room.database.transaction() as session:
                await session.execute(insert(MetricSampleRow), rows[:_MAX_SAMPLES])
        self._seen.update(
            seen
        )  # only once they are committed: what could not be written is counted next time
        return len(rows)

    async def forget(self) -> None:
        """Delete what no rule can reach any more."""
        async with self._room.database.transaction() as session:
            await session.execute(
                delete(MetricSampleRow).where(MetricSampleRow.at < func.now() - timedelta(days=KEPT_DAYS))
            )

    def _read(self) -> tuple[list[dict[str, object]], dict[tuple[str, str], float]]:
        rows: list[dict[str, object]] = []
        seen: dict[tuple[str, str], float] = {}
        for metric in REGISTRY.collect():
            if metric.type == "gauge" and not metric.name.startswith(_DATABASE_GAUGES):
                rows += [
                    {"name": one.name, "labels": _write(one.labels), "value": one.value, "weight": 1}
                    for one in metric.samples
                ]
            elif metric.type == "counter":
                for one in metric.samples:
                    if one.name.endswith("_total"):
                        grown = self._grow(seen, one.name, one.labels, one.value)
                        if grown > 0:
                            rows.append(
                                {"name": one.name, "labels": _write(one.labels), "value": grown, "weight": 1}
                            )
            elif metric.type == "histogram":
                rows += self._read_histogram(metric, seen)
        return rows, seen

    def _read_histogram(self, metric: Metric, seen: dict[tuple[str, str], float]) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        below: dict[str, tuple[float, float]] = {}
        for one in metric.samples:
            if not one.name.endswith("_bucket"):
                continue
            labels = {name: value for name, value in one.labels.items() if name != "le"}
            bound, key = float(one.labels["le"]), _write(labels)
            total, last_bound = below.get(key, (0.0, 0.0))
            grown = self._grow(seen, one.name, one.labels, one.value - total)
            below[key] = (one.value, bound)
            if grown > 0:
                # Beyond the last bound nothing is known but that it was more.
                value = last_bound * 2 if bound == float("inf") else bound
                rows.append({"name": metric.name, "labels": key, "value": value, "weight": round(grown)})
        return rows

    def _grow(
        self, seen: dict[tuple[str, str], float], name: str, labels: Mapping[str, str], value: float
    ) -> float:
        key = (name, _write(labels))
        seen[key] = value
        return value - self._seen.get(key, 0.0)


@asynccontextmanager
async def keep_samples(room: AlertsRoom) -> AsyncIterator[None]:
    """Write down this process's metrics as long as the block lasts, and once at its end."""
    sampler = Sampler(room)
    is_stopping = asyncio.Event()

    async def run() -> None:
        while not is_stopping.is_set():
            await _try(sampler)
            with suppress(TimeoutError):
                await asyncio.wait_for(is_stopping.wait(), SAMPLE_S)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        # Told rather than cancelled: a statement cut in the middle leaves the pool a connection that is still busy.
        is_stopping.set()
        await asyncio.gather(task, return_exceptions=True)
        await _try(sampler)


async def _try(sampler: Sampler) -> None:
    try:
        await sampler.sample()
    except (RefereeError, OSError) as error:
        log.warning("metrics.not_sampled", error=str(error)[:300])


def _write(labels: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items()))
