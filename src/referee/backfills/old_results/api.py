"""Imports of old results as JSON routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from referee.backfills.old_results import queries, service
from referee.backfills.old_results.models import (
    ResultImportItemModel,
    ResultImportModel,
    ResultImportRequestModel,
)
from referee.backfills.room import BackfillsRoom
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.jobs import JobEngine
from referee.foundation.web.answers import (
    CursorParameter,
    IdempotencyKey,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter

__all__ = ["GetEngine", "GetRoom", "ImportId", "create_api"]

GetRoom: TypeAlias = Callable[[], BackfillsRoom]
GetEngine: TypeAlias = Callable[[], JobEngine]
ImportFilter = Annotated[Filter, Depends(filter_parameter(queries.IMPORT_FIELDS))]
ItemFilter = Annotated[Filter, Depends(filter_parameter(queries.ITEM_FIELDS))]


async def read_import_id(result_import_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(result_import_id, "import")


ImportId = Annotated[UUID, Depends(read_import_id)]


def create_api(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the routes of imports."""
    router = APIRouter(prefix="/v1", tags=["result imports"])

    @router.post("/result-imports", status_code=202)
    async def create_result_import(
        body: ResultImportRequestModel,
        principal: PrincipalParameter,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> ResultImportModel:
        """Accept an import of old results. Needs the scope admin, since it reads a path of the server."""
        principal.require("admin")
        made = await service.create_import(
            room(),
            engine(),
            principal.project_id,
            body.source,
            is_dry=body.is_dry,
            idempotency_key=idempotency_key,
        )
        response.headers["Location"] = f"/v1/result-imports/{made.result_import_id}"
        return ResultImportModel.of(made)

    @router.get("/result-imports")
    async def list_result_imports(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: ImportFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[ResultImportModel]:
        """List imports and dry runs, newest first."""
        async with room().database.reading() as session:
            page = await queries.list_imports(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, ResultImportModel.of)

    @router.get("/result-imports/{result_import_id}")
    async def get_result_import(
        result_import_id: ImportId, principal: PrincipalParameter
    ) -> ResultImportModel:
        """Return an import with what it came to so far."""
        async with room().database.reading() as session:
            return ResultImportModel.of(
                await queries.get_import(session, principal.project_id, result_import_id)
            )

    @router.get("/result-imports/{result_import_id}/items")
    async def list_result_import_items(
        request: Request,
        response: Response,
        result_import_id: ImportId,
        principal: PrincipalParameter,
        filter: ItemFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[ResultImportItemModel]:
        """List the old analyses that an import found, and what it set aside and why."""
        async with room().database.reading() as session:
            page = await queries.list_items(
                session, principal.project_id, result_import_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, ResultImportItemModel.of)

    return router
