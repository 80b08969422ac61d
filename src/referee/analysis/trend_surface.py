"""Measurements of an app over its versions as JSON and as a view of the app's page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.api import GetRoom
from referee.analysis.app_judgements import AnalysisJudgements
from referee.analysis.measurement_trends import (
    ANALYSES_COUNT,
    TREND_FIELDS,
    MeasurementTrend,
    find_changes,
    read_trends,
    show_value,
)
from referee.apps import get_app
from referee.apps.api import AppId
from referee.apps.app_frame import APPS_CRUMB, name_of, read_frame
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.charts import Line, Mark, render_line_chart, render_sparkline
from referee.foundation.web.filters import Filter
from referee.foundation.web.lists import Column, EmptyState, ListView, Row, read_list_query
from referee.foundation.web.openapi_problems import answers_with
from referee.foundation.web.rendering import render_page
from referee.foundation.web.templating import with_query

__all__ = ["MeasurementTrendModel", "create_trend_routes", "list_trend_page"]

_PAGE_COUNT: Final = 20
_CHART_POINTS_COUNT: Final = 100
_MAX_SERIES_CHARS: Final = 500
_COLUMNS: Final = (
    Column("name", "Measurement", is_title=True),
    Column("verdict", "Latest version", "custom"),
    Column("latest", "Median", "custom"),
    Column("earlier", "Before", "custom"),
    Column("shift", "Shift, 95 %", "custom"),
    Column("values", "Values", "custom"),
    Column("trend", "Over time", "custom", is_optional=True),
)
_EMPTY: Final = EmptyState(
    "Nothing was measured twice yet",
    "Tools that measure, such as the load tools, say here whether the latest version of the app is worse. Analyse "
    "the app again, at best several times for each version.",
    "referee analyze ./models/my-model/app1 --profile deep",
)
_STATES: Final = {"worse": "failed", "better": "ok", "changed": "degraded"}
"""Verdict → the state whose look it has."""
TrendFilter = Annotated[Filter, Depends(filter_parameter(TREND_FIELDS))]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class MeasurementPointModel(_Model):
    """One value."""

    analysis_id: UUID
    at: datetime
    source_digest: str = Field(description="The version of the app.")
    value: float


class MeasurementShiftModel(_Model):
    """By how much the latest version lies above those before it."""

    low: float
    point: float
    high: float


class MeasurementChangeModel(_Model):
    """Where the values changed their level."""

    analysis_id: UUID = Field(description="The first after the change.")
    at: datetime
    before_median: float
    after_median: float
    p_value: float


class MeasurementTrendModel(_Model):
    """One measurement of an app over its versions."""

    tool: str
    name: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    address: str = Field(description="Empty when it is about the whole app.")
    verdict: Literal["worse", "better", "changed", "no clear change", "too few values"] = Field(
        description="Of the latest version against those before it."
    )
    latest_digest: str
    versions_count: int
    shift: MeasurementShiftModel | None = Field(description="Hodges–Lehmann with its 95 % interval.")
    p_value: float | None = Field(description="Adjusted for all measurements; null without a version before.")
    changes: list[MeasurementChangeModel]
    points: list[MeasurementPointModel] = Field(description="Of the latest 200 analyses, the earliest first.")

    @classmethod
    def of(cls, trend: MeasurementTrend) -> MeasurementTrendModel:
        """Return the shape of a trend."""
        return cls(
            tool=trend.tool,
            name=trend.name,
            unit=trend.unit,
            better=trend.better,  # type: ignore[arg-type]  # checked by the model
            address=trend.address,
            verdict=trend.verdict,
            latest_digest=trend.latest_digest,
            versions_count=trend.versions_count,
            shift=None if trend.shift is None else MeasurementShiftModel.model_validate(trend.shift),
            p_value=trend.p_value,
            changes=[
                MeasurementChangeModel(
                    analysis_id=trend.points[change.index].analysis_id,
                    at=trend.points[change.index].at,
                    before_median=change.before_median,
                    after_median=change.after_median,
                    p_value=change.p_value,
                )
                for change in find_changes(trend.points)
            ],
            points=[MeasurementPointModel.model_validate(point) for point in trend.points],
        )


async def list_trend_page(
    session: AsyncSession,
    project_id: UUID,
    app_id: UUID,
    *,
    where: Filter | None,
    cursor: str | None,
    limit: int,
) -> Page[MeasurementTrend]:
    """Return a page of the measurements of an app, those that got worse first.

    Raises:
        NotFound: The project has no such app.
    """
    await get_app(session, project_id, app_id)
    trends = await read_trends(session, project_id, app_id, where=where)
    start = 0 if cursor is None else int(str(decode_cursor(cursor, "trends")[0]))
    end = start + limit
    return Page(
        tuple(trends[start:end]),
        len(trends),
        limit,
        encode_cursor("trends", [end]) if end < len(trends) else None,
    )


def create_trend_routes(room: GetRoom) -> tuple[APIRouter, APIRouter]:
    """Return the routes of the API and those of the pages."""
    api, pages = APIRouter(prefix="/v1"), APIRouter(include_in_schema=False)

    @api.get("/apps/{app_id}/measurements", tags=["apps"], responses=answers_with(404))
    async def list_measurement_trends(
        request: Request,
        response: Response,
        app_id: AppId,
        principal: PrincipalParameter,
        filter: TrendFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[MeasurementTrendModel]:
        """List what was measured of an app at least twice, what its latest version made worse first."""
        async with room().database.reading() as session:
            page = await list_trend_page(
                session, principal.project_id, app_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, MeasurementTrendModel.of)

    @pages.get("/ui/apps/{app_id}/measurements")
    async def show_measurements(
        request: Request,
        app_id: AppId,
        principal: PrincipalParameter,
        series: Annotated[str, Query(max_length=_MAX_SERIES_CHARS)] = "",
        cursor: CursorParameter = None,
    ) -> Response:
        query = read_list_query(request, TREND_FIELDS)
        async with room().database.reading() as session:
            frame = await read_frame(session, AnalysisJudgements(), principal.project_id, app_id)
            page = await list_trend_page(
                session, principal.project_id, app_id, where=query.filter, cursor=cursor, limit=_PAGE_COUNT
            )
        url = f"/ui/apps/{app_id}/measurements"
        twin_url = with_query(f"/v1/apps/{app_id}/measurements", filter=query.text, cursor=cursor)
        shown = next((trend for trend in page.items if trend.key == series), None)
        shown = shown or (page.items[0] if page.items else None)
        view = ListView(
            title="Measurements",
            noun="measurements",
            query=query,
            columns=_COLUMNS,
            total_count=page.total_count,
            limit=page.limit,
            next_cursor=page.next_cursor,
            rows=[_build_row(trend, url, query.text, cursor) for trend in page.items],
            empty=_EMPTY,
            facets=[],
            twin_url=twin_url,
            fields=TREND_FIELDS,
            live_topic="analyses",
            caption="Measurements, what got worse first",
        )
        context = {
            **frame.build_context("measurements"),
            "view": view,
            "chart": _draw(shown) if shown is not None else "",
            "changes": _tell_changes(shown) if shown is not None else [],
            "analyses_count": ANALYSES_COUNT,
        }
        return await render_page(
            request,
            "analysis/app_measurements.html",
            context,
            title=f"Measurements of {name_of(frame.app)}",
            twin_url=twin_url,
            breadcrumb=(APPS_CRUMB,),
        )

    return api, pages


def _build_row(trend: MeasurementTrend, url: str, filter_text: str, cursor: str | None) -> Row:
    shift = "–"
    if trend.shift is not None:
        low, point, high = (
            show_value(value, sign="+") for value in (trend.shift.low, trend.shift.point, trend.shift.high)
        )
        shift = f"{point} ({low} to {high})"
    link = with_query(url, series=trend.key, filter=filter_text, cursor=cursor)
    return Row(
        row_id=trend.key,
        url=link,
        cells={
            "name": trend.key,
            "verdict": (trend.verdict, _STATES.get(trend.verdict, "")),
            "latest": f"{show_value(_median(trend.latest))} {trend.unit}",
            "earlier": f"{show_value(_median(trend.earlier))} {trend.unit}" if trend.earlier else "–",
            "shift": shift,
            "values": f"{len(trend.latest):,} after {len(trend.earlier):,}",
            "trend": render_sparkline(
                [point.value for point in trend.points[-_CHART_POINTS_COUNT:]], f"{trend.key} over time"
            ),
        },
    )


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _tell_changes(trend: MeasurementTrend) -> list[str]:
    return [
        f"{trend.points[change.index].at:%Y-%m-%d %H:%M} UTC, version {trend.points[change.index].source_digest[:8]}: "
        f"the median changed from {show_value(change.before_median)} to {show_value(change.after_median)} "
        f"{trend.unit} (p {change.p_value:.2g})."
        for change in find_changes(trend.points)
    ]


def _draw(trend: MeasurementTrend) -> Markup:
    skipped_count = max(0, len(trend.points) - _CHART_POINTS_COUNT)
    points = trend.points[skipped_count:]
    marks = [
        Mark(change.index - skipped_count, sentence)
        for change, sentence in zip(find_changes(trend.points), _tell_changes(trend), strict=True)
        if change.index > skipped_count
    ]
    return render_line_chart(
        f"{trend.key} by analysis ({trend.unit})",
        [f"{point.at:%m-%d %H:%M} {point.source_digest[:8]}" for point in points],
        [Line(trend.name, tuple(point.value for point in points))],
        unit=trend.unit,
        format_value=show_value,
        marks=marks,
    )
