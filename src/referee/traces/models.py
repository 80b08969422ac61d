"""Shapes of the events API: requests as clients send them, answers as they read them.

Members that a shape does not name are accepted: clients are newer or older than
this server. What they hold is kept in the event's metadata.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from referee.foundation.web.client_values import JsonObject

__all__ = [
    "AddTracesRequest",
    "EventAnswer",
    "EventBatchAnswer",
    "EventBatchRequest",
    "EventCreated",
    "EventModel",
    "EventUpdateRequest",
    "EventsAnswer",
    "EventsSearchAnswer",
    "ExportRequest",
    "LegacyEventRequest",
    "LegacySessionRequest",
    "ModelEventBatchRequest",
    "ModelEventRequest",
    "SearchRequest",
    "SessionAnswer",
    "SessionDeleted",
    "SessionNode",
    "Success",
    "UpdateRequest",
]

EventType = Literal["model", "tool", "chain", "session"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=True)


class EventRequest(_Request):
    """An event to be stored."""

    event_type: EventType = Field(description="What kind of step it is.")
    event_name: str | None = None
    event_id: str | None = Field(default=None, description="A new one is made without it.")
    session_id: str | None = None
    parent_id: str | None = Field(default=None, description="The session without it.")
    children_ids: list[str] | None = None
    source: str | None = None
    inputs: dict[str, Any] = Field(description="What went in.")
    outputs: Any = Field(default=None, description='What came out; a list becomes {"value": list}.')
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    feedback: dict[str, Any] | None = None
    user_properties: dict[str, Any] | None = None
    error: str | None = None
    start_time: float | None = Field(default=None, description="Milliseconds since 1970.")
    end_time: float | None = Field(default=None, description="Milliseconds since 1970.")
    duration: float | None = Field(default=None, description="Milliseconds.")


class LooseEventRequest(EventRequest):
    """An event of a session that is named elsewhere: only what it has."""

    event_type: EventType = "tool"
    inputs: dict[str, Any] = Field(default_factory=dict)


class SessionRequest(_Request):
    """A session to be started."""

    session_id: str | None = Field(default=None, description="A UUID; anything else gets a new one.")
    session_name: str | None = None
    event_name: str | None = None
    source: str | None = None
    start_time: float | None = Field(default=None, description="Milliseconds since 1970.")
    end_time: float | None = None
    duration: float | None = None
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    user_properties: dict[str, Any] | None = None
    children_ids: list[str] | None = None


class LegacySessionRequest(_Request):
    """``{"session": {…}}``."""

    session: SessionRequest


class LegacyEventRequest(_Request):
    """``{"event": {…}}``."""

    event: EventRequest


class SessionProperties(_Request):
    """What a batch says of its one session."""

    session_name: str | None = None
    start_time: float | None = None
    user_properties: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class _BatchFlags(_Request):
    single_session: bool | None = None
    is_single_session: bool | None = None
    session_properties: SessionProperties | None = None
    session: SessionProperties | None = None

    @property
    def is_single(self) -> bool:
        """Whether all events share one session."""
        return bool(self.single_session or self.is_single_session)

    @property
    def properties(self) -> dict[str, Any] | None:
        """Of the one session; None when nothing was said of it."""
        said = self.session_properties or self.session
        return None if said is None else said.model_dump(exclude_none=True)


class EventBatchRequest(_BatchFlags):
    """Events that are stored together, all or none."""

    events: list[EventRequest] = Field(min_length=1, max_length=10_000)


class SessionEventsRequest(_Request):
    """Events of the session in the path."""

    events: list[EventRequest] = Field(min_length=1, max_length=10_000)


class AddTracesRequest(_Request):
    """``logs`` or ``events``, exactly one of them."""

    logs: list[LooseEventRequest] | None = Field(default=None, max_length=10_000)
    events: list[LooseEventRequest] | None = Field(default=None, max_length=10_000)


class ModelEvent(_Request):
    """One call of a model, in its own words."""

    event_type: EventType | None = None
    model: str | None = None
    provider: str | None = None
    messages: list[Any] | None = None
    response: Any = None
    usage: dict[str, Any] | None = None
    cost: Any = None
    hyperparameters: dict[str, Any] | None = None
    inputs: dict[str, Any] | None = None
    outputs: Any = None
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class ModelEventRequest(_Request):
    """``{"model_event": {…}}``."""

    model_event: ModelEvent


class ModelEventBatchRequest(_BatchFlags):
    """Calls of models that are stored together, all or none."""

    model_events: list[ModelEvent] = Field(min_length=1, max_length=10_000)


class UpdateRequest(_Request):
    """What changes in an event; buckets are merged member by member, what is left out stays."""

    metadata: JsonObject | None = None
    feedback: JsonObject | None = None
    metrics: JsonObject | None = None
    outputs: JsonObject | None = None
    inputs: JsonObject | None = None
    config: JsonObject | None = None
    user_properties: JsonObject | None = None
    duration: Annotated[float, Field(ge=0, le=9e12)] | None = None
    end_time: Annotated[float, Field(ge=0, le=9e12)] | None = None
    children_ids: list[str] | None = None


class EventUpdateRequest(UpdateRequest):
    """The same, with the event's id in the body."""

    event_id: str = Field(min_length=1)


