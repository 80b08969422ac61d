"""Health, readiness, metrics, jobs, system and integrity as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.jobs import JobEngine, get_job, list_jobs
from referee.foundation.metrics import CONTENT_TYPE, render_metrics
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    answers_file,
    filter_parameter,
)
from referee.foundation.web.filters import Filter
from referee.foundation.web.openapi_problems import answers_with
from referee.operations.health import check_health, check_readiness
from referee.operations.job_lists import JOB_FIELDS, JobView, list_job_page
from referee.operations.models import HealthModel, IntegrityModel, JobDetailModel, JobModel, SystemModel
from referee.operations.system import read_system
from referee.operations.verification import (
    find_active_verification,
    find_last_verification,
    read_verification_report,
    start_verification,
)

__all__ = ["GetApplication", "JobId", "OperatedApplication", "ViewParameter", "create_api"]

CHILDREN_COUNT = 100
"""Children that a job's page and answer show."""


class OperatedApplication(Protocol):
    """The part of the application that this room's pages and API use."""

    @property
    def settings(self) -> Settings:
        """Of this process."""

    @property
    def database(self) -> Database:
        """Where everything is."""

    @property
    def artifacts(self) -> ArtifactStore:
        """Where reports are kept."""

    @property
    def engine(self) -> JobEngine:
        """That carries out jobs."""


GetApplication: TypeAlias = Callable[[], OperatedApplication]
"""The application is opened by the server's lifespan, after the routes are made."""


async def read_job_id(job_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(job_id, "job")


JobId = Annotated[UUID, Depends(read_job_id)]
JobFilter = Annotated[Filter, Depends(filter_parameter(JOB_FIELDS))]
ViewParameter = Annotated[
    JobView,
    Query(description="work: started by people or programs; schedules; children: parts of other jobs; all."),
]


def create_api(application: GetApplication, refresh_metrics: Callable[[], Awaitable[None]]) -> APIRouter:
    """Return the routes that watch Referee itself."""
    router = APIRouter()
    _add_watching(router, application, refresh_metrics)
    _add_jobs(router, application)
    _add_integrity(router, application)
    return router


def _add_watching(
    router: APIRouter, application: GetApplication, refresh_metrics: Callable[[], Awaitable[None]]
) -> None:
    @router.get("/health", tags=["operations"], responses={503: {"model": HealthModel}})
    async def get_health(response: Response) -> HealthModel:
        """Say how the process, the database and the disk are. 503 when one of them fails."""
        return _answer(
            response, HealthModel.of(await check_health(application().settings, application().database))
        )

    @router.get("/ready", tags=["operations"], responses={503: {"model": HealthModel}})
    async def get_readiness(response: Response) -> HealthModel:
        """Say whether work is taken. 503 when no worker lives."""
        return _answer(response, HealthModel.of(await check_readiness(application().database)))

    @router.get(
        "/-/metrics", tags=["operations"], response_class=Response, responses=answers_file("text/plain")
    )
    async def get_metrics() -> Response:
        """Return Referee's own metrics in the Prometheus text format."""
        await refresh_metrics()
        return Response(render_metrics(), media_type=CONTENT_TYPE)

    @router.get("/v1/system", tags=["operations"])
    async def get_system(principal: PrincipalParameter) -> SystemModel:
        """Return workers, queues, sizes, versions and the counters of this server process."""
        principal.require("read")
        return SystemModel.of(await read_system(application().settings, application().database))


def _add_jobs(router: APIRouter, application: GetApplication) -> None:
    @router.get("/v1/jobs", tags=["jobs"])
    async def list_job_rows(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: JobFilter,
        view: ViewParameter = "all",
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[JobModel]:
        """List jobs, newest first."""
        async with application().database.reading() as session:
            page = await list_job_page(
                session, principal.project_id, where=filter, view=view, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, JobModel.of)

    @router.get("/v1/jobs/{job_id}", tags=["jobs"])
    async def get_job_detail(job_id: JobId, principal: PrincipalParameter) -> JobDetailModel:
        """Return a job with its progress, its error and its children."""
        async with application().database.reading() as session:
            job = await get_job(session, job_id, project_id=principal.project_id)
            children = await list_jobs(session, parent_job_id=job_id, limit=CHILDREN_COUNT)
        return JobDetailModel.build(job, tuple(children.items), children.total_count)

    @router.post("/v1/jobs/{job_id}/cancel", tags=["jobs"])
    async def cancel_job(job_id: JobId, principal: PrincipalParameter) -> JobModel:
        """Cancel a job and its children. One that has ended is returned as it is."""
        principal.require("write")
        async with application().database.reading() as session:
            await get_job(session, job_id, project_id=principal.project_id)
        return JobModel.of(await application().engine.cancel(job_id))


def _add_integrity(router: APIRouter, application: GetApplication) -> None:
    @router.get("/v1/integrity", tags=["operations"])
    async def get_integrity(principal: PrincipalParameter) -> IntegrityModel:
        """Say whether a verification is under way, and what the last one found."""
        async with application().database.reading() as session:
            return IntegrityModel.build(
                await find_active_verification(session, principal.project_id),
                await find_last_verification(session, principal.project_id),
            )

    @router.post(
        "/v1/integrity",
        tags=["operations"],
        status_code=202,
        openapi_extra={"security": [{"project_key": ["admin"]}]},
    )
    async def start_integrity_check(principal: PrincipalParameter) -> JobModel:
        """Start to read every artifact, manifest and row again; the one under way is returned if there is one."""
        principal.require("admin")
        return JobModel.of(
            await start_verification(application().database, application().engine, principal.project_id)
        )

    @router.post(
        "/v1/integrity/repair",
        tags=["operations"],
        status_code=202,
        openapi_extra={"security": [{"project_key": ["admin"]}]},
    )
    async def start_repair(principal: PrincipalParameter) -> JobModel:
        """Start to mend what recorded digests prove, and to verify then; one under way is returned if there is one."""
        principal.require("admin")
        return JobModel.of(
            await start_verification(
                application().database, application().engine, principal.project_id, is_repairing=True
            )
        )

    @router.get(
        "/v1/integrity/report",
        tags=["operations"],
        response_class=Response,
        responses={**answers_file("application/json"), **answers_with(404)},
    )
    async def get_integrity_report(principal: PrincipalParameter) -> Response:
        """Return the last report with all its problems."""
        async with application().database.reading() as session:
            data = await read_verification_report(session, application().artifacts, principal.project_id)
        return Response(data, media_type="application/json")


def _answer(response: Response, health: HealthModel) -> HealthModel:
    if health.status == "fail":
        response.status_code = 503
    return health
