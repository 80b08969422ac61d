"""The page of analyzers: who is connected, with which services and tools, and what waits for them."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.analysis.analyzers.committing import LIVE_TOPIC
from referee.analysis.analyzers.protocol import AnalyzerLimits
from referee.analysis.analyzers.queries import AnalyzerOverview, count_connected_analyzers, read_overview
from referee.analysis.running import AnalysisRoom
from referee.core.vocabulary import Service
from referee.foundation.access import Principal
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.lists import Card, EmptyState
from referee.foundation.web.navigation import NavigationEntry
from referee.foundation.web.rendering import render_page
from referee.foundation.web.shell import Shell

__all__ = ["create_pages", "register_in_shell"]

_NO_ANALYZERS = EmptyState(
    "No analyzers yet",
    "An analyzer runs services of analyses on another machine: it connects to this server, fetches the source, "
    "starts the app in its own sandbox and hands every result over.",
    "referee analyzer --services dynamic,performance --server wss://this-server",
)


def create_pages(room: Callable[[], AnalysisRoom], limits: AnalyzerLimits | None = None) -> APIRouter:
    """Return the page."""
    bounds = limits or AnalyzerLimits()
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/analyzers")
    async def show_analyzers(request: Request, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            overview = await read_overview(
                session, principal.project_id, ttl_s=bounds.ttl_s, urls=room().settings.analyzer_urls
            )
        context = {
            "overview": overview,
            "number_cards": _build_cards(overview),
            "no_analyzers": _NO_ANALYZERS,
            "live_topic": LIVE_TOPIC,
        }
        return await render_page(
            request, "analysis/analyzers.html", context, title="Analyzers", twin_url="/v1/analyzers"
        )

    return router


def register_in_shell(
    shell: Shell, room: Callable[[], AnalysisRoom], limits: AnalyzerLimits | None = None
) -> None:
    """Register the page in the side bar, and its live topic. After the analysis room, whose templates it uses."""
    ttl_s = (limits or AnalyzerLimits()).ttl_s

    async def count_connected(principal: Principal) -> int:
        async with room().database.reading() as session:
            return await count_connected_analyzers(session, principal.project_id, ttl_s=ttl_s)

    shell.navigation.register(
        NavigationEntry(
            "Operate", "Analyzers", "/ui/analyzers", icon="server", order=60, count=count_connected
        )
    )
    shell.live.register_topic(LIVE_TOPIC)


def _build_cards(overview: AnalyzerOverview) -> list[Card]:
    connected_count = sum(analyzer.is_connected for analyzer in overview.analyzers)
    waiting_count = sum(request.state == "waiting" for request in overview.requests)
    kept_count = sum(analyzer.waiting_results_count or 0 for analyzer in overview.analyzers)
    offered = [service.value for service in Service if service in overview.services]
    return [
        Card(
            "Connected",
            f"{connected_count:,}",
            f"of {len(overview.analyzers):,} known",
            tone="" if connected_count or not overview.analyzers else "bad",
        ),
        Card("Services offered", f"{len(offered):,}", ", ".join(offered) or "none"),
        Card(
            "Requests",
            f"{overview.requests_count:,}",
            f"{waiting_count:,} waiting" if overview.requests_count else "none waits or runs",
        ),
        Card("Results on their disks", f"{kept_count:,}", "kept until they are acknowledged"),
    ]
