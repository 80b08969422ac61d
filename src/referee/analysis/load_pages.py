"""The view of how an app answered under load: every address by every load tool, and one of them in detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.analysis import queries
from referee.analysis.analysis_frame import ANALYSES_CRUMB, build_frame
from referee.analysis.api import AnalysisId, GetRoom
from referee.analysis.load_views import (
    LoadRow,
    build_bins,
    build_error_bars,
    build_latency_bars,
    build_rate_lines,
    build_status_bars,
)
from referee.analysis.runtime_reads import read_loads
from referee.analysis.views import Analysis
from referee.core.vocabulary import Outcome, Service
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.formats import format_milliseconds
from referee.foundation.web.lists import EmptyState
from referee.foundation.web.rendering import render_page
from referee.foundation.web.templating import with_query

__all__ = ["add_load_pages"]


def add_load_pages(router: APIRouter, room: GetRoom) -> None:
    """Add the page."""

    @router.get("/ui/analyses/{analysis_id}/performance")
    async def show_performance(
        request: Request, analysis_id: AnalysisId, principal: PrincipalParameter, item: str = ""
    ) -> Response:
        analysis, rows, reread = await read_loads(room(), principal.project_id, analysis_id)
        async with room().database.reading() as session:
            tool_runs = await queries.list_tool_runs(session, analysis_id)
        base = f"/ui/analyses/{analysis_id}/performance"
        shown = _choose(rows, item)
        has_tools = any(run.service is Service.performance for run in tool_runs)
        context = {
            **build_frame(request, analysis, tool_runs, "performance"),
            "twin_url": f"/v1/analyses/{analysis_id}/performance",
            "rows": rows,
            "row_urls": {row.row_id: with_query(base, item=row.row_id) for row in rows},
            "latency_bars": build_latency_bars(rows),
            "saturated": [row for row in rows if row.profile.is_saturated],
            "unread": [
                one for one in reread if one.report is None and one.run.outcome is not Outcome.not_applicable
            ],
            "notices": [(one.run.tool, text) for one in reread if one.report for text in one.report.notices],
            "shown": shown,
            "format_milliseconds": format_milliseconds,
            "nothing": _nothing(analysis, has_tools=has_tools),
            **({} if shown is None else _draw(shown)),
        }
        return await render_page(
            request,
            "analysis/performance.html",
            context,
            title=f"Performance of {analysis.subject.name}",
            twin_url=f"/v1/analyses/{analysis_id}/performance",
            breadcrumb=(ANALYSES_CRUMB,),
        )


def _choose(rows: Sequence[LoadRow], item: str) -> LoadRow | None:
    """Return the row that the address asks for, else the slowest whose numbers are the app's."""
    asked = next((row for row in rows if row.row_id == item), None)
    if asked is not None or not rows:
        return asked
    return max(rows, key=lambda row: (not row.profile.is_saturated, row.profile.latency_ms.get("p95", 0.0)))


def _draw(row: LoadRow) -> dict[str, Any]:
    labels, lines, step_s = build_rate_lines(row.profile)
    return {
        "bins": build_bins(row.profile),
        "rate_labels": labels,
        "rate_lines": lines,
        "rate_step_s": step_s,
        "status_bars": build_status_bars(row.profile),
        "error_bars": build_error_bars(row.profile),
    }


def _nothing(analysis: Analysis, *, has_tools: bool) -> EmptyState:
    if not has_tools:
        return EmptyState(
            "No load was made",
            "This analysis has no load tool. They measure how fast each address of the running app answers.",
            f"referee analyze {analysis.subject.path} --services performance --load quick",
        )
    if not analysis.state.is_final:
        return EmptyState("Nothing measured yet", "Numbers appear here as soon as their tool ends.")
    return EmptyState("Nothing was measured", "No load tool came to numbers. The ledger says why.")
