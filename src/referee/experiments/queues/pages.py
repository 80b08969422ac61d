"""Pages of annotation queues: all, one with its events, and its events one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from referee.core.errors import InvalidInput, NotFound
from referee.core.findings import JsonValue
from referee.core.pages import DEFAULT_LIMIT
from referee.experiments.charts.conditions import parse_conditions, render_conditions
from referee.experiments.event_parts import list_event_parts
from referee.experiments.identifiers import read_id
from referee.experiments.queues import items, service
from referee.experiments.queues.tables import ITEM_STATES
from referee.experiments.queues.views import AnnotationQueue
from referee.experiments.room import GetRoom
from referee.experiments.runs.definitions import MetricDefinition
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.client_values import check_text
from referee.foundation.web.lists import Column, LinkCell, Row
from referee.foundation.web.rendering import Crumb, render_page
from referee.traces import Event, get_event, list_events_by_id, parse_event_filters

__all__ = ["create_queues_pages"]

QUEUES_CRUMB: Final = Crumb("Queues", "/ui/queues")
_COLUMNS: Final = (
    Column("name", "Name", "link", is_title=True),
    Column("fills", "Fills itself"),
    Column("events", "Events", "count"),
    Column("created", "Created", "time"),
)
_ITEM_COLUMNS: Final = (
    Column("event", "Event", "link", is_title=True),
    Column("type", "Type"),
    Column("state", "State"),
    Column("origin", "Came", is_optional=True),
    Column("added", "Added", "time"),
)
_SCORE: Final = "score:"
"""Before the name of a metric, in the names of the form's fields."""
State: TypeAlias = Annotated[Literal["waiting", "done", "skipped"], Query()]
LongText: TypeAlias = Annotated[str, Form(max_length=10_000)]


def create_queues_pages(room: GetRoom) -> APIRouter:
    """Return the pages of annotation queues."""
    router = APIRouter(include_in_schema=False)
    _add_reads(router, room)
    _add_review(router, room)
    _add_changes(router, room)
    return router


