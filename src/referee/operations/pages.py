"""Pages of jobs, the system and integrity. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from referee.core.ids import format_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.jobs import Job, get_job, list_jobs
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.formats import format_bytes, format_duration, format_share
from referee.foundation.web.lists import (
    Card,
    Column,
    EmptyState,
    ListQuery,
    ListView,
    Row,
    build_facet,
    read_list_query,
)
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query
from referee.operations.api import CHILDREN_COUNT, GetApplication, JobId, ViewParameter
from referee.operations.job_lists import JOB_FIELDS, JobView, count_job_facets, list_job_page
from referee.operations.system import SystemReport, read_system
from referee.operations.verification import (
    find_active_verification,
    find_last_verification,
    start_verification,
)

__all__ = ["create_pages"]

_JOBS_CRUMB = Crumb("Jobs", "/ui/jobs")
_VIEW_LABELS: dict[JobView, str] = {
    "work": "Work",
    "children": "Parts of work",
    "schedules": "Schedules",
    "all": "All",
}
_JOB_COLUMNS = (
    Column("title", "Job", is_title=True),
    Column("state", "State", "state"),
    Column("progress", "Progress or error", "custom"),
    Column("kind", "Kind", "mono"),
    Column("attempts", "Attempts", "count", is_optional=True),
    Column("took", "Took", "custom", is_optional=True),
    Column("created", "Submitted", "time"),
)
_NO_JOBS = EmptyState(
    "No jobs here",
    "A job is background work that survives a crash: analyses, their tool runs, verifications.",
    "referee analyze ./my-app",
)
_MAX_JSON_CHARS = 20_000
_SHOWN_PROBLEMS_COUNT = 100


def create_pages(application: GetApplication) -> APIRouter:
    """Return the pages of this room."""
    router = APIRouter(include_in_schema=False)
    _add_job_pages(router, application)
    _add_system_page(router, application)
    _add_integrity_page(router, application)
    return router


def _add_job_pages(router: APIRouter, application: GetApplication) -> None:
    @router.get("/ui/jobs")
    async def show_jobs(
        request: Request,
        principal: PrincipalParameter,
        view: ViewParameter = "work",
        cursor: CursorParameter = None,
    ) -> Response:
        query = read_list_query(request, JOB_FIELDS)
        async with application().database.reading() as session:
            page = await list_job_page(
                session,
                principal.project_id,
                where=query.filter,
                view=view,
                cursor=cursor,
                limit=DEFAULT_LIMIT,
            )
            facets = await count_job_facets(session, principal.project_id, where=query.filter, view=view)
        twin_url = with_query("/v1/jobs", view=view, filter=query.text, cursor=cursor)
        shown = ListView(
            title="Jobs",
            noun="jobs",
            query=query,
            columns=_JOB_COLUMNS,
            total_count=page.total_count,
            limit=page.limit,
            next_cursor=page.next_cursor,
            rows=_build_rows(page.items),
            empty=_NO_JOBS,
            facets=[build_facet(query, key, key.capitalize(), facets[key]) for key in ("state", "kind")],
            twin_url=twin_url,
            fields=JOB_FIELDS,
            live_topic="poll",
            caption="Jobs, newest first",
        )
        context = {"view": shown, "tab_items": _view_tabs(query, view), "has_active": _has_active(page.items)}
        return await render_page(request, "operations/jobs.html", context, title="Jobs", twin_url=twin_url)

    @router.get("/ui/jobs/{job_id}")
    async def show_job(request: Request, job_id: JobId, principal: PrincipalParameter) -> Response:
        async with application().database.reading() as session:
            job = await get_job(session, job_id, project_id=principal.project_id)
            children = await list_jobs(session, parent_job_id=job_id, limit=CHILDREN_COUNT)
        context = {
            "job": job,
            "label": format_id("job", job.job_id),
            "columns": _JOB_COLUMNS,
            "children": _build_rows(children.items),
            "children_count": children.total_count,
            "arguments": _show_json(job.arguments),
            "result": None if job.result is None else _show_json(job.result),
            "took_s": _duration_s(job),
            "subject_url": _subject_url(job),
        }
        return await render_page(
            request,
            "operations/job.html",
            context,
            title=job.title,
            twin_url=f"/v1/jobs/{job_id}",
            breadcrumb=(_JOBS_CRUMB,),
        )

    @router.post("/ui/jobs/{job_id}/cancel")
    async def cancel_job(job_id: JobId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        async with application().database.reading() as session:
            await get_job(session, job_id, project_id=principal.project_id)
        await application().engine.cancel(job_id)
        return RedirectResponse(f"/ui/jobs/{job_id}", 303)


def _add_system_page(router: APIRouter, application: GetApplication) -> None:
    @router.get("/ui/system")
    async def show_system(request: Request, principal: PrincipalParameter) -> Response:
        principal.require("read")
        report = await read_system(application().settings, application().database)
        context = {
            "report": report,
            "number_cards": _system_cards(report),
            "uptime": format_duration(report.uptime_s),
        }
        return await render_page(
            request, "operations/system.html", context, title="System", twin_url="/v1/system"
        )


def _add_integrity_page(router: APIRouter, application: GetApplication) -> None:
    @router.get("/ui/integrity")
    async def show_integrity(request: Request, principal: PrincipalParameter) -> Response:
        async with application().database.reading() as session:
            active = await find_active_verification(session, principal.project_id)
            last = await find_last_verification(session, principal.project_id)
        context = {"active": active, "last": last, "shown_count": _SHOWN_PROBLEMS_COUNT}
        return await render_page(
            request, "operations/integrity.html", context, title="Integrity", twin_url="/v1/integrity"
        )

    @router.post("/ui/integrity")
    async def verify(principal: PrincipalParameter) -> Response:
        principal.require("admin")
        await start_verification(application().database, application().engine, principal.project_id)
        return RedirectResponse("/ui/integrity", 303)

    @router.post("/ui/integrity/repair")
    async def repair(principal: PrincipalParameter) -> Response:
        principal.require("admin")
        await start_verification(
            application().database, application().engine, principal.project_id, is_repairing=True
        )
        return RedirectResponse("/ui/integrity", 303)


def _build_rows(jobs: tuple[Job, ...]) -> list[Row]:
    return [
        Row(
            row_id=job.job_id.hex,
            url=f"/ui/jobs/{job.job_id}",
            cells={
                "title": job.title,
                "state": job.state,
                "progress": job,
                "kind": job.kind,
                "attempts": job.attempts_count,
                "took": _duration_s(job),
                "created": job.created_at,
            },
        )
        for job in jobs
    ]


def _view_tabs(query: ListQuery, current: JobView) -> list[dict[str, Any]]:
    return [
        {
            "label": label,
            "url": with_query("/ui/jobs", view=name, filter=query.text),
            "is_current": name == current,
        }
        for name, label in _VIEW_LABELS.items()
    ]


def _has_active(jobs: tuple[Job, ...]) -> bool:
    return any(not job.is_ended for job in jobs)


def _duration_s(job: Job) -> float | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()


def _show_json(value: object) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_JSON_CHARS else f"{text[:_MAX_JSON_CHARS]}\n… cut, the JSON has all"


def _subject_url(job: Job) -> str | None:
    """Return the page of what a job is about, where it names an analysis."""
    analysis_id = job.arguments.get("analysis_id")
    return f"/ui/analyses/{analysis_id}" if isinstance(analysis_id, str) else None


def _system_cards(report: SystemReport) -> list[Card]:
    waiting_count = sum(queue.waiting_count for queue in report.queues)
    running_count = sum(queue.running_count for queue in report.queues)
    oldest_s = max((queue.oldest_waiting_s for queue in report.queues), default=0.0)
    failures_count = sum(report.artifact_failures.values())
    free_share = report.disk_free_bytes / report.disk_total_bytes
    return [
        Card(
            "Workers",
            f"{len(report.workers):,}",
            f"{running_count:,} jobs running",
            tone="" if report.workers else "bad",
        ),
        Card(
            "Jobs waiting",
            f"{waiting_count:,}",
            f"the oldest for {format_duration(oldest_s)}" if waiting_count else "none waits",
            url=with_query("/ui/jobs", view="all", filter="is:queued"),
        ),
        Card(
            "Disk free",
            format_bytes(report.disk_free_bytes),
            f"{format_share(free_share)} of {format_bytes(report.disk_total_bytes)}",
        ),
        Card(
            "Artifact failures",
            f"{failures_count:,}",
            f"of {report.artifact_writes_count:,} writes since the start",
            tone="bad" if failures_count else "",
        ),
    ]