class Filter(BaseModel):
    """One condition; several are joined by AND."""

    field: str = Field(description="A field of the event, or a path such as metadata.run_id.")
    operator: str = Field(
        description="exists, not exists, is, is not, contains, not contains, greater than, less than, after "
        "or before."
    )
    value: str | bool | float | None = None
    type: str | None = Field(default="string", description="string, number, boolean or datetime.")


class ExportRequest(_Request):
    """Which events to read."""

    filters: list[Filter] | None = Field(default=None, max_length=50)
    dateRange: Any = Field(default=None, description="$gte and $lte: ISO 8601, or milliseconds since 1970.")
    projections: list[str] | None = Field(default=None, description="Members to answer with; all without it.")
    limit: float | None = Field(default=1000, description="1 to 7,500.")
    page: float | None = Field(default=1, description="From 1.")
    evaluation_id: str | None = Field(default=None, description="Only events of this run.")


class SearchRequest(_Request):
    """Which events to read, at most 1,000 at once."""

    filters: list[Filter] | None = Field(default=None, max_length=50)
    dateRange: Any = Field(default=None, description="start_time and end_time, ISO 8601.")
    limit: int | None = Field(default=1000, ge=1, le=1000)
    page: int | None = Field(default=1, ge=1)
    evaluation_id: str | None = None


Members = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]


class EventModel(BaseModel):
    """An event as it is read. Objects are never null."""

    model_config = ConfigDict(extra="allow")

    project_id: str
    source: str
    event_name: str
    event_type: EventType
    event_id: str
    session_id: str
    parent_id: str | None
    children_ids: list[str]
    config: Members
    inputs: Members
    outputs: Members
    error: str | None
    start_time: float | None = Field(description="Milliseconds since 1970.")
    end_time: float | None = Field(description="Milliseconds since 1970.")
    duration: float | None = Field(description="Milliseconds.")
    metadata: Members
    feedback: Members
    metrics: Members
    user_properties: Members


class SessionAnswer(EventModel):
    """A session's own event, with what owns it."""

    org_id: str
    workspace_id: str


class SessionNode(EventModel):
    """An event of a session with those below it; sums stand in the session's metadata."""

    children: list[SessionNode]


class EventAnswer(BaseModel):
    """One event."""

    event: EventModel


class EventsAnswer(BaseModel):
    """Events of one page; with projections only their members."""

    events: list[dict[str, Any]]
    totalEvents: int = Field(description="Events that match, on all pages.")
    count: int = Field(description="The same, for older clients.")


class EventsSearchAnswer(BaseModel):
    """Events of one page."""

    events: list[EventModel]
    count: int = Field(description="Events that match, on all pages.")


class EventCreated(BaseModel):
    """It is stored."""

    success: bool
    event_id: str


class EventBatchAnswer(BaseModel):
    """All are stored."""

    event_ids: list[str]
    session_id: str | None = None
    success: bool


class Success(BaseModel):
    """It is stored."""

    success: bool
    pending: bool | None = Field(
        default=None, description="True when the event has not arrived yet; the change waits for it."
    )


class SessionDeleted(BaseModel):
    """What was deleted."""

    success: bool
    session_id: str
    events_count: int
