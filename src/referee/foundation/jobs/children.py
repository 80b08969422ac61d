"""Starting the children of a job and waiting until all have ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import exists, select

from referee.core.errors import InvalidInput
from referee.foundation.jobs.attempts import excuse_attempts
from referee.foundation.jobs.states import ACTIVE_STATES, ChildJob, get_child_id
from referee.foundation.jobs.submission import submit_children
from referee.foundation.jobs.tables import JobRow

if TYPE_CHECKING:
    from referee.foundation.jobs.engine import JobEngine

__all__ = ["settle_children"]

BATCH_COUNT: Final = 200
LOOK_S: Final = 0.25
"""Between two looks for children that other workers run; those of this worker ring a bell."""


async def settle_children(
    engine: JobEngine, parent_job_id: UUID, children: Sequence[ChildJob]
) -> list[dict[str, Any]]:
    """Start those children that are not there yet, wait for all, and return their ends in order.

    Idempotent: a second call finds the children of the first.
    """
    names = [child.name for child in children]
    if len(set(names)) != len(names):
        raise InvalidInput(
            "jobs.child_names_equal",
            "Two children of one job have the same name.",
            "Name each child differently.",
        )
    for start in range(0, len(children), BATCH_COUNT):
        async with engine.database.transaction() as session:
            batch = children[start : start + BATCH_COUNT]
            await submit_children(session, engine.library, engine.kinds, parent_job_id, batch)
    await excuse_attempts(engine.database, parent_job_id)  # from here on the parent itself does nothing
    job_ids = [get_child_id(parent_job_id, name) for name in names]
    any_active = select(exists().where(JobRow.job_id.in_(job_ids), JobRow.state.in_(ACTIVE_STATES)))
    while True:
        async with engine.database.transaction() as session:
            if not await session.scalar(any_active):
                ends = select(JobRow.job_id, JobRow.state, JobRow.result_json, JobRow.error_json)
                rows = (await session.execute(ends.where(JobRow.job_id.in_(job_ids)))).all()
                break
        await engine.wait_for_bell(LOOK_S)
    found = {
        row.job_id: {"state": row.state, "result": row.result_json, "error": row.error_json} for row in rows
    }
    return [found[job_id] for job_id in job_ids]
