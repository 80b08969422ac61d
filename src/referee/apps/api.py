"""Apps as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from referee.apps import service
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.store import Database
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
)

__all__ = ["AppModel", "create_api"]


class AppModel(BaseModel):
    """One generated web app: model × number."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    app_id: UUID
    project_id: UUID
    model: str
    template: str | None
    number: int
    path: str
    created_at: datetime


def create_api(database: Callable[[], Database]) -> APIRouter:
    """Return the routes of apps."""
    router = APIRouter(prefix="/v1")

    @router.get("/apps", tags=["apps"])
    async def list_apps(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        model: Annotated[str | None, Query(max_length=200, description="Part of the model's slug.")] = None,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[AppModel]:
        """List apps by model and number."""
        async with database().reading() as session:
            page = await service.list_apps(
                session, principal.project_id, model=model, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, AppModel.model_validate)

    @router.get("/apps/{app_id}", tags=["apps"])
    async def get_app(app_id: str, principal: PrincipalParameter) -> AppModel:
        """Return one app."""
        async with database().reading() as session:
            found = await service.get_app(session, principal.project_id, parse_id(app_id, "app"))
        return AppModel.model_validate(found)

    return router
