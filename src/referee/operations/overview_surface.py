"""The overview of operations as JSON and as a page."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from referee.core.vocabulary import Service
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.charts import (
    Bin,
    Estimate,
    Line,
    Mark,
    Tone,
    render_histogram,
    render_interval_chart,
    render_line_chart,
)
from referee.foundation.web.formats import format_duration, format_share
from referee.foundation.web.lists import Card
from referee.foundation.web.rendering import render_page
from referee.operations.api import GetApplication
from referee.operations.overview import CreationLatency, Overview, read_overview
from referee.operations.overview_models import OperationsModel
from referee.operations.windows import WindowParameter, list_window_tabs, make_window

__all__ = ["create_overview_routes"]

_TONES: Final[dict[Service, Tone]] = {
    Service.static: "series-1",
    Service.dynamic: "series-2",
    Service.performance: "series-3",
    Service.ai: "series-4",
}
_WORDS: Final = {
    "1h": "the last hour",
    "24h": "the last 24 hours",
    "7d": "the last 7 days",
    "30d": "the last 30 days",
}


def create_overview_routes(application: GetApplication) -> tuple[APIRouter, APIRouter]:
    """Return the routes of the API and those of the pages."""
    api, pages = APIRouter(prefix="/v1"), APIRouter(include_in_schema=False)

    @api.get("/operations", tags=["operations"])
    async def get_operations(
        principal: PrincipalParameter, window: WindowParameter = "24h"
    ) -> OperationsModel:
        """Return how operations go in a window: success, durations, latency, repeats, artifacts, alerts, workers."""
        principal.require("read")
        overview = await read_overview(application().database, principal.project_id, make_window(window))
        return OperationsModel.of(overview)

    @pages.get("/ui/operations")
    async def show_operations(
        request: Request, principal: PrincipalParameter, window: WindowParameter = "24h"
    ) -> Response:
        principal.require("read")
        overview = await read_overview(application().database, principal.project_id, make_window(window))
        context = {
            "overview": overview,
            "number_cards": _build_cards(overview),
            "services_chart": _draw_services(overview),
            "durations_chart": _draw_durations(overview),
            "changes": _tell_changes(overview),
            "creation_chart": _draw_creation(overview.creation),
            "artifacts_chart": _draw_artifacts(overview),
            "tab_items": list_window_tabs("/ui/operations", window),
            "period": _WORDS[window],
        }
        return await render_page(
            request,
            "operations/operations.html",
            context,
            title="Operations",
            twin_url=f"/v1/operations?window={window}",
        )

    return api, pages


def _build_cards(overview: Overview) -> list[Card]:
    repeats, hand_overs, artifacts = overview.repeats, overview.hand_overs, overview.artifacts
    ended_count = sum(part.count for part in overview.durations)
    firing_count = len(overview.firing)
    worst = overview.firing[0].draft.name if overview.firing else "no rule fires now"
    waiting_count = sum(queue.waiting_count for queue in overview.queues)
    running_count = sum(worker.running_count for worker in overview.workers)
    p95_s = overview.creation.find_quantile_s(0.95)
    return [
        Card(
            "Alerts now", f"{firing_count:,}", worst, tone="bad" if firing_count else "ok", url="/ui/alerts"
        ),
        Card(
            "Analyses ended",
            f"{ended_count:,}",
            f"{sum(part.failed_count for part in overview.durations):,} failed",
            url="/ui/analyses",
        ),
        Card(
            "Creating an analysis",
            "none" if p95_s is None else f"≤ {format_duration(p95_s)}",
            f"95 of 100, of {overview.creation.count:,} in all processes",
        ),
        Card(
            "Asked for twice",
            _share(repeats.doubled_count, repeats.analyses_count),
            f"{repeats.doubled_count:,} of {repeats.analyses_count:,} within a minute after their like",
            tone="warn" if repeats.doubled_count else "",
        ),
        Card(
            "Second results refused",
            f"{repeats.refused_attempts_count:,}",
            f"of {repeats.attempts_count:,} attempts at tool runs",
        ),
        Card(
            "Hand-overs refused",
            f"{hand_overs.refused_count:,}",
            f"of {hand_overs.ended_count:,}; {hand_overs.superseded_count:,} came second",
            tone="bad" if hand_overs.refused_count else "",
            url="/ui/analyzers",
        ),
        Card(
            "Artifact writes",
            f"{artifacts.count:,}",
            ", ".join(
                f"{count:,} failed ({reason.replace('_', ' ')})"
                for reason, count in artifacts.failures.items()
            )
            or "none failed",
            tone="bad" if artifacts.failures_count else "",
        ),
        Card(
            "Workers",
            f"{len(overview.workers):,}",
            f"{running_count:,} jobs running, {waiting_count:,} waiting",
            tone="" if overview.workers else "bad",
            url="/ui/system",
        ),
    ]


def _share(count: int, total_count: int) -> str:
    return format_share(count / total_count) if total_count else "none"


def _draw_services(overview: Overview) -> Markup:
    shown = [one for one in overview.services if one.interval is not None]
    if not shown:
        return Markup("")
    return render_interval_chart(
        "Share of analyses in which a service came to a result, with its 95 % interval",
        [
            Estimate(
                one.service.value,
                one.interval.point,
                one.interval.low,
                one.interval.high,
                _TONES[one.service],
                f"{one.succeeded_count:,} of {one.total_count:,}",
            )
            for one in shown
            if one.interval is not None
        ],
        unit="share",
        format_value=lambda value: f"{value:.0%}",
    )


def _draw_durations(overview: Overview) -> Markup:
    if not overview.durations:
        return Markup("")
    window = overview.window
    by_at = {part.at: part for part in overview.durations}
    places = {part: index for index, part in enumerate(window.parts)}
    marks = [
        Mark(places[overview.durations[change.index].at], sentence)
        for change, sentence in zip(overview.duration_changes, _tell_changes(overview), strict=True)
    ]
    shown = [by_at.get(part) for part in window.parts]
    return render_line_chart(
        "Duration of analyses by when they ended, in UTC (seconds)",
        window.part_labels,
        [
            Line("95th percentile", tuple(None if one is None else one.p95_s for one in shown), "series-4"),
            Line("median", tuple(None if one is None else one.p50_s for one in shown), "series-1"),
        ],
        unit="s",
        format_value=_show_seconds,
        marks=marks,
    )


def _tell_changes(overview: Overview) -> list[str]:
    return [
        f"{overview.durations[change.index].at:%Y-%m-%d %H:%M} UTC: the median changed from "
        f"{format_duration(change.before_median)} to {format_duration(change.after_median)} "
        f"(p {change.p_value:.2g})."
        for change in overview.duration_changes
    ]


def _draw_creation(creation: CreationLatency) -> Markup:
    if not creation.buckets:
        return Markup("")
    bins, low = [], min(creation.buckets) / 2
    for bound, count in sorted(creation.buckets.items()):
        bins.append(Bin(low, bound, count))
        low = bound
    return render_histogram(
        "Time to create an analysis, by bucket (seconds)", bins, unit="analyses", format_value=_show_seconds
    )


def _draw_artifacts(overview: Overview) -> Markup:
    window, parts = overview.window, overview.artifacts.parts
    if not parts:
        return Markup("")
    return render_line_chart(
        "Artifact writes, in UTC (count)",
        window.part_labels,
        [Line("writes", tuple(parts.get(part, 0.0) for part in window.parts))],
        unit="count",
        format_value=lambda value: f"{value:,.0f}",
    )


def _show_seconds(value: float) -> Any:
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.3g}"
