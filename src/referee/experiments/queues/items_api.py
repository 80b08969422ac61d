"""The events of annotation queues as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from fastapi import Path, Query
from pydantic import BaseModel, Field

from referee.core.pages import DEFAULT_LIMIT
from referee.experiments.identifiers import read_id
from referee.experiments.queues import items, service
from referee.experiments.room import GetRoom
from referee.foundation.web.answers import CursorParameter, LimitParameter, PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import JsonObject, Text

__all__ = ["create_queue_items_api"]

State: TypeAlias = Literal["waiting", "done", "skipped"]
EventId: TypeAlias = Annotated[str, Path(max_length=512)]


class QueueItemModel(BaseModel):
    """One event of a queue."""

    event_id: str
    state: State
    origin: Literal["by_hand", "by_filter"]
    added_at: datetime
    reviewed_at: datetime | None

    @classmethod
    def of(cls, item: items.QueueItem) -> QueueItemModel:
        """Return the model of an item."""
        return cls(
            event_id=item.event_id,
            state=item.state,  # type: ignore[arg-type]  # the table's check allows no other word
            origin=item.origin,  # type: ignore[arg-type]
            added_at=item.added_at,
            reviewed_at=item.reviewed_at,
        )


class QueueItemsModel(BaseModel):
    """A list of a queue's events."""

    items: list[QueueItemModel]
    total_count: int
    next_cursor: str | None


class ReviewModel(BaseModel):
    """What a person says of an event."""

    state: State = "done"
    scores: JsonObject | None = Field(default=None, description="Values by the names of HUMAN metrics.")
    note: Annotated[Text, Field(max_length=items.MAX_NOTE_CHARACTERS)] | None = None


def create_queue_items_api(room: GetRoom) -> ClientRouter:
    """Return the routes of queues' events."""
    router = ClientRouter(tags=["queues"])

    @router.get("/v1/queues/{queue_id}/items")
    async def list_queue_items(
        queue_id: str,
        principal: PrincipalParameter,
        state: Annotated[State | None, Query(description="Only events in this state.")] = None,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> QueueItemsModel:
        """List the events of a queue, those that came first before others."""
        async with room().database.reading() as session:
            queue = await service.get_queue(
                session, principal.project_id, read_id(queue_id, "annotation_queue")
            )
            page = await items.list_items(
                session, principal.project_id, queue.annotation_queue_id,
                state=state, cursor=cursor, limit=limit,
            )  # fmt: skip
        return QueueItemsModel(
            items=[QueueItemModel.of(one) for one in page.items],
            total_count=page.total_count,
            next_cursor=page.next_cursor,
        )

    @router.put("/v1/queues/{queue_id}/items/{event_id}")
    async def review_queue_item(
        queue_id: str, event_id: EventId, body: ReviewModel, principal: PrincipalParameter
    ) -> QueueItemModel:
        """Write what a person says of an event: scores into its metrics, a note into its feedback."""
        principal.require("write")
        item = await items.review_item(
            room().database, principal.project_id, read_id(queue_id, "annotation_queue"), event_id,
            state=body.state, scores=body.scores, note=body.note or "",
        )  # fmt: skip
        return QueueItemModel.of(item)

    return router
