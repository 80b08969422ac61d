"""What came out of runs and what changed between two, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias
from uuid import UUID

from fastapi import Path, Query

from referee.core.findings import JsonValue
from referee.experiments.room import ExperimentsRoom, GetRoom
from referee.experiments.runs import service
from referee.experiments.runs.aggregates import DEFAULT_AGGREGATE
from referee.experiments.runs.models import Id
from referee.experiments.runs.pairing import pair_events
from referee.experiments.runs.parameters import (
    AggregateParameter,
    DateRangeParameter,
    FiltersParameter,
    OldFiltersParameter,
    parse_date_range,
    read_filters,
)
from referee.experiments.runs.result_models import (
    ComparableEventModel,
    CompareEventsModel,
    DatapointReferenceModel,
    EventMetricModel,
    RunComparisonModel,
    RunMetricsModel,
    RunResultModel,
)
from referee.experiments.runs.schemas import EventsSchema, compute_schema, read_events_schema
from referee.experiments.runs.statistics_views import RunStatistics
from referee.experiments.runs.trials import group_trials
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.traces import Event, EventFilter, render_event

__all__ = ["add_comparison_routes", "add_result_routes", "create_schema_api"]

MAX_PAIRS_COUNT: Final = 1_000
MAX_METRIC_EVENTS_COUNT: Final = 7_500
MAX_PAGE: Final = 1_000_000

RunId: TypeAlias = Annotated[str, Path(min_length=1, max_length=200, description="Id of the run.")]
NewRunId: TypeAlias = Annotated[str, Path(min_length=1, max_length=200, description="The candidate.")]
OldRunId: TypeAlias = Annotated[str, Path(min_length=1, max_length=200, description="The baseline.")]
PairsLimit: TypeAlias = Annotated[
    int, Query(ge=1, le=MAX_PAIRS_COUNT, description="Pairs in the answer at most.")
]
PageNumber: TypeAlias = Annotated[int, Query(ge=1, le=MAX_PAGE, description="From 1.")]
EventName: TypeAlias = Annotated[str | None, Query(max_length=2_000, description="Only events of this name.")]
EventType: TypeAlias = Annotated[str | None, Query(max_length=40, description="Only events of this type.")]
PairFilters: TypeAlias = Annotated[
    list[str] | None,
    Query(alias="filter", description="JSON or Python text of filters; one event of a pair meets all."),
]


def create_schema_api(room: GetRoom) -> ClientRouter:
    """Return the fields of events. Included before the routes that take an event's id in the same place."""
    router = ClientRouter(tags=["events"])

    @router.both("GET", "/events/schema")
    async def get_events_schema(
        principal: PrincipalParameter,
        date_range: DateRangeParameter = None,
        evaluation_id: Annotated[Id | None, Query(description="Id of a run: only its events.")] = None,
    ) -> EventsSchema:
        """Return which fields the project's latest events have, or those of one run."""
        span = parse_date_range(date_range, datetime.now(UTC))
        if evaluation_id is None:
            return await read_events_schema(
                room().database, principal.project_id, start_ms=span.start_ms, end_ms=span.end_ms
            )
        _, events = await service.read_run_events(room(), principal.project_id, evaluation_id)
        return compute_schema([event for event in events if span.holds_ms(event.start_time_ms)])

    return router


def add_result_routes(router: ClientRouter, room: GetRoom) -> None:
    """Add what came out of one run."""

    @router.both("GET", "/runs/{run_id}/result", name="get_run_result")
    @router.both("GET", "/runs/{run_id}/summary", name="get_run_summary")
    async def get_run_result(
        run_id: RunId,
        principal: PrincipalParameter,
        aggregate_function: AggregateParameter = None,
        filters: FiltersParameter = None,
        plain_filters: OldFiltersParameter = None,
    ) -> RunResultModel:
        """Return which datapoints passed and each metric summed up, from the events as they are now."""
        outcome = await service.read_outcome(
            room(),
            principal.project_id,
            run_id,
            aggregate_function=aggregate_function or DEFAULT_AGGREGATE,
            filters=read_filters(filters, plain_filters),
        )
        return RunResultModel.of(outcome)

    @router.both("GET", "/runs/{run_id}/metrics")
    async def get_run_metrics(
        run_id: RunId,
        principal: PrincipalParameter,
        date_range: DateRangeParameter = None,
        filters: FiltersParameter = None,
        plain_filters: OldFiltersParameter = None,
        limit: Annotated[
            int, Query(ge=1, le=MAX_METRIC_EVENTS_COUNT, description="Events in the answer at most.")
        ] = MAX_METRIC_EVENTS_COUNT,
        page: PageNumber = 1,
    ) -> RunMetricsModel:
        """Return the metrics of every event of the run that has some, in order of start."""
        span = parse_date_range(date_range, datetime.now(UTC))
        chosen = read_filters(filters, plain_filters)
        _, events = await service.read_run_events(room(), principal.project_id, run_id)
        found = [
            EventMetricModel(
                event_name=event.event_name,
                event_type=event.event_type,
                session_id=trial.session_id,
                metadata=DatapointReferenceModel(datapoint_id=trial.datapoint_id),
                metrics=event.metrics,
            )
            for trial in group_trials(events, filters=chosen)
            for event in trial.events
            if event.metrics and span.holds_ms(event.start_time_ms)
        ]
        return RunMetricsModel(events=found[(page - 1) * limit :][:limit], totalEvents=len(found))

    @router.both("GET", "/runs/{run_id}/schema")
    async def get_run_schema(
        run_id: RunId, principal: PrincipalParameter, date_range: DateRangeParameter = None
    ) -> EventsSchema:
        """Return which fields the events of a run have."""
        span = parse_date_range(date_range, datetime.now(UTC))
        _, events = await service.read_run_events(room(), principal.project_id, run_id)
        return compute_schema([event for event in events if span.holds_ms(event.start_time_ms)])


