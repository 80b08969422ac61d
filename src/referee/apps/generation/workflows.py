"""The job that carries a generation out."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.generation.contract import GenerationFailure, GenerationState
from referee.apps.generation.creating import GENERATE
from referee.apps.generation.running import run_generation
from referee.apps.room import AppsRoom
from referee.apps.tables import GenerationRow
from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobContext, JobEngine

__all__ = ["GENERATION_QUEUE", "register_generation"]

GENERATION_QUEUE: Final = "generations"
_AT_ONCE: Final = 2
"""Per worker: what limits generations is the server, and two keep it busy while one checks its files."""
_JOB_TIMEOUT_S: Final = 21_600.0
"""Far above what all rounds of a slow model may take together."""


def register_generation(room: AppsRoom, engine: JobEngine) -> None:
    """Make the room's jobs known to the engine. Called before it starts."""
    engine.register_queue(GENERATION_QUEUE, worker_concurrency=_AT_ONCE)

    async def carry_out(generation_id: str) -> dict[str, JsonValue]:
        generation = await run_generation(room, UUID(generation_id))
        return {
            "state": generation.state.value,
            "failure": None if generation.failure is None else generation.failure.value,
            "reason": generation.reason,
            "app_id": str(generation.app_id),
        }

    async def run(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        # One step: a worker that takes over reads what the model said before from the generation itself.
        value: dict[str, JsonValue] = await context.step(
            "generate", carry_out, str(arguments["generation_id"]), retries=3, pause_s=5.0
        )
        return value

    engine.register(GENERATE, run, queue=GENERATION_QUEUE, timeout_s=_JOB_TIMEOUT_S, on_end=_end_job)


async def _end_job(session: AsyncSession, job: Job) -> None:
    """End the generation of a job that ended without it, in the same transaction."""
    if job.state not in ("failed", "cancelled"):
        return
    is_cancelled = job.state == "cancelled"
    reason = "Its job was cancelled." if is_cancelled else "Its job failed."
    if not is_cancelled and job.error is not None:
        reason = job.error.message
    await session.execute(
        update(GenerationRow)
        .where(
            GenerationRow.generation_id == UUID(str(job.arguments["generation_id"])),
            GenerationRow.state.in_((GenerationState.queued.value, GenerationState.running.value)),
        )
        .values(
            state=GenerationState.cancelled.value if is_cancelled else GenerationState.failed.value,
            failure=None if is_cancelled else GenerationFailure.interrupted.value,
            reason=reason,
            held_usd=0.0,
            finished_at=text("clock_timestamp()"),
        )
    )
