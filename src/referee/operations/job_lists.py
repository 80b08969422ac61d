"""Jobs as lists show them: what they can be filtered by, and which jobs a view is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.jobs import JOB_STATES, Job, JobRow, list_jobs
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = ["JOB_FIELDS", "JOB_VIEWS", "JobView", "count_job_facets", "list_job_page"]

JobView: TypeAlias = Literal["work", "schedules", "children", "all"]
JOB_VIEWS: Final[tuple[JobView, ...]] = get_args(JobView)

JOB_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField("enum", "State of the job; is:running says the same.", JOB_STATES),
    "kind": FilterField("keyword", "Kind, or a pattern with *.", is_searched=True, example="kind:analysis.*"),
    "title": FilterField("text", "Part of the title.", is_searched=True),
    "queue": FilterField("keyword", "Queue it waits in.", example="queue:tools"),
    "job": FilterField("id", "Id of the job.", noun="job"),
    "parent": FilterField("id", "Children of this job.", noun="job"),
    "attempts": FilterField("number", "Times a worker has begun it.", example="attempts:>1"),
    "created": FilterField("time", "When it was submitted.", example="created:>=-1d"),
    "finished": FilterField("time", "When it ended.", example="finished:>=-1h"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": JobRow.__table__.c.state,
    "kind": JobRow.__table__.c.kind,
    "title": JobRow.__table__.c.title,
    "queue": JobRow.__table__.c.queue,
    "job": JobRow.__table__.c.job_id,
    "parent": JobRow.__table__.c.parent_job_id,
    "attempts": JobRow.__table__.c.attempts_count,
    "created": JobRow.__table__.c.created_at,
    "finished": JobRow.__table__.c.finished_at,
}
_SCHEDULED: Final = JobRow.kind.startswith("schedule.", autoescape=True)
_FACETS_COUNT: Final = 20


async def list_job_page(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter,
    view: JobView = "all",
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Job]:
    """Return jobs of a project, newest first.

    Args:
        session: Reads it.
        project_id: Whose jobs.
        where: By ``JOB_FIELDS``.
        view: ``work``: started by people or programs; ``schedules``: due by the clock; ``children``:
            parts of other jobs; ``all``.
        cursor: ``next_cursor`` of the page before.
        limit: Rows of the page.
    """
    return await list_jobs(
        session,
        where=[to_where(where, _COLUMNS), *_view_conditions(view)],
        project_id=project_id,
        limit=limit,
        cursor=cursor,
    )


async def count_job_facets(
    session: AsyncSession, project_id: UUID, *, where: Filter, view: JobView = "all"
) -> dict[str, dict[str, int]]:
    """Return how many jobs of a view have each state and kind, each key counted without its own terms."""
    facets = {}
    for key in ("state", "kind"):
        rows = await session.execute(
            select(_COLUMNS[key], func.count())
            .where(
                JobRow.project_id == project_id,
                to_where(where.without(key), _COLUMNS),
                *_view_conditions(view),
            )
            .group_by(_COLUMNS[key])
            .order_by(func.count().desc(), _COLUMNS[key])
            .limit(_FACETS_COUNT)
        )
        facets[key] = {str(value): count for value, count in rows}
    return facets


def _view_conditions(view: JobView) -> Sequence[ColumnElement[bool]]:
    match view:
        case "work":
            return (JobRow.parent_job_id.is_(None), ~_SCHEDULED)
        case "schedules":
            return (_SCHEDULED,)
        case "children":
            return (JobRow.parent_job_id.is_not(None),)
        case "all":
            return ()
