"""The shapes of charts on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from referee.experiments.charts.views import Chart
from referee.foundation.web.client_values import Name, Text

__all__ = [
    "ChartAnswerModel",
    "ChartChangeModel",
    "ChartModel",
    "ChartRequestModel",
    "ChartsModel",
    "DeletedChartModel",
]

Bucketing = Literal["minute", "hour", "day", "week", "month"]
Word = Annotated[Text, Field(max_length=500)]
Description = Annotated[Text, Field(max_length=10_000)]
Instant = Annotated[float, Field(allow_inf_nan=False)] | Annotated[Text, Field(max_length=100)]


class RelativeDateRangeModel(BaseModel):
    """A span that ends now, such as 7d."""

    relative: Annotated[Text, Field(min_length=1, max_length=100)]


class AbsoluteDateRangeModel(BaseModel):
    """A span between two instants; the names are taken with and without the dollar sign."""

    model_config = ConfigDict(populate_by_name=True)

    gte: Instant = Field(alias="$gte")
    lte: Instant = Field(alias="$lte")


class QueryFilterModel(BaseModel):
    """One condition on the events that are drawn."""

    field: Annotated[Word, Field(min_length=1)]
    value: Annotated[Text, Field(max_length=10_000)] | None = None
    type: Word
    operator: Word


class ChartChangeModel(BaseModel):
    """What to change of a chart; what is left out stays."""

    name: Name | None = None
    description: Description | None = None
    metric: Annotated[Word, Field(min_length=1)] | None = None
    func: Word | None = None
    groupBy: Word | None = None
    bucketing: Bucketing | None = None
    dateRange: RelativeDateRangeModel | AbsoluteDateRangeModel | None = None
    query: Annotated[list[QueryFilterModel], Field(max_length=100)] | None = None
    owner_id: Annotated[Word, Field(min_length=1)] | None = None

    def to_changes(self) -> dict[str, Any]:
        """Return the members that were given."""
        return self.model_dump(exclude_none=True, by_alias=True)


class ChartRequestModel(ChartChangeModel):
    """A chart to make."""

    name: Name
    metric: Annotated[Word, Field(min_length=1)]

    def to_content(self) -> dict[str, Any]:
        """Return the members that were given, with the default of those left out."""
        return {"bucketing": "day", **self.to_changes()}


class ChartModel(BaseModel):
    """A chart."""

    id: str
    name: str
    description: str | None
    metric: str
    func: str | None
    groupBy: str | None
    bucketing: Bucketing
    dateRange: dict[str, Any] | None
    query: list[Any] | None
    owner_id: str | None
    is_active: bool
    project_id: str
    created_at: datetime
    updated_at: datetime | None

    @classmethod
    def of(cls, chart: Chart) -> ChartModel:
        """Return the model of a chart."""
        return cls(
            id=str(chart.chart_id),
            name=chart.name,
            description=chart.description,
            metric=chart.metric,
            func=chart.func,
            groupBy=chart.group_by,
            bucketing=chart.bucketing,  # type: ignore[arg-type]  # the table's check allows no other word
            dateRange=chart.date_range,
            query=chart.query,
            owner_id=chart.owner_id,
            is_active=True,
            project_id=str(chart.project_id),
            created_at=chart.created_at,
            updated_at=chart.updated_at,
        )


class ChartAnswerModel(BaseModel):
    """One chart."""

    success: Literal[True] = True
    data: ChartModel


class ChartsModel(BaseModel):
    """A list of charts."""

    success: Literal[True] = True
    data: list[ChartModel]
    total_count: int
    next_cursor: str | None


class DeletedChartModel(BaseModel):
    """The answer to a chart's deletion."""

    success: Literal[True] = True
    message: str
    id: str
