"""What a window of values comes to: one statement around the query of a source.

Not here: what the number means (``deciding.py``) and who is told (``notifying.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Double, Select, cast, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.deciding import Limits
from referee.alerts.rules import RuleDraft
from referee.alerts.words import Aggregation, Comparison, RuleKind
from referee.foundation.web.values import ValueQuestion, ValueSource

__all__ = ["Cause", "Reading", "find_last_end", "find_limits", "list_causes", "read_window"]

STATEMENT_TIMEOUT_MS: Final = 10_000
"""Of one rule: a query that takes longer fails by itself, and every other rule goes on."""
_MAX_QUERY_CHARS: Final = 8_000
_QUANTILES: Final = {
    Aggregation.median: 0.5,
    Aggregation.p90: 0.9,
    Aggregation.p95: 0.95,
    Aggregation.p99: 0.99,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a window came to."""

    value: float | None
    baseline_value: float | None
    values_count: int
    """Values the number rests on; of a drift those of the smaller window."""
    query: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Cause:
    """One of the worst values of a window."""

    subject: str
    value: float


async def read_window(
    session: AsyncSession, source: ValueSource, rule: RuleDraft, project_id: UUID, to_at: datetime
) -> Reading:
    """Return what the window that ends at an instant came to."""
    started_ns = time.monotonic_ns()
    await session.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}"))
    window = timedelta(seconds=rule.window_s)
    statement = _compute(source, rule, project_id, to_at - window, to_at)
    value, count = (await session.execute(statement)).one()
    baseline = None
    if value is None and rule.kind is RuleKind.aggregate and rule.minimum_count == 0:
        value = 0.0  # a rule that needs no values means something by an empty window: nothing waits, nothing failed
    if rule.kind is RuleKind.drift:
        before = _compute(source, rule, project_id, to_at - 2 * window, to_at - window)
        baseline, before_count = (await session.execute(before)).one()
        count = min(count, before_count)
        value = (value - baseline) / abs(baseline) if value is not None and baseline else None
    return Reading(
        value=None if value is None else float(value),
        baseline_value=None if baseline is None else float(baseline),
        values_count=count,
        query=_write(statement),
        duration_ms=(time.monotonic_ns() - started_ns) / 1e6,
    )


async def list_causes(
    session: AsyncSession, source: ValueSource, rule: RuleDraft, project_id: UUID, to_at: datetime
) -> Sequence[Cause]:
    """Return the worst values of a window, at most three."""
    values = _values(source, rule, project_id, to_at - timedelta(seconds=rule.window_s), to_at)
    is_low_bad = rule.comparison in (Comparison.below, Comparison.at_most)
    order = values.c.value.asc() if is_low_bad else values.c.value.desc()
    rows = await session.execute(
        select(values.c.subject, values.c.value)
        .where(values.c.value.is_not(None))
        .order_by(order, values.c.at.desc())
        .limit(3)
    )
    return [Cause(str(subject)[:200], float(value)) for subject, value in rows]


def find_limits(rule: RuleDraft) -> Limits:
    """Return when a rule fires. One that looks at each event counts those beyond its threshold."""
    is_each = rule.kind is RuleKind.per_event
    return Limits(
        comparison=Comparison.above if is_each else rule.comparison,
        critical=0.0 if is_each else rule.critical_threshold,
        resolved=0.0 if is_each else rule.resolved_threshold,
        minimum_count=0 if is_each else rule.minimum_count,
        hold_s=rule.hold_s,
    )


def find_last_end(every_s: int, now: datetime) -> datetime:
    """Return the last instant at which a window of this frequency ended: whole multiples since 1970, in UTC."""
    return datetime.fromtimestamp(now.timestamp() // every_s * every_s, UTC)


def _values(
    source: ValueSource, rule: RuleDraft, project_id: UUID, from_at: datetime, to_at: datetime
) -> Any:
    question = ValueQuestion(
        project_id=project_id,
        measure=rule.measure,
        filter=source.read_filter(rule.filter),
        from_at=from_at,
        to_at=to_at,
    )
    return source.build(question).subquery("watched")


def _compute(
    source: ValueSource, rule: RuleDraft, project_id: UUID, from_at: datetime, to_at: datetime
) -> Select[Any]:
    watched = _values(source, rule, project_id, from_at, to_at)
    value: ColumnElement[Any] = cast(watched.c.value, Double)
    if rule.kind is RuleKind.per_event:
        limit = rule.critical_threshold
        beyond = {
            Comparison.above: value > limit,
            Comparison.at_least: value >= limit,
            Comparison.below: value < limit,
            Comparison.at_most: value <= limit,
        }[rule.comparison]
        return select(cast(func.count().filter(beyond), Double), func.count(value)).select_from(watched)
    return select(_aggregate(rule.aggregation, value), func.count(value)).select_from(watched)


def _aggregate(aggregation: Aggregation, value: ColumnElement[Any]) -> ColumnElement[Any]:
    if aggregation in _QUANTILES:
        return func.percentile_cont(_QUANTILES[aggregation]).within_group(value)
    match aggregation:
        case Aggregation.count:
            return cast(func.count(value), Double)
        case Aggregation.sum:
            return func.coalesce(func.sum(value), 0.0)
        case Aggregation.min:
            return func.min(value)
        case Aggregation.max:
            return func.max(value)
        case _:
            return func.avg(value)


def _write(statement: Select[Any]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # of the library
    try:
        written = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    except (CompileError, NotImplementedError):
        written = str(statement.compile(dialect=dialect))
    return " ".join(written.replace("%%", "%").split())[:_MAX_QUERY_CHARS]
