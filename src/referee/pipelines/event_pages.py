"""The page of what happened to a pipeline: every event, by kind, live. Its JSON twin answers the same read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import (
    Column,
    EmptyState,
    ListQuery,
    ListView,
    Row,
    build_facet,
    read_list_query,
)
from referee.foundation.web.rendering import Crumb, render_page
from referee.pipelines import queries
from referee.pipelines.api import GetRoom, PipelineId
from referee.pipelines.views import Pipeline, PipelineEvent

__all__ = ["add_event_page"]

_COLUMNS: Final = (
    Column("created", "When", "time"),
    Column("message", "What happened", is_title=True),
    Column("kind", "Kind", "mono", is_optional=True),
)
_NOTHING: Final = EmptyState(
    "Nothing has happened yet", "Each step of a pipeline and of its cells is put down here."
)


def add_event_page(router: APIRouter, room: GetRoom, pipelines: Crumb) -> None:
    """Add the page of events.

    Args:
        router: Of the room's pages.
        room: The room, once it is open.
        pipelines: The crumb that leads to the list of pipelines.
    """

    @router.get("/ui/pipelines/{pipeline_id}/events")
    async def show_events(
        request: Request,
        pipeline_id: PipelineId,
        principal: PrincipalParameter,
        cursor: CursorParameter = None,
    ) -> Response:
        query = read_list_query(request, queries.EVENT_FIELDS)
        async with room().database.reading() as session:
            pipeline = await queries.get_pipeline(session, principal.project_id, pipeline_id)
            page = await queries.list_events(
                session, pipeline_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
            kinds = await queries.count_event_kinds(session, pipeline_id, query.filter)
        view = _build_list(query, pipeline, page, kinds)
        return await render_page(
            request,
            "pipelines/events.html",
            {"view": view},
            title=view.title,
            twin_url=view.twin_url,
            breadcrumb=(pipelines, Crumb(pipeline.name, f"/ui/pipelines/{pipeline_id}")),
        )


def _build_list(
    query: ListQuery, pipeline: Pipeline, page: Page[PipelineEvent], kinds: Mapping[str, int]
) -> ListView:
    return ListView(
        title="What happened",
        noun="events",
        query=query,
        columns=_COLUMNS,
        rows=[
            Row(
                row_id=str(event.event_id),
                url=_find_url(pipeline, event),
                cells={"created": event.created_at, "message": event.message, "kind": event.kind},
            )
            for event in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NOTHING,
        facets=[build_facet(query, "kind", "Kind", kinds)],
        twin_url=query.url(item=None).replace("/ui/", "/v1/", 1),
        fields=queries.EVENT_FIELDS,
        live_topic=f"pipeline:{pipeline.pipeline_id}",
        caption=f"Events of {pipeline.name}, the latest first",
    )


def _find_url(pipeline: Pipeline, event: PipelineEvent) -> str:
    if event.analysis_id is not None:
        return f"/ui/analyses/{event.analysis_id}"
    return f"/ui/pipelines/{pipeline.pipeline_id}"
