"""Completeness as JSON and as a page: expected × present × valid of every ended analysis."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from referee.analysis.api import GetRoom
from referee.analysis.completeness import (
    COMPLETENESS_FIELDS,
    Completeness,
    count_completeness,
    list_completeness,
)
from referee.core.pages import DEFAULT_LIMIT
from referee.core.vocabulary import AnalysisState
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter
from referee.foundation.web.lists import Column, EmptyState, ListView, Row, read_list_query
from referee.foundation.web.rendering import render_page

__all__ = ["CompletenessModel", "create_completeness_routes"]

CompletenessFilter = Annotated[Filter, Depends(filter_parameter(COMPLETENESS_FIELDS))]
_COLUMNS: Final = (
    Column("subject", "Subject", is_title=True),
    Column("state", "State", "state"),
    Column("runs", "Tools: expected × present × valid"),
    Column("entries", "Artifacts: expected × present × valid"),
    Column("holes", "What is missing"),
)
_EMPTY: Final = EmptyState(
    "No analysis has ended yet",
    "Every tool that was planned and every artifact that a manifest promises is counted here, with what is there.",
    "referee analyze PATH",
)


class CompletenessModel(BaseModel):
    """What one ended analysis should have and has."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    analysis_id: UUID
    subject: str
    state: AnalysisState
    profile: str
    expected_count: int = Field(description="Tool runs that were planned.")
    present_count: int = Field(description="Those with an outcome.")
    valid_count: int = Field(description="Those that judged all there was, with their findings sealed.")
    entries_expected_count: int = Field(description="Artifacts that the manifest promises; 0 without one.")
    entries_present_count: int = Field(description="Those with a row.")
    entries_valid_count: int = Field(description="Those whose bytes are on record.")
    is_whole: bool = Field(description="Whether nothing is missing.")
    holes: str = Field(description="Tools without a usable result, each with its outcome.")


def create_completeness_routes(room: GetRoom) -> tuple[APIRouter, APIRouter]:
    """Return the route and the page of completeness."""
    api, pages = APIRouter(prefix="/v1"), APIRouter(include_in_schema=False)

    @api.get("/completeness", tags=["analyses"])
    async def list_analysis_completeness(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: CompletenessFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[CompletenessModel]:
        """List what each ended analysis should have, has, and has in a usable form, newest first."""
        async with room().database.reading() as session:
            page = await list_completeness(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, CompletenessModel.model_validate)

    @pages.get("/ui/completeness")
    async def show_completeness(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, COMPLETENESS_FIELDS)
        async with room().database.reading() as session:
            page = await list_completeness(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
            totals = await count_completeness(session, principal.project_id, where=query.filter)
        view = ListView(
            title="Completeness",
            noun="analyses",
            query=query,
            columns=_COLUMNS,
            rows=[_row(one) for one in page.items],
            total_count=page.total_count,
            limit=page.limit,
            next_cursor=page.next_cursor,
            empty=_EMPTY,
            state_line=f"{totals.whole_count:,} of {totals.analyses_count:,} ended analyses are whole. Tool runs:"
            f" {totals.expected_count:,} expected, {totals.present_count:,} present, {totals.valid_count:,} valid."
            f" Artifacts: {totals.entries_expected_count:,} expected, {totals.entries_present_count:,} present,"
            f" {totals.entries_valid_count:,} valid.",
            twin_url=query.url(item=None).replace("/ui/", "/v1/", 1),
            fields=COMPLETENESS_FIELDS,
            live_topic="analyses",
            caption="Expected, present and valid of every ended analysis",
        )
        return await render_page(
            request,
            "analysis/completeness.html",
            {"view": view},
            title="Completeness",
            twin_url=view.twin_url,
        )

    return api, pages


def _row(one: Completeness) -> Row:
    return Row(
        row_id=one.analysis_id.hex,
        url=f"/ui/analyses/{one.analysis_id}",
        cells={
            "subject": one.subject,
            "state": one.state,
            "runs": f"{one.expected_count:,} × {one.present_count:,} × {one.valid_count:,}",
            "entries": f"{one.entries_expected_count:,} × {one.entries_present_count:,}"
            f" × {one.entries_valid_count:,}",
            "holes": one.holes,
        },
    )
