"""Pages of sessions and traces. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from sqlalchemy import ColumnElement
from starlette.responses import Response

from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.formats import format_duration, truncate_text
from referee.foundation.web.lists import read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.traces import outline_queries, page_lists, queries, trace_reading
from referee.traces.filter_fields import SESSION_FIELDS, find_trace_fields
from referee.traces.identity import MAX_ID_CHARACTERS, compute_uid
from referee.traces.outlines import Outline, OutlineRow
from referee.traces.room import TracesRoom
from referee.traces.span_panels import SpanPanel, build_panel
from referee.traces.tree_pages import TreeState, build_path_context, build_tree_context, read_tree_state

__all__ = ["create_pages"]

SESSIONS_CRUMB: Final = Crumb("Sessions", "/ui/sessions")
TRACES_CRUMB: Final = Crumb("Traces", "/ui/traces")

State: TypeAlias = Annotated[TreeState, Depends(read_tree_state)]
GetRoom: TypeAlias = Callable[[], TracesRoom]


def create_pages(room: GetRoom) -> APIRouter:
    """Return the pages of sessions and traces."""
    router = APIRouter(include_in_schema=False)
    _add_lists(router, room)
    _add_trees(router, room)
    return router


def _add_lists(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/sessions")
    async def show_sessions(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, SESSION_FIELDS)
        async with room().database.reading() as session:
            page = await queries.list_sessions(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
        view = page_lists.build_session_list(query, page, _find_address(request))
        return await render_page(
            request, "traces/list.html", {"view": view}, title="Sessions", twin_url=view.twin_url
        )

    @router.get("/ui/traces")
    async def show_traces(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, find_trace_fields(request.query_params.get("filter", "")))
        async with room().database.reading() as session:
            page = await queries.list_traces(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
            types = await queries.count_trace_types(
                session, principal.project_id, query.filter.without("type")
            )
        view = page_lists.build_trace_list(query, page, types, _find_address(request))
        return await render_page(
            request, "traces/list.html", {"view": view}, title="Traces", twin_url=view.twin_url
        )

    @router.get(page_lists.START_URL)
    async def show_start(request: Request) -> Response:
        context = {"address": _find_address(request), "is_local": _is_local(request)}
        return await render_page(
            request, "traces/start.html", context, title="Send traces", breadcrumb=(TRACES_CRUMB,)
        )


def _add_trees(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/sessions/{session_id}")
    async def show_session(
        request: Request,
        session_id: Annotated[str, Path(max_length=MAX_ID_CHARACTERS)],
        principal: PrincipalParameter,
        state: State,
    ) -> Response:
        database = room().database
        tree = await trace_reading.read_session_tree(
            database, principal.project_id, session_id, state.fold, is_first_only=state.is_panel_only
        )
        conditions = outline_queries.of_session(principal.project_id, UUID(compute_uid(session_id)))
        context = await _build_context(
            room(), principal.project_id, state, tree.outline, conditions, _name_event
        )
        title = truncate_text(tree.session.name or tree.session.session_id, 120)
        context |= {"session": tree.session, "number_cards": page_lists.build_session_cards(tree.session)}
        return await render_page(
            request, "traces/session.html", context, title=title,
            twin_url=f"/v1/sessions/{quote(session_id, safe='')}", breadcrumb=(SESSIONS_CRUMB,),
        )  # fmt: skip

    @router.get("/ui/traces/{trace_id}")
    async def show_trace(
        request: Request,
        trace_id: Annotated[str, Path(max_length=64)],
        principal: PrincipalParameter,
        state: State,
    ) -> Response:
        uid = trace_reading.parse_trace_id(trace_id)
        outline = await trace_reading.read_trace_outline(
            room().database, principal.project_id, uid, state.fold, is_first_only=state.is_panel_only
        )
        conditions = outline_queries.of_trace(principal.project_id, uid)
        context = await _build_context(room(), principal.project_id, state, outline, conditions, _name_span)
        context |= {"trace_id": uid.hex, "number_cards": (), "sessions": ()}
        if not state.is_panel_only:
            context |= await _describe_trace(room(), outline, conditions)
        if state.view == "critical" and not state.is_panel_only:
            path = await trace_reading.read_critical_path(room().database, principal.project_id, uid)
            context["context"]["path"] = build_path_context(state, path)
        title = truncate_text(outline.rows[0].span.name or "unnamed", 120)
        return await render_page(
            request, "traces/trace.html", context, title=title,
            twin_url=f"/v1/traces/{uid.hex}", breadcrumb=(TRACES_CRUMB,),
        )  # fmt: skip


async def _build_context(
    room: TracesRoom,
    project_id: UUID,
    state: TreeState,
    outline: Outline,
    conditions: tuple[ColumnElement[bool], ...],
    key: Callable[[OutlineRow], str],
) -> dict[str, Any]:
    """Return what both trees use: rows or log, and the panel of the selected span."""
    logged: list[outline_queries.LoggedEvent] = []
    if state.view == "log" and not state.is_panel_only:
        async with room.database.reading() as session:
            logged = await outline_queries.list_logged_events(session, *conditions)
    context = build_tree_context(state, outline, logged, key)
    context["panel"] = await _read_panel(room, project_id, state, conditions)
    return {"context": context, "panel": context["panel"]}


async def _read_panel(
    room: TracesRoom, project_id: UUID, state: TreeState, conditions: tuple[ColumnElement[bool], ...]
) -> SpanPanel | None:
    if not state.span:
        return None
    detail, raw = await trace_reading.get_span(
        room.database, project_id, state.span, *conditions, has_raw=state.tab == "raw"
    )
    return build_panel(detail, state.tab, raw)


async def _describe_trace(
    room: TracesRoom, outline: Outline, conditions: tuple[ColumnElement[bool], ...]
) -> dict[str, Any]:
    async with room.database.reading() as session:
        sums = await outline_queries.sum_spans(session, *conditions)
    took = format_duration(outline.total_ns / 1e9)
    cards = page_lists.build_trace_cards(outline, took, (sums.total_tokens, sums.cost_usd))
    return {
        "number_cards": cards,
        "sessions": [(text, page_lists.find_session_url(uid)) for uid, text in sums.sessions],
    }


def _name_span(row: OutlineRow) -> str:
    return row.span.span_id or str(row.span.span_uid)


def _name_event(row: OutlineRow) -> str:
    return str(row.span.span_uid)


def _find_address(request: Request) -> str:
    """Return where this server was reached, for programs that are to send to it."""
    return str(request.base_url).rstrip("/")


def _is_local(request: Request) -> bool:
    return request.url.hostname in ("127.0.0.1", "localhost", "::1")
