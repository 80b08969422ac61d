"""Trying a metric on an event, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self, TypeAlias
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field

from referee.experiments.evaluators.room import EvaluatorsRoom
from referee.experiments.evaluators.service import run_metric as compute_metric
from referee.experiments.evaluators.verdicts import UNSCORED, Verdict
from referee.experiments.runs.definitions import MetricDefinition
from referee.experiments.runs.definitions_store import read_definition
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import JsonList, JsonObject, Name, Text
from referee.traces import Event

__all__ = ["create_evaluators_api"]

GetEvaluators: TypeAlias = Callable[[], EvaluatorsRoom]
Json: TypeAlias = JsonObject | None


class TriedMetricModel(BaseModel):
    """A metric as it would be created."""

    model_config = ConfigDict(extra="allow")

    name: Name
    type: Literal["LLM", "PYTHON", "COMPOSITE"]
    criteria: Annotated[Text, Field(min_length=1, description="Code, prompt, or way of putting together.")]
    description: Text | None = None
    return_type: Literal["float", "boolean", "string", "categorical"] = "float"
    enabled_in_prod: bool = False
    sampling_percentage: float = Field(default=10, ge=0, le=100)
    model_provider: Text | None = Field(default=None, description="Name of a provider in the settings.")
    model_name: Text | None = None
    scale: int | None = Field(default=None, ge=-(10**9), le=10**9, description="The highest score.")
    threshold: Json = None
    categories: Annotated[JsonList, Field(min_length=1)] | None = None
    needs_ground_truth: bool = False
    child_metrics: Annotated[JsonList, Field(min_length=1)] | None = None
    filters: Json = None

    def to_definition(self) -> MetricDefinition:
        """Return it in the form of the service."""
        content = self.model_dump(mode="json", exclude_none=True)
        return read_definition({**content, "id": str(UUID(int=0))}, version="trial")


class TriedEventModel(BaseModel):
    """The event that the metric is tried on."""

    model_config = ConfigDict(extra="allow")

    event_type: Text | None = None
    event_name: Text | None = None
    inputs: Json = None
    outputs: Json = None
    config: Json = None
    metadata: Json = None
    metrics: Json = None
    user_properties: Json = None
    workspace_id: Text | None = None
    feedback: Json = Field(default=None, description="With ground_truth, for metrics that need it.")

    def to_event(self, project_id: UUID) -> Event:
        """Return it as an event that is kept nowhere."""
        uid = uuid4()
        return Event(
            event_id=str(uid),
            session_id=str(uid),
            parent_id=None,
            children_ids=[],
            project_id=project_id,
            event_type=self.event_type or "model",
            event_name=self.event_name or "event",
            source="playground",
            start_time_ms=None,
            end_time_ms=None,
            duration_ms=None,
            error=None,
            inputs=self.inputs or {},
            outputs=self.outputs or {},
            config=self.config or {},
            metadata=self.metadata or {},
            metrics=self.metrics or {},
            feedback=self.feedback or {},
            user_properties=self.user_properties or {},
            span_uid=uid,
            trace_id=None,
            span_id=None,
            status=0,
            user_id=None,
            model=None,
            total_tokens=None,
            cost_usd=None,
        )


class MetricTrialModel(BaseModel):
    """A metric and an event to try it on."""

    model_config = ConfigDict(extra="allow")

    metric: TriedMetricModel
    event: TriedEventModel


class MetricOutcomeModel(BaseModel):
    """What the metric said."""

    success: bool = Field(description="Whether there is a score.")
    loading: bool = Field(description="Always false: the answer is the outcome.")
    result: bool | float | str | None
    explanation: str | None = Field(description="What the judge said; without a score, why there is none.")

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        """Return a verdict as it is on the wire."""
        is_scored = verdict.score is not None
        return cls(
            success=is_scored,
            loading=False,
            result=verdict.score,
            explanation=verdict.explanation if is_scored else f"{UNSCORED}: {verdict.explanation}",
        )


def create_evaluators_api(room: GetEvaluators) -> ClientRouter:
    """Return the routes that try a metric. Included before those that take a metric's id."""
    router = ClientRouter(tags=["metrics"])

    @router.both("POST", "/metrics/run", name="run_metric")
    @router.both("POST", "/metrics/run_metric", name="run_metric_once")
    async def run_metric(body: MetricTrialModel, principal: PrincipalParameter) -> MetricOutcomeModel:
        """Compute a metric of an event at once. Nothing is kept."""
        verdict = await compute_metric(
            room(),
            principal.project_id,
            body.metric.to_definition(),
            body.event.to_event(principal.project_id),
        )
        return MetricOutcomeModel.of(verdict)

    return router
