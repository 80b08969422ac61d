"""The numbers of charts as JSON: of one that is kept, and of one that is only asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from fastapi import Query
from pydantic import BaseModel, Field

from referee.experiments.charts.drawing import ChartWish, read_chart
from referee.experiments.charts.service import get_chart
from referee.experiments.identifiers import read_id
from referee.experiments.room import GetRoom
from referee.experiments.runs.parameters import DateRangeParameter
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import MAX_QUERY_CHARACTERS, parse_query_value
from referee.traces import ChartData

__all__ = ["create_chart_data_api"]

Metric: TypeAlias = Annotated[
    str,
    Query(max_length=500, description="events, or what is summed up, such as duration or metrics.accuracy."),
]
Function: TypeAlias = Annotated[
    str | None, Query(max_length=500, description="How values become one number, such as average or p95.")
]
Grouping: TypeAlias = Annotated[
    str | None,
    Query(alias="groupBy", max_length=500, description="Member of events that tells groups apart."),
]
Bucketing: TypeAlias = Annotated[str, Query(max_length=500, description="minute, hour, day, week or month.")]
Filters: TypeAlias = Annotated[
    str | None,
    Query(
        max_length=MAX_QUERY_CHARACTERS,
        description="JSON or Python text of a list of {field, operator, value, type}; all must match.",
    ),
]


class ChartSeriesModel(BaseModel):
    """One group of a chart."""

    label: str = Field(description="Empty without a grouping; other: the groups that are not shown.")
    values: list[float | None] = Field(description="One for each bucket; null: nothing to compute it of.")
    counts: list[int] = Field(description="How many values each is made of.")


class ChartDataModel(BaseModel):
    """The numbers of a chart."""

    success: Literal[True] = True
    metric: str
    func: str
    bucketing: str
    groupBy: str | None
    unit: str = Field(description="Of the numbers; empty for those of metrics.")
    buckets: list[datetime] = Field(description="When each bucket starts, UTC.")
    series: list[ChartSeriesModel]
    values_count: int
    is_rolled_up: bool = Field(description="Whether it was read from hourly sums.")
    relative_error: float = Field(description="What a quantile may be off by, as a share of itself.")

    @classmethod
    def of(cls, data: ChartData) -> ChartDataModel:
        """Return the model of a chart's numbers."""
        return cls(
            metric=data.query.metric,
            func=data.query.function,
            bucketing=data.query.bucketing,
            groupBy=data.query.group_by,
            unit=data.query.unit,
            buckets=data.bucket_starts,
            series=[
                ChartSeriesModel(label=one.label, values=one.values, counts=one.counts) for one in data.series
            ],
            values_count=data.values_count,
            is_rolled_up=data.is_rolled_up,
            relative_error=data.relative_error,
        )


def create_chart_data_api(room: GetRoom) -> ClientRouter:
    """Return the routes of charts' numbers. Included before the routes that take an event's id."""
    router = ClientRouter(tags=["charts"])

    @router.both("GET", "/events/chart")
    async def get_events_chart(
        principal: PrincipalParameter,
        metric: Metric = "events",
        func: Function = None,
        group_by: Grouping = None,
        bucketing: Bucketing = "day",
        date_range: DateRangeParameter = None,
        filters: Filters = None,
    ) -> ChartDataModel:
        """Return what events come to over time: one number for each bucket and group."""
        raw = parse_query_value(filters, "filters") if filters else []
        conditions = tuple(raw) if isinstance(raw, list) else (raw,)
        wish = ChartWish(
            metric=metric, func=func, group_by=group_by, bucketing=bucketing,
            date_range=date_range or "", conditions=conditions,
        )  # fmt: skip
        async with room().database.reading() as session:
            return ChartDataModel.of(await read_chart(session, principal.project_id, wish))

    @router.get("/v1/charts/{chart_id}/data")
    async def get_chart_data(chart_id: str, principal: PrincipalParameter) -> ChartDataModel:
        """Return the numbers that a chart shows now."""
        principal.require("charts_read")
        async with room().database.reading() as session:
            chart = await get_chart(session, principal.project_id, read_id(chart_id, "chart"))
            return ChartDataModel.of(await read_chart(session, principal.project_id, ChartWish.of(chart)))

    return router