def add_comparison_routes(router: ClientRouter, room: GetRoom) -> None:
    """Add what changed between two runs, and the fields of a project's events."""

    @router.both("GET", "/runs/schema")
    async def get_runs_schema(
        principal: PrincipalParameter, date_range: DateRangeParameter = None
    ) -> EventsSchema:
        """Return which fields the project's latest events have."""
        span = parse_date_range(date_range, datetime.now(UTC))
        return await read_events_schema(
            room().database, principal.project_id, start_ms=span.start_ms, end_ms=span.end_ms
        )

    @router.both("GET", "/runs/compare/events", name="list_compared_events")
    async def list_compared_events_by_query(
        principal: PrincipalParameter,
        run_id_1: Annotated[Id, Query(description="The candidate.")],
        run_id_2: Annotated[Id, Query(description="The baseline.")],
        event_name: EventName = None,
        event_type: EventType = None,
        filter: PairFilters = None,
        limit: PairsLimit = MAX_PAIRS_COUNT,
        page: PageNumber = 1,
    ) -> CompareEventsModel:
        """Return one pair of events for each datapoint of both runs; the older form of the same address."""
        pairs = _Pairs(run_id_1, run_id_2, event_name, event_type, read_filters(filter), limit, page)
        return await _read_pairs(room(), principal.project_id, pairs)

    @router.both("GET", "/runs/{new_run_id}/compare/{old_run_id}/events")
    async def list_run_event_pairs(
        new_run_id: NewRunId,
        old_run_id: OldRunId,
        principal: PrincipalParameter,
        event_name: EventName = None,
        event_type: EventType = None,
        filter: PairFilters = None,
        limit: PairsLimit = MAX_PAIRS_COUNT,
        page: PageNumber = 1,
    ) -> CompareEventsModel:
        """Return one pair of events for each datapoint of both runs: event_1 of the new, event_2 of the old."""
        pairs = _Pairs(new_run_id, old_run_id, event_name, event_type, read_filters(filter), limit, page)
        return await _read_pairs(room(), principal.project_id, pairs)

    @router.get("/v1/runs/{new_run_id}/compare/{old_run_id}/statistics")
    async def get_run_statistics(
        new_run_id: NewRunId, old_run_id: OldRunId, principal: PrincipalParameter
    ) -> RunStatistics:
        """Return how surely each metric differs over the common datapoints, with everything it rests on."""
        pair = await service.read_pair(
            room(), principal.project_id, old_run_id=old_run_id, new_run_id=new_run_id
        )
        return await service.compute_pair_statistics(pair)

    @router.both("GET", "/runs/{new_run_id}/compare/{old_run_id}", name="compare_runs")
    @router.both("GET", "/runs/{new_run_id}/compare-with/{old_run_id}", name="compare_runs_with")
    async def compare_runs(
        new_run_id: NewRunId,
        old_run_id: OldRunId,
        principal: PrincipalParameter,
        aggregate_function: AggregateParameter = None,
        filters: FiltersParameter = None,
        plain_filters: OldFiltersParameter = None,
    ) -> RunComparisonModel:
        """Return what changed from the old run to the new one, over the datapoints that both have."""
        pair = await service.read_pair(
            room(),
            principal.project_id,
            old_run_id=old_run_id,
            new_run_id=new_run_id,
            aggregate_function=aggregate_function or DEFAULT_AGGREGATE,
            filters=read_filters(filters, plain_filters),
        )
        return RunComparisonModel.of(pair)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Which pairs of events are asked for."""

    new_run_id: str
    old_run_id: str
    event_name: str | None
    event_type: str | None
    filters: list[EventFilter]
    limit: int
    page: int


async def _read_pairs(room: ExperimentsRoom, project_id: UUID, asked: _Pairs) -> CompareEventsModel:
    _, new = await service.read_run_events(room, project_id, asked.new_run_id)
    _, old = await service.read_run_events(room, project_id, asked.old_run_id)
    pairs = pair_events(
        group_trials(old),
        group_trials(new),
        event_name=asked.event_name,
        event_type=asked.event_type,
        filters=asked.filters,
    )
    return CompareEventsModel(
        events=[
            ComparableEventModel(
                datapoint_id=pair.datapoint_id,
                event_1=_render(pair.new, pair.datapoint_id),
                event_2=_render(pair.old, pair.datapoint_id),
            )
            for pair in pairs[(asked.page - 1) * asked.limit :][: asked.limit]
        ],
        totalEvents=len(pairs),
    )


def _render(event: Event, datapoint_id: str) -> dict[str, JsonValue]:
    """Return an event as it is on the wire, with its datapoint's id also where only its session has it."""
    rendered = render_event(event)
    return {**rendered, "metadata": {"datapoint_id": datapoint_id, **event.metadata}}
