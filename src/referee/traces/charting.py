"""What events come to over time: one number for each bucket and group, for charts.

Counts, sums and durations whose conditions the roll-ups can answer are read from
``span_hours``, so that a year costs what its hours cost; all else is read from the
events themselves. Quantiles that come from roll-ups are those of a sketch, within
2 %; ``ChartData.relative_error`` says so.

Not here: how a chart is drawn or kept (experiments).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.traces.event_filters import EventFilter, build_conditions
from referee.traces.mapping.applying import BUCKETS
from referee.traces.rollups import HOUR_NS, MAX_NAME_CHARACTERS
from referee.traces.sketches import LOG_GAMMA, RELATIVE_ERROR, compute_quantile_ns
from referee.traces.tables import SessionRow, SpanHourRow, SpanRow

__all__ = [
    "BUCKETINGS",
    "CHART_FUNCTIONS",
    "CHART_METRICS",
    "MAX_BUCKETS_COUNT",
    "MAX_GROUPS_COUNT",
    "ChartData",
    "ChartQuery",
    "ChartSeries",
    "compute_chart",
]

BUCKETINGS: Final = ("minute", "hour", "day", "week", "month")
MAX_BUCKETS_COUNT: Final = 400
MAX_GROUPS_COUNT: Final = 8
"""With those that are summed up as "other": more cannot be told apart."""
OTHER: Final = "other"
NONE: Final = "none"
_NS_PER_S: Final = 1_000_000_000
_QUANTILES: Final = {"median": 0.5, "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
CHART_FUNCTIONS: Final = ("count", "sum", "avg", "min", "max", *_QUANTILES)
_FUNCTION_ALIASES: Final = {
    "average": "avg",
    "mean": "avg",
    "minimum": "min",
    "maximum": "max",
    "total": "sum",
}
CHART_METRICS: Final = {
    "events": "events",
    "errors": "events with an error",
    "duration": "ms",
    "cost": "USD",
    "total_tokens": "tokens",
    "prompt_tokens": "tokens",
    "completion_tokens": "tokens",
}
"""Fields of an event that have a number, with their units; others are paths such as ``metrics.accuracy``."""
_METRIC_ALIASES: Final = {
    "count": "events",
    "request count": "events",
    "requests": "events",
    "error": "errors",
    "error count": "errors",
    "latency": "duration",
    "tokens": "total_tokens",
    "cost_usd": "cost",
}
_GROUPS: Final[dict[str, Any]] = {
    name: getattr(SpanRow, name)
    for name in ("event_type", "event_name", "source", "model", "provider", "user_id")
}
_HOUR_GROUPS: Final[dict[str, Any]] = {
    "event_type": SpanHourRow.event_type,
    "event_name": SpanHourRow.event_name,
    "model": func.nullif(SpanHourRow.model, ""),
}
_SUMMED: Final = ("cost", "total_tokens", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartQuery:
    """What is charted.

    ``metric`` is a name of ``CHART_METRICS``, a path such as ``metrics.accuracy``, or the bare name of a
    metric. The range holds ``start_ns`` and not ``end_ns``. ``group_by`` is a field or a path.
    """

    metric: str
    function: str
    bucketing: str
    start_ns: int
    end_ns: int
    group_by: str | None = None
    filters: tuple[EventFilter, ...] = ()

    @classmethod
    def read(
        cls,
        *,
        metric: str,
        function: str | None,
        bucketing: str,
        start: datetime,
        end: datetime,
        group_by: str | None = None,
        filters: Sequence[EventFilter] = (),
        is_whole: bool = False,
    ) -> ChartQuery:
        """Return a query of words as clients write them.

        Args:
            metric: What is charted.
            function: How the values of a bucket become one; None: counted for events, else the average.
            bucketing: One of ``BUCKETINGS``.
            start: From, an aware instant.
            end: To, itself left out.
            group_by: A field or a path; None or empty: one series.
            filters: All of which the events meet.
            is_whole: Whether the range is widened to whole buckets before, and to a whole hour or minute after.

        Raises:
            InvalidInput: A word is not known, or the range has too many buckets.
        """
        name = metric.strip()
        name = _METRIC_ALIASES.get(name.lower(), name)
        wanted = (function or "").strip().lower() or ("count" if name in ("events", "errors") else "avg")
        wanted = _FUNCTION_ALIASES.get(wanted, wanted)
        if wanted not in CHART_FUNCTIONS:
            raise _invalid(
                f"There is no function {wanted[:40]!r}.", f"Functions are: {', '.join(CHART_FUNCTIONS)}."
            )
        if bucketing not in BUCKETINGS:
            raise _invalid(
                f"There is no bucketing {bucketing[:40]!r}.", f"Buckets are: {', '.join(BUCKETINGS)}."
            )
        if start >= end:
            raise _invalid("The range ends before it starts.", "Send the earlier instant first.")
        if is_whole:
            start, end = _floor(start, bucketing), _round_up(end, bucketing)
        query = cls(
            metric=name, function=wanted, bucketing=bucketing, start_ns=_to_ns(start), end_ns=_to_ns(end),
            group_by=(group_by or "").strip() or None, filters=tuple(filters),
        )  # fmt: skip
        _check_path(query.metric, is_metric=True)
        if query.group_by is not None:
            _check_path(query.group_by, is_metric=False)
        _list_buckets(query)
        return query

    @property
    def unit(self) -> str:
        """Of the numbers; empty for those of metrics."""
        return "events" if self.function == "count" else CHART_METRICS.get(self.metric, "")


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """One group."""

    label: str
    """Empty when there is no grouping."""
    values: list[float | None]
    """One for each bucket; None: nothing to compute it of."""
    counts: list[int]
    """Values that each is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartData:
    """The numbers of a chart."""

    query: ChartQuery
    bucket_starts: list[datetime]
    series: list[ChartSeries]
    is_rolled_up: bool
    """Whether it was read from roll-ups."""
    relative_error: float
    """0, or what a quantile may be off by, as a share of itself."""

    @property
    def values_count(self) -> int:
        """Values that all numbers are made of."""
        return sum(sum(one.counts) for one in self.series)


