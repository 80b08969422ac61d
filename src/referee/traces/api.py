"""Sessions and events as JSON, at the addresses that telemetry clients know."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastapi import Response

from referee.core.errors import InvalidInput
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.traces import service, sessions
from referee.traces.arriving import read_model_event
from referee.traces.event_filters import parse_event_filters, parse_instant_ns
from referee.traces.events import render_event
from referee.traces.models import (
    AddTracesRequest,
    EventAnswer,
    EventBatchAnswer,
    EventBatchRequest,
    EventCreated,
    EventModel,
    EventRequest,
    EventsAnswer,
    EventsSearchAnswer,
    EventUpdateRequest,
    ExportRequest,
    LegacyEventRequest,
    LegacySessionRequest,
    ModelEventBatchRequest,
    ModelEventRequest,
    SearchRequest,
    SessionAnswer,
    SessionDeleted,
    SessionEventsRequest,
    SessionNode,
    SessionRequest,
    Success,
    UpdateRequest,
)
from referee.traces.room import TracesRoom

__all__ = ["create_api"]

MAX_SEARCH_LIMIT = 1_000


def create_api(room: Callable[[], TracesRoom]) -> ClientRouter:
    """Return the routes of sessions and events."""
    router = ClientRouter(tags=["events"])
    _add_sessions(router, room)
    _add_writing(router, room)
    _add_reading(router, room)
    return router


def _add_sessions(router: ClientRouter, room: Callable[[], TracesRoom]) -> None:
    @router.post("/session/start")
    async def start_session(body: LegacySessionRequest, principal: PrincipalParameter) -> SessionAnswer:
        """Start a session, or add to one."""
        return await _start(room(), principal, body.session)

    @router.post("/v1/sessions")
    async def create_session(body: SessionRequest, principal: PrincipalParameter) -> SessionAnswer:
        """Start a session, or add to one."""
        return await _start(room(), principal, body)

    @router.both("GET", "/sessions/{session_id}")
    @router.get("/session/{session_id}", deprecated=True, operation_id="session_get_singular_without_v1")
    async def get_session(session_id: str, principal: PrincipalParameter) -> SessionNode:
        """Return a session as a tree of its events, with its sums in the metadata."""
        tree = await sessions.get_session_tree(room().database, principal.project_id, session_id)
        return SessionNode.model_validate(tree)

    @router.both("DELETE", "/sessions/{session_id}")
    @router.delete(
        "/session/{session_id}", deprecated=True, operation_id="session_delete_singular_without_v1"
    )
    async def delete_session(session_id: str, principal: PrincipalParameter) -> SessionDeleted:
        """Delete a session with all its events."""
        principal.require("write")
        count = await sessions.delete_session(room().database, principal.project_id, session_id)
        return SessionDeleted(success=True, session_id=session_id, events_count=count)

    @router.post("/session/{session_id}/traces")
    async def add_session_traces(
        session_id: str, body: AddTracesRequest, principal: PrincipalParameter
    ) -> Success:
        """Add events to a session."""
        if (body.logs is None) == (body.events is None):
            raise InvalidInput(
                "events.traces_ambiguous", "Either logs or events is needed.", "Send exactly one of them."
            )
        events = [_dump(event) for event in body.logs or body.events or ()]
        if events:
            await service.create_events(room(), principal.project_id, events, session_id=session_id)
        return Success(success=True)

    @router.post("/v1/sessions/{session_id}/events/batch")
    async def create_session_events(
        session_id: str, body: SessionEventsRequest, principal: PrincipalParameter
    ) -> Success:
        """Add events to a session; the one in the path holds."""
        events = [_dump(event) for event in body.events]
        await service.create_events(room(), principal.project_id, events, session_id=session_id)
        return Success(success=True)


def _add_writing(router: ClientRouter, room: Callable[[], TracesRoom]) -> None:
    @router.post("/events")
    async def create_event_legacy(body: LegacyEventRequest, principal: PrincipalParameter) -> EventCreated:
        """Store an event."""
        return await _create(room(), principal, _dump(body.event))

    @router.post("/v1/events")
    async def create_event(body: EventRequest, principal: PrincipalParameter) -> EventCreated:
        """Store an event."""
        return await _create(room(), principal, _dump(body))

    @router.post("/events/model")
    async def create_model_event(body: ModelEventRequest, principal: PrincipalParameter) -> EventCreated:
        """Store a call of a model."""
        return await _create(room(), principal, read_model_event(_dump(body.model_event)))

    @router.both("POST", "/events/batch")
    async def create_events(body: EventBatchRequest, principal: PrincipalParameter) -> EventBatchAnswer:
        """Store events, all or none."""
        events = [_dump(event) for event in body.events]
        return await _create_batch(room(), principal, events, body)

    @router.post("/events/model/batch")
    async def create_model_events(
        body: ModelEventBatchRequest, principal: PrincipalParameter
    ) -> EventBatchAnswer:
        """Store calls of models, all or none."""
        events = [read_model_event(_dump(event)) for event in body.model_events]
        return await _create_batch(room(), principal, events, body)

    @router.put("/events")
    async def update_event_legacy(
        body: EventUpdateRequest, principal: PrincipalParameter, response: Response
    ) -> Success:
        """Merge changes into an event."""
        changes = _dump(body)
        event_id = str(changes.pop("event_id"))
        found = await service.change_event(room(), principal.project_id, event_id, changes)
        return Success(success=True, pending=None if found else True)

    @router.put("/v1/events/{event_id}")
    async def update_event(event_id: str, body: UpdateRequest, principal: PrincipalParameter) -> Success:
        """Merge changes into an event."""
        found = await service.change_event(room(), principal.project_id, event_id, _dump(body))
        return Success(success=True, pending=None if found else True)


def _add_reading(router: ClientRouter, room: Callable[[], TracesRoom]) -> None:
    @router.both("POST", "/events/export")
    async def export_events(body: ExportRequest, principal: PrincipalParameter) -> EventsAnswer:
        """Return events that match, the latest first."""
        page = await _list(room(), principal, body, service.MAX_EXPORT_LIMIT)
        events = [_project(render_event(event), body.projections) for event in page.events]
        return EventsAnswer(events=events, totalEvents=page.total_count, count=page.total_count)

    @router.both("POST", "/events/search")
    async def search_events(body: SearchRequest, principal: PrincipalParameter) -> EventsSearchAnswer:
        """Return events that match, the latest first."""
        page = await _list(room(), principal, body, MAX_SEARCH_LIMIT)
        events = [EventModel.model_validate(render_event(event)) for event in page.events]
        return EventsSearchAnswer(events=events, count=page.total_count)

    @router.both("GET", "/events/{event_id}")
    async def get_event(event_id: str, principal: PrincipalParameter) -> EventAnswer:
        """Return an event."""
        event = await service.get_event(room().database, principal.project_id, event_id)
        return EventAnswer(event=EventModel.model_validate(render_event(event)))

    @router.both("DELETE", "/events/{event_id}")
    async def delete_event(event_id: str, principal: PrincipalParameter) -> EventCreated:
        """Delete an event; those below it stay."""
        principal.require("write")
        await sessions.delete_event(room().database, principal.project_id, event_id)
        return EventCreated(success=True, event_id=event_id)


async def _start(room: TracesRoom, principal: Any, body: SessionRequest) -> SessionAnswer:
    event = await service.start_session(room, principal.project_id, _dump(body))
    owner = str(principal.project_id)
    return SessionAnswer.model_validate({**render_event(event), "org_id": owner, "workspace_id": owner})


async def _create(room: TracesRoom, principal: Any, body: dict[str, Any]) -> EventCreated:
    batch = await service.create_events(room, principal.project_id, [body])
    return EventCreated(success=True, event_id=batch.event_ids[0])


async def _create_batch(
    room: TracesRoom,
    principal: Any,
    events: list[dict[str, Any]],
    body: EventBatchRequest | ModelEventBatchRequest,
) -> EventBatchAnswer:
    batch = await service.create_events(
        room,
        principal.project_id,
        events,
        is_single_session=body.is_single,
        session_properties=body.properties,
    )
    return EventBatchAnswer(event_ids=batch.event_ids, session_id=batch.session_id, success=True)


async def _list(
    room: TracesRoom, principal: Any, body: ExportRequest | SearchRequest, max_limit: int
) -> service.EventPage:
    filters = [wanted.model_dump() for wanted in body.filters or ()]
    if body.evaluation_id is not None:
        filters.append(
            {"field": "metadata.run_id", "operator": "is", "value": body.evaluation_id, "type": "string"}
        )
    start_ms, end_ms = _read_range(body.dateRange)
    return await service.list_events(
        room.database,
        principal.project_id,
        parse_event_filters(filters),
        limit=_read_count(body.limit, 1_000),
        page=_read_count(body.page, 1),
        start_ms=start_ms,
        end_ms=end_ms,
        max_limit=max_limit,
    )


def _read_count(value: float | None, default: int) -> int:
    if value is None:
        return default
    if not math.isfinite(value) or value != int(value):
        raise InvalidInput(
            "events.limit_invalid", f"{value} is not a whole number.", "Send a limit and a page from 1."
        )
    return int(value)


def _read_range(value: object) -> tuple[float | None, float | None]:
    """Return the bounds of a date range in milliseconds, whatever its members are called."""
    if value is None:
        return None, None
    if not isinstance(value, dict):
        raise InvalidInput(
            "events.range_invalid", "The dateRange is not an object.", "Send $gte and $lte, or start_time …"
        )
    bounds: list[float | None] = []
    for names in (("$gte", "gte", "start_time"), ("$lte", "lte", "end_time")):
        said = next((value[name] for name in names if value.get(name) is not None), None)
        bounds.append(None if said is None else parse_instant_ns(said) / 1e6)
    return bounds[0], bounds[1]


def _project(event: dict[str, Any], projections: list[str] | None) -> dict[str, Any]:
    """Return only the members that were asked for, and the ids."""
    if not projections:
        return event
    wanted = {name.partition(".")[0] for name in projections} | {"event_id", "session_id"}
    return {name: value for name, value in event.items() if name in wanted}


def _dump(model: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(exclude_none=True)
    return dumped
