"""Pages of the overview and of analyses. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import RedirectResponse, Response

from referee.analysis import finding_queries, queries, service
from referee.analysis.alert_pages import add_alert_pages
from referee.analysis.analysis_frame import ANALYSES_CRUMB, build_frame
from referee.analysis.api import AnalysisId, GetEngine, GetRoom, check_roots
from referee.analysis.breakers import ServiceGate
from referee.analysis.finding_pages import add_finding_pages, build_panel
from referee.analysis.load_pages import add_load_pages
from referee.analysis.overview import read_overview
from referee.analysis.page_figures import (
    build_outcome_bars,
    build_overview_cards,
    build_severity_bars,
)
from referee.analysis.page_lists import (
    NOTHING_YET,
    RECENT_COLUMNS,
    build_analysis_list,
    build_analysis_rows,
    build_occurrence_list,
)
from referee.analysis.requests import LOADS, PROFILES, AnalysisRequest
from referee.analysis.requirement_pages import add_requirement_pages
from referee.analysis.running import AnalysisRoom
from referee.analysis.service_pages import add_service_pages
from referee.analysis.services import RUNNABLE_SERVICES
from referee.analysis.views import Analysis
from referee.apps.known_templates import list_templates
from referee.core.errors import InvalidInput, NotFound, RefereeError
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import EmptyState, read_list_query
from referee.foundation.web.rendering import render_page
from referee.foundation.web.templating import with_query
from referee.tools.registry import describe_tools

__all__ = ["create_pages"]

_TABS = ("", "findings", "measurements", "artifacts")
"""Views that this module shows; the others have pages of their own."""
_RECENT_COUNT = 8
_TEMPLATES_COUNT = 200
"""Versions of templates that the form offers."""
_MAX_FOLLOWED_COUNT = 15
"""Analyses of one page whose steps are followed: a stream takes 20 topics."""
_MEASUREMENTS_COUNT = 200
_NO_MEASUREMENTS = EmptyState("No measurements", "None of the tools of this analysis measures anything.")
_NO_MANIFEST = EmptyState("No manifest yet", "The manifest is written and verified when the analysis ends.")


def create_pages(room: GetRoom, engine: GetEngine, gate: ServiceGate) -> APIRouter:
    """Return the pages of the overview, of analyses, of findings and of services."""
    router = APIRouter(include_in_schema=False)
    _add_overview(router, room)
    _add_start_pages(router, room, engine)
    # Before the page that takes any last part of an address for the name of a view.
    add_alert_pages(router, room)
    add_load_pages(router, room)
    add_requirement_pages(router, room)
    _add_analysis_pages(router, room, engine)
    add_finding_pages(router, room)
    add_service_pages(router, room, gate)
    return router


def _add_overview(router: APIRouter, room: GetRoom) -> None:
    @router.get("/")
    async def redirect_home() -> Response:
        return RedirectResponse("/ui/", 307)

    @router.get("/ui/")
    async def show_overview(request: Request, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            overview = await read_overview(session, principal.project_id)
            recent = await queries.list_analyses(session, principal.project_id, limit=_RECENT_COUNT)
        context = {
            "overview": overview,
            "number_cards": build_overview_cards(overview),
            "recent_columns": RECENT_COLUMNS,
            "recent_rows": build_analysis_rows(recent.items),
            "recent_count": recent.total_count,
            "recent_topics": _topics_of(recent.items),
            "severity_bars": build_severity_bars(overview.severities),
            "outcome_bars": build_outcome_bars(overview.outcomes),
            "profiles": PROFILES,
            "start": NOTHING_YET,
        }
        return await render_page(
            request, "analysis/overview.html", context, title="Overview", twin_url="/v1/overview"
        )

    @router.get("/analysis/list")
    async def redirect_list() -> Response:
        return RedirectResponse("/ui/analyses", 308)


def _add_start_pages(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/ui/analyses/new")
    async def show_start_form(
        request: Request, principal: PrincipalParameter, path: str = "", profile: str = "standard"
    ) -> Response:
        return await _show_form(request, room(), principal.project_id, {"path": path, "profile": profile})

    @router.post("/ui/analyses")
    async def start_analysis(
        request: Request,
        principal: PrincipalParameter,
        path: Annotated[str, Form()] = "",
        profile: Annotated[str, Form()] = "standard",
        tools: Annotated[list[str] | None, Form()] = None,
        services: Annotated[list[str] | None, Form()] = None,
        load: Annotated[str, Form()] = "quick",
        template: Annotated[str, Form()] = "",
        model: Annotated[str, Form()] = "",
        number: Annotated[str, Form()] = "",
        is_fresh: Annotated[bool, Form()] = False,
    ) -> Response:
        principal.require("write")
        entered = {
            "path": path,
            "profile": profile,
            "tools": tools or [],
            "services": services or [],
            "load": load,
            "template": template,
            "model": model,
            "number": number,
            "is_fresh": is_fresh,
        }
        try:
            wanted = AnalysisRequest(
                path=path,
                profile=profile,
                tools=tuple(tools or ()),
                services=tuple(services or ()),
                load=load,
                template=template.strip() or None,
                model=model.strip() or None,
                number=_read_number(number),
                is_cache_allowed=not is_fresh,
            )
            check_roots(room().settings)
            analysis = await service.create_analysis(room(), engine(), principal.project_id, wanted)
        except RefereeError as error:
            return await _show_form(request, room(), principal.project_id, entered, error)
        return RedirectResponse(f"/ui/analyses/{analysis.analysis_id}", 303)


async def _show_form(
    request: Request,
    room: AnalysisRoom,
    project_id: UUID,
    entered: Mapping[str, object],
    error: RefereeError | None = None,
) -> Response:
    """Show the form with what was entered, and beside it what is wrong with that."""
    async with room.database.reading() as session:
        templates = await list_templates(session, project_id, limit=_TEMPLATES_COUNT)
    empty: dict[str, object] = {
        "tools": [],
        "services": [],
        "load": LOADS[0],
        "template": "",
        "model": "",
        "number": "",
        "is_fresh": False,
    }
    context = {
        "services": RUNNABLE_SERVICES,
        "loads": LOADS,
        "templates": {one.slug: one.name for one in reversed(templates.items)},
        "entered": {**empty, **entered},
        "error": error,
        "profiles": PROFILES,
        "tools": describe_tools(),
    }
    return await render_page(
        request,
        "analysis/start.html",
        context,
        title="Start an analysis",
        twin_url="/v1/analysis-tools",
        breadcrumb=(ANALYSES_CRUMB,),
        status=200 if error is None else error.status,
    )


def _read_number(text: str) -> int | None:
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise InvalidInput(
            "app.number_invalid", f"{text!r} is not the number of an app.", "Use digits, such as 1."
        )
    return int(text)


def _add_analysis_pages(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/ui/analyses")
    async def show_analyses(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, queries.ANALYSIS_FIELDS)
        async with room().database.reading() as session:
            page = await queries.list_analyses(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
            states = await queries.count_analyses_by_state(session, principal.project_id)
        view = build_analysis_list(query, page, states, live_topic=_topics_of(page.items))
        return await render_page(
            request, "analysis/analyses.html", {"view": view}, title="Analyses", twin_url=view.twin_url
        )

    @router.get("/ui/analyses/{analysis_id}")
    @router.get("/ui/analyses/{analysis_id}/{tab}")
    async def show_analysis(
        request: Request,
        analysis_id: AnalysisId,
        principal: PrincipalParameter,
        tab: str = "",
        cursor: CursorParameter = None,
    ) -> Response:
        if tab not in _TABS:
            raise NotFound("page.not_found", f"An analysis has no view {tab!r}.", "Use one of its tabs.")
        async with room().database.reading() as session:
            analysis = await queries.get_analysis(session, principal.project_id, analysis_id)
            context = await _build_analysis_context(session, room(), request, analysis, tab, cursor)
        return await render_page(
            request,
            "analysis/analysis.html",
            context,
            title=analysis.subject.name,
            twin_url=context["twin_url"],
            breadcrumb=(ANALYSES_CRUMB,),
        )

    @router.post("/ui/analyses/{analysis_id}/cancel")
    async def cancel_analysis(analysis_id: AnalysisId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await service.cancel_analysis(room(), engine(), principal.project_id, analysis_id)
        return RedirectResponse(f"/ui/analyses/{analysis_id}", 303)

    @router.post("/ui/analyses/{analysis_id}/retry")
    async def retry_analysis(analysis_id: AnalysisId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        check_roots(room().settings)
        again = await service.retry_analysis(room(), engine(), principal.project_id, analysis_id)
        return RedirectResponse(f"/ui/analyses/{again.analysis_id}", 303)


async def _build_analysis_context(
    session: AsyncSession,
    room: AnalysisRoom,
    request: Request,
    analysis: Analysis,
    tab: str,
    cursor: str | None,
) -> dict[str, Any]:
    analysis_id = analysis.analysis_id
    tool_runs = await queries.list_tool_runs(session, analysis_id)
    context = build_frame(request, analysis, tool_runs, tab)
    if tab == "findings":
        await _add_occurrences(session, room, request, analysis, cursor, context)
    elif tab == "measurements":
        context["twin_url"] += "/measurements"
        context["measurements"] = await queries.list_measurements(
            session, analysis_id, limit=_MEASUREMENTS_COUNT
        )
        context["no_measurements"] = _NO_MEASUREMENTS
        context["measurements_limit"] = _MEASUREMENTS_COUNT
    elif tab == "artifacts":
        context["twin_url"] += "/manifest"
        context["entries"] = await queries.list_manifest_entries(session, analysis_id)
        context["no_manifest"] = _NO_MANIFEST
    return context


async def _add_occurrences(
    session: AsyncSession,
    room: AnalysisRoom,
    request: Request,
    analysis: Analysis,
    cursor: str | None,
    context: dict[str, Any],
) -> None:
    analysis_id = analysis.analysis_id
    query = read_list_query(request, finding_queries.OCCURRENCE_FIELDS)
    page = await finding_queries.list_occurrences(
        session, analysis_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
    )
    facets = await finding_queries.count_occurrence_facets(session, analysis_id, where=query.filter)
    context["twin_url"] = with_query(f"/v1/analyses/{analysis_id}/findings", filter=str(query.filter))
    context["view"] = build_occurrence_list(
        query,
        page,
        facets,
        analysis=analysis,
        twin_url=context["twin_url"],
        live_topic=context["topic"],
    )
    row_ids = [row.row_id for row in context["view"].rows]
    if query.item in row_ids:
        occurrence = page.items[row_ids.index(query.item)]
        finding = await finding_queries.get_finding(session, analysis.project_id, occurrence.finding_id)
        context["panel"] = await build_panel(session, room, query, row_ids, finding, occurrence)


def _topics_of(analyses: Sequence[Analysis]) -> str:
    """Return the live topics of a list: new and ended analyses, and the steps of those under way."""
    active = [f"analysis:{analysis.analysis_id}" for analysis in analyses if not analysis.state.is_final]
    return " ".join(["analyses", *active[:_MAX_FOLLOWED_COUNT]])
