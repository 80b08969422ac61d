"""Analyses and findings as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field

from referee.analysis import finding_queries, queries, service
from referee.analysis.exports import EXPORT_FORMATS, ExportFormat, export_analysis
from referee.analysis.models import (
    AnalysisDetailModel,
    AnalysisModel,
    AnalysisRequestModel,
    DismissalModel,
    FacetModel,
    FindingDetailModel,
    FindingModel,
    LinkModel,
    ManifestEntryModel,
    MeasurementModel,
    OccurrenceModel,
)
from referee.analysis.overview import read_overview
from referee.analysis.requests import AnalysisRequest
from referee.analysis.running import AnalysisRoom
from referee.apps.roots import check_roots
from referee.core.errors import NotFound
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.access import Principal
from referee.foundation.jobs import JobEngine
from referee.foundation.web.answers import (
    CursorParameter,
    IdempotencyKey,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    answers_file,
    filter_parameter,
)
from referee.foundation.web.filters import Filter

__all__ = ["check_roots", "create_api"]

GetRoom: TypeAlias = Callable[[], AnalysisRoom]
GetEngine: TypeAlias = Callable[[], JobEngine]
"""The application is opened by the server's lifespan, after the routes are made."""

AnalysisFilter = Annotated[Filter, Depends(filter_parameter(queries.ANALYSIS_FIELDS))]
FindingFilter = Annotated[Filter, Depends(filter_parameter(finding_queries.FINDING_FIELDS))]
OccurrenceFilter = Annotated[Filter, Depends(filter_parameter(finding_queries.OCCURRENCE_FIELDS))]


class ManifestModel(BaseModel):
    """The artifacts of an analysis."""

    analysis_id: UUID
    entries: list[ManifestEntryModel]


class OverviewModel(BaseModel):
    """The numbers of the overview."""

    analyses: dict[str, int] = Field(description="Analyses by state.")
    findings: dict[str, int] = Field(description="Findings by state, without those that the code suppresses.")
    severities: list[FacetModel] = Field(
        description="Open findings by severity, without those that the code suppresses."
    )
    outcomes: list[FacetModel] = Field(description="Tool runs by tool (field) and outcome (value).")


class FacetsModel(BaseModel):
    """Counts by value, for each field that has facets."""

    facets: dict[str, list[FacetModel]] = Field(description="Field → values with counts, most first.")


