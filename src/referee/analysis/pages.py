"""Pages of analyses and findings. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import RedirectResponse, Response

from referee.analysis import finding_queries, queries, service
from referee.analysis.api import AnalysisId, FindingId, GetEngine, GetRoom, get_actor
from referee.analysis.exports import EXPORT_FORMATS
from referee.analysis.page_lists import (
    LEDGER_COLUMNS,
    NOTHING_YET,
    RECENT_COLUMNS,
    build_analysis_list,
    build_analysis_rows,
    build_finding_list,
    build_ledger_rows,
    build_occurrence_list,
    first_line,
)
from referee.analysis.requests import PROFILES, AnalysisRequest
from referee.analysis.running import AnalysisRoom
from referee.analysis.views import Analysis, Facet, Finding, Occurrence, ToolRun
from referee.core.errors import NotFound, RefereeError
from referee.core.ids import format_id
from referee.core.pages import DEFAULT_LIMIT
from referee.core.vocabulary import AnalysisState, FindingState, Outcome, Severity
from referee.foundation.access import Principal
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.charts import Bar, Segment, Span
from referee.foundation.web.lists import Card, EmptyState, read_list_query
from referee.foundation.web.rendering import Crumb, render_page

__all__ = ["create_pages"]

_CONTEXT_LINES = 8
"""Lines of code shown before and after a finding."""
_TABS = {"tools": "Tools", "findings": "Findings", "measurements": "Measurements", "artifacts": "Artifacts"}

_NO_MEASUREMENTS = EmptyState("No measurements", "None of the tools of this analysis measures anything.")
_NO_MANIFEST = EmptyState("No manifest yet", "The manifest is written and verified when the analysis ends.")

ANALYSES_CRUMB = Crumb("Analyses", "/ui/analyses")
FINDINGS_CRUMB = Crumb("Findings", "/ui/findings")


def create_pages(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the pages of analyses and findings."""
    router = APIRouter(include_in_schema=False)
    _add_overview(router, room)
    _add_analysis_pages(router, room, engine)
    _add_finding_pages(router, room)
    return router


