"""Datasets as JSON, in the shapes that telemetry clients know."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, MAX_LIMIT
from referee.experiments.datasets import datapoints, models, queries, service
from referee.experiments.datasets.views import Dataset
from referee.experiments.identifiers import read_id, read_ids
from referee.experiments.room import GetRoom
from referee.foundation.access import Principal
from referee.foundation.web.answers import (
    CursorParameter,
    IdempotencyKey,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
)
from referee.foundation.web.client_routes import ClientRouter

__all__ = ["create_datasets_api"]

DatasetIdQuery = Annotated[str | None, Query(max_length=200, description="Only this one.")]


def create_datasets_api(room: GetRoom) -> ClientRouter:
    """Return the routes of datasets."""
    router = ClientRouter(tags=["datasets"])
    _add_reads(router, room)
    _add_changes(router, room)
    _add_members(router, room)
    return router


def _add_reads(router: ClientRouter, room: GetRoom) -> None:
    @router.get("/v1/datasets")
    async def list_datasets(
        principal: PrincipalParameter,
        dataset_id: DatasetIdQuery = None,
        name: Annotated[str | None, Query(max_length=200, description="Exactly this name.")] = None,
        limit: LimitParameter = MAX_LIMIT,
        cursor: CursorParameter = None,
    ) -> models.DatasetsModel:
        """List datasets, newest first, each with the ids of its datapoints."""
        return await _list(room, principal, dataset_id, name, limit, cursor)

    @router.get("/datasets", deprecated=True, operation_id="datasets_list_without_v1")
    async def list_datasets_unprefixed(
        principal: PrincipalParameter,
        dataset_id: DatasetIdQuery = None,
        name: Annotated[str | None, Query(max_length=200, description="Exactly this name.")] = None,
        limit: LimitParameter = MAX_LIMIT,
        cursor: CursorParameter = None,
    ) -> models.LegacyDatasetsModel:
        """List datasets in the form of older clients."""
        found = await _list(room, principal, dataset_id, name, limit, cursor)
        return models.LegacyDatasetsModel(**found.model_dump(), testcases=found.datasets)

    @router.both("GET", "/datasets/{dataset_id}")
    async def get_dataset(dataset_id: str, principal: PrincipalParameter) -> models.DatasetModel:
        """Return a dataset."""
        async with room().database.reading() as session:
            found = await queries.get_dataset(session, principal.project_id, read_id(dataset_id, "dataset"))
            return await _render(session, found)


async def _list(
    room: GetRoom,
    principal: Principal,
    dataset_id: str | None,
    name: str | None,
    limit: int,
    cursor: str | None,
) -> models.DatasetsModel:
    try:
        wanted = None if dataset_id is None else read_id(dataset_id, "dataset")
    except NotFound:
        return models.DatasetsModel(datasets=[], total_count=0, next_cursor=None)
    async with room().database.reading() as session:
        page = await queries.list_datasets(
            session, principal.project_id, dataset_id=wanted, name=name, limit=limit, cursor=cursor
        )
        ids = await queries.list_datapoint_ids(
            session, principal.project_id, [one.dataset_id for one in page.items]
        )
    return models.DatasetsModel(
        datasets=[models.DatasetModel.of(one, ids[one.dataset_id]) for one in page.items],
        total_count=page.total_count,
        next_cursor=page.next_cursor,
    )


async def _render(session: AsyncSession, dataset: Dataset) -> models.DatasetModel:
    ids = await queries.list_datapoint_ids(session, dataset.project_id, [dataset.dataset_id])
    return models.DatasetModel.of(dataset, ids[dataset.dataset_id])


def _add_changes(router: ClientRouter, room: GetRoom) -> None:
    @router.both("POST", "/datasets")
    async def create_dataset(
        body: models.DatasetRequestModel, principal: PrincipalParameter, key: IdempotencyKey
    ) -> models.CreatedDatasetModel:
        """Make a dataset."""
        principal.require("write")
        async with room().database.transaction() as session:
            made = await service.create_dataset(
                session,
                principal.project_id,
                name=body.name,
                description=body.description,
                datapoint_ids=read_ids(body.datapoints or (), "datapoint"),
                idempotency_key=key,
            )
        return models.CreatedDatasetModel(result=models.InsertedModel(insertedId=str(made.dataset_id)))

    @router.both("PUT", "/datasets")
    async def update_dataset_named_in_body(
        body: models.LegacyDatasetChangeModel, principal: PrincipalParameter
    ) -> models.DatasetAnswerModel:
        """Change a dataset; its id is in the body."""
        return await _update(room, principal, body.dataset_id, body)

    @router.both("PUT", "/datasets/{dataset_id}")
    async def update_dataset(
        dataset_id: str, body: models.DatasetChangeModel, principal: PrincipalParameter
    ) -> models.DatasetAnswerModel:
        """Change a dataset."""
        return await _update(room, principal, dataset_id, body)

    @router.both("DELETE", "/datasets")
    async def delete_dataset_named_in_query(
        principal: PrincipalParameter,
        dataset_id: Annotated[str, Query(max_length=200, description="Which one.")],
    ) -> models.DeletedDatasetModel:
        """Delete a dataset; its datapoints stay."""
        return await _delete(room, principal, dataset_id)

    @router.both("DELETE", "/datasets/{dataset_id}")
    async def delete_dataset(dataset_id: str, principal: PrincipalParameter) -> models.DeletedDatasetModel:
        """Delete a dataset; its datapoints stay."""
        return await _delete(room, principal, dataset_id)


async def _update(
    room: GetRoom, principal: Principal, dataset_id: str, body: models.DatasetChangeModel
) -> models.DatasetAnswerModel:
    principal.require("write")
    async with room().database.transaction() as session:
        changed = await service.update_dataset(
            session,
            principal.project_id,
            read_id(dataset_id, "dataset"),
            name=body.name,
            description=body.description,
            datapoint_ids=None if body.datapoints is None else read_ids(body.datapoints, "datapoint"),
        )
        return models.DatasetAnswerModel(result=await _render(session, changed))


async def _delete(room: GetRoom, principal: Principal, dataset_id: str) -> models.DeletedDatasetModel:
    principal.require("write")
    async with room().database.transaction() as session:
        await service.delete_dataset(session, principal.project_id, read_id(dataset_id, "dataset"))
    project_id = str(principal.project_id)
    return models.DeletedDatasetModel(
        result=models.DeletedModel(id=dataset_id, org_id=project_id, project_id=project_id)
    )


def _add_members(router: ClientRouter, room: GetRoom) -> None:
    @router.both("POST", "/datasets/{dataset_id}/datapoints")
    async def add_datapoints(
        dataset_id: str, body: models.AddDatapointsModel, principal: PrincipalParameter
    ) -> models.AddDatapointsAnswerModel:
        """Make datapoints of rows and add them to a dataset."""
        principal.require("write")
        contents = [datapoints.map_row(row, body.mapping.to_mapping()) for row in body.data]
        async with room().database.transaction() as session:
            made = await datapoints.add_contents(
                session, principal.project_id, read_id(dataset_id, "dataset"), contents
            )
        return models.AddDatapointsAnswerModel(datapoint_ids=[str(one) for one in made])

    async def remove_datapoint(
        dataset_id: str, datapoint_id: str, principal: PrincipalParameter
    ) -> models.RemovedDatapointModel:
        """Take a datapoint out of a dataset; the datapoint itself stays."""
        principal.require("write")
        async with room().database.transaction() as session:
            await service.remove_member(
                session,
                principal.project_id,
                read_id(dataset_id, "dataset"),
                read_id(datapoint_id, "datapoint"),
            )
        return models.RemovedDatapointModel(
            message=f"The datapoint {datapoint_id} no longer belongs to the dataset {dataset_id}."
        )

    router.both("DELETE", "/datasets/{dataset_id}/datapoints/{datapoint_id}")(remove_datapoint)
    router.both(
        "DELETE", "/datasets/{dataset_id}/{datapoint_id}", operation_id="datapoint_remove_from_dataset"
    )(remove_datapoint)

    @router.both("GET", "/datasets/{dataset_id}/datapoints")
    async def list_dataset_datapoints(
        dataset_id: str,
        principal: PrincipalParameter,
        version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="As it was then.")] = None,
        limit: LimitParameter = MAX_LIMIT,
        cursor: CursorParameter = None,
    ) -> models.DatapointsModel:
        """List a dataset's datapoints in their order, as they are now or were in a version."""
        async with room().database.reading() as session:
            dataset = await queries.get_dataset(session, principal.project_id, read_id(dataset_id, "dataset"))
            page = await queries.list_dataset_datapoints(
                session,
                principal.project_id,
                dataset.dataset_id,
                version=queries.check_version(dataset, version),
                limit=limit,
                cursor=cursor,
            )
        return models.DatapointsModel(
            datapoints=[models.DatapointModel.of(one) for one in page.items],
            total_count=page.total_count,
            next_cursor=page.next_cursor,
        )

    @router.both("GET", "/datasets/{dataset_id}/versions")
    async def list_dataset_versions(
        request: Request,
        response: Response,
        dataset_id: str,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[models.DatasetVersionModel]:
        """List a dataset's versions, newest first."""
        async with room().database.reading() as session:
            dataset = await queries.get_dataset(session, principal.project_id, read_id(dataset_id, "dataset"))
            page = await queries.list_dataset_versions(
                session, principal.project_id, dataset.dataset_id, limit=limit, cursor=cursor
            )
        return answer_page(request, response, page, models.DatasetVersionModel.of)
