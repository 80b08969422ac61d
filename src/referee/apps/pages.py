"""Pages of apps. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.apps import service
from referee.apps.api import ANALYSES_COUNT, AppId
from referee.apps.app_frame import APPS_CRUMB, GetRoom, name_of, read_frame
from referee.apps.judgements import AppAnalysis, AppJudgements, AppSummary
from referee.apps.run_pages import add_run_pages
from referee.apps.service import App
from referee.apps.source_tree import build_folder
from referee.apps.versions import AppSourceTree, list_versions, read_source_tree
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.core.vocabulary import Severity
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.charts import Bar, Segment, Tone
from referee.foundation.web.filters import Filter
from referee.foundation.web.lists import Card, Column, EmptyState, ListQuery, ListView, Row, read_list_query
from referee.foundation.web.rendering import render_page
from referee.foundation.web.templating import with_query

__all__ = ["create_pages"]

_APP_COLUMNS = (
    Column("app", "App", is_title=True),
    Column("state", "Latest analysis", "custom"),
    Column("open", "Open findings", "custom"),
    Column("analyses", "Analyses", "count"),
    Column("template", "Template", is_optional=True),
    Column("kind", "Kind", is_optional=True),
    Column("analysed", "Analysed", "custom"),
)
_ANALYSIS_COLUMNS = (
    Column("created", "Accepted", "time", is_title=True),
    Column("state", "State", "state"),
    Column("tools", "Tools"),
    Column("severities", "Findings", "custom"),
    Column("took", "Took", "custom"),
)
_NO_APPS = EmptyState(
    "No apps yet",
    "An app is one generated web app: a model and a number. A folder such as models/<model>/app1 is known "
    "as soon as it is analysed.",
    "referee analyze ./models/my-model/app1",
)
_NO_SOURCE = EmptyState(
    "No source yet",
    "The files of an app are known once it was analysed or run; the folder itself is not looked into here.",
)
_CHART_ANALYSES_COUNT = 12
_TREE_FILES_COUNT = 1_000
"""Files of one tree on a page; the JSON has all."""
_EXCLUDED_COUNT = 100
_TONES: Mapping[Severity, Tone] = {
    Severity.critical: "critical",
    Severity.high: "high",
    Severity.medium: "medium",
    Severity.low: "low",
    Severity.info: "info",
}


def create_pages(room: GetRoom, judgements: AppJudgements) -> APIRouter:
    """Return the pages of apps and of their runs."""
    router = APIRouter(include_in_schema=False)
    _add_list(router, room, judgements)
    _add_app_pages(router, room, judgements)
    add_run_pages(router, room, judgements)
    return router


def _add_list(router: APIRouter, room: GetRoom, judgements: AppJudgements) -> None:
    @router.get("/ui/apps")
    async def show_apps(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, service.APP_FIELDS)
        async with room().database.reading() as session:
            page = await service.list_apps(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
            summaries = await judgements.summarise(
                session, principal.project_id, [app.app_id for app in page.items]
            )
        view = _build_list(query, page, summaries)
        return await render_page(
            request, "apps/apps.html", {"view": view}, title="Apps", twin_url=view.twin_url
        )


def _add_app_pages(router: APIRouter, room: GetRoom, judgements: AppJudgements) -> None:
    @router.get("/ui/apps/{app_id}")
    async def show_app(request: Request, app_id: AppId, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            frame = await read_frame(session, judgements, principal.project_id, app_id)
            analyses = await judgements.list_analyses(
                session, principal.project_id, app_id, limit=ANALYSES_COUNT
            )
        context = {
            **frame.build_context(""),
            "number_cards": _build_cards(frame.app, frame.summary),
            "columns": _ANALYSIS_COLUMNS,
            "rows": _build_analysis_rows(analyses),
            "bars": _build_bars(analyses),
            "analyses_url": _analyses_url(frame.app),
        }
        return await render_page(
            request,
            "apps/app.html",
            context,
            title=name_of(frame.app),
            twin_url=f"/v1/apps/{app_id}",
            breadcrumb=(APPS_CRUMB,),
        )

    @router.get("/ui/apps/{app_id}/versions")
    async def show_versions(request: Request, app_id: AppId, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            frame = await read_frame(session, judgements, principal.project_id, app_id)
            versions = await list_versions(
                session, judgements, principal.project_id, app_id, limit=DEFAULT_LIMIT
            )
        context = {**frame.build_context("versions"), "versions": versions, "versions_limit": DEFAULT_LIMIT}
        return await render_page(
            request,
            "apps/versions.html",
            context,
            title=f"Versions of {name_of(frame.app)}",
            twin_url=f"/v1/apps/{app_id}/versions",
            breadcrumb=(APPS_CRUMB,),
        )

    @router.get("/ui/apps/{app_id}/source")
    async def show_source(request: Request, app_id: AppId, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            frame = await read_frame(session, judgements, principal.project_id, app_id)
            versions = await list_versions(session, judgements, principal.project_id, app_id, limit=1)
        tree = await read_source_tree(room().artifacts, versions)
        context = {
            **frame.build_context("source"),
            "source": tree,
            "folder": None if tree is None else build_folder(tree.files[:_TREE_FILES_COUNT]),
            "files_limit": _TREE_FILES_COUNT,
            "excluded_limit": _EXCLUDED_COUNT,
            "language_bars": [] if tree is None else _build_language_bars(tree),
            "nothing": _NO_SOURCE,
        }
        return await render_page(
            request,
            "apps/source.html",
            context,
            title=f"Source of {name_of(frame.app)}",
            twin_url=f"/v1/apps/{app_id}/source",
            breadcrumb=(APPS_CRUMB,),
        )


def _build_list(query: ListQuery, page: Page[App], summaries: Mapping[UUID, AppSummary]) -> ListView:
    return ListView(
        title="Apps",
        noun="apps",
        query=query,
        columns=_APP_COLUMNS,
        rows=[_build_row(app, summaries.get(app.app_id, AppSummary())) for app in page.items],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_APPS,
        twin_url=query.url(item=None).replace("/ui/", "/v1/", 1),
        fields=service.APP_FIELDS,
        live_topic="analyses",
        caption="Apps by model and number",
    )


def _build_row(app: App, summary: AppSummary) -> Row:
    return Row(
        row_id=app.app_id.hex,
        url=f"/ui/apps/{app.app_id}",
        cells={
            "app": name_of(app),
            "state": summary,
            "open": summary,
            "analyses": summary.analyses_count,
            "template": app.template or "not named",
            "kind": "app" if app.placeholder is None else f"placeholder: {app.placeholder}",
            "analysed": summary,
        },
    )


def _build_analysis_rows(analyses: Sequence[AppAnalysis]) -> list[Row]:
    return [
        Row(
            row_id=analysis.analysis_id.hex,
            url=f"/ui/analyses/{analysis.analysis_id}",
            cells={
                "created": analysis.created_at,
                "state": analysis.state.value,
                "tools": f"{analysis.complete_count}/{analysis.tools_count}",
                "severities": analysis,
                "took": analysis,
            },
        )
        for analysis in analyses
    ]


def _build_cards(app: App, summary: AppSummary) -> list[Card]:
    worst = {
        severity: summary.open_severities.get(severity, 0) for severity in (Severity.critical, Severity.high)
    }
    worst_count = sum(worst.values())
    return [
        Card("Open findings", f"{summary.open_findings_count:,}", url=_findings_url(app, "")),
        Card(
            "Critical or high",
            f"{worst_count:,}",
            f"{worst[Severity.critical]:,} critical, {worst[Severity.high]:,} high" if worst_count else "",
            tone="critical" if worst[Severity.critical] else "high" if worst_count else "",
            url=_findings_url(app, " severity:>=high"),
        ),
        Card("Analyses", f"{summary.analyses_count:,}", url=_analyses_url(app)),
    ]


def _build_bars(analyses: Sequence[AppAnalysis]) -> list[Bar]:
    """Return the findings of each analysis by severity, the oldest on top."""
    known = [analysis for analysis in analyses if analysis.complete_count and analysis.state.is_final]
    return [
        Bar(
            f"{analysis.created_at:%d %b %H:%M:%S}",
            tuple(
                Segment(severity.value, analysis.severities.get(severity, 0), _TONES[severity])
                for severity in Severity
            ),
            f"/ui/analyses/{analysis.analysis_id}",
        )
        for analysis in reversed(known[:_CHART_ANALYSES_COUNT])
    ]


def _build_language_bars(tree: AppSourceTree) -> list[Bar]:
    """Return the files by language, most first."""
    counts = Counter(file.language for file in tree.files)
    return [Bar(language, (Segment(language, count),)) for language, count in counts.most_common()]


def _findings_url(app: App, more: str) -> str:
    subject = Filter(fields={}).add_word("subject", name_of(app))
    return with_query("/ui/findings", filter=f"is:open suppressed:no {subject}{more}")


def _analyses_url(app: App) -> str:
    return with_query("/ui/analyses", filter=f"model:{app.model} app:{app.number}")
