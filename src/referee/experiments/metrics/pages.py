"""Pages of metrics. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from referee.core.pages import DEFAULT_LIMIT, Page
from referee.experiments.identifiers import read_id
from referee.experiments.metrics import queries, service
from referee.experiments.metrics.views import Metric
from referee.experiments.room import GetRoom
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import Column, EmptyState, ListQuery, ListView, Row, read_list_query
from referee.foundation.web.rendering import Crumb, render_page

__all__ = ["create_metrics_pages"]

METRICS_CRUMB: Final = Crumb("Metrics", "/ui/metrics")
_VERSIONS_COUNT: Final = 10
_MAX_CHARACTERS: Final = 20_000
"""Of one version's criteria on the page; the JSON has all."""
_COLUMNS: Final = (
    Column("name", "Name", is_title=True),
    Column("type", "Type"),
    Column("returns", "Returns"),
    Column("judges", "Judges what arrives"),
    Column("version", "Deployed", is_optional=True),
    Column("versions", "Versions", "count"),
    Column("created", "Created", "time"),
)
_EMPTY: Final = EmptyState(
    "No metrics yet",
    "A metric judges events and runs: by code, by a model, by people, or made of others. Clients make them, "
    "with a key of `referee key create NAME`.",
    "referee key create NAME",
)


def create_metrics_pages(room: GetRoom) -> APIRouter:
    """Return the pages of metrics."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/metrics")
    async def show_metrics(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, queries.METRIC_FIELDS)
        async with room().database.reading() as session:
            page = await queries.list_metrics(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
        view = _build_list(query, page)
        return await render_page(
            request, "metrics/metrics.html", {"view": view}, title="Metrics", twin_url=view.twin_url
        )

    @router.get("/ui/metrics/{metric_id}")
    async def show_metric(request: Request, metric_id: str, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            found = await queries.get_metric(session, principal.project_id, read_id(metric_id, "metric"))
            versions = await queries.list_metric_versions(
                session, found, limit=_VERSIONS_COUNT, is_newest_first=True
            )
        context = {
            "metric": found,
            "versions": [(one, *_cut(one.content["criteria"])) for one in versions],
            "criteria": _cut(found.content["criteria"]),
            "language": "python" if found.kind == "PYTHON" else "",
            "filters": [_say_filter(one) for one in found.content["filters"]["filterArray"]],
        }
        return await render_page(
            request, "metrics/metric.html", context, title=found.name,
            twin_url=f"/v1/metrics/{metric_id}/versions", breadcrumb=(METRICS_CRUMB,),
        )  # fmt: skip

    @router.post("/ui/metrics/{metric_id}/versions/{version_name}/deploy")
    async def deploy_version(metric_id: str, version_name: str, principal: PrincipalParameter) -> Response:
        principal.require("write")
        async with room().database.transaction() as session:
            await service.deploy_metric_version(
                session, principal.project_id, read_id(metric_id, "metric"), version_name
            )
        return RedirectResponse(f"/ui/metrics/{metric_id}", 303)

    return router


def _build_list(query: ListQuery, page: Page[Metric]) -> ListView:
    return ListView(
        title="Metrics",
        noun="metrics",
        query=query,
        columns=_COLUMNS,
        rows=[
            Row(
                row_id=f"metric-{one.metric_id}",
                url=f"/ui/metrics/{one.metric_id}",
                cells={
                    "name": one.name,
                    "type": one.kind,
                    "returns": one.content["return_type"],
                    "judges": f"{one.sampling_percentage:g} % of matching events" if one.is_enabled else "no",
                    "version": f"v{one.deployed_version}",
                    "versions": one.versions_count,
                    "created": one.created_at,
                },
            )
            for one in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_EMPTY,
        twin_url="/v1/metrics",
        fields=queries.METRIC_FIELDS,
        caption="Metrics, newest first",
    )


def _cut(text: str) -> tuple[str, bool]:
    return text[:_MAX_CHARACTERS], len(text) > _MAX_CHARACTERS


def _say_filter(one: dict[str, Any]) -> str:
    value = one.get("value")
    return f"{one['field']} {one['operator']}" + ("" if value is None else f" {value}")
