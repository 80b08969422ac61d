"""The shapes of metrics on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from referee.experiments.filters import EventFiltersModel, Filters
from referee.experiments.metrics.views import Metric, MetricVersion
from referee.foundation.web.client_values import JsonList, JsonObject, Name, Text
from referee.foundation.web.legacy_names import rename_legacy

__all__ = [
    "CreatedMetricModel",
    "DeletedMetricModel",
    "Kind",
    "LegacyMetricChangeModel",
    "MetricChangeModel",
    "MetricContentModel",
    "MetricModel",
    "MetricRequestModel",
    "MetricVersionAnswerModel",
    "MetricVersionModel",
    "MetricVersionRequestModel",
    "MetricVersionsModel",
    "MetricsModel",
    "UpdatedMetricModel",
]

Kind = Literal["PYTHON", "LLM", "HUMAN", "COMPOSITE"]
ReturnType = Literal["float", "boolean", "string", "categorical"]
Criteria = Annotated[Text, Field(min_length=1, max_length=200_000)]
Description = Annotated[Text, Field(max_length=10_000)]
Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Scale = Annotated[int, Field(ge=-(2**31), le=2**31)]
Word = Annotated[Text, Field(max_length=200)]
Members = Annotated[JsonList, Field(min_length=1, max_length=1_000)]

_LEGACY_KINDS = {"custom": "PYTHON", "model": "LLM", "human": "HUMAN", "composite": "COMPOSITE"}


class MetricChangeModel(BaseModel):
    """What to change of a metric; what is left out stays."""

    name: Name | None = None
    type: Kind | None = None
    criteria: Criteria | None = Field(default=None, description="Code or prompt, by its type.")
    description: Description | None = None
    return_type: ReturnType | None = None
    enabled_in_prod: bool | None = Field(default=None, description="Whether ingested events are judged.")
    sampling_percentage: Percentage | None = Field(default=None, description="Of matching events, 0 to 100.")
    model_provider: Word | None = None
    model_name: Word | None = None
    scale: Scale | None = None
    threshold: JsonObject | None = None
    categories: Members | None = None
    needs_ground_truth: bool | None = None
    child_metrics: Members | None = None
    filters: Filters | None = None

    @model_validator(mode="before")
    @classmethod
    def rename(cls, value: Any) -> Any:
        """Take the names of older clients."""
        renamed = rename_legacy(value, {"code_snippet": "criteria", "prompt": "criteria", "_id": "id"})
        if isinstance(renamed, dict) and isinstance(renamed.get("type"), str):
            return {**renamed, "type": _LEGACY_KINDS.get(renamed["type"], renamed["type"])}
        return renamed

    def to_changes(self) -> dict[str, Any]:
        """Return the members that were given."""
        return self.model_dump(exclude_none=True, exclude={"id", "filters"}) | (
            {} if self.filters is None else {"filters": self.filters.model_dump()}
        )


class LegacyMetricChangeModel(MetricChangeModel):
    """What to change of which metric."""

    id: Annotated[str, Field(min_length=1, max_length=200)]


class MetricRequestModel(MetricChangeModel):
    """A metric to make, or the content of a version."""

    name: Name
    type: Kind
    criteria: Criteria

    def to_content(self) -> dict[str, Any]:
        """Return all members, with what is meant by those left out."""
        return {
            "description": None,
            "return_type": "float",
            "enabled_in_prod": False,
            "sampling_percentage": 10.0,
            "model_provider": None,
            "model_name": None,
            "scale": None,
            "threshold": None,
            "categories": None,
            "needs_ground_truth": False,
            "child_metrics": None,
            "filters": {"filterArray": []},
            **self.to_changes(),
        }


class MetricContentModel(BaseModel):
    """What a version of a metric says."""

    name: str
    type: Kind
    criteria: str
    description: str | None
    return_type: ReturnType
    enabled_in_prod: bool
    sampling_percentage: float
    model_provider: str | None
    model_name: str | None
    scale: int | None
    threshold: dict[str, Any] | None
    categories: list[Any] | None
    needs_ground_truth: bool
    child_metrics: list[Any] | None
    filters: EventFiltersModel


class MetricModel(MetricContentModel):
    """A metric, as its deployed version says."""

    id: str
    deployed_version: str
    versions_count: int
    project_id: str
    created_at: datetime
    updated_at: datetime | None

    @classmethod
    def of(cls, metric: Metric) -> MetricModel:
        """Return the model of a metric."""
        return cls(
            **metric.content,
            id=str(metric.metric_id),
            deployed_version=f"v{metric.deployed_version}",
            versions_count=metric.versions_count,
            project_id=str(metric.project_id),
            created_at=metric.created_at,
            updated_at=metric.updated_at,
        )


class MetricsModel(BaseModel):
    """A list of metrics."""

    metrics: list[MetricModel]
    total_count: int
    next_cursor: str | None


class MetricVersionRequestModel(BaseModel):
    """A version to add."""

    message: Annotated[Text, Field(max_length=1_000)]
    content: MetricRequestModel
    deploy_immediately: bool = False

    @field_validator("deploy_immediately", mode="before")
    @classmethod
    def read_none(cls, value: Any) -> Any:
        """Take null as no."""
        return False if value is None else value


class MetricVersionModel(BaseModel):
    """A version of a metric."""

    name: str
    full_sha: str
    message: str
    date: datetime
    deployed: bool
    content: MetricContentModel

    @classmethod
    def of(cls, version: MetricVersion) -> MetricVersionModel:
        """Return the model of a version."""
        return cls(
            name=version.name,
            full_sha=version.full_sha,
            message=version.message,
            date=version.created_at,
            deployed=version.is_deployed,
            content=MetricContentModel(**version.content),
        )


class MetricVersionAnswerModel(BaseModel):
    """The answer to a version's creation or deployment."""

    success: Literal[True] = True
    data: MetricVersionModel


class MetricVersionsModel(BaseModel):
    """A metric's versions, oldest first."""

    success: Literal[True] = True
    data: list[MetricVersionModel]


class CreatedMetricModel(BaseModel):
    """The answer to a metric's creation."""

    inserted: Literal[True] = True
    metric_id: str


class UpdatedMetricModel(BaseModel):
    """The answer to a metric's change."""

    updated: Literal[True] = True


class DeletedMetricModel(BaseModel):
    """The answer to a metric's deletion."""

    deleted: Literal[True] = True
    id: str
