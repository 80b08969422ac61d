"""Comparisons as JSON. The answer is the very value that the page draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Query

from referee.core.ids import parse_id
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.openapi_problems import answers_with
from referee.pipelines.api import PipelineId
from referee.pipelines.comparing import service
from referee.pipelines.comparing.collecting import MAX_ANALYSES_COUNT
from referee.pipelines.comparing.metrics import METRICS
from referee.pipelines.comparing.views import ModelComparison
from referee.pipelines.room import PipelinesRoom

__all__ = ["AnalysesParameter", "BaselineParameter", "MetricParameter", "create_api", "read_analysis_ids"]

GetRoom: TypeAlias = Callable[[], PipelinesRoom]

_KEYS = ", ".join(metric.key for metric in METRICS)
MetricParameter: TypeAlias = Annotated[
    str | None,
    Query(
        max_length=80,
        description=f"Whose pairs are all told: {_KEYS}. The first that was measured, unless given.",
    ),
]
BaselineParameter: TypeAlias = Annotated[
    str | None,
    Query(max_length=400, description="Model that the others are compared with; the first, unless given."),
]
AnalysesParameter: TypeAlias = Annotated[
    list[str],
    Query(
        max_length=MAX_ANALYSES_COUNT,
        description="Analysis of an app of a model; once for each. Of two of one app the later one counts.",
    ),
]


def read_analysis_ids(texts: list[str]) -> list[UUID]:
    """Return ids of analyses, with or without their prefix."""
    return [parse_id(text, "analysis") for text in texts]


def create_api(room: GetRoom) -> APIRouter:
    """Return the routes of comparisons."""
    router = APIRouter(prefix="/v1")

    @router.get("/pipelines/{pipeline_id}/comparison", tags=["pipelines"])
    async def compare_pipeline(
        pipeline_id: PipelineId,
        principal: PrincipalParameter,
        metric: MetricParameter = None,
        baseline: BaselineParameter = None,
    ) -> ModelComparison:
        """Compare the models of a pipeline over its valid cells; all numbers with what they rest on."""
        return await service.compare_pipeline(
            room(), principal.project_id, pipeline_id, metric=metric, baseline=baseline
        )

    @router.get("/comparison", tags=["pipelines"], responses=answers_with(404))
    async def compare_analyses(
        principal: PrincipalParameter,
        analysis: AnalysesParameter,
        metric: MetricParameter = None,
        baseline: BaselineParameter = None,
    ) -> ModelComparison:
        """Compare the models whose apps these analyses judged."""
        return await service.compare_analyses(
            room(), principal.project_id, read_analysis_ids(analysis), metric=metric, baseline=baseline
        )

    return router
