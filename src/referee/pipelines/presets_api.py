"""Presets of pipelines as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
)
from referee.pipelines import presets
from referee.pipelines.api import GetRoom

__all__ = ["create_presets_api", "read_preset_id"]


class PipelinePresetRequestModel(BaseModel):
    """A pipeline file to keep."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=200, description="For people; one of that name gets the new text.")
    definition: str = Field(max_length=1 << 20, description="The pipeline file: its YAML text.")
    is_default: bool | None = Field(
        default=None, description="Whether it starts when nothing is named; null: as it was."
    )


class PipelinePresetModel(BaseModel):
    """A pipeline file that is kept."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    preset_id: UUID
    name: str
    definition_text: str
    is_default: bool
    created_at: datetime
    updated_at: datetime


async def read_preset_id(preset_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(preset_id, "preset")


PresetId = Annotated[UUID, Depends(read_preset_id)]


def create_presets_api(room: GetRoom) -> APIRouter:
    """Return the routes of presets."""
    router = APIRouter(prefix="/v1")

    @router.get("/pipeline-presets", tags=["pipelines"])
    async def list_pipeline_presets(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[PipelinePresetModel]:
        """List the pipeline files that are kept, by name."""
        async with room().database.reading() as session:
            page = await presets.list_presets(session, principal.project_id, cursor=cursor, limit=limit)
        return answer_page(request, response, page, PipelinePresetModel.model_validate)

    @router.post("/pipeline-presets", tags=["pipelines"], status_code=201)
    async def save_pipeline_preset(
        body: PipelinePresetRequestModel, principal: PrincipalParameter, response: Response
    ) -> PipelinePresetModel:
        """Keep a pipeline file under a name, or give the one of that name a new text."""
        principal.require("write")
        async with room().database.transaction() as session:
            saved = await presets.save_preset(
                session,
                principal.project_id,
                name=body.name,
                definition_text=body.definition,
                is_default=body.is_default,
            )
        response.headers["Location"] = f"/v1/pipeline-presets/{saved.preset_id}"
        return PipelinePresetModel.model_validate(saved)

    @router.get("/pipeline-presets/{preset_id}", tags=["pipelines"])
    async def get_pipeline_preset(preset_id: PresetId, principal: PrincipalParameter) -> PipelinePresetModel:
        """Return a kept pipeline file."""
        async with room().database.reading() as session:
            found = await presets.get_preset(session, principal.project_id, preset_id)
        return PipelinePresetModel.model_validate(found)

    @router.delete("/pipeline-presets/{preset_id}", tags=["pipelines"], status_code=204)
    async def delete_pipeline_preset(preset_id: PresetId, principal: PrincipalParameter) -> None:
        """Forget a pipeline file; pipelines that were started from it stay."""
        principal.require("write")
        async with room().database.transaction() as session:
            await presets.delete_preset(session, principal.project_id, preset_id)

    return router
