"""Decisions, their lag, and lead scans as JSON."""

from __future__ import annotations

from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from referee.audit import lists, scans
from referee.audit.lags import WindowKind, make_window, read_decision_lag
from referee.audit.levels import read_levels
from referee.audit.lists import DECISION_FIELDS
from referee.audit.models import (
    CountedWordsModel,
    DecisionLagModel,
    DecisionModel,
    LeadFindingModel,
    LeadScanModel,
    PastScanModel,
    ScanRequest,
    SupervisorLevelsModel,
)
from referee.audit.room import GetRoom
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter

__all__ = ["DecisionId", "Fingerprint", "WindowParameter", "create_api"]


async def read_decision_id(decision_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(decision_id, "decision")


DecisionId: TypeAlias = Annotated[UUID, Depends(read_decision_id)]
DecisionFilter: TypeAlias = Annotated[Filter, Depends(filter_parameter(DECISION_FIELDS))]
WindowParameter: TypeAlias = Annotated[
    WindowKind, Query(description="By when it was decided: the last 24 hours or 7 days.")
]
SubjectParameter: TypeAlias = Annotated[
    str, Query(min_length=1, max_length=500, description="Id of the task, cell or pipeline.")
]
Fingerprint: TypeAlias = Annotated[
    str, Path(pattern="^[0-9a-f]{16}$", description="Sixteen hexadecimal digits.")
]


def create_api(room: GetRoom) -> APIRouter:
    """Return the routes of this room."""
    router = APIRouter(prefix="/v1")
    _add_decisions(router, room)
    _add_numbers(router, room)
    _add_leads(router, room)
    return router


def _add_decisions(router: APIRouter, room: GetRoom) -> None:
    @router.get("/decisions", tags=["audit"])
    async def list_decisions(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: DecisionFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[DecisionModel]:
        """List decisions, the latest recorded first."""
        async with room().database.reading() as session:
            page = await lists.list_decisions(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, DecisionModel.of)

    @router.get("/decisions/{decision_id}", tags=["audit"])
    async def get_decision(decision_id: DecisionId, principal: PrincipalParameter) -> DecisionModel:
        """Return one decision."""
        async with room().database.reading() as session:
            return DecisionModel.of(await lists.get_decision(session, principal.project_id, decision_id))

    @router.get("/decision-trace", tags=["audit"])
    async def get_decision_trace(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        subject: SubjectParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[DecisionModel]:
        """List every decision about one subject, the first recorded first."""
        async with room().database.reading() as session:
            page = await lists.list_trace(session, principal.project_id, subject, cursor=cursor, limit=limit)
        return answer_page(request, response, page, DecisionModel.of)


def _add_numbers(router: APIRouter, room: GetRoom) -> None:
    @router.get("/decision-lag", tags=["audit"])
    async def get_decision_lag(
        principal: PrincipalParameter,
        window: WindowParameter = "24h",
        has_fallbacks: Annotated[
            bool, Query(description="Count rows whose instant is only when they were written.")
        ] = False,
    ) -> DecisionLagModel:
        """Return p50, p95 and the slowest decisions, with what was left out."""
        async with room().database.reading() as session:
            lag = await read_decision_lag(
                session, principal.project_id, make_window(window), has_fallbacks=has_fallbacks
            )
        return DecisionLagModel.of(lag)

    @router.get("/decision-reasons", tags=["audit"])
    async def get_decision_reasons(
        principal: PrincipalParameter, window: WindowParameter = "24h"
    ) -> CountedWordsModel:
        """Count why work was blocked."""
        async with room().database.reading() as session:
            words = await lists.count_blocked_reasons(session, principal.project_id, make_window(window))
        return CountedWordsModel.of(window, words)

    @router.get("/decision-types", tags=["audit"])
    async def get_decision_types(
        principal: PrincipalParameter, window: WindowParameter = "24h"
    ) -> CountedWordsModel:
        """Count decisions by what was decided."""
        async with room().database.reading() as session:
            words = await lists.count_decision_types(session, principal.project_id, make_window(window))
        return CountedWordsModel.of(window, words)

    @router.get("/supervisor-levels", tags=["audit"])
    async def get_supervisor_levels(principal: PrincipalParameter) -> SupervisorLevelsModel:
        """Return backlog, lag and failures of the last 24 hours with their alert levels."""
        async with room().database.reading() as session:
            return SupervisorLevelsModel.of(await read_levels(session, principal.project_id, room().settings))


def _add_leads(router: APIRouter, room: GetRoom) -> None:
    @router.post("/lead-scans", tags=["audit"])
    async def start_lead_scan(principal: PrincipalParameter, body: ScanRequest) -> LeadScanModel:
        """Apply the rules to the decisions of a window. A dry run writes nothing."""
        principal.require("read" if body.is_dry_run else "write")
        return LeadScanModel.of(
            await scans.scan_decisions(room(), principal.project_id, body.window, is_dry_run=body.is_dry_run)
        )

    @router.get("/lead-scans", tags=["audit"])
    async def list_lead_scans(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[PastScanModel]:
        """List past scans, the latest first."""
        async with room().database.reading() as session:
            page = await scans.list_lead_scans(session, principal.project_id, cursor=cursor, limit=limit)
        return answer_page(request, response, page, lambda one: PastScanModel.of(one[0]))

    @router.get("/lead-findings", tags=["audit"])
    async def list_lead_findings(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[LeadFindingModel]:
        """List what scans found, the last seen first."""
        async with room().database.reading() as session:
            page = await scans.list_lead_findings(session, principal.project_id, cursor=cursor, limit=limit)
        return answer_page(request, response, page, LeadFindingModel.of)

    @router.post("/lead-findings/{fingerprint}/close", tags=["audit"])
    async def close_lead_finding(fingerprint: Fingerprint, principal: PrincipalParameter) -> LeadFindingModel:
        """Say that the work on a finding is done; a scan that finds it again opens it anew."""
        principal.require("write")
        async with room().database.transaction() as session:
            return LeadFindingModel.of(
                await scans.close_follow_up(session, principal.project_id, fingerprint)
            )
