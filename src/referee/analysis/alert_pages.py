"""The view of what scanners of the running app report, the same rule at several addresses put together."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.analysis import queries
from referee.analysis.alert_views import Alert, AlertList, list_alerts
from referee.analysis.analysis_frame import ANALYSES_CRUMB, build_frame
from referee.analysis.api import AnalysisId, GetRoom
from referee.analysis.views import Analysis, ToolRun
from referee.core.vocabulary import Outcome, Service, Severity
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.lists import EmptyState
from referee.foundation.web.rendering import render_page
from referee.foundation.web.templating import with_query

__all__ = ["add_alert_pages"]

_SHOWN_ALERTS_COUNT = 100
_SHOWN_PLACES_COUNT = 150
"""Places of all alerts on one page: each alert shows its worst ones, the findings have all."""
_PLACES_OF_ALERT_COUNT = 20


def add_alert_pages(router: APIRouter, room: GetRoom) -> None:
    """Add the page."""

    @router.get("/ui/analyses/{analysis_id}/alerts")
    async def show_alerts(
        request: Request, analysis_id: AnalysisId, principal: PrincipalParameter
    ) -> Response:
        async with room().database.reading() as session:
            analysis = await queries.get_analysis(session, principal.project_id, analysis_id)
            tool_runs = await queries.list_tool_runs(session, analysis_id)
            found = await list_alerts(session, analysis_id)
        shown = found.alerts[:_SHOWN_ALERTS_COUNT]
        dynamic = [run for run in tool_runs if run.service is Service.dynamic]
        base = f"/ui/analyses/{analysis_id}/findings"
        context = {
            **build_frame(request, analysis, tool_runs, "alerts"),
            "twin_url": f"/v1/analyses/{analysis_id}/alerts",
            "found": found,
            "alerts": shown,
            "places": _share_places(shown),
            "risks": _count_risks(found),
            "urls": {
                alert.alert_id: with_query(
                    base, filter=f'service:dynamic tool:{alert.tool} rule:"{alert.rule_id}"'
                )
                for alert in shown
            },
            "all_url": with_query(base, filter="service:dynamic"),
            "unread": [run for run in dynamic if run.outcome is not None and not run.outcome.is_complete],
            "stand_ins": _say_stand_ins(dynamic),
            "nothing": _nothing(
                analysis,
                has_tools=bool(dynamic),
                has_result=any(run.outcome is Outcome.succeeded for run in dynamic),
            ),
        }
        return await render_page(
            request,
            "analysis/alerts.html",
            context,
            title=f"Alerts of {analysis.subject.name}",
            twin_url=f"/v1/analyses/{analysis_id}/alerts",
            breadcrumb=(ANALYSES_CRUMB,),
        )


def _say_stand_ins(runs: Sequence[ToolRun]) -> str:
    """Return which tools did the work of one that came to no result; empty when none did."""
    missing = {run.tool for run in runs if run.outcome is not None and not run.outcome.is_complete}
    stands = [
        f"{run.tool} stands in for {run.stands_in_for}."
        for run in runs
        if run.stands_in_for in missing and run.outcome is not None and run.outcome.is_complete
    ]
    return " ".join(stands)


def _share_places(alerts: tuple[Alert, ...]) -> dict[str, int]:
    """Return how many places each alert shows, so that all together stay on one page."""
    left_count = _SHOWN_PLACES_COUNT
    shares = {}
    for alert in alerts:
        shares[alert.alert_id] = min(len(alert.occurrences), _PLACES_OF_ALERT_COUNT, left_count)
        left_count -= shares[alert.alert_id]
    return shares


def _count_risks(found: AlertList) -> dict[str, int]:
    """Return how many rules matched, by the severity of their worst place."""
    severities = [alert.severity for alert in found.alerts]
    return {severity.value: severities.count(severity) for severity in Severity}


def _nothing(analysis: Analysis, *, has_tools: bool, has_result: bool) -> EmptyState:
    if not has_tools:
        return EmptyState(
            "The app was not scanned",
            "This analysis has no dynamic tool. They send requests to the running app and judge its answers.",
            f"referee analyze {analysis.subject.path} --services dynamic",
        )
    if not analysis.state.is_final:
        return EmptyState("No alerts yet", "Alerts appear here as soon as their tool ends.")
    if not has_result:
        return EmptyState("Alerts are not known", "No dynamic tool came to a result. The ledger says why.")
    return EmptyState("No alerts", "No dynamic tool that came to a result reports anything.")
