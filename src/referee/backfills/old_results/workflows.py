"""The job that imports old results: again after a crash, and then over what is there already."""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.backfills.old_results.queries import get_import
from referee.backfills.old_results.service import IMPORT_RESULTS, carry_out_import
from referee.backfills.old_results.tables import ResultImportRow
from referee.backfills.room import BackfillsRoom
from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobContext, JobEngine

__all__ = ["register_result_imports"]

_QUEUE: Final = "result_imports"
_TIMEOUT_S: Final = 2 * 86_400.0


def register_result_imports(room: BackfillsRoom, engine: JobEngine) -> None:
    """Make the job known to the engine. Called before it starts."""

    async def work(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        import_id = UUID(str(arguments["result_import_id"]))
        return await context.step("import", partial(_import, room, context.project_id, import_id))

    async def end(session: AsyncSession, job: Job) -> None:
        """Say of an import whose job failed or was cancelled what became of it. In the job's transaction."""
        if job.state not in ("failed", "cancelled"):
            return
        reason = job.error.message if job.error is not None else f"Its job was {job.state}."
        await session.execute(
            update(ResultImportRow)
            .where(
                ResultImportRow.result_import_id == UUID(str(job.arguments["result_import_id"])),
                ResultImportRow.state.in_(("queued", "running")),
            )
            .values(state=job.state, reason=reason or "It failed.")
        )

    engine.register_queue(
        _QUEUE, concurrency=None, worker_concurrency=1, max_waiting_count=room.settings.queue_max_count
    )
    engine.register(IMPORT_RESULTS, work, queue=_QUEUE, timeout_s=_TIMEOUT_S, on_end=end)


async def _import(room: BackfillsRoom, project_id: UUID, import_id: UUID) -> dict[str, JsonValue]:
    async with room.database.reading() as session:
        found = await get_import(session, project_id, import_id)
    counts = await carry_out_import(room, project_id, import_id, found.source, is_dry=found.is_dry)
    return {"imported_count": counts.imported_count, "quarantined_count": counts.quarantined_count}