async def read_analysis_id(analysis_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(analysis_id, "analysis")


async def read_finding_id(finding_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(finding_id, "finding")


AnalysisId = Annotated[UUID, Depends(read_analysis_id)]
FindingId = Annotated[UUID, Depends(read_finding_id)]


def get_actor(principal: Principal) -> str:
    """Return who changes something, for its history."""
    return "local user" if principal.key_id is None else f"key {principal.key_id.hex}"


def create_api(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the routes of analyses and findings."""
    router = APIRouter(prefix="/v1")
    _add_analyses(router, room, engine)
    _add_analysis_parts(router, room)
    _add_findings(router, room)
    _add_overview(router, room)
    return router


def _add_analyses(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/analyses", tags=["analyses"])
    async def list_analyses(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: AnalysisFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[AnalysisModel]:
        """List analyses, newest first."""
        async with room().database.reading() as session:
            page = await queries.list_analyses(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, AnalysisModel.of)

    @router.post("/analyses", tags=["analyses"], status_code=202)
    async def create_analysis(
        body: AnalysisRequestModel,
        principal: PrincipalParameter,
        response: Response,
        idempotency_key: IdempotencyKey = None,
        traceparent: Annotated[
            str | None, Header(description="W3C trace context that the analysis is to belong to.")
        ] = None,
    ) -> AnalysisModel:
        """Accept an analysis. The answer means that it is stored and will be carried out."""
        principal.require("write")
        request = AnalysisRequest(
            **{**body.model_dump(), "tools": tuple(body.tools), "services": tuple(body.services)},
            idempotency_key=idempotency_key,
            traceparent=traceparent,
        )
        check_roots(room().settings)
        analysis = await service.create_analysis(room(), engine(), principal.project_id, request)
        response.headers["Location"] = f"/v1/analyses/{analysis.analysis_id}"
        return AnalysisModel.of(analysis)

    @router.get("/analyses/{analysis_id}", tags=["analyses"])
    async def get_analysis(analysis_id: AnalysisId, principal: PrincipalParameter) -> AnalysisDetailModel:
        """Return an analysis with its completeness ledger."""
        async with room().database.reading() as session:
            analysis = await queries.get_analysis(session, principal.project_id, analysis_id)
            tool_runs = await queries.list_tool_runs(session, analysis_id)
        return AnalysisDetailModel.build(analysis, tool_runs)

    @router.post("/analyses/{analysis_id}/cancel", tags=["analyses"])
    async def cancel_analysis(analysis_id: AnalysisId, principal: PrincipalParameter) -> AnalysisModel:
        """Cancel an analysis; tools that ended keep their results."""
        principal.require("write")
        return AnalysisModel.of(
            await service.cancel_analysis(room(), engine(), principal.project_id, analysis_id)
        )

    @router.post("/analyses/{analysis_id}/retry", tags=["analyses"], status_code=202)
    async def retry_analysis(analysis_id: AnalysisId, principal: PrincipalParameter) -> AnalysisModel:
        """Analyse the same subject again."""
        principal.require("write")
        check_roots(room().settings)
        return AnalysisModel.of(
            await service.retry_analysis(room(), engine(), principal.project_id, analysis_id)
        )


def _add_analysis_parts(router: APIRouter, room: GetRoom) -> None:
    @router.get("/analyses/{analysis_id}/findings", tags=["analyses"])
    async def list_occurrences(
        request: Request,
        response: Response,
        analysis_id: AnalysisId,
        principal: PrincipalParameter,
        filter: OccurrenceFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[OccurrenceModel]:
        """List what one analysis found, worst first."""
        async with room().database.reading() as session:
            await queries.get_analysis(session, principal.project_id, analysis_id)
            page = await finding_queries.list_occurrences(
                session, analysis_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, OccurrenceModel.of)

    @router.get("/analyses/{analysis_id}/measurements", tags=["analyses"])
    async def list_measurements(
        analysis_id: AnalysisId, principal: PrincipalParameter, limit: LimitParameter = DEFAULT_LIMIT
    ) -> list[MeasurementModel]:
        """List the measurements of an analysis, those about the whole subject first."""
        async with room().database.reading() as session:
            await queries.get_analysis(session, principal.project_id, analysis_id)
            measured = await queries.list_measurements(session, analysis_id, limit=limit)
        return [MeasurementModel.of(one) for one in measured]

    @router.get("/analyses/{analysis_id}/manifest", tags=["analyses"])
    async def get_manifest(analysis_id: AnalysisId, principal: PrincipalParameter) -> ManifestModel:
        """Return the artifacts of an analysis with their digests."""
        async with room().database.reading() as session:
            await queries.get_analysis(session, principal.project_id, analysis_id)
            entries = await queries.list_manifest_entries(session, analysis_id)
        return ManifestModel(
            analysis_id=analysis_id, entries=[ManifestEntryModel.of(entry) for entry in entries]
        )

    @router.get(
        "/analyses/{analysis_id}/export",
        tags=["analyses"],
        response_class=Response,
        responses=answers_file(*(media_type for media_type, _ in EXPORT_FORMATS.values())),
    )
    async def get_analysis_export(
        analysis_id: AnalysisId,
        principal: PrincipalParameter,
        format: Annotated[ExportFormat, Query(description="Of the file.")] = "json",
    ) -> Response:
        """Return an analysis that has ended as JSON, SARIF, JUnit XML or CSV."""
        data = await export_analysis(room(), principal.project_id, analysis_id, format)
        media_type, ending = EXPORT_FORMATS[format]
        disposition = f'attachment; filename="analysis_{analysis_id.hex}.{ending}"'
        return Response(data, media_type=media_type, headers={"Content-Disposition": disposition})


def _add_findings(router: APIRouter, room: GetRoom) -> None:
    @router.get("/findings", tags=["findings"])
    async def list_findings(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: FindingFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[FindingModel]:
        """List findings, worst first."""
        async with room().database.reading() as session:
            page = await finding_queries.list_findings(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, FindingModel.of)

    @router.get("/finding-facets", tags=["findings"])
    async def get_finding_facets(principal: PrincipalParameter, filter: FindingFilter) -> FacetsModel:
        """Count findings by severity, state, tool and subject."""
        async with room().database.reading() as session:
            facets = await finding_queries.count_finding_facets(session, principal.project_id, where=filter)
        return FacetsModel(
            facets={name: [FacetModel.of(one) for one in values] for name, values in facets.items()}
        )

    @router.get("/findings/{finding_id}", tags=["findings"])
    async def get_finding(finding_id: FindingId, principal: PrincipalParameter) -> FindingDetailModel:
        """Return a finding with its rule, its history and the findings linked with it."""
        async with room().database.reading() as session:
            finding = await finding_queries.get_finding(session, principal.project_id, finding_id)
            return FindingDetailModel.build(
                finding,
                rule=await finding_queries.get_rule(session, finding.tool, finding.rule_id),
                events=await finding_queries.list_finding_events(session, finding_id),
                occurrences=await finding_queries.list_finding_occurrences(session, finding_id),
                linked=await finding_queries.list_cluster(session, finding),
            )

    @router.post("/findings/{finding_id}/dismiss", tags=["findings"])
    async def dismiss_finding(
        finding_id: FindingId, body: DismissalModel, principal: PrincipalParameter
    ) -> FindingModel:
        """Say that a finding does not count, and why."""
        principal.require("write")
        return FindingModel.of(
            await service.dismiss_finding(
                room(), principal.project_id, finding_id, reason=body.reason, actor=get_actor(principal)
            )
        )

    @router.post("/findings/{finding_id}/reopen", tags=["findings"])
    async def reopen_finding(finding_id: FindingId, principal: PrincipalParameter) -> FindingModel:
        """Take a dismissal back."""
        principal.require("write")
        return FindingModel.of(
            await service.reopen_finding(room(), principal.project_id, finding_id, actor=get_actor(principal))
        )

    @router.put("/findings/{finding_id}/link", tags=["findings"])
    async def set_finding_link(
        finding_id: FindingId, body: LinkModel, principal: PrincipalParameter
    ) -> FindingModel:
        """Take a finding out of its cluster, or let it in again."""
        principal.require("write")
        return FindingModel.of(
            await service.set_finding_link(
                room(), principal.project_id, finding_id, is_linked=body.is_linked, actor=get_actor(principal)
            )
        )


def _add_overview(router: APIRouter, room: GetRoom) -> None:
    @router.get("/overview", tags=["analyses"])
    async def get_overview(principal: PrincipalParameter) -> OverviewModel:
        """Count analyses by state, findings by state and severity, and tool runs by outcome."""
        async with room().database.reading() as session:
            overview = await read_overview(session, principal.project_id)
        return OverviewModel(
            analyses={state.value: count for state, count in overview.analyses.items()},
            findings={state.value: count for state, count in overview.findings.items()},
            severities=[FacetModel.of(facet) for facet in overview.severities],
            outcomes=[FacetModel.of(facet) for facet in overview.outcomes],
        )

    @router.get(
        "/artifacts/{sha256}",
        tags=["analyses"],
        response_class=Response,
        responses=answers_file("application/octet-stream"),
    )
    async def get_artifact(
        sha256: Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", description="Digest of the bytes.")],
        principal: PrincipalParameter,
        analysis_id: Annotated[str, Query(description="Analysis whose manifest names the artifact.")],
    ) -> Response:
        """Return the bytes of an artifact, checked against its digest, as a download."""
        wanted = parse_id(analysis_id, "analysis")
        async with room().database.reading() as session:
            await queries.get_analysis(session, principal.project_id, wanted)
            entries = await queries.list_manifest_entries(session, wanted)
        entry = next((entry for entry in entries if entry.sha256 == sha256), None)
        if entry is None:
            raise NotFound(
                "artifact.not_found", "The analysis has no such artifact.", "Look at its manifest."
            )
        ending = entry.name.rsplit("/", 1)[-1].rpartition(".")[2]
        name = f"{sha256[:16]}.{ending}" if ending.isascii() and ending.isalnum() else sha256[:16]
        return Response(
            await room().artifacts.read_bytes(sha256),
            media_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
