"""Models as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from referee.apps.catalogue import MODEL_FIELDS, get_model, import_models, list_models
from referee.apps.importing_models import read_model_list
from referee.apps.room import AppsRoom
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter

__all__ = ["ModelModel", "add_model_routes"]

GetRoom: TypeAlias = Callable[[], AppsRoom]
ModelFilter = Annotated[Filter, Depends(filter_parameter(MODEL_FIELDS))]
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "description": "What a server answers for /models: a list under data.",
            }
        },
        "text/csv": {
            "schema": {"type": "string", "description": "A line of names first: model_name and others."}
        },
    },
}


class ModelModel(BaseModel):
    """A language model that may write apps."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    model_id: UUID
    project_id: UUID
    slug: str
    name: str
    provider: str
    model_name: str = Field(description="As the endpoint calls it.")
    input_usd_per_mtok: float | None = Field(description="US dollars for a million tokens of prompts.")
    output_usd_per_mtok: float | None = Field(description="US dollars for a million tokens of answers.")
    context_tokens: int | None = Field(description="Tokens of prompt and answer together.")
    source: str = Field(description="Kind of list it was read from last: openai, openrouter or csv.")
    created_at: datetime
    updated_at: datetime


class ModelImportModel(BaseModel):
    """What became of a list of models."""

    created_count: int
    updated_count: int
    unchanged_count: int
    problems: list[str] = Field(description="Entries that were left out, and why.")


def add_model_routes(router: APIRouter, room: GetRoom) -> None:
    """Add the routes of models."""

    @router.get("/models", tags=["models"], name="list_models")
    async def list_known(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: ModelFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[ModelModel]:
        """List the catalogue of models by slug."""
        async with room().database.reading() as session:
            page = await list_models(session, principal.project_id, where=filter, cursor=cursor, limit=limit)
        return answer_page(request, response, page, ModelModel.model_validate)

    @router.post("/models", tags=["models"], name="import_models", openapi_extra={"requestBody": _BODY})
    async def import_list(
        request: Request,
        principal: PrincipalParameter,
        is_csv: Annotated[
            bool, Query(description="Whether the body is CSV; so it is too by its type.")
        ] = False,
    ) -> ModelImportModel:
        """Take over the models of a list, as a server answers for its /models, or of CSV."""
        principal.require("write")
        is_csv = is_csv or request.headers.get("content-type", "").startswith("text/csv")
        entries, kind, problems = read_model_list(await request.body(), is_csv=is_csv)
        async with room().database.transaction() as session:
            done = await import_models(session, principal.project_id, entries, source=kind)
        return ModelImportModel(
            created_count=done.created_count,
            updated_count=done.updated_count,
            unchanged_count=done.unchanged_count,
            problems=[*problems, *done.problems][:1_000],
        )

    @router.get("/models/{slug}", tags=["models"], name="get_model")
    async def get_known(slug: str, principal: PrincipalParameter) -> ModelModel:
        """Return one model by its slug."""
        async with room().database.reading() as session:
            return ModelModel.model_validate(await get_model(session, principal.project_id, slug))