def _add_reads(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/queues")
    async def show_queues(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        async with room().database.reading() as session:
            page = await service.list_queues(
                session, principal.project_id, cursor=cursor, limit=DEFAULT_LIMIT
            )
        context = {
            "columns": _COLUMNS, "rows": [_build_row(one) for one in page.items], "page_of": page,
            "next_url": f"/ui/queues?{urlencode({'cursor': page.next_cursor})}" if page.next_cursor else None,
        }  # fmt: skip
        return await render_page(
            request, "queues/queues.html", context, title="Queues", twin_url="/v1/queues"
        )

    @router.get("/ui/queues/{queue_id}")
    async def show_queue(
        request: Request, queue_id: str, principal: PrincipalParameter,
        state: State = "waiting", cursor: CursorParameter = None,
    ) -> Response:  # fmt: skip
        uid = read_id(queue_id, "annotation_queue")
        async with room().database.reading() as session:
            queue = await service.get_queue(session, principal.project_id, uid)
            counts = await items.count_items(session, principal.project_id, uid)
            page = await items.list_items(
                session, principal.project_id, uid, state=state, cursor=cursor, limit=DEFAULT_LIMIT
            )
            metrics = await items.list_human_metrics(session, principal.project_id)
        events = await list_events_by_id(
            room().database, principal.project_id, [one.event_id for one in page.items]
        )
        url = f"/ui/queues/{queue_id}"
        context = {
            "queue": queue, "url": url, "where": render_conditions(queue.filters.get("filterArray", [])),
            "columns": _ITEM_COLUMNS, "rows": _build_item_rows(queue_id, page.items, events), "state": state,
            "metrics": metrics, "counts": counts,
            "states": [
                {"url": f"{url}?state={word}", "label": word.capitalize(), "count": counts[word],
                 "is_current": word == state} for word in ITEM_STATES
            ],
            "next_url": f"{url}?{urlencode({'state': state, 'cursor': page.next_cursor})}" if page.next_cursor
            else None,
        }  # fmt: skip
        return await render_page(
            request, "queues/queue.html", context, title=queue.name,
            twin_url=f"/v1/queues/{queue_id}/items", breadcrumb=(QUEUES_CRUMB,),
        )  # fmt: skip


def _add_review(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/queues/{queue_id}/review")
    async def show_review(
        request: Request, queue_id: str, principal: PrincipalParameter,
        event: Annotated[str | None, Query(max_length=512)] = None,
    ) -> Response:  # fmt: skip
        uid = read_id(queue_id, "annotation_queue")
        async with room().database.reading() as session:
            queue = await service.get_queue(session, principal.project_id, uid)
            counts = await items.count_items(session, principal.project_id, uid)
            if event is None:
                item = await items.find_waiting_item(session, principal.project_id, uid)
            else:
                item = await items.get_item(session, principal.project_id, uid, event)
            following = None
            if item is not None:
                following = await items.find_waiting_item(
                    session, principal.project_id, uid, after=item.event_id
                )
            metrics = await items.list_human_metrics(session, principal.project_id)
        shown = None if item is None else await _find_event(room, principal.project_id, item.event_id)
        url = f"/ui/queues/{queue_id}/review"
        context = {
            "queue": queue, "counts": counts, "item": item, "event": shown, "url": url,
            "parts": [] if shown is None else list_event_parts(shown),
            "fields": [] if shown is None else [_build_field(one, shown) for one in metrics],
            "note": "" if shown is None else str(shown.feedback.get("note") or ""),
            "next_url": f"{url}?event={quote(following.event_id, safe='')}"
            if following is not None and item is not None and following.event_id != item.event_id else None,
        }  # fmt: skip
        return await render_page(
            request, "queues/review.html", context, title=f"Review {queue.name}",
            twin_url=f"/v1/queues/{queue_id}/items",
            breadcrumb=(QUEUES_CRUMB, Crumb(queue.name, f"/ui/queues/{queue_id}")),
        )  # fmt: skip

    @router.post("/ui/queues/{queue_id}/review")
    async def save_review(request: Request, queue_id: str, principal: PrincipalParameter) -> Response:
        principal.require("write")
        form = await request.form(max_fields=2_000)
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        uid = read_id(queue_id, "annotation_queue")
        async with room().database.reading() as session:
            metrics = await items.list_human_metrics(session, principal.project_id)
        is_skipped = given.get("verdict") == "skip"
        await items.review_item(
            room().database, principal.project_id, uid, given.get("event_id", "")[:512],
            state="skipped" if is_skipped else "done",
            scores={} if is_skipped else _read_scores(metrics, given),
            note="" if is_skipped else _check_line(given.get("note", ""), 10_000),
        )  # fmt: skip
        return RedirectResponse(f"/ui/queues/{queue_id}/review", 303)


def _add_changes(router: APIRouter, room: GetRoom) -> None:
    @router.post("/ui/queues")
    async def create_queue(
        principal: PrincipalParameter, name: Annotated[str, Form(max_length=200)], where: LongText = ""
    ) -> Response:
        principal.require("write")
        conditions = parse_conditions(where)
        parse_event_filters(conditions)
        if not name.strip():
            raise InvalidInput(
                "annotation_queue.name_invalid", "A queue has a name.", "Give it one of 1 to 200 characters."
            )
        async with room().database.transaction() as session:
            made = await service.create_queue(
                session, principal.project_id, name=_check_line(name, 200),
                filters={"filterArray": conditions},
            )  # fmt: skip
        return RedirectResponse(f"/ui/queues/{made.annotation_queue_id}", 303)

    @router.post("/ui/queues/{queue_id}")
    async def change_queue(
        queue_id: str, principal: PrincipalParameter, where: LongText = "", is_enabled: bool = Form(False)
    ) -> Response:
        principal.require("write")
        conditions = parse_conditions(where)
        parse_event_filters(conditions)
        async with room().database.transaction() as session:
            await service.update_queue(
                session, principal.project_id, read_id(queue_id, "annotation_queue"),
                {"filters_json": {"filterArray": conditions}, "is_enabled": is_enabled},
            )  # fmt: skip
        return RedirectResponse(f"/ui/queues/{queue_id}", 303)

    @router.post("/ui/queues/{queue_id}/delete")
    async def delete_queue(queue_id: str, principal: PrincipalParameter) -> Response:
        principal.require("write")
        async with room().database.transaction() as session:
            await service.delete_queue(session, principal.project_id, read_id(queue_id, "annotation_queue"))
        return RedirectResponse("/ui/queues", 303)


async def _find_event(room: GetRoom, project_id: UUID, event_id: str) -> Event | None:
    try:
        return await get_event(room().database, project_id, event_id)
    except NotFound:
        return None


def _build_row(queue: AnnotationQueue) -> Row:
    url = f"/ui/queues/{queue.annotation_queue_id}"
    conditions = queue.filters.get("filterArray") or []
    return Row(
        f"queue-{queue.annotation_queue_id}",
        url,
        {
            "name": LinkCell(queue.name, url),
            "fills": (render_conditions(conditions)[:120] if queue.is_enabled else "paused")
            if conditions
            else "no",
            "events": queue.events_count,
            "created": queue.created_at,
        },
    )


def _build_item_rows(queue_id: str, found: Sequence[items.QueueItem], events: Sequence[Event]) -> list[Row]:
    by_id = {event.event_id: event for event in events}
    rows = []
    for place, item in enumerate(found):
        event = by_id.get(item.event_id)
        url = f"/ui/queues/{queue_id}/review?event={quote(item.event_id, safe='')}"
        cells = {
            "event": LinkCell(item.event_id if event is None else event.event_name or "unnamed", url),
            "type": "not received" if event is None else event.event_type,
            "state": item.state,
            "origin": item.origin.replace("_", " "),
            "added": item.added_at,
        }
        rows.append(Row(f"item-{place}", url, cells))
    return rows


def _build_field(metric: MetricDefinition, event: Event) -> dict[str, Any]:
    """Return one question of the form, with what was said already."""
    value = event.metrics.get(metric.name)
    shown = ("true" if value else "false") if isinstance(value, bool) else "" if value is None else str(value)
    choices = {
        "boolean": ["true", "false"],
        "categorical": [_name_category(one) for one in metric.categories],
    }.get(metric.return_type, [])
    return {
        "name": _SCORE + metric.name, "label": metric.name, "help": metric.criteria, "scale": metric.scale,
        "kind": metric.return_type, "value": shown, "choices": choices,
    }  # fmt: skip


def _name_category(category: JsonValue) -> str:
    if isinstance(category, dict):
        return str(category.get("category") or category.get("name") or "")
    return str(category)


def _read_scores(metrics: Sequence[MetricDefinition], given: dict[str, str]) -> dict[str, JsonValue]:
    """Return the scores that a form gives; an empty field gives none."""
    scores: dict[str, JsonValue] = {}
    for metric in metrics:
        text = given.get(_SCORE + metric.name, "").strip()
        if not text:
            continue
        if metric.return_type == "boolean" and text in ("true", "false"):
            scores[metric.name] = text == "true"
        elif metric.return_type == "float":
            try:
                scores[metric.name] = float(text)
            except ValueError:
                scores[metric.name] = text
        else:
            scores[metric.name] = text
    return scores


def _check_line(text: str, max_count: int) -> str:
    try:
        return check_text(text.strip()[:max_count])
    except ValueError as error:
        raise InvalidInput(
            "annotation_queue.text_invalid", "The text holds characters that cannot be kept.",
            "Write it without control characters.",
        ) from error  # fmt: skip
