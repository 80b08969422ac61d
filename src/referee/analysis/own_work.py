"""Finished analyses as spans: the whole, the wait for a worker, the job, its services and their tools."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.tables import AnalysisRow, SubjectRow, ToolRunRow
from referee.core.own_work import OwnSpan, OwnWork
from referee.core.vocabulary import Outcome
from referee.foundation.access import ProjectRow
from referee.foundation.store import Database

__all__ = ["list_analysis_work"]

_GOOD = (Outcome.succeeded.value, Outcome.not_applicable.value)


async def list_analysis_work(
    database: Database, after: datetime, limit: int, *, left_out_project: str = ""
) -> Sequence[OwnWork]:
    """Return analyses that ended at or after an instant, the earliest first, but for those of one project."""
    left_out = select(ProjectRow.project_id).where(ProjectRow.slug == left_out_project)
    statement = (
        select(AnalysisRow, SubjectRow.name)
        .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
        .where(AnalysisRow.finished_at >= after, AnalysisRow.project_id.not_in(left_out))
        .order_by(AnalysisRow.finished_at, AnalysisRow.analysis_id)
        .limit(limit)
    )
    async with database.reading() as session:
        found = [(record[0], str(record[1])) for record in (await session.execute(statement)).all()]
        runs = await _list_runs(session, [analysis.analysis_id for analysis, _ in found])
    return [_describe(analysis, name, runs.get(analysis.analysis_id, [])) for analysis, name in found]


async def _list_runs(session: AsyncSession, analysis_ids: Sequence[UUID]) -> dict[UUID, list[ToolRunRow]]:
    rows = await session.scalars(
        select(ToolRunRow)
        .where(ToolRunRow.analysis_id.in_(analysis_ids))
        .order_by(ToolRunRow.analysis_id, ToolRunRow.position)
    )
    runs: dict[UUID, list[ToolRunRow]] = {}
    for row in rows.all():
        runs.setdefault(row.analysis_id, []).append(row)
    return runs


def _describe(analysis: AnalysisRow, subject: str, runs: Sequence[ToolRunRow]) -> OwnWork:
    ended_at = analysis.finished_at or analysis.created_at
    is_bad = analysis.state in ("failed", "cancelled")
    whole = OwnSpan(
        key="",
        parent_key=None,
        name=f"analyse {subject}",
        service="referee",
        started_at=analysis.created_at,
        finished_at=ended_at,
        error=(analysis.reason or analysis.state) if is_bad else None,
        attributes={
            "referee.analysis_id": str(analysis.analysis_id),
            "referee.project_id": str(analysis.project_id),
            "referee.state": analysis.state,
            "referee.profile": analysis.profile,
            "referee.files_count": analysis.files_count,
            "referee.traceparent": analysis.traceparent,
        },
    )
    spans = [whole]
    if analysis.started_at is not None:
        spans += [
            OwnSpan(
                key="queue", parent_key="", name="wait for a worker", service="jobs",
                started_at=analysis.created_at, finished_at=analysis.started_at,
            ),
            OwnSpan(
                key="job", parent_key="", name="job", service="jobs",
                started_at=analysis.started_at, finished_at=ended_at,
                attributes={"referee.job_id": None if analysis.job_id is None else str(analysis.job_id)},
            ),
        ]  # fmt: skip
        spans += _describe_services(runs)
    return OwnWork(work_id=f"analysis:{analysis.analysis_id}", finished_at=ended_at, spans=spans)


def _describe_services(runs: Sequence[ToolRunRow]) -> list[OwnSpan]:
    by_service: dict[str, list[OwnSpan]] = {}
    for run in runs:
        span = _describe_run(run)
        if span is not None:
            by_service.setdefault(run.service, []).append(span)
    spans: list[OwnSpan] = []
    for service, tools in by_service.items():
        spans.append(
            OwnSpan(
                key=f"service {service}",
                parent_key="job",
                name=service,
                service=service,
                started_at=min(tool.started_at for tool in tools),
                finished_at=max(tool.finished_at for tool in tools),
                attributes={"referee.tools_count": len(tools)},
            )
        )
        spans += tools
    return spans


def _describe_run(run: ToolRunRow) -> OwnSpan | None:
    """Return a tool run as a span; None for one that never began."""
    if run.started_at is None or run.finished_at is None:
        return None
    return OwnSpan(
        key=f"tool {run.tool_run_id}",
        parent_key=f"service {run.service}",
        name=run.tool,
        service=run.tool,
        started_at=run.started_at,
        finished_at=run.finished_at,
        error=None if run.outcome in _GOOD else f"{run.outcome}: {run.reason}",
        attributes={
            "referee.tool_run_id": str(run.tool_run_id),
            "referee.outcome": run.outcome,
            "referee.findings_count": run.findings_count,
            "referee.exit_code": run.exit_code,
            "referee.attempts_count": run.attempts_count,
            "referee.is_cached": run.cached_from_tool_run_id is not None,
            "referee.cpu_ms": run.cpu_ms,
            "referee.peak_memory_bytes": run.peak_memory_bytes,
            "referee.version": run.version,
        },
    )
