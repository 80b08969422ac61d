"""Datapoints as JSON, in the shapes that telemetry clients know."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from referee.experiments.datasets import datapoints, models, queries
from referee.experiments.datasets.from_events import create_from_events
from referee.experiments.identifiers import read_id, read_ids
from referee.experiments.room import GetRoom
from referee.foundation.web.answers import CursorParameter, IdempotencyKey, PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import merge_query_lists

__all__ = ["create_datapoints_api"]

MAX_LISTED_COUNT = 10_000
"""Clients of this list know no pages."""


def create_datapoints_api(room: GetRoom) -> ClientRouter:
    """Return the routes of datapoints."""
    router = ClientRouter(tags=["datapoints"])
    _add_reads(router, room)
    _add_changes(router, room)
    return router


def _add_reads(router: ClientRouter, room: GetRoom) -> None:
    @router.both("GET", "/datapoints")
    async def list_datapoints(
        principal: PrincipalParameter,
        datapoint_ids: Annotated[
            list[str] | None, Query(alias="datapoint_ids[]", description="Only these.")
        ] = None,
        plain_ids: Annotated[list[str] | None, Query(alias="datapoint_ids", include_in_schema=False)] = None,
        dataset_name: Annotated[
            str | None, Query(max_length=200, description="Only of this dataset.")
        ] = None,
        limit: Annotated[
            int, Query(ge=1, le=MAX_LISTED_COUNT, description="Rows in the answer at most.")
        ] = MAX_LISTED_COUNT,
        cursor: CursorParameter = None,
    ) -> models.DatapointsModel:
        """List datapoints in the order in which they were made."""
        wanted = merge_query_lists(datapoint_ids, plain_ids)
        async with room().database.reading() as session:
            page = await queries.list_datapoints(
                session,
                principal.project_id,
                datapoint_ids=_keep_ids(wanted) if wanted else None,
                dataset_name=dataset_name,
                limit=limit,
                cursor=cursor,
            )
        return models.DatapointsModel(
            datapoints=[models.DatapointModel.of(one) for one in page.items],
            total_count=page.total_count,
            next_cursor=page.next_cursor,
        )

    @router.both("GET", "/datapoints/{datapoint_id}")
    async def get_datapoint(datapoint_id: str, principal: PrincipalParameter) -> models.DatapointAnswerModel:
        """Return a datapoint, in a list of one."""
        async with room().database.reading() as session:
            found = await queries.get_datapoint(
                session, principal.project_id, read_id(datapoint_id, "datapoint")
            )
        return models.DatapointAnswerModel(datapoint=[models.DatapointModel.of(found)])


def _keep_ids(texts: list[str]) -> list[UUID]:
    """Return the texts that are ids; the others are the ids of nothing."""
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _add_changes(router: ClientRouter, room: GetRoom) -> None:
    @router.both("POST", "/datapoints")
    async def create_datapoint(
        body: models.DatapointRequestModel, principal: PrincipalParameter, key: IdempotencyKey
    ) -> models.CreatedDatapointModel:
        """Make a datapoint, and link it to datasets."""
        principal.require("write")
        async with room().database.transaction() as session:
            made = await datapoints.create_datapoint(
                session,
                principal.project_id,
                body.to_content(),
                dataset_ids=read_ids(body.linked_datasets or (), "dataset"),
                idempotency_key=key,
            )
        return models.CreatedDatapointModel(
            result=models.InsertedIdsModel(insertedIds=[str(made)], insertedId=str(made))
        )

    @router.both("POST", "/datapoints/batch")
    async def create_datapoints_from_events(
        body: models.BatchModel, principal: PrincipalParameter
    ) -> models.CreatedDatapointsModel:
        """Make datapoints of events that are named, ticked, or match."""
        principal.require("write")
        made = await create_from_events(
            room().database,
            principal.project_id,
            body.list_event_ids(),
            filters=body.filters,
            date_range=body.dateRange,
            mapping=None if body.mapping is None else body.mapping.to_mapping(),
            dataset_id=None if body.dataset_id is None else read_id(body.dataset_id, "dataset"),
        )
        return models.CreatedDatapointsModel(inserted=bool(made), insertedIds=[str(one) for one in made])

    @router.both("PUT", "/datapoints/{datapoint_id}")
    async def update_datapoint(
        datapoint_id: str, body: models.DatapointChangeModel, principal: PrincipalParameter
    ) -> models.UpdatedDatapointModel:
        """Change a datapoint; each of its datasets gets its next version."""
        principal.require("write")
        links = body.linked_datasets
        async with room().database.transaction() as session:
            await datapoints.update_datapoint(
                session,
                principal.project_id,
                read_id(datapoint_id, "datapoint"),
                body.to_changes(),
                dataset_ids=None if links is None else read_ids(links, "dataset"),
            )
        return models.UpdatedDatapointModel(result=models.ModifiedModel(modifiedCount=1))

    @router.both("DELETE", "/datapoints/{datapoint_id}")
    async def delete_datapoint(
        datapoint_id: str, principal: PrincipalParameter
    ) -> models.DeletedDatapointModel:
        """Delete a datapoint; older versions of its datasets keep it."""
        principal.require("write")
        async with room().database.transaction() as session:
            await datapoints.delete_datapoint(
                session, principal.project_id, read_id(datapoint_id, "datapoint")
            )
        return models.DeletedDatapointModel(id=datapoint_id)