async def compute_chart(session: AsyncSession, project_id: UUID, query: ChartQuery) -> ChartData:
    """Return the numbers of a chart: at most 400 buckets of 8 groups, the largest groups by name.

    Raises:
        InvalidInput: A filter's field is not one of an event.
    """
    starts = _list_buckets(query)
    is_rolled_up = _can_roll_up(query)
    inner = (
        union_all(_select_hours(project_id, query), _select_edges(project_id, query))
        if is_rolled_up
        else _select_values(project_id, query)
    ).subquery("values")
    labels = await _find_labels(session, inner, query) if query.group_by is not None else None
    label: ColumnElement[Any] = literal("")
    if labels is not None:
        label = case((inner.c.label.in_(labels), inner.c.label), else_=literal(OTHER))
    if is_rolled_up and query.function in _QUANTILES:
        records = await _read_sketches(session, inner, label, query)
    else:
        number = _sum_up(inner, query, is_rolled_up=is_rolled_up)
        count = func.sum(inner.c.count) if is_rolled_up else func.count(inner.c.value)
        statement = select(inner.c.bucket, label.label("group"), number, count).group_by("bucket", "group")
        records = [
            (one[0], one[1], None if one[2] is None else float(one[2]), int(one[3] or 0))
            for one in (await session.execute(statement)).all()
        ]
    is_sketched = is_rolled_up and query.function in _QUANTILES
    return ChartData(
        query=query,
        bucket_starts=starts,
        series=_build_series(query, starts, labels, records),
        is_rolled_up=is_rolled_up,
        relative_error=RELATIVE_ERROR if is_sketched else 0.0,
    )


def _build_series(
    query: ChartQuery,
    starts: Sequence[datetime],
    labels: Sequence[str] | None,
    records: Sequence[tuple[datetime, str, float | None, int]],
) -> list[ChartSeries]:
    places = {start: place for place, start in enumerate(starts)}
    is_sum = query.function in ("count", "sum")
    found: dict[str, ChartSeries] = {}
    order = [""] if labels is None else [*labels, OTHER]
    for bucket, label, number, count in records:
        series = found.get(label)
        if series is None:
            blank: list[float | None] = [0.0 if is_sum else None] * len(starts)
            series = found[label] = ChartSeries(label, blank, [0] * len(starts))
        place = places.get(bucket)
        if place is not None:
            series.values[place], series.counts[place] = (0.0 if number is None and is_sum else number), count
    return sorted(found.values(), key=lambda one: order.index(one.label))


