"""Probes as JSON and as a page. They are of the installation: whoever may read may see them."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from markupsafe import Markup
from starlette.responses import RedirectResponse

from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.statistics import find_change_points
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.charts import Line, Mark, Tone, render_line_chart
from referee.foundation.web.filters import Filter
from referee.foundation.web.formats import format_milliseconds, format_period, format_share
from referee.foundation.web.lists import Card, Column, EmptyState, ListView, Row, read_list_query
from referee.foundation.web.openapi_problems import answers_with
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query
from referee.operations.probes.models import ProbeRequestModel, ProbeResultModel, ProbeSummariesModel
from referee.operations.probes.queries import (
    PROBE_FIELDS,
    LatencyPoint,
    ProbeSummary,
    list_results,
    read_latencies,
    summarize_probes,
)
from referee.operations.probes.room import GetProbesRoom, ProbesRoom
from referee.operations.probes.service import start_probe
from referee.operations.probes.words import Probe, ProbeResult
from referee.operations.windows import (
    CHANGE_LEVEL,
    Window,
    WindowParameter,
    list_window_tabs,
    make_window,
)

__all__ = ["create_probe_routes"]

_TITLES: Final = {
    Probe.trace: "Write a trace, read it back",
    Probe.artifact: "Store an artifact, verify it",
    Probe.analysis: "Create an analysis, finish it",
}
_TONES: Final[dict[Probe, Tone]] = {
    Probe.trace: "series-1",
    Probe.artifact: "series-2",
    Probe.analysis: "series-3",
}
_COLUMNS: Final = (
    Column("probe", "Probe", is_title=True),
    Column("state", "Outcome", "state"),
    Column("latency", "Latency", "custom"),
    Column("steps", "Steps", "custom", is_optional=True),
    Column("error", "Error"),
    Column("requested", "Asked for", "time"),
)
_EMPTY: Final = EmptyState(
    "No probe has run yet",
    "Probes try Referee out as a client would, on a schedule: a trace, an artifact, a tiny analysis.",
    "referee probe run",
)
_SHOWN_COUNT: Final = 10
"""Results on one page, below the charts and their tables."""
ProbeFilter = Annotated[Filter, Depends(filter_parameter(PROBE_FIELDS))]


def create_probe_routes(room: GetProbesRoom) -> tuple[APIRouter, APIRouter]:
    """Return the routes of the API and those of the pages."""
    api, pages = APIRouter(prefix="/v1"), APIRouter(include_in_schema=False)
    _add_api(api, room)
    _add_pages(pages, room)
    return api, pages


def _add_api(api: APIRouter, room: GetProbesRoom) -> None:
    @api.get("/probes", tags=["operations"])
    async def list_probes(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: ProbeFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[ProbeResultModel]:
        """List what became of probes, the latest first."""
        principal.require("read")
        async with room().database.reading() as session:
            page = await list_results(session, where=filter, cursor=cursor, limit=limit)
        return answer_page(request, response, page, ProbeResultModel.of)

    @api.get("/probes/summary", tags=["operations"])
    async def get_probe_summary(
        principal: PrincipalParameter, window: WindowParameter = "24h"
    ) -> ProbeSummariesModel:
        """Return how often each probe succeeded in a window, how long it took, and what failed last."""
        principal.require("read")
        found = make_window(window)
        summaries, latencies = await _read(room(), found)
        return ProbeSummariesModel.build(room(), found, summaries, latencies)

    @api.post(
        "/probes",
        tags=["operations"],
        status_code=202,
        responses=answers_with(409),
        openapi_extra={"security": [{"project_key": ["admin"]}]},
    )
    async def run_probe(principal: PrincipalParameter, body: ProbeRequestModel) -> ProbeResultModel:
        """Try one now; the one that waits or runs is returned if there is one."""
        principal.require("admin")
        return ProbeResultModel.of(await start_probe(room(), room().engine, body.probe))


async def _read(room: ProbesRoom, window: Window) -> tuple[list[ProbeSummary], list[LatencyPoint]]:
    async with room.database.reading() as session:
        summaries = await summarize_probes(session, window)
        return list(summaries), list(await read_latencies(session, window))


def _add_pages(pages: APIRouter, room: GetProbesRoom) -> None:
    @pages.get("/ui/probes")
    async def show_probes(
        request: Request,
        principal: PrincipalParameter,
        window: WindowParameter = "24h",
        cursor: CursorParameter = None,
    ) -> Response:
        principal.require("read")
        query = read_list_query(request, PROBE_FIELDS)
        found = make_window(window)
        summaries, latencies = await _read(room(), found)
        async with room().database.reading() as session:
            page = await list_results(session, where=query.filter, cursor=cursor, limit=_SHOWN_COUNT)
        view = ListView(
            title="Probes",
            noun="results",
            query=query,
            columns=_COLUMNS,
            total_count=page.total_count,
            limit=page.limit,
            next_cursor=page.next_cursor,
            rows=[_build_row(result) for result in page.items],
            empty=_EMPTY,
            facets=[],
            twin_url=with_query("/v1/probes", filter=query.text, cursor=cursor),
            fields=PROBE_FIELDS,
            live_topic="poll",
            caption="Results of probes, the latest first",
        )
        context = {
            "view": view,
            "number_cards": [_build_card(room(), one) for one in summaries],
            "failures": [(_TITLES[one.probe], one.last_failure) for one in summaries if one.last_failure],
            "charts": _draw(found, latencies),
            "tab_items": list_window_tabs("/ui/probes", window),
            "probes": list(_TITLES.items()),
            "has_active": any(result.outcome is None for result in page.items),
        }
        return await render_page(
            request,
            "operations/probes.html",
            context,
            title="Probes",
            twin_url=f"/v1/probes/summary?window={window}",
            breadcrumb=(Crumb("Operations", "/ui/operations"),),
        )

    @pages.post("/ui/probes/{probe}")
    async def run_probe(probe: Probe, principal: PrincipalParameter) -> Response:
        principal.require("admin")
        await start_probe(room(), room().engine, probe)
        return RedirectResponse("/ui/probes", 303)


def _build_row(result: ProbeResult) -> Row:
    steps = ", ".join(f"{step.name} {format_milliseconds(step.latency_ms)}" for step in result.steps)
    return Row(
        row_id=result.probe_result_id.hex,
        url=with_query("/ui/probes", filter=f"probe:{result.probe.value}"),
        cells={
            "probe": _TITLES[result.probe],
            "state": result.state,
            "latency": format_milliseconds(result.latency_ms) if result.latency_ms is not None else "",
            "steps": steps,
            "error": result.error,
            "requested": result.requested_at,
        },
    )


def _build_card(room: ProbesRoom, one: ProbeSummary) -> Card:
    interval_s = room.get_interval_s(one.probe)
    each = f"each {format_period(interval_s)}" if interval_s else "switched off"
    if not one.judged_count:
        return Card(_TITLES[one.probe], "none", f"none could be judged; {each}")
    return Card(
        _TITLES[one.probe],
        format_share(one.success_rate),
        f"{one.succeeded_count:,} of {one.judged_count:,}; median {format_milliseconds(one.p50_ms)}, "
        f"95th percentile {format_milliseconds(one.p95_ms)}; {each}",
        tone="bad" if one.failed_count else "ok",
        url=with_query("/ui/probes", filter=f"probe:{one.probe.value}"),
    )


def _draw(window: Window, latencies: list[LatencyPoint]) -> list[Markup]:
    """Return a chart for each probe that has latencies: their scales lie far apart."""
    return [
        _draw_one(window, probe, [point for point in latencies if point.probe is probe])
        for probe in Probe
        if any(point.probe is probe for point in latencies)
    ]


def _draw_one(window: Window, probe: Probe, points: list[LatencyPoint]) -> Markup:
    by_part = {point.at: point.p50_ms for point in points}
    places = {part: index for index, part in enumerate(window.parts)}
    marks = [
        Mark(
            places[points[change.index].at],
            f"The median changed from {format_milliseconds(change.before_median)} to "
            f"{format_milliseconds(change.after_median)} (p {change.p_value:.2g}).",
        )
        for change in find_change_points([point.p50_ms for point in points], level=CHANGE_LEVEL)
    ]
    return render_line_chart(
        f"{_TITLES[probe]}: median latency, in UTC (milliseconds)",
        window.part_labels,
        [Line(_TITLES[probe], tuple(by_part.get(part) for part in window.parts), _TONES[probe])],
        unit="ms",
        format_value=lambda value: f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}",
        marks=marks,
    )
