"""``GET /v1/apps/{app_id}/sbom``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from referee.apps.bill_of_materials.document import MEDIA_TYPE
from referee.apps.bill_of_materials.serving import make_bill
from referee.apps.room import AppsRoom
from referee.core.ids import parse_id
from referee.foundation.web.answers import PrincipalParameter, answers_file
from referee.foundation.web.openapi_problems import answers_with

__all__ = ["add_bill_route"]

GetRoom: TypeAlias = Callable[[], AppsRoom]


async def read_app_id(app_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(app_id, "app")


AppId = Annotated[UUID, Depends(read_app_id)]


def add_bill_route(router: APIRouter, room: GetRoom) -> None:
    """Add the route to those of apps."""

    @router.get(
        "/apps/{app_id}/sbom",
        tags=["apps"],
        response_class=Response,
        responses={**answers_file(MEDIA_TYPE, description="CycloneDX 1.6 as JSON."), **answers_with(409)},
    )
    async def get_app_sbom(app_id: AppId, principal: PrincipalParameter) -> Response:
        """Return what an app is made of, as a CycloneDX bill of materials of its folder as it is now."""
        content = await make_bill(room(), principal.project_id, app_id)
        return Response(
            content,
            media_type=MEDIA_TYPE,
            headers={"Content-Disposition": f'attachment; filename="sbom-{app_id}.cdx.json"'},
        )
