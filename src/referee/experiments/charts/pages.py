"""Pages of charts: all of them side by side, and one that is edited in its address."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from markupsafe import Markup
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import RedirectResponse, Response

from referee.core.errors import InvalidInput
from referee.experiments.charts import service
from referee.experiments.charts.conditions import parse_conditions
from referee.experiments.charts.drawing import DEFAULT_RANGES, ChartWish, draw_chart, read_chart
from referee.experiments.charts.models import ChartRequestModel
from referee.experiments.charts.views import Chart
from referee.experiments.identifiers import read_id
from referee.experiments.room import GetRoom
from referee.foundation.access import Principal
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.client_values import parse_query_value
from referee.foundation.web.rendering import Crumb, render_page
from referee.traces import BUCKETINGS, CHART_FUNCTIONS, CHART_METRICS, ChartData

__all__ = ["create_charts_pages"]

CHARTS_CRUMB: Final = Crumb("Charts", "/ui/charts")
CHARTS_PER_PAGE: Final = 12
"""Each is computed when the page is asked for."""
Word: TypeAlias = Annotated[str | None, Query(max_length=500)]
Field: TypeAlias = Annotated[str, Form(max_length=10_000)]


async def _read_wish(
    metric: Word = None, func: Word = None, group_by: Word = None, bucketing: Word = None,
    date_range: Annotated[str | None, Query(alias="range", max_length=500)] = None,
    where: Annotated[str | None, Query(max_length=10_000)] = None,
) -> dict[str, str]:  # fmt: skip
    given = {
        "metric": metric, "func": func, "group_by": group_by, "bucketing": bucketing,
        "range": date_range, "where": where,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


Given: TypeAlias = Annotated[dict[str, str], Depends(_read_wish)]


async def _read_form(
    name: Field, metric: Field, func: Field = "", group_by: Field = "", bucketing: Field = "day",
    date_range: Annotated[str, Form(alias="range", max_length=500)] = "", where: Field = "",
) -> dict[str, Any]:  # fmt: skip
    body = {
        "name": name, "metric": metric, "func": func or None, "groupBy": group_by or None,
        "bucketing": bucketing, "dateRange": _read_range(date_range), "query": parse_conditions(where),
    }  # fmt: skip
    try:
        content = ChartRequestModel.model_validate(body).to_content()
    except ValueError as error:
        raise InvalidInput(
            "charts.form_invalid", "The chart cannot be kept as it is.", "Give it a name and a metric."
        ) from error
    return {"func": None, "groupBy": None, "dateRange": None, **content}


Content: TypeAlias = Annotated[dict[str, Any], Depends(_read_form)]


def create_charts_pages(room: GetRoom) -> APIRouter:
    """Return the pages of charts."""
    router = APIRouter(include_in_schema=False)
    _add_reads(router, room)
    _add_changes(router, room)
    return router


def _add_reads(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/charts")
    async def show_charts(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        principal.require("charts_read")
        async with room().database.reading() as session:
            page = await service.list_charts(
                session, principal.project_id, cursor=cursor, limit=CHARTS_PER_PAGE
            )
            drawn = [(one, *await _draw(session, principal, ChartWish.of(one))) for one in page.items]
        next_url = f"/ui/charts?{urlencode({'cursor': page.next_cursor})}" if page.next_cursor else None
        context = {"charts": drawn, "total_count": page.total_count, "next_url": next_url}
        return await render_page(
            request, "charts/charts.html", context, title="Charts", twin_url="/v1/charts"
        )

    @router.get("/ui/charts/new")
    async def show_new_chart(request: Request, principal: PrincipalParameter, given: Given) -> Response:
        async with room().database.reading() as session:
            context = await _build_editor(session, principal, given, None)
        return await render_page(
            request, "charts/chart.html", context, title="New chart",
            twin_url=_find_twin(context["fields"]), breadcrumb=(CHARTS_CRUMB,),
        )  # fmt: skip

    @router.get("/ui/charts/{chart_id}")
    async def show_chart(
        request: Request, chart_id: str, principal: PrincipalParameter, given: Given
    ) -> Response:
        principal.require("charts_read")
        async with room().database.reading() as session:
            chart = await service.get_chart(session, principal.project_id, read_id(chart_id, "chart"))
            context = await _build_editor(session, principal, given, chart)
        twin_url = _find_twin(context["fields"]) if given else f"/v1/charts/{chart.chart_id}/data"
        return await render_page(
            request, "charts/chart.html", context, title=chart.name, twin_url=twin_url,
            breadcrumb=(CHARTS_CRUMB,),
        )  # fmt: skip


def _add_changes(router: APIRouter, room: GetRoom) -> None:
    @router.post("/ui/charts")
    async def create_chart(principal: PrincipalParameter, content: Content) -> Response:
        principal.require("charts_write")
        async with room().database.transaction() as session:
            made = await service.create_chart(session, principal.project_id, content)
        return RedirectResponse(f"/ui/charts/{made.chart_id}", 303)

    @router.post("/ui/charts/{chart_id}")
    async def save_chart(chart_id: str, principal: PrincipalParameter, content: Content) -> Response:
        principal.require("charts_write")
        async with room().database.transaction() as session:
            await service.update_chart(session, principal.project_id, read_id(chart_id, "chart"), content)
        return RedirectResponse(f"/ui/charts/{chart_id}", 303)

    @router.post("/ui/charts/{chart_id}/delete")
    async def delete_chart(chart_id: str, principal: PrincipalParameter) -> Response:
        principal.require("charts_write")
        async with room().database.transaction() as session:
            await service.delete_chart(session, principal.project_id, read_id(chart_id, "chart"))
        return RedirectResponse("/ui/charts", 303)


async def _draw(
    session: AsyncSession, principal: Principal, wish: ChartWish
) -> tuple[Markup | None, ChartData | None, InvalidInput | None]:
    try:
        data = await read_chart(session, principal.project_id, wish)
    except InvalidInput as error:
        return None, None, error
    return draw_chart(data), data, None


async def _build_editor(
    session: AsyncSession, principal: Principal, given: dict[str, str], chart: Chart | None
) -> dict[str, Any]:
    kept = ChartWish(metric="events") if chart is None else ChartWish.of(chart)
    fields = {
        "metric": kept.metric,
        "func": kept.func or "",
        "group_by": kept.group_by or "",
        "bucketing": kept.bucketing,
        "range": kept.date_range,
        "where": kept.where,
        **given,
    }
    error: InvalidInput | None = None
    drawing, data = None, None
    try:
        wish = ChartWish(
            metric=fields["metric"], func=fields["func"] or None, group_by=fields["group_by"] or None,
            bucketing=fields["bucketing"], date_range=fields["range"],
            conditions=tuple(parse_conditions(fields["where"])) if "where" in given else kept.conditions,
        )  # fmt: skip
        drawing, data, error = await _draw(session, principal, wish)
    except InvalidInput as problem:
        error = problem
    return {
        "chart": chart, "fields": fields, "drawing": drawing, "data": data, "error": error,
        "is_changed": bool(given), "functions": CHART_FUNCTIONS, "bucketings": BUCKETINGS,
        "metrics": CHART_METRICS, "default_range": DEFAULT_RANGES.get(fields["bucketing"], "30d"),
    }  # fmt: skip


def _find_twin(fields: dict[str, str]) -> str:
    asked = {
        "metric": fields["metric"], "func": fields["func"], "groupBy": fields["group_by"],
        "bucketing": fields["bucketing"], "dateRange": fields["range"],
    }  # fmt: skip
    try:
        conditions = parse_conditions(fields["where"])
    except InvalidInput:
        conditions = []
    if conditions:
        asked["filters"] = json.dumps(conditions)
    return "/v1/events/chart?" + urlencode({name: value for name, value in asked.items() if value})


def _read_range(text: str) -> Any:
    text = text.strip()
    if not text:
        return None
    return parse_query_value(text, "range") if text.startswith("{") else {"relative": text}
