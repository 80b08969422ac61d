"""Pages of findings: the list with its preview, and the page of one finding."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import RedirectResponse, Response

from referee.analysis import finding_queries, service
from referee.analysis.api import FindingId, GetRoom, get_actor
from referee.analysis.finding_neighbours import find_neighbours
from referee.analysis.page_lists import build_finding_list, first_line, place_of
from referee.analysis.running import AnalysisRoom
from referee.analysis.views import Finding, Occurrence
from referee.core.errors import InvalidInput, NotFound, RefereeError
from referee.core.ids import format_id
from referee.core.pages import DEFAULT_LIMIT
from referee.core.vocabulary import FindingState
from referee.foundation.access import Principal
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.filters import Filter, parse_filter
from referee.foundation.web.lists import ListQuery, read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query

__all__ = ["add_finding_pages", "build_panel"]

_PAGE_CONTEXT_LINES = 8
"""Lines of code before and after a finding on its own page."""
_PANEL_CONTEXT_LINES = 3
_MAX_MARKED_LINES = 40
REASONS = ("False positive", "Not reachable with untrusted input", "Only used in tests", "Accepted risk")
"""Offered for a dismissal; any other text will do as well."""

FilterField = Annotated[str, Form(alias="filter")]


def add_finding_pages(router: APIRouter, room: GetRoom) -> None:
    """Add the list, the page and the forms of findings."""

    @router.get("/ui/findings")
    async def show_findings(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, finding_queries.FINDING_FIELDS)
        project_id = principal.project_id
        async with room().database.reading() as session:
            page = await finding_queries.list_findings(
                session, project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
            states, suppressed_count = await finding_queries.count_findings(session, project_id)
            view = build_finding_list(
                query,
                page,
                states,
                await finding_queries.count_finding_facets(session, project_id, where=query.filter),
                suppressed_count=suppressed_count,
            )
            panel = await _find_panel(session, room(), project_id, query, page.items)
        return await render_page(
            request,
            "analysis/findings.html",
            {"view": view, "panel": panel},
            title="Findings",
            twin_url=view.twin_url,
        )

    @router.get("/ui/findings/{finding_id}")
    async def show_finding(
        request: Request, finding_id: FindingId, principal: PrincipalParameter, filter: str = ""
    ) -> Response:
        return await _show_finding(request, room(), principal, finding_id, filter)

    @router.post("/ui/findings/{finding_id}/dismiss")
    async def dismiss_finding(
        request: Request,
        finding_id: FindingId,
        principal: PrincipalParameter,
        reason: Annotated[str, Form()] = "",
        filter: FilterField = "",
    ) -> Response:
        principal.require("write")
        try:
            await service.dismiss_finding(
                room(), principal.project_id, finding_id, reason=reason, actor=get_actor(principal)
            )
        except InvalidInput as error:
            return await _show_finding(request, room(), principal, finding_id, filter, error)
        return _return_to(finding_id, filter)

    @router.post("/ui/findings/{finding_id}/reopen")
    async def reopen_finding(
        finding_id: FindingId, principal: PrincipalParameter, filter: FilterField = ""
    ) -> Response:
        principal.require("write")
        await service.reopen_finding(room(), principal.project_id, finding_id, actor=get_actor(principal))
        return _return_to(finding_id, filter)

    @router.post("/ui/findings/{finding_id}/link")
    async def set_link(
        finding_id: FindingId,
        principal: PrincipalParameter,
        is_linked: Annotated[bool, Form()],
        filter: FilterField = "",
    ) -> Response:
        principal.require("write")
        await service.set_finding_link(
            room(), principal.project_id, finding_id, is_linked=is_linked, actor=get_actor(principal)
        )
        return _return_to(finding_id, filter)


async def build_panel(
    session: AsyncSession,
    room: AnalysisRoom,
    query: ListQuery,
    row_ids: Sequence[str],
    finding: Finding,
    occurrence: Occurrence | None,
) -> dict[str, Any]:
    """Return what the preview of a row shows, with the ways to the rows around it."""
    index = row_ids.index(query.item) if query.item in row_ids else None
    previous = row_ids[index - 1] if index else None
    following = row_ids[index + 1] if index is not None and index + 1 < len(row_ids) else None
    return {
        "title": first_line(finding.message),
        "finding": finding,
        "latest": occurrence,
        "place": place_of(finding.path, finding.start_line, finding.address),
        "rule": await finding_queries.get_rule(session, finding.tool, finding.rule_id),
        "code": await _read_code(room, occurrence, _PANEL_CONTEXT_LINES),
        "url": f"/ui/findings/{finding.finding_id}",
        "close_url": query.url(item=None),
        "previous_url": None if previous is None else query.url(item=previous),
        "next_url": None if following is None else query.url(item=following),
    }


async def _find_panel(
    session: AsyncSession, room: AnalysisRoom, project_id: UUID, query: ListQuery, shown: Sequence[Finding]
) -> dict[str, Any] | None:
    """Return the preview that ``?item=`` asks for, also when another page has its row; None when it is gone."""
    if query.item is None:
        return None
    by_id = {finding.finding_id.hex: finding for finding in shown}
    try:
        finding = by_id.get(query.item) or await finding_queries.get_finding(
            session, project_id, UUID(query.item)
        )
    except (NotFound, ValueError):
        return None
    occurrences = await finding_queries.list_finding_occurrences(session, finding.finding_id, limit=1)
    latest = occurrences[0] if occurrences else None
    return {
        **await build_panel(session, room, query, list(by_id), finding, latest),
        "url": with_query(f"/ui/findings/{finding.finding_id}", filter=query.text),
    }


async def _show_finding(
    request: Request,
    room: AnalysisRoom,
    principal: Principal,
    finding_id: UUID,
    filter: str,
    error: RefereeError | None = None,
) -> Response:
    async with room.database.reading() as session:
        finding = await finding_queries.get_finding(session, principal.project_id, finding_id)
        context = await _build_finding_context(session, room, finding, filter)
    return await render_page(
        request,
        "analysis/finding.html",
        {**context, "error": error},
        title=first_line(finding.message),
        twin_url=f"/v1/findings/{finding_id}",
        breadcrumb=(Crumb("Findings", with_query("/ui/findings", filter=filter)),),
        status=200 if error is None else error.status,
    )


async def _build_finding_context(
    session: AsyncSession, room: AnalysisRoom, finding: Finding, filter: str
) -> dict[str, Any]:
    occurrences = await finding_queries.list_finding_occurrences(session, finding.finding_id)
    latest = occurrences[0] if occurrences else None
    where = _read_filter(filter)
    around = await find_neighbours(session, finding.project_id, finding, where)
    rule_filter = Filter(fields=finding_queries.FINDING_FIELDS)
    rule_filter = rule_filter.add_word("tool", finding.tool).add_word("rule", finding.rule_id)
    return {
        "finding": finding,
        "finding_label": format_id("finding", finding.finding_id),
        "place": place_of(finding.path, finding.start_line, finding.address),
        "latest": latest,
        "rule": await finding_queries.get_rule(session, finding.tool, finding.rule_id),
        "events": await finding_queries.list_finding_events(session, finding.finding_id),
        "linked": await finding_queries.list_cluster(session, finding),
        "code": await _read_code(room, latest, _PAGE_CONTEXT_LINES),
        "is_open": finding.state is FindingState.open,
        "is_dismissed": finding.state is FindingState.dismissed,
        "same_rule_url": with_query("/ui/findings", filter=str(rule_filter)),
        "around": around,
        "previous_url": _neighbour_url(around.previous_id, filter),
        "next_url": _neighbour_url(around.next_id, filter),
        "filter": filter,
        "reasons": REASONS,
    }


def _read_filter(text: str) -> Filter:
    """Return the filter of the list that a person came from; everything when it says nothing known."""
    try:
        return parse_filter(text, finding_queries.FINDING_FIELDS)
    except InvalidInput:
        return Filter(fields=finding_queries.FINDING_FIELDS)


def _neighbour_url(finding_id: UUID | None, filter: str) -> str | None:
    return None if finding_id is None else with_query(f"/ui/findings/{finding_id}", filter=filter)


def _return_to(finding_id: UUID, filter: str) -> Response:
    return RedirectResponse(with_query(f"/ui/findings/{finding_id}", filter=filter), 303)


async def _read_code(
    room: AnalysisRoom, occurrence: Occurrence | None, context_lines: int
) -> Mapping[str, Any] | None:
    """Return the code as it was when the finding was last seen, or None when there is none to show."""
    if occurrence is None or occurrence.path is None or occurrence.start_line is None:
        return None
    line = occurrence.start_line
    fallback = {
        "text": occurrence.code_line,
        "first_line": line,
        "marked": (line, line),
        "path": occurrence.path,
    }
    if occurrence.source_sha256 is None:
        return fallback if occurrence.code_line else None
    try:
        data = await room.artifacts.read_bytes(occurrence.source_sha256)
    except RefereeError:
        return fallback
    lines = await asyncio.to_thread(lambda: data.decode("utf-8", "replace").split("\n"))
    first = max(1, line - context_lines)
    end = max(line, min(occurrence.end_line or line, line + _MAX_MARKED_LINES))
    text = "\n".join(lines[first - 1 : end + context_lines])
    return {"text": text, "first_line": first, "marked": (line, end), "path": occurrence.path}
