"""The job that makes a report."""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobContext, JobEngine
from referee.pipelines.reports.service import MAKE_REPORT, fail_report, make_report
from referee.pipelines.room import PipelinesRoom

__all__ = ["register_report_workflows"]

_QUEUE: Final = "reports"
_TIMEOUT_S: Final = 3_600.0


def register_report_workflows(room: PipelinesRoom, engine: JobEngine) -> None:
    """Make the job known to the engine. Called before it starts."""

    async def make(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        report_id = UUID(str(arguments["report_id"]))
        return {
            "state": await context.step("make", partial(make_report, room, context.project_id, report_id))
        }

    async def end(session: AsyncSession, job: Job) -> None:
        """End a report whose job failed or was cancelled. In the job's transaction."""
        if job.state in ("failed", "cancelled"):
            reason = job.error.message if job.error is not None else f"Its job was {job.state}."
            await fail_report(session, UUID(str(job.arguments["report_id"])), reason)

    # One at a time for each worker: a report computes for seconds, and others wait for the same cores.
    engine.register_queue(
        _QUEUE, concurrency=None, worker_concurrency=1, max_waiting_count=room.settings.queue_max_count
    )
    engine.register(MAKE_REPORT, make, queue=_QUEUE, timeout_s=_TIMEOUT_S, on_end=end)