def _add_overview(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/")
    async def show_overview(request: Request, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            context = await _overview_context(session, principal)
        return await render_page(
            request, "analysis/overview.html", context, title="Overview", twin_url="/v1/overview"
        )

    @router.get("/analysis/list")
    async def redirect_list() -> Response:
        return RedirectResponse("/ui/analyses", 308)


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
        view = build_analysis_list(query, page, states)
        context = {"view": view, "profiles": PROFILES}
        return await render_page(
            request, "analysis/analyses.html", context, title="Analyses", twin_url=view.twin_url
        )

    @router.post("/ui/analyses")
    async def start_analysis(
        principal: PrincipalParameter,
        path: Annotated[str, Form()],
        profile: Annotated[str, Form()] = "standard",
    ) -> Response:
        principal.require("write")
        analysis = await service.create_analysis(
            room(), engine(), principal.project_id, AnalysisRequest(path=path, profile=profile)
        )
        return RedirectResponse(f"/ui/analyses/{analysis.analysis_id}", 303)

    @router.get("/ui/analyses/{analysis_id}")
    async def show_analysis(
        request: Request,
        analysis_id: AnalysisId,
        principal: PrincipalParameter,
        tab: str = "tools",
        cursor: CursorParameter = None,
    ) -> Response:
        if tab not in _TABS:
            raise NotFound("page.not_found", f"An analysis has no view {tab!r}.", "Use one of its tabs.")
        async with room().database.reading() as session:
            analysis = await queries.get_analysis(session, principal.project_id, analysis_id)
            context = await _analysis_context(session, request, analysis, tab, cursor)
        return await render_page(
            request,
            "analysis/analysis.html",
            context,
            title=analysis.subject.name,
            twin_url=f"/v1/analyses/{analysis_id}",
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
        again = await service.retry_analysis(room(), engine(), principal.project_id, analysis_id)
        return RedirectResponse(f"/ui/analyses/{again.analysis_id}", 303)


def _add_finding_pages(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/findings")
    async def show_findings(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, finding_queries.FINDING_FIELDS)
        async with room().database.reading() as session:
            page = await finding_queries.list_findings(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
            states = await finding_queries.count_findings_by_state(session, principal.project_id)
            facets = await finding_queries.count_finding_facets(
                session, principal.project_id, where=query.filter
            )
        view = build_finding_list(query, page, states, facets)
        return await render_page(
            request, "analysis/findings.html", {"view": view}, title="Findings", twin_url=view.twin_url
        )

    @router.get("/ui/findings/{finding_id}")
    async def show_finding(
        request: Request, finding_id: FindingId, principal: PrincipalParameter
    ) -> Response:
        async with room().database.reading() as session:
            finding = await finding_queries.get_finding(session, principal.project_id, finding_id)
            context = await _finding_context(session, room(), finding)
        return await render_page(
            request,
            "analysis/finding.html",
            context,
            title=first_line(finding.message),
            twin_url=f"/v1/findings/{finding_id}",
            breadcrumb=(FINDINGS_CRUMB,),
        )

    @router.post("/ui/findings/{finding_id}/dismiss")
    async def dismiss_finding(
        finding_id: FindingId, principal: PrincipalParameter, reason: Annotated[str, Form()] = ""
    ) -> Response:
        principal.require("write")
        await service.dismiss_finding(
            room(), principal.project_id, finding_id, reason=reason, actor=get_actor(principal)
        )
        return RedirectResponse(f"/ui/findings/{finding_id}", 303)

    @router.post("/ui/findings/{finding_id}/reopen")
    async def reopen_finding(finding_id: FindingId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await service.reopen_finding(room(), principal.project_id, finding_id, actor=get_actor(principal))
        return RedirectResponse(f"/ui/findings/{finding_id}", 303)

    @router.post("/ui/findings/{finding_id}/link")
    async def set_link(
        finding_id: FindingId, principal: PrincipalParameter, is_linked: Annotated[bool, Form()]
    ) -> Response:
        principal.require("write")
        await service.set_finding_link(
            room(), principal.project_id, finding_id, is_linked=is_linked, actor=get_actor(principal)
        )
        return RedirectResponse(f"/ui/findings/{finding_id}", 303)


async def _overview_context(session: AsyncSession, principal: Principal) -> dict[str, Any]:
    project_id = principal.project_id
    recent = await queries.list_analyses(session, project_id, limit=10)
    facets = await finding_queries.count_finding_facets(session, project_id)
    outcomes = await queries.count_outcomes(session, project_id)
    states = await queries.count_analyses_by_state(session, project_id)
    finding_states = await finding_queries.count_findings_by_state(session, project_id)
    return {
        "recent": recent,
        "recent_rows": build_analysis_rows(recent.items),
        "recent_columns": RECENT_COLUMNS,
        "states": states,
        "severity_bars": _severity_bars({facet.value: facet.count for facet in facets["severity"]}),
        "outcome_bars": _outcome_bars(outcomes),
        "profiles": PROFILES,
        "start": NOTHING_YET,
        "number_cards": _overview_cards(recent.total_count, states, finding_states, outcomes),
    }


def _overview_cards(
    analyses_count: int,
    states: Mapping[AnalysisState, int],
    finding_states: Mapping[FindingState, int],
    outcomes: Sequence[Facet],
) -> list[Card]:
    active = states[AnalysisState.running] + states[AnalysisState.queued]
    complete = sum(facet.count for facet in outcomes if Outcome(facet.value).is_complete)
    return [
        Card(
            "Analyses",
            f"{analyses_count:,}",
            f"{states[AnalysisState.completed]:,} completed",
            url="/ui/analyses",
        ),
        Card(
            "Open findings",
            f"{finding_states[FindingState.open]:,}",
            f"{finding_states[FindingState.fixed]:,} fixed, {finding_states[FindingState.dismissed]:,} dismissed",
            url="/ui/findings?filter=is%3Aopen",
        ),
        Card("Tool runs with a result", f"{complete:,}", f"of {sum(facet.count for facet in outcomes):,}"),
        Card(
            "Under way",
            f"{active:,}",
            f"{states[AnalysisState.queued]:,} waiting",
            tone="accent" if active else "",
        ),
    ]


def _analysis_cards(analysis: Analysis) -> list[Card]:
    counts = analysis.severities
    is_whole = analysis.complete_count == analysis.tools_count
    return [
        Card(
            "Findings",
            f"{counts.total:,}",
            f"{counts.suppressed:,} more suppressed in the code",
            url=f"/ui/analyses/{analysis.analysis_id}?tab=findings",
        ),
        Card("Critical", f"{counts.critical:,}", tone="critical" if counts.critical else ""),
        Card("High", f"{counts.high:,}", tone="high" if counts.high else ""),
        Card(
            "Tools with a result",
            f"{analysis.complete_count} of {analysis.tools_count}",
            tone="ok" if is_whole else "warn",
        ),
    ]


async def _analysis_context(
    session: AsyncSession, request: Request, analysis: Analysis, tab: str, cursor: str | None
) -> dict[str, Any]:
    analysis_id = analysis.analysis_id
    tool_runs = await queries.list_tool_runs(session, analysis_id)
    base = f"/ui/analyses/{analysis_id}"
    context: dict[str, Any] = {
        "analysis": analysis,
        "analysis_label": format_id("analysis", analysis_id),
        "tool_runs": tool_runs,
        "tab": tab,
        "tab_items": [
            {"label": label, "url": f"{base}?tab={name}", "is_current": name == tab, "count": None}
            for name, label in _TABS.items()
        ],
        "exports": {name: f"/v1/analyses/{analysis_id}/export?format={name}" for name in EXPORT_FORMATS},
        "ledger_columns": LEDGER_COLUMNS,
        "ledger_rows": build_ledger_rows(tool_runs),
        "spans": _spans(analysis, tool_runs),
        "number_cards": _analysis_cards(analysis),
        "no_measurements": _NO_MEASUREMENTS,
        "no_manifest": _NO_MANIFEST,
    }
    if tab == "findings":
        query = read_list_query(request, finding_queries.OCCURRENCE_FIELDS)
        page = await finding_queries.list_occurrences(
            session, analysis_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
        )
        facets = await finding_queries.count_occurrence_facets(session, analysis_id, where=query.filter)
        twin_url = f"/v1/analyses/{analysis_id}/findings?{urlencode({'filter': str(query.filter)})}"
        context["view"] = build_occurrence_list(
            query, page, facets, title="Findings of this analysis", twin_url=twin_url
        )
    elif tab == "measurements":
        context["measurements"] = await queries.list_measurements(session, analysis_id, limit=200)
    elif tab == "artifacts":
        context["entries"] = await queries.list_manifest_entries(session, analysis_id)
    return context


async def _finding_context(session: AsyncSession, room: AnalysisRoom, finding: Finding) -> dict[str, Any]:
    occurrences = await finding_queries.list_finding_occurrences(session, finding.finding_id)
    latest = occurrences[0] if occurrences else None
    return {
        "finding": finding,
        "finding_label": format_id("finding", finding.finding_id),
        "latest": latest,
        "occurrences": occurrences,
        "rule": await finding_queries.get_rule(session, finding.tool, finding.rule_id),
        "events": await finding_queries.list_finding_events(session, finding.finding_id),
        "linked": await finding_queries.list_cluster(session, finding),
        "code": await _code_around(room, latest),
        "is_open": finding.state is FindingState.open,
        "is_dismissed": finding.state is FindingState.dismissed,
        "same_rule_url": "/ui/findings?"
        + urlencode({"filter": f'tool:{finding.tool} rule:"{finding.rule_id}"'}),
    }


async def _code_around(room: AnalysisRoom, occurrence: Occurrence | None) -> Mapping[str, Any] | None:
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
    first = max(1, line - _CONTEXT_LINES)
    end = max(line, min(occurrence.end_line or line, line + 40))
    text = "\n".join(lines[first - 1 : end + _CONTEXT_LINES])
    return {"text": text, "first_line": first, "marked": (line, end), "path": occurrence.path}


def _severity_bars(counts: Mapping[str, int]) -> list[Bar]:
    return [
        Bar(
            severity.value,
            (Segment(severity.value, counts.get(severity.value, 0), severity.value),),
            url="/ui/findings?" + urlencode({"filter": f"severity:{severity.value}"}),
        )
        for severity in Severity
    ]


_OUTCOME_TONES = {"succeeded": "ok", "not_applicable": "idle", "unavailable": "warn", "cancelled": "idle"}


def _outcome_bars(outcomes: Sequence[Facet]) -> list[Bar]:
    by_tool: dict[str, list[Segment]] = {}
    for facet in outcomes:
        segment = Segment(facet.value.replace("_", " "), facet.count, _OUTCOME_TONES.get(facet.value, "bad"))  # type: ignore[arg-type]  # words of the tone's Literal
        by_tool.setdefault(facet.field, []).append(segment)
    return [Bar(tool, tuple(segments)) for tool, segments in by_tool.items()]


def _spans(analysis: Analysis, tool_runs: tuple[ToolRun, ...]) -> tuple[list[Span], float]:
    """Return when each tool ran, in seconds from the start of the analysis, and the whole length."""
    if analysis.started_at is None:
        return [], 0.0
    spans = []
    for run in sorted(tool_runs, key=lambda run: run.position):
        if run.started_at is None or run.finished_at is None:
            continue
        spans.append(
            Span(
                run.tool,
                max(0.0, (run.started_at - analysis.started_at).total_seconds()),
                (run.finished_at - run.started_at).total_seconds(),
                "series-1",
                run.status.replace("_", " "),
                is_failed=run.outcome is None or not run.outcome.is_complete,
            )
        )
    total = max((span.start_s + span.duration_s for span in spans), default=0.0)
    return spans, total
