"""What tools that look at a running app found, and where services stand, as JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from referee.analysis import queries
from referee.analysis.alert_views import list_alerts
from referee.analysis.api import AnalysisId, GetRoom
from referee.analysis.breakers import ServiceGate, reset_breaker
from referee.analysis.runtime_models import (
    AlertsModel,
    PerformanceModel,
    RequirementsModel,
    ServiceModel,
    SourceModel,
)
from referee.analysis.runtime_reads import read_loads, read_requirements, read_source
from referee.analysis.services import find_service, read_services
from referee.foundation.web.answers import PageModel, PrincipalParameter

__all__ = ["PathParameter", "create_runtime_api"]

PathParameter = Annotated[
    str | None, Query(max_length=4096, description="Path of a file; none: which files are kept.")
]
LineParameter = Annotated[int, Query(ge=1, le=10_000_000, description="First line that is wanted.")]
EndLineParameter = Annotated[int | None, Query(ge=1, le=10_000_000, description="Last line that is wanted.")]


def create_runtime_api(room: GetRoom, gate: ServiceGate) -> APIRouter:
    """Return the routes about running apps and services."""
    router = APIRouter(prefix="/v1")
    _add_analysis_views(router, room)
    _add_services(router, room, gate)
    return router


def _add_analysis_views(router: APIRouter, room: GetRoom) -> None:
    @router.get("/analyses/{analysis_id}/performance", tags=["analyses"])
    async def get_analysis_performance(
        analysis_id: AnalysisId, principal: PrincipalParameter
    ) -> PerformanceModel:
        """Return how each address answered under the load of each tool."""
        _, rows, reread = await read_loads(room(), principal.project_id, analysis_id)
        return PerformanceModel.build(analysis_id, rows, reread)

    @router.get("/analyses/{analysis_id}/alerts", tags=["analyses"])
    async def get_analysis_alerts(analysis_id: AnalysisId, principal: PrincipalParameter) -> AlertsModel:
        """Return what scanners of the running app report, the same rule at several addresses put together."""
        async with room().database.reading() as session:
            await queries.get_analysis(session, principal.project_id, analysis_id)
            return AlertsModel.build(analysis_id, await list_alerts(session, analysis_id))

    @router.get("/analyses/{analysis_id}/requirements", tags=["analyses"])
    async def get_analysis_requirements(
        analysis_id: AnalysisId, principal: PrincipalParameter
    ) -> RequirementsModel:
        """Return whether the app does what it was asked to do, each requirement with its evidence."""
        analysis, rows, reread = await read_requirements(room(), principal.project_id, analysis_id)
        return RequirementsModel.build(analysis_id, analysis.template, rows, reread)

    @router.get("/analyses/{analysis_id}/source", tags=["analyses"])
    async def get_analysis_source(
        analysis_id: AnalysisId,
        principal: PrincipalParameter,
        path: PathParameter = None,
        line: LineParameter = 1,
        end_line: EndLineParameter = None,
    ) -> SourceModel:
        """Return lines of a file as it was analysed, where its text is kept."""
        async with room().database.reading() as session:
            await queries.get_analysis(session, principal.project_id, analysis_id)
        part = await read_source(room(), analysis_id, path, line, end_line)
        return SourceModel(
            analysis_id=analysis_id,
            path=part.path,
            first_line=None if part.path is None else part.first_line,
            lines=list(part.lines),
            paths=list(part.paths),
        )


def _add_services(router: APIRouter, room: GetRoom, gate: ServiceGate) -> None:
    @router.get("/services", tags=["services"])
    async def list_services(principal: PrincipalParameter) -> PageModel[ServiceModel]:
        """List the services with whether they get work and could do it."""
        principal.require("read")
        items = [ServiceModel.of(status) for status in await read_services(room(), gate)]
        return PageModel(items=items, total_count=len(items), limit=len(items), next_cursor=None)

    @router.post(
        "/services/{service}/reset",
        tags=["services"],
        openapi_extra={"security": [{"project_key": ["admin"]}]},
    )
    async def reset_service(service: str, principal: PrincipalParameter) -> ServiceModel:
        """Give a service work again now, and forget its failures."""
        principal.require("admin")
        wanted = find_service(service)
        async with room().database.transaction() as session:
            await reset_breaker(session, wanted)
        statuses = await read_services(room(), gate)
        return next(ServiceModel.of(status) for status in statuses if status.breaker.service is wanted)