def _select_values(project_id: UUID, query: ChartQuery) -> Select[Any]:
    """Return ``bucket``, ``label`` and ``value`` of each event."""
    conditions: list[ColumnElement[bool]] = [
        SpanRow.project_id == project_id,
        SpanRow.start_ns >= query.start_ns,
        SpanRow.start_ns < query.end_ns,
        *build_conditions(query.filters),
    ]
    fields = {one.field for one in query.filters}
    if query.metric in CHART_METRICS and "event_type" not in fields:
        conditions.append(SpanRow.event_type != "session")
    if query.metric in _SUMMED and query.function == "sum":
        conditions.append(SpanRow.is_counted.is_(True))
    columns = (
        _truncate(SpanRow.start_ns // literal(_NS_PER_S, BigInteger), query).label("bucket"),
        _build_label(query.group_by).label("label"),
        _build_value(query.metric).label("value"),
    )
    statement = select(*columns).where(*conditions)
    if "session_id" in fields:
        statement = statement.join(
            SessionRow,
            and_(SessionRow.project_id == SpanRow.project_id, SessionRow.session_uid == SpanRow.session_uid),
        )
    return statement


def _select_hours(project_id: UUID, query: ChartQuery) -> Select[Any]:
    """Return ``bucket``, ``label``, ``value``, ``count`` and ``sketch`` of each roll-up."""
    row = SpanHourRow
    values: dict[str, Any] = {
        "events": row.spans_count,
        "errors": row.errors_count,
        "cost": row.cost_usd,
        "duration": row.duration_ns / literal(1e6, Double),
    }
    value = values[query.metric] if query.metric in values else getattr(row, query.metric)
    first, last = _find_whole_hours(query)
    conditions = [
        row.project_id == project_id,
        row.hour >= first,
        row.hour < last,
        *(_HOUR_GROUPS[one.field] == one.value for one in query.filters),
    ]
    label = literal("") if query.group_by is None else func.coalesce(_HOUR_GROUPS[query.group_by], NONE)
    return select(
        _truncate(row.hour * literal(3_600, BigInteger), query).label("bucket"),
        label.label("label"),
        value.label("value"),
        _count_values(query, value, row.errors_count, row.spans_count).label("count"),
        row.durations_json.label("sketch"),
    ).where(*conditions)


def _select_edges(project_id: UUID, query: ChartQuery) -> Select[Any]:
    """Return the same of each span before the first whole hour of the range, and after the last one."""
    first, last = _find_whole_hours(query)
    row, took_ns = SpanRow, SpanRow.end_ns - SpanRow.start_ns
    own: dict[str, Any] = {
        "events": literal(1),
        "errors": case((row.error.is_not(None), 1), else_=0),
        "cost": case((row.is_counted, row.cost_usd), else_=0),
        "duration": func.greatest(took_ns, 0) / literal(1e6, Double),
    }
    value = (
        own[query.metric]
        if query.metric in own
        else case((row.is_counted, getattr(row, query.metric)), else_=0)
    )
    bucket = case(
        (took_ns <= 1_000, literal(0)),
        else_=func.ceil(func.ln(took_ns / literal(1e3, Double)) / literal(LOG_GAMMA, Double)),
    )
    sketch = case(
        (row.end_ns.is_(None), cast(literal_column("'{}'"), JSONB)),
        else_=func.jsonb_build_object(cast(cast(bucket, Integer), Text()), 1),
    )
    conditions: list[ColumnElement[bool]] = [
        row.project_id == project_id,
        row.event_type != "session",
        or_(
            and_(row.start_ns >= query.start_ns, row.start_ns < first * HOUR_NS),
            and_(row.start_ns >= last * HOUR_NS, row.start_ns < query.end_ns),
        ),
        *build_conditions(query.filters),
    ]
    return select(
        _truncate(row.start_ns // literal(_NS_PER_S, BigInteger), query).label("bucket"),
        _build_label(query.group_by).label("label"),
        value.label("value"),
        _count_values(query, value, own["errors"], literal(1)).label("count"),
        sketch.label("sketch"),
    ).where(*conditions)


def _count_values(
    query: ChartQuery, value: ColumnElement[Any], errors: Any, spans: Any
) -> ColumnElement[Any]:
    """Return how many values a sum is made of; what has neither tokens nor cost has none of them."""
    if query.metric in _SUMMED:
        return case((func.coalesce(value, 0) != 0, spans), else_=0)
    counted: ColumnElement[Any] = errors if query.metric == "errors" else spans
    return counted


def _find_whole_hours(query: ChartQuery) -> tuple[int, int]:
    """Return the first hour that lies wholly in the range, and the one after the last of them."""
    return -(-query.start_ns // HOUR_NS), query.end_ns // HOUR_NS


def _can_roll_up(query: ChartQuery) -> bool:
    """Whether roll-ups hold all that is asked for, besides the edges of the range."""
    first, last = _find_whole_hours(query)
    is_hourly = query.bucketing != "minute" and first < last
    is_grouped = query.group_by is None or query.group_by in _HOUR_GROUPS
    is_filtered = all(
        one.field in _HOUR_GROUPS
        and (one.operator, one.type) == ("is", "string")
        and isinstance(one.value, str)
        and one.value not in ("", "session")
        and len(one.value) < MAX_NAME_CHARACTERS
        for one in query.filters
    )
    wanted = (query.metric, query.function)
    is_held = (
        wanted in (("events", "count"), ("events", "sum"), ("errors", "count"), ("errors", "sum"))
        or (query.metric in _SUMMED and query.function == "sum")
        or (query.metric == "duration" and query.function in (*_QUANTILES,))
    )
    return is_hourly and is_grouped and is_filtered and is_held


def _sum_up(inner: Any, query: ChartQuery, *, is_rolled_up: bool) -> ColumnElement[Any]:
    value = inner.c.value
    if is_rolled_up:
        return cast(func.sum(value), Double)
    if query.function in _QUANTILES:
        return func.percentile_cont(_QUANTILES[query.function]).within_group(value)
    return cast(getattr(func, query.function)(value), Double)


async def _read_sketches(
    session: AsyncSession, inner: Any, label: ColumnElement[Any], query: ChartQuery
) -> list[tuple[datetime, str, float | None, int]]:
    # Added up here: taking objects apart in the database costs five times as much.
    statement = select(inner.c.bucket, label.label("group"), cast(inner.c.sketch, Text()))
    counts: dict[tuple[datetime, str], dict[str, int]] = {}
    for bucket, group, held in (await session.execute(statement)).all():
        sketch = counts.setdefault((bucket, group), {})
        for place, number in orjson.loads(held).items():
            sketch[place] = sketch.get(place, 0) + number
    sketches = {
        key: {int(place): number for place, number in sketch.items()} for key, sketch in counts.items()
    }
    share = _QUANTILES[query.function]
    return [
        (bucket, group, None if number is None else number / 1e6, sum(sketch.values()))
        for (bucket, group), sketch in sketches.items()
        for number in [compute_quantile_ns(sketch, share)]
    ]


async def _find_labels(session: AsyncSession, inner: Any, query: ChartQuery) -> list[str]:
    """Return the groups with most values; when there are more than can be shown, one place is for the others."""
    size = func.sum(inner.c.count) if "count" in inner.c else func.count(inner.c.value)
    statement = (
        select(inner.c.label)
        .group_by(inner.c.label)
        .having(size > 0)
        .order_by(size.desc(), inner.c.label)
        .limit(MAX_GROUPS_COUNT + 1)
    )
    labels = list((await session.scalars(statement)).all())
    return labels if len(labels) <= MAX_GROUPS_COUNT else labels[: MAX_GROUPS_COUNT - 1]


def _build_value(metric: str) -> ColumnElement[Any]:
    row = SpanRow
    own: dict[str, Any] = {
        "events": literal(1),
        "errors": case((row.error.is_not(None), 1), else_=null()),
        "duration": func.greatest(row.end_ns - row.start_ns, 0) / literal(1e6, Double),
        "cost": row.cost_usd,
    }
    if metric in own:
        # greatest() passes over nulls, and an event without an end has no duration.
        is_open = row.end_ns.is_(None) if metric == "duration" else false()
        return case((is_open, null()), else_=own[metric])
    if metric in CHART_METRICS:
        return cast(getattr(row, metric), BigInteger)
    value = _find_json(metric if "." in metric else f"metrics.{metric}")
    text = value.op("#>>", return_type=Text())(literal_column("'{}'::text[]"))
    number, kind = cast(text, Numeric), func.jsonb_typeof(value)
    # What a double cannot hold is no number that can be drawn.
    is_drawable = func.abs(number) < literal_column("1e300::numeric")
    double = case((is_drawable, cast(func.round(number, 30), Double)), else_=null())
    return case(
        (kind == "number", double),
        (kind == "boolean", case((text == "true", literal_column("1.0")), else_=literal_column("0.0"))),
        else_=null(),
    )


def _build_label(group_by: str | None) -> ColumnElement[Any]:
    if group_by is None:
        return literal("")
    if group_by in _GROUPS:
        text = _GROUPS[group_by]
    else:
        text = _find_json(group_by).op("#>>", return_type=Text())(literal_column("'{}'::text[]"))
    return func.coalesce(func.nullif(func.left(text, MAX_NAME_CHARACTERS), ""), NONE)


def _find_json(path: str) -> ColumnElement[Any]:
    """Return the JSON at a path; a key that holds dots itself is found before the path that it spells."""
    bucket, _, rest = path.partition(".")
    column = getattr(SpanRow, f"{bucket}_json")
    if "." not in rest:
        return cast(column[rest], JSONB)
    nested = func.jsonb_extract_path(column, *(cast(part, Text) for part in rest.split(".")[:40]))
    return func.coalesce(cast(column[rest], JSONB), cast(nested, JSONB))


def _check_path(path: str, *, is_metric: bool) -> None:
    bucket, _, rest = path.partition(".")
    known = CHART_METRICS if is_metric else _GROUPS
    is_bare_metric = is_metric and path and "." not in path
    if "\x00" not in path and (path in known or is_bare_metric or (bucket in BUCKETS and rest)):
        return
    raise _invalid(
        f"An event has no field {path[:80]!r} to {'chart' if is_metric else 'group by'}.",
        f"Fields are: {', '.join(known)}, and paths such as metrics.accuracy or metadata.run_id.",
    )


def _truncate(seconds: ColumnElement[Any], query: ChartQuery) -> ColumnElement[Any]:
    return func.date_trunc(literal_column(f"'{query.bucketing}'"), func.to_timestamp(seconds), "UTC")


def _list_buckets(query: ChartQuery) -> list[datetime]:
    """Return the starts of all buckets of the range.

    Raises:
        InvalidInput: There are too many.
    """
    end = _from_ns(query.end_ns - 1)
    at = _floor(_from_ns(query.start_ns), query.bucketing)
    starts: list[datetime] = []
    while at <= end:
        starts.append(at)
        if len(starts) > MAX_BUCKETS_COUNT:
            raise _invalid(
                f"The range has more than {MAX_BUCKETS_COUNT} buckets of one {query.bucketing}.",
                "Ask for a shorter range, or for larger buckets.",
            )
        at = _step(at, query.bucketing)
    return starts


def _floor(at: datetime, bucketing: str) -> datetime:
    at = at.replace(second=0, microsecond=0)
    if bucketing == "minute":
        return at
    at = at.replace(minute=0)
    if bucketing == "hour":
        return at
    at = at.replace(hour=0)
    if bucketing == "week":
        return at - timedelta(days=at.weekday())
    return at.replace(day=1) if bucketing == "month" else at


def _round_up(at: datetime, bucketing: str) -> datetime:
    unit = "minute" if bucketing == "minute" else "hour"
    floor = _floor(at, unit)
    return floor if floor == at else _step(floor, unit)


def _step(at: datetime, bucketing: str) -> datetime:
    if bucketing == "month":
        return at.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
    return (
        at
        + {
            "minute": timedelta(minutes=1),
            "hour": timedelta(hours=1),
            "day": timedelta(days=1),
            "week": timedelta(weeks=1),
        }[bucketing]
    )


def _to_ns(at: datetime) -> int:
    """Return nanoseconds since 1970, within the years that have buckets around them."""
    at = min(max(at, datetime(1970, 1, 8, tzinfo=UTC)), datetime(2200, 1, 1, tzinfo=UTC))
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000


def _from_ns(ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1_000)


def _invalid(message: str, hint: str) -> InvalidInput:
    return InvalidInput("charts.query_invalid", message, hint)
