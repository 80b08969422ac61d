"""The page that keeps events of traces: as datapoints of a dataset, or in an annotation queue."""

from __future__ import annotations

import json
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from referee.core.errors import InvalidInput
from referee.core.pages import MAX_LIMIT
from referee.experiments.datasets.from_events import create_from_events, map_event
from referee.experiments.datasets.queries import list_datasets
from referee.experiments.datasets.service import create_dataset
from referee.experiments.identifiers import read_id
from referee.experiments.queues.service import list_queues, update_queue
from referee.experiments.room import GetRoom
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.rendering import Crumb, render_page
from referee.traces import Event, list_events_by_id

__all__ = ["create_keeping_pages"]

MAX_KEPT_COUNT: Final = 500
"""Events of one form."""
MAX_SHOWN_COUNT: Final = 10
MAX_CHARACTERS: Final = 20_000
"""Of one datapoint on the page."""
EventIds: TypeAlias = Annotated[list[Annotated[str, Query(max_length=512)]], Query(max_length=MAX_KEPT_COUNT)]
FormEventIds: TypeAlias = Annotated[
    list[Annotated[str, Form(max_length=512)]], Form(max_length=MAX_KEPT_COUNT, alias="event")
]


def create_keeping_pages(room: GetRoom) -> APIRouter:
    """Return the page that keeps events, and what its forms do."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/events/keep")
    async def show_keeping(request: Request, principal: PrincipalParameter, event: EventIds = []) -> Response:  # noqa: B006 - FastAPI copies it
        events = await list_events_by_id(room().database, principal.project_id, event)
        async with room().database.reading() as session:
            datasets = await list_datasets(session, principal.project_id, limit=MAX_LIMIT)
            queues = await list_queues(session, principal.project_id, limit=MAX_LIMIT)
        contents = [(one, _show_datapoint(one)) for one in events[:MAX_SHOWN_COUNT]]
        context = {
            "events": events, "contents": contents, "datasets": datasets, "queues": queues,
            "missing_count": len(set(event)) - len(events),
        }  # fmt: skip
        twin_url = f"/v1/sessions/{events[0].session_id}" if events else "/v1/datasets"
        return await render_page(
            request, "experiments/keep.html", context, title="Keep events", twin_url=twin_url,
            breadcrumb=(Crumb("Traces", "/ui/traces"),),
        )  # fmt: skip

    @router.post("/ui/events/keep/dataset")
    async def keep_in_dataset(
        principal: PrincipalParameter, event: FormEventIds,
        dataset_id: Annotated[str, Form(max_length=100)] = "",
        name: Annotated[str, Form(max_length=200)] = "",
    ) -> Response:  # fmt: skip
        principal.require("write")
        if not dataset_id and not name.strip():
            raise InvalidInput(
                "dataset.name_invalid", "No dataset is named.", "Choose one, or name a new one."
            )
        if dataset_id:
            uid = read_id(dataset_id, "dataset")
        else:
            async with room().database.transaction() as session:
                made = await create_dataset(session, principal.project_id, name=name.strip())
            uid = made.dataset_id
        await create_from_events(room().database, principal.project_id, event, dataset_id=uid)
        return RedirectResponse(f"/ui/datasets/{uid}", 303)

    @router.post("/ui/events/keep/queue")
    async def keep_in_queue(
        principal: PrincipalParameter, event: FormEventIds, queue_id: Annotated[str, Form(max_length=100)]
    ) -> Response:
        principal.require("write")
        found = await list_events_by_id(room().database, principal.project_id, event)
        async with room().database.transaction() as session:
            await update_queue(
                session, principal.project_id, read_id(queue_id, "annotation_queue"), {},
                add_event_ids=[one.event_id for one in found],
            )  # fmt: skip
        return RedirectResponse(f"/ui/queues/{queue_id}", 303)

    return router


def _show_datapoint(event: Event) -> str:
    content = map_event(event, None)
    shown = {"inputs": content.inputs, "ground_truth": content.ground_truth}
    return json.dumps(shown, indent=2, ensure_ascii=False)[:MAX_CHARACTERS]
