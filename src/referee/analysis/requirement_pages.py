"""The views of what an app was asked to do: each requirement with what source, running app and judge say."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.analysis import queries
from referee.analysis.analysis_frame import ANALYSES_CRUMB, build_frame
from referee.analysis.api import AnalysisId, GetRoom
from referee.analysis.finding_queries import list_stored_sources
from referee.analysis.requirement_views import (
    CATEGORIES,
    EVIDENCE_SOURCES,
    RequirementRow,
    VerdictCounts,
    count_verdicts,
)
from referee.analysis.runtime_api import EndLineParameter, LineParameter, PathParameter
from referee.analysis.runtime_reads import read_requirements, read_source
from referee.analysis.views import Analysis
from referee.core.findings import Location
from referee.core.vocabulary import Outcome, Service
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.charts import Bar, Segment
from referee.foundation.web.formats import format_share
from referee.foundation.web.lists import Card, EmptyState
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query

__all__ = ["add_requirement_pages"]

_SHOWN_COUNT = 150
"""Requirements on one page; the JSON has all."""
_NO_SOURCE = EmptyState(
    "No text is kept", "The text of a file is kept with an analysis when a finding stands in it."
)


def add_requirement_pages(router: APIRouter, room: GetRoom) -> None:
    """Add the page of requirements, and that of the source which their evidence leads to."""

    @router.get("/ui/analyses/{analysis_id}/requirements")
    async def show_requirements(
        request: Request, analysis_id: AnalysisId, principal: PrincipalParameter
    ) -> Response:
        analysis, rows, reread = await read_requirements(room(), principal.project_id, analysis_id)
        async with room().database.reading() as session:
            tool_runs = await queries.list_tool_runs(session, analysis_id)
            stored = await list_stored_sources(session, analysis_id)
        counts = count_verdicts(rows)
        has_tools = any(run.service is Service.ai for run in tool_runs)
        shown = rows[:_SHOWN_COUNT]
        said = {one.source for row in rows for one in row.judged.evidence}

        def source_url(location: Location) -> str:
            """Return where the lines are shown; empty when their text is not kept."""
            if location.path not in stored:
                return ""
            address = f"/ui/analyses/{analysis_id}/source"
            line = location.start_line or 1
            return (
                with_query(address, path=location.path, line=line, end_line=location.end_line)
                + f"#line-{line}"
            )

        context = {
            **build_frame(request, analysis, tool_runs, "requirements"),
            "twin_url": f"/v1/analyses/{analysis_id}/requirements",
            "rows": rows,
            "groups": _group(shown),
            "shown_count": len(shown),
            "categories": CATEGORIES,
            "sources": {source: EVIDENCE_SOURCES[source] for source in EVIDENCE_SOURCES if source in said},
            "silent": [label for source, label in EVIDENCE_SOURCES.items() if source not in said],
            "verdict_cards": _build_cards(counts),
            "category_bars": _build_bars(rows),
            "unscored": [row for row in rows if row.judged.unscored_reason],
            "unread": [
                one for one in reread if one.report is None and one.run.outcome is not Outcome.not_applicable
            ],
            "notices": [(one.run.tool, text) for one in reread if one.report for text in one.report.notices],
            "source_url": source_url,
            "nothing": _nothing(analysis, has_tools=has_tools),
        }
        return await render_page(
            request,
            "analysis/requirements.html",
            context,
            title=f"Requirements of {analysis.subject.name}",
            twin_url=f"/v1/analyses/{analysis_id}/requirements",
            breadcrumb=(ANALYSES_CRUMB,),
        )

    @router.get("/ui/analyses/{analysis_id}/source")
    async def show_source(
        request: Request,
        analysis_id: AnalysisId,
        principal: PrincipalParameter,
        path: PathParameter = None,
        line: LineParameter = 1,
        end_line: EndLineParameter = None,
    ) -> Response:
        async with room().database.reading() as session:
            analysis = await queries.get_analysis(session, principal.project_id, analysis_id)
        part = await read_source(room(), analysis_id, path, line, end_line)
        base = f"/ui/analyses/{analysis_id}/source"
        context = {
            "part": part,
            "text": "\n".join(part.lines),
            "urls": {name: with_query(base, path=name) for name in part.paths[:_SHOWN_COUNT]},
            "whole_url": base,
            "nothing": _NO_SOURCE,
        }
        return await render_page(
            request,
            "analysis/source.html",
            context,
            title=part.path or f"Source kept of {analysis.subject.name}",
            twin_url=with_query(
                f"/v1/analyses/{analysis_id}/source", path=path, line=line, end_line=end_line
            ),
            breadcrumb=(ANALYSES_CRUMB, Crumb(analysis.subject.name, f"/ui/analyses/{analysis_id}")),
        )


def _group(rows: tuple[RequirementRow, ...]) -> dict[str, list[RequirementRow]]:
    groups: dict[str, list[RequirementRow]] = {}
    for row in rows:
        groups.setdefault(row.judged.category, []).append(row)
    return groups


def _build_cards(counts: VerdictCounts) -> list[Card]:
    return [
        Card(
            "Met",
            f"{counts.met:,}",
            f"{format_share(counts.share_of(counts.met))} of {counts.total:,}",
            tone="ok" if counts.met else "",
        ),
        Card(
            "Not met",
            f"{counts.not_met:,}",
            f"{format_share(counts.share_of(counts.not_met))} of {counts.total:,}",
            tone="bad" if counts.not_met else "",
        ),
        Card(
            "Unknown",
            f"{counts.unknown:,}",
            f"{format_share(counts.share_of(counts.unknown))} of {counts.total:,}",
        ),
        Card(
            "Met among the known",
            format_share(counts.met_share),
            f"{counts.met:,} of {counts.judged:,}; unknown ones count as neither",
        ),
    ]


def _build_bars(rows: tuple[RequirementRow, ...]) -> list[Bar]:
    bars = []
    for category, label in CATEGORIES.items():
        counts = count_verdicts([row for row in rows if row.judged.category == category])
        if counts.total:
            segments = (
                Segment("met", counts.met, "ok"),
                Segment("not met", counts.not_met, "bad"),
                Segment("unknown", counts.unknown, "idle"),
            )
            bars.append(Bar(label, segments, f"#category-{category}"))
    return bars


def _nothing(analysis: Analysis, *, has_tools: bool) -> EmptyState:
    if not has_tools:
        return EmptyState(
            "Requirements were not judged",
            "This analysis has no tool of the AI service. They judge whether the app does what its template asks.",
            f"referee analyze {analysis.subject.path} --services ai --template FILE.json",
        )
    if not analysis.state.is_final:
        return EmptyState("Nothing judged yet", "Verdicts appear here as soon as their tool ends.")
    if analysis.template is None:
        return EmptyState(
            "No template was named",
            "Without a template nobody knows what the app was asked to do.",
            f"referee analyze {analysis.subject.path} --services ai --template FILE.json",
        )
    return EmptyState("No requirement was judged", "No tool came to verdicts. The ledger says why.")
