"""The page that tries a metric on an event that is there, before it judges anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from referee.core.errors import InvalidInput
from referee.experiments.charts.conditions import parse_conditions
from referee.experiments.evaluators.room import EvaluatorsRoom
from referee.experiments.evaluators.service import run_metric
from referee.experiments.evaluators.verdicts import Verdict
from referee.experiments.event_parts import list_event_parts
from referee.experiments.identifiers import read_id
from referee.experiments.metrics.queries import get_metric
from referee.experiments.metrics.views import Metric
from referee.experiments.runs.definitions import MetricDefinition
from referee.experiments.runs.definitions_store import read_definition
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.rendering import Crumb, render_page
from referee.traces import Event, estimate_cost, get_event, list_events, parse_event_filters

__all__ = ["create_playground_pages"]

CHOICES_COUNT: Final = 20
"""Events to choose from; conditions reach all others."""
MAX_CRITERIA_CHARACTERS: Final = 100_000
GetEvaluators: TypeAlias = Callable[[], EvaluatorsRoom]
EventQuery: TypeAlias = Annotated[str, Query(max_length=512)]
WhereQuery: TypeAlias = Annotated[str, Query(max_length=10_000)]


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying a metric."""

    verdict: Verdict
    took_s: float
    cost_usd: float | None
    """None: no model was asked, or its price is not known."""


def create_playground_pages(room: GetEvaluators) -> APIRouter:
    """Return the page that tries a metric."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/metrics/{metric_id}/try")
    async def show_try(
        request: Request, metric_id: str, principal: PrincipalParameter,
        event: EventQuery = "", where: WhereQuery = "",
    ) -> Response:  # fmt: skip
        metric = await _read_metric(room(), principal.project_id, metric_id)
        return await _render(request, room(), metric, event, where, metric.content["criteria"], None)

    @router.post("/ui/metrics/{metric_id}/try")
    async def run_try(
        request: Request, metric_id: str, principal: PrincipalParameter,
        event: Annotated[str, Form(max_length=512)],
        criteria: Annotated[str, Form(min_length=1, max_length=MAX_CRITERIA_CHARACTERS)],
        where: Annotated[str, Form(max_length=10_000)] = "",
    ) -> Response:  # fmt: skip
        principal.require("write")
        metric = await _read_metric(room(), principal.project_id, metric_id)
        criteria = criteria.replace("\r\n", "\n").replace("\x00", "")
        trial = await _try(room(), principal.project_id, metric, event, criteria)
        return await _render(request, room(), metric, event, where, criteria, trial)

    return router


async def _read_metric(room: EvaluatorsRoom, project_id: UUID, metric_id: str) -> Metric:
    async with room.database.reading() as session:
        return await get_metric(session, project_id, read_id(metric_id, "metric"))


async def _try(room: EvaluatorsRoom, project_id: UUID, metric: Metric, event_id: str, criteria: str) -> Trial:
    event = await get_event(room.database, project_id, event_id)
    definition = _define(metric, criteria)
    started = time.monotonic()
    verdict = await run_metric(room, project_id, definition, event)
    took_s = time.monotonic() - started
    cost_usd = None
    if verdict.prompt_tokens and definition.model_name:
        cost_usd = await estimate_cost(
            room.database, project_id, model=definition.model_name, provider=definition.model_provider,
            prompt_tokens=verdict.prompt_tokens, completion_tokens=verdict.completion_tokens,
        )  # fmt: skip
    return Trial(verdict, took_s, cost_usd)


def _define(metric: Metric, criteria: str) -> MetricDefinition:
    content = {**metric.content, "name": metric.name, "type": metric.kind, "id": str(metric.metric_id)}
    return replace(read_definition(content, version="trial"), criteria=criteria)


async def _render(
    request: Request, room: EvaluatorsRoom, metric: Metric, event_id: str, where: str, criteria: str,
    trial: Trial | None,
) -> Response:  # fmt: skip
    error: InvalidInput | None = None
    choices: list[Event] = []
    try:
        filters = parse_event_filters(parse_conditions(where))
        page = await list_events(room.database, metric.project_id, filters, limit=CHOICES_COUNT)
        choices = page.events
    except InvalidInput as problem:
        error = problem
    event = await get_event(room.database, metric.project_id, event_id) if event_id else None
    context: dict[str, Any] = {
        "metric": metric, "criteria": criteria, "where": where, "choices": choices, "event": event,
        "parts": [] if event is None else list_event_parts(event), "trial": trial, "error": error,
        "is_changed": criteria != metric.content["criteria"],
    }  # fmt: skip
    url = f"/ui/metrics/{metric.metric_id}"
    return await render_page(
        request, "evaluators/try.html", context, title=f"Try {metric.name}",
        twin_url=f"/v1/metrics/{metric.metric_id}/versions",
        breadcrumb=(Crumb("Metrics", "/ui/metrics"), Crumb(metric.name, url)),
    )  # fmt: skip
