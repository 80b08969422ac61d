"""Pages of datasets. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from starlette.responses import RedirectResponse, Response

from referee.core.errors import InvalidInput
from referee.core.pages import DEFAULT_LIMIT
from referee.experiments.datasets import files, page_lists, queries, service
from referee.experiments.datasets.files_api import ColumnNames, read_columns
from referee.experiments.identifiers import read_id
from referee.experiments.room import GetRoom
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.client_values import check_text
from referee.foundation.web.lists import read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query

__all__ = ["create_datasets_pages"]

DATASETS_CRUMB: Final = Crumb("Datasets", "/ui/datasets")
_VERSIONS_COUNT: Final = 20
VersionQuery = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


def create_datasets_pages(room: GetRoom) -> APIRouter:
    """Return the pages of datasets and datapoints."""
    router = APIRouter(include_in_schema=False)
    _add_reads(router, room)
    _add_changes(router, room)
    return router


def _add_reads(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/datasets")
    async def show_datasets(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, queries.DATASET_FIELDS)
        async with room().database.reading() as session:
            page = await queries.list_datasets(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
        view = page_lists.build_dataset_list(query, page)
        return await render_page(
            request, "datasets/datasets.html", {"view": view}, title="Datasets", twin_url=view.twin_url
        )

    @router.get("/ui/datasets/{dataset_id}")
    async def show_dataset(
        request: Request,
        dataset_id: str,
        principal: PrincipalParameter,
        version: VersionQuery = None,
        cursor: CursorParameter = None,
    ) -> Response:
        query = read_list_query(request, queries.DATAPOINT_FIELDS)
        async with room().database.reading() as session:
            found = await queries.get_dataset(session, principal.project_id, read_id(dataset_id, "dataset"))
            shown = queries.check_version(found, version)
            page = await queries.list_dataset_datapoints(
                session, principal.project_id, found.dataset_id,
                version=shown, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT,
            )  # fmt: skip
            versions = await queries.list_dataset_versions(
                session, principal.project_id, found.dataset_id, limit=_VERSIONS_COUNT
            )
        context = {
            "dataset": found,
            "shown_version": shown or found.version,
            "view": page_lists.build_datapoint_list(query, page, found),
            "versions": versions,
            "version_columns": page_lists.VERSION_COLUMNS,
            "version_rows": page_lists.build_version_rows(found, versions.items),
        }
        return await render_page(
            request, "datasets/dataset.html", context, title=found.name,
            twin_url=with_query(f"/v1/datasets/{dataset_id}/datapoints", version=shown),
            breadcrumb=(DATASETS_CRUMB,),
        )  # fmt: skip

    @router.get("/ui/datapoints/{datapoint_id}")
    async def show_datapoint(request: Request, datapoint_id: str, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            found = await queries.get_datapoint(
                session, principal.project_id, read_id(datapoint_id, "datapoint")
            )
            datasets = [
                await queries.get_dataset(session, principal.project_id, one)
                for one in found.linked_datasets[: page_lists.MAX_LINKS_COUNT]
            ]
        context = {"datapoint": found, "datasets": datasets, "parts": page_lists.build_parts(found)}
        return await render_page(
            request, "datasets/datapoint.html", context, title=f"Datapoint {str(found.datapoint_id)[-12:]}",
            twin_url=f"/v1/datapoints/{datapoint_id}", breadcrumb=(DATASETS_CRUMB,),
        )  # fmt: skip


def _add_changes(router: APIRouter, room: GetRoom) -> None:
    @router.post("/ui/datasets")
    async def create_dataset(
        principal: PrincipalParameter, name: Annotated[str, Form(max_length=200)]
    ) -> Response:
        principal.require("write")
        async with room().database.transaction() as session:
            made = await service.create_dataset(session, principal.project_id, name=_check_name(name))
        return RedirectResponse(f"/ui/datasets/{made.dataset_id}", 303)

    @router.post("/ui/datasets/{dataset_id}/import")
    async def import_file(
        dataset_id: str,
        principal: PrincipalParameter,
        file: Annotated[UploadFile, File()],
        inputs: ColumnNames = "",
        ground_truth: ColumnNames = "",
        history: ColumnNames = "",
    ) -> Response:
        principal.require("write")
        mapping = read_columns(inputs, ground_truth, history)
        contents = files.parse_file(await file.read(), files.find_format(file.filename or ""), mapping)
        async with room().database.transaction() as session:
            await files.import_contents(
                session, principal.project_id, read_id(dataset_id, "dataset"), contents
            )
        return RedirectResponse(f"/ui/datasets/{dataset_id}", 303)


def _check_name(name: str) -> str:
    try:
        if name.strip():
            return check_text(name)
    except ValueError:
        pass
    raise InvalidInput(
        "dataset.name_invalid", "A dataset's name has 1 to 200 characters.", "Give it such a name."
    )
