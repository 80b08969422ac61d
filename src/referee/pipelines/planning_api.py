"""``POST /v1/pipelines/plan``: what a pipeline would be."""

from __future__ import annotations

import json

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from referee.foundation.web.answers import PrincipalParameter
from referee.pipelines.api import GetRoom
from referee.pipelines.models import PipelineRequestModel
from referee.pipelines.planning_preview import PipelinePreview, preview_pipeline
from referee.pipelines.planning_words import describe_preview

__all__ = ["PipelinePreviewModel", "create_planning_api"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class PlaceholderAppModel(_Model):
    """An app that is none yet: its cell would be skipped."""

    name: str
    reason: str


class CostEstimateModel(_Model):
    """What writing the apps is expected to cost."""

    cost_usd: float | None = Field(description="Null when it is not known; the reason says why.")
    reason: str
    generations_count: int = Field(description="Earlier generations that it is taken from.")
    unpriced_models: list[str]
    unknown_models: list[str] = Field(description="Not in the catalogue: their apps would not be written.")


class TimeEstimateModel(_Model):
    """How long the cells are expected to take."""

    seconds: float | None = Field(description="Null when it is not known; the reason says why.")
    reason: str
    cells_count: int = Field(description="Earlier cells that it is taken from.")


class DesignEstimateModel(_Model):
    """The smallest true difference between two models that is detected with a chance of 80 %."""

    difference: float | None = Field(description="Null when none can be detected; the sentence says why.")
    unit: str
    sentence: str
    models_count: int
    templates_count: int = Field(description="On which all models are seen; app numbers where none is known.")
    repeats_count: int
    comparisons_count: int = Field(description="Pairs of models, which share the error rate of 5 %.")
    pilot: str | None = Field(description="Name of the pipeline whose spread is used; null: none fits.")


class PipelinePreviewModel(_Model):
    """What a pipeline file stands for."""

    name: str
    mode: str
    cells_count: int
    models_count: int
    templates_count: int
    repeats_count: int
    tools: list[str]
    placeholders: list[PlaceholderAppModel] = Field(description="The first 200.")
    placeholders_count: int
    left_out: list[str] = Field(description="What of the folder is no app, and why; the first 200.")
    left_out_count: int
    cost: CostEstimateModel
    budget_usd: float | None
    is_over_budget: bool
    time: TimeEstimateModel
    design: DesignEstimateModel
    summary: dict[str, str] = Field(description="The same in words, by label.")

    @classmethod
    def of(cls, preview: PipelinePreview) -> PipelinePreviewModel:
        """Return the shape of a preview."""
        fields = {name: getattr(preview, name) for name in cls.model_fields if name != "summary"}
        return cls.model_validate(fields | {"summary": dict(describe_preview(preview))})


def create_planning_api(room: GetRoom) -> APIRouter:
    """Return the route of previews."""
    router = APIRouter(prefix="/v1")

    @router.post("/pipelines/plan", tags=["pipelines"])
    async def plan_pipeline(
        body: PipelineRequestModel, principal: PrincipalParameter
    ) -> PipelinePreviewModel:
        """Say what a pipeline would be: cells, cost, time and the smallest difference it can detect.

        Nothing is started or kept.
        """
        principal.require("write")
        text = body.definition if isinstance(body.definition, str) else json.dumps(body.definition, indent=1)
        return PipelinePreviewModel.of(await preview_pipeline(room(), principal.project_id, text))

    return router
