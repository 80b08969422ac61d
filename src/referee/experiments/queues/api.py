"""Annotation queues as JSON, in the shapes that telemetry clients know."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from referee.core.errors import InvalidInput
from referee.core.pages import MAX_LIMIT
from referee.experiments.filters import EventFiltersModel, Filters
from referee.experiments.identifiers import read_id
from referee.experiments.queues import service
from referee.experiments.queues.views import AnnotationQueue
from referee.experiments.room import GetRoom
from referee.foundation.web.answers import CursorParameter, IdempotencyKey, LimitParameter, PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import Name, Text

__all__ = ["create_queues_api"]

Description = Annotated[Text, Field(max_length=1_000)]
EventIds = Annotated[
    list[Annotated[Text, Field(min_length=1, max_length=200)]], Field(max_length=service.MAX_EVENTS_COUNT)
]


class QueueRequestModel(BaseModel):
    """A queue to make."""

    name: Name
    description: Description | None = None
    filters: Filters = Field(default_factory=EventFiltersModel)
    enabled: bool | None = True
    event_ids: EventIds | None = None


class QueueChangeModel(BaseModel):
    """What to change of a queue; what is left out stays."""

    id: Annotated[str, Field(max_length=200, description="The same as in the path.")] | None = None
    name: Name | None = None
    description: Description | None = None
    filters: Filters | None = None
    enabled: bool | None = None
    add_event_ids: EventIds | None = None
    remove_event_ids: EventIds | None = None

    def to_changes(self) -> dict[str, Any]:
        """Return the columns that were given."""
        filters = None if self.filters is None else self.filters.model_dump()
        given = {
            "name": self.name,
            "description": self.description,
            "filters_json": filters if "filters" in self.model_fields_set else None,
            "is_enabled": self.enabled,
        }
        return {name: value for name, value in given.items() if value is not None}


class QueueModel(BaseModel):
    """A queue."""

    id: str
    name: str
    description: str
    filters: EventFiltersModel
    enabled: bool
    events_count: int
    scope_id: str
    scope_type: Literal["project"] = "project"
    is_active: Literal[True] = True
    created_at: datetime
    updated_at: datetime | None

    @classmethod
    def of(cls, queue: AnnotationQueue) -> QueueModel:
        """Return the model of a queue."""
        return cls(
            id=str(queue.annotation_queue_id),
            name=queue.name,
            description=queue.description,
            filters=EventFiltersModel(**queue.filters),
            enabled=queue.is_enabled,
            events_count=queue.events_count,
            scope_id=str(queue.project_id),
            created_at=queue.created_at,
            updated_at=queue.updated_at,
        )


class QueueWithEventsModel(QueueModel):
    """A queue, and the events that were put into it by their ids."""

    event_ids: list[str]


class QueuesModel(BaseModel):
    """A list of queues."""

    queues: list[QueueModel]
    total_count: int
    next_cursor: str | None


class QueueAnswerModel(BaseModel):
    """A queue after its creation or change."""

    queue: QueueModel
    message: str


class DeletedQueueModel(BaseModel):
    """The answer to a queue's deletion."""

    message: str
    id: str


def create_queues_api(room: GetRoom) -> ClientRouter:
    """Return the routes of annotation queues."""
    router = ClientRouter(tags=["queues"])
    _add_reads(router, room)
    _add_changes(router, room)
    return router


def _add_reads(router: ClientRouter, room: GetRoom) -> None:
    @router.get("/v1/queues")
    async def list_queues(
        principal: PrincipalParameter, limit: LimitParameter = MAX_LIMIT, cursor: CursorParameter = None
    ) -> QueuesModel:
        """List annotation queues, newest first."""
        async with room().database.reading() as session:
            page = await service.list_queues(session, principal.project_id, limit=limit, cursor=cursor)
        return QueuesModel(
            queues=[QueueModel.of(one) for one in page.items],
            total_count=page.total_count,
            next_cursor=page.next_cursor,
        )

    @router.get("/v1/queues/{queue_id}")
    async def get_queue(queue_id: str, principal: PrincipalParameter) -> QueueWithEventsModel:
        """Return an annotation queue with its events' ids."""
        async with room().database.reading() as session:
            found = await service.get_queue(
                session, principal.project_id, read_id(queue_id, "annotation_queue")
            )
            event_ids = await service.list_queue_event_ids(
                session, principal.project_id, found.annotation_queue_id
            )
        return QueueWithEventsModel(**QueueModel.of(found).model_dump(), event_ids=event_ids)


def _add_changes(router: ClientRouter, room: GetRoom) -> None:
    @router.post("/v1/queues", status_code=201)
    async def create_queue(
        body: QueueRequestModel, principal: PrincipalParameter, key: IdempotencyKey
    ) -> QueueAnswerModel:
        """Make an annotation queue."""
        principal.require("write")
        async with room().database.transaction() as session:
            made = await service.create_queue(
                session,
                principal.project_id,
                name=body.name,
                description=body.description or "",
                filters=body.filters.model_dump(),
                is_enabled=body.enabled is not False,
                event_ids=body.event_ids or (),
                idempotency_key=key,
            )
        return QueueAnswerModel(queue=QueueModel.of(made), message="The queue was made.")

    @router.put("/v1/queues/{queue_id}")
    async def update_queue(
        queue_id: str, body: QueueChangeModel, principal: PrincipalParameter
    ) -> QueueAnswerModel:
        """Change an annotation queue, put events in and take events out."""
        principal.require("write")
        if body.id not in (None, queue_id):
            raise InvalidInput(
                "annotation_queue.id_differs",
                "The id in the body is not the one in the path.",
                "Send one id, or leave it out of the body.",
            )
        async with room().database.transaction() as session:
            changed = await service.update_queue(
                session,
                principal.project_id,
                read_id(queue_id, "annotation_queue"),
                body.to_changes(),
                add_event_ids=body.add_event_ids or (),
                remove_event_ids=body.remove_event_ids or (),
            )
        return QueueAnswerModel(queue=QueueModel.of(changed), message="The queue was changed.")

    @router.delete("/v1/queues/{queue_id}")
    async def delete_queue(queue_id: str, principal: PrincipalParameter) -> DeletedQueueModel:
        """Delete an annotation queue; its events stay."""
        principal.require("write")
        async with room().database.transaction() as session:
            await service.delete_queue(session, principal.project_id, read_id(queue_id, "annotation_queue"))
        return DeletedQueueModel(message=f"The queue {queue_id} was deleted.", id=queue_id)
