"""Templates as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.known_templates import get_template, import_template, list_templates, load_template
from referee.apps.models import TemplateDetailModel, TemplateModel
from referee.apps.room import AppsRoom
from referee.apps.tables import TemplateRow
from referee.core.ids import format_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
)

__all__ = ["add_template_routes"]

GetRoom: TypeAlias = Callable[[], AppsRoom]

_DOCUMENT = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "object", "description": "The template, as in samples/templates."}
        }
    },
}
"""The body as the API's description shows it: its very bytes are kept, so it is no model."""


def add_template_routes(router: APIRouter, room: GetRoom) -> None:
    """Add the routes of templates."""

    @router.get("/templates", tags=["templates"], name="list_templates")
    async def list_known(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[TemplateModel]:
        """List the versions of all templates, by slug, newest first."""
        async with room().database.reading() as session:
            page = await list_templates(session, principal.project_id, cursor=cursor, limit=limit)
        return answer_page(request, response, page, TemplateModel.model_validate)

    @router.post(
        "/templates",
        tags=["templates"],
        status_code=201,
        name="import_template",
        openapi_extra={"requestBody": _DOCUMENT},
        responses={200: {"description": "The same document is known already.", "model": TemplateModel}},
    )
    async def import_document(
        request: Request, response: Response, principal: PrincipalParameter
    ) -> TemplateModel:
        """Make a template known. 200 in place of 201 when the very same document is known already."""
        principal.require("write")
        document = await request.body()
        async with room().database.reading() as session:
            if await _is_known(session, principal.project_id, document):
                response.status_code = 200
        known = await import_template(room().database, room().artifacts, principal.project_id, document)
        response.headers["Location"] = f"/v1/templates/{known.template_id}"
        return TemplateModel.model_validate(known)

    @router.get("/templates/{template}", tags=["templates"], name="get_template")
    async def get_known(template: str, principal: PrincipalParameter) -> TemplateDetailModel:
        """Return a template by its id, or the latest version by its slug, with what it asks for."""
        async with room().database.reading() as session:
            known = await get_template(session, principal.project_id, _name_of(template))
            content = await load_template(session, room().artifacts, principal.project_id, known.template_id)
        return TemplateDetailModel.build(known, content)


async def _is_known(session: AsyncSession, project_id: UUID, document: bytes) -> bool:
    digest = hashlib.sha256(document).hexdigest()
    return bool(
        await session.scalar(
            select(exists().where(TemplateRow.project_id == project_id, TemplateRow.sha256 == digest))
        )
    )


def _name_of(text: str) -> str:
    """Return a plain UUID with its prefix, so that it is not taken for a slug."""
    try:
        return format_id("template", UUID(text))
    except ValueError:
        return text
