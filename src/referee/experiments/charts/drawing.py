"""From a chart, kept or only asked for, to its numbers and its drawing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from markupsafe import Markup
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.experiments.charts.conditions import render_conditions
from referee.experiments.charts.views import Chart
from referee.experiments.runs.parameters import parse_date_range
from referee.foundation.web.charts import Line, Tone, render_line_chart
from referee.foundation.web.formats import format_number
from referee.traces import ChartData, ChartQuery, compute_chart, parse_event_filters

__all__ = ["ChartWish", "draw_chart", "read_chart"]

DEFAULT_RANGES: Final = {"minute": "2h", "hour": "2d", "day": "30d", "week": "26w", "month": "1y"}
"""What is drawn when no range is said."""
_TONES: Final[tuple[Tone, ...]] = (
    "series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7", "series-8",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartWish:
    """What a chart is asked to show, in the words of its wire form."""

    metric: str
    func: str | None = None
    group_by: str | None = None
    bucketing: str = "day"
    date_range: str = ""
    """A span before now such as ``7d``, or JSON of two instants; empty: a usual one for the buckets."""
    conditions: tuple[JsonValue, ...] = ()

    @classmethod
    def of(cls, chart: Chart) -> ChartWish:
        """Return what a kept chart asks for."""
        kept: dict[str, Any] = chart.date_range or {}
        relative = kept.get("relative")
        return cls(
            metric=chart.metric,
            func=chart.func,
            group_by=chart.group_by,
            bucketing=chart.bucketing,
            date_range=str(relative) if relative else json.dumps(kept) if kept else "",
            conditions=tuple(chart.query or ()),
        )

    def to_query(self, now: datetime) -> ChartQuery:
        """Return it with its range as of now.

        Raises:
            InvalidInput: It cannot be understood.
        """
        span = parse_date_range(self.date_range or DEFAULT_RANGES.get(self.bucketing, "30d"), now)
        end = now if span.end is None else span.end + timedelta(milliseconds=1)
        start = span.start
        if start is None:
            start = parse_date_range(DEFAULT_RANGES.get(self.bucketing, "30d"), end).start or end
        return ChartQuery.read(
            metric=self.metric, function=self.func, bucketing=self.bucketing, start=start, end=end,
            group_by=self.group_by, filters=parse_event_filters(list(self.conditions)),
            is_whole=span.end is None,
        )  # fmt: skip

    @property
    def where(self) -> str:
        """The conditions as a line of text."""
        return render_conditions([one for one in self.conditions if isinstance(one, dict)])


async def read_chart(session: AsyncSession, project_id: UUID, wish: ChartWish) -> ChartData:
    """Return the numbers that a chart shows now.

    Raises:
        InvalidInput: It cannot be understood.
    """
    return await compute_chart(session, project_id, wish.to_query(datetime.now(UTC)))


def draw_chart(data: ChartData, title: str = "") -> Markup:
    """Return the drawing of a chart with a table of its numbers; its title says what it shows."""
    query = data.query
    unit = f", {query.unit}" if query.unit and query.unit != query.metric else ""
    what = f"{query.function.capitalize()} of {query.metric}{unit} per {query.bucketing}"
    if query.group_by:
        what += f", by {query.group_by}"
    shape = "%Y-%m-%d %H:%M" if query.bucketing in ("minute", "hour") else "%Y-%m-%d"
    lines = [
        Line(one.label or query.metric, tuple(one.values), _TONES[place])
        for place, one in enumerate(data.series)
    ]
    labels = [start.strftime(shape) for start in data.bucket_starts]
    return render_line_chart(
        f"{title}: {what}" if title else what, labels, lines, unit=query.unit, format_value=format_number
    )
