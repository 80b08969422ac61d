"""The jobs of probes: each minute ask for what is due, carry it out, and forget what is old each night."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobContext, JobEngine
from referee.operations.probes.checks import Check
from referee.operations.probes.room import ProbesRoom
from referee.operations.probes.service import (
    KINDS,
    START_GRACE_S,
    ProbeRunner,
    end_result,
    forget_probes,
    is_due,
    start_probe,
)
from referee.operations.probes.words import Probe, ProbeOutcome

__all__ = ["register_probes"]

_QUEUE: Final = "probes"


def register_probes(room: ProbesRoom, engine: JobEngine, checks: dict[Probe, Check] | None = None) -> None:
    """Make the jobs and schedules known to the engine. Called before it starts.

    Args:
        room: What is tried out.
        engine: Carries it out.
        checks: What is tried, by probe; None: everything as it is.
    """
    runner = ProbeRunner(room, checks)
    engine.register_queue(_QUEUE, concurrency=None, worker_concurrency=len(Probe))
    for probe in Probe:
        _register(room, engine, runner, probe)

    async def tick(_: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        at = datetime.fromisoformat(str(arguments["scheduled_at"]))
        due = [probe for probe in Probe if is_due(room.get_interval_s(probe), at)]
        for probe in due:
            await start_probe(room, engine, probe, is_scheduled=True)
        return {"probes": [probe.value for probe in due]}

    async def forget(_: JobContext, __: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"deleted_count": await forget_probes(room)}

    engine.register_schedule("probes", "* * * * *", tick)
    engine.register_schedule("forget_probes", "50 3 * * *", forget)


def _register(room: ProbesRoom, engine: JobEngine, runner: ProbeRunner, probe: Probe) -> None:
    async def run(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        async def once() -> str | None:
            outcome = await runner.run(probe, UUID(str(arguments["probe_result_id"])))
            return None if outcome is None else outcome.value

        return {"outcome": await context.step("probe", once)}

    async def on_end(session: AsyncSession, job: Job) -> None:
        # However the job ended: a result that is still open would hold up all later ones.
        error = job.error.message if job.error is not None else f"The job of the probe was {job.state}."
        await end_result(
            session, UUID(str(job.arguments["probe_result_id"])), ProbeOutcome.failed, error=error
        )

    engine.register(
        KINDS[probe],
        run,
        queue=_QUEUE,
        timeout_s=room.get_timeout_s(probe) + START_GRACE_S,
        max_attempts=2,
        on_end=on_end,
    )
