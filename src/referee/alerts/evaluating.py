"""What a window of values comes to: one statement around the query of a source, for all rules that share the window.

Not here: what the number means (``deciding.py``) and who is told (``notifying.py``).
"""

from __future__ import annotations

import operator
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Double, FromClause, Select, cast, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.deciding import Limits
from referee.alerts.rules import RuleDraft
from referee.alerts.words import Aggregation, Comparison, RuleKind
from referee.foundation.web.values import ValueQuestion, ValueSource

__all__ = [
    "Answer",
    "Cause",
    "Number",
    "Reading",
    "Window",
    "bound_statements",
    "compose_reading",
    "find_last_end",
    "find_limits",
    "find_number",
    "find_windows",
    "list_causes",
    "read_numbers",
    "read_window",
]

STATEMENT_TIMEOUT_MS: Final = 10_000
"""Of one statement: when it takes longer, the rules that it is for fail, and every other goes on."""
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
class Window:
    """Values that one statement can be about: those of one source, filtered alike, between two instants."""

    project_id: UUID
    source: str
    filter: str
    from_at: datetime
    to_at: datetime


@dataclass(frozen=True, slots=True)
class Number:
    """What is made of a window's values: an aggregate, or how many lie beyond a limit."""

    measure: str
    aggregation: Aggregation | None
    comparison: Comparison | None = None
    limit: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a number came to."""

    value: float | None
    values_count: int
    query: str
    """The statement of this number alone; rules that share a window are read by one statement of the same parts."""
    duration_ms: float
    """Of the whole statement."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One of the worst values of a window."""

    subject: str
    value: float


def find_windows(rule: RuleDraft, project_id: UUID, to_at: datetime) -> tuple[Window, ...]:
    """Return the windows that a rule is about; of a drift the baseline's is the second."""
    length = timedelta(seconds=rule.window_s)
    ends = (to_at, to_at - length) if rule.kind is RuleKind.drift else (to_at,)
    return tuple(Window(project_id, rule.source, rule.filter, end - length, end) for end in ends)


def find_number(rule: RuleDraft) -> Number:
    """Return what a rule makes of each of its windows."""
    if rule.kind is RuleKind.per_event:
        return Number(rule.measure, None, rule.comparison, rule.critical_threshold)
    return Number(rule.measure, rule.aggregation)


async def bound_statements(session: AsyncSession) -> None:
    """Let no statement of the transaction take longer than one rule may."""
    await session.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}"))


async def read_numbers(
    session: AsyncSession, source: ValueSource, window: Window, numbers: Iterable[Number]
) -> Mapping[Number, Answer]:
    """Return what several numbers of one window came to, in as few statements as the source allows."""
    wanted: dict[str, list[Number]] = {}
    for number in dict.fromkeys(numbers):
        wanted.setdefault(number.measure, []).append(number)
    where = source.read_filter(window.filter)
    selects = {
        measure: source.build(
            ValueQuestion(
                project_id=window.project_id,
                measure=measure,
                filter=where,
                from_at=window.from_at,
                to_at=window.to_at,
            )
        )
        for measure in wanted
    }
    answers: dict[Number, Answer] = {}
    for measures in _group_alike(selects):
        started_ns = time.monotonic_ns()
        first, *others = measures
        values = selects[first].add_columns(
            *(
                selects[measure].selected_columns["value"].label(f"value_{at}")
                for at, measure in enumerate(others, 1)
            )
        )
        watched = values.subquery("watched")
        columns: list[ColumnElement[Any]] = []
        for at, measure in enumerate(measures):
            value = cast(watched.c["value" if at == 0 else f"value_{at}"], Double)
            columns.append(func.count(value).label(f"count_{at}"))
            columns += [_make_column(number, value) for number in wanted[measure]]
        row = iter((await session.execute(select(*columns).select_from(watched))).one())
        counted: list[tuple[Number, float | None, int]] = []
        for measure in measures:
            count = int(next(row))
            counted += [(number, next(row), count) for number in wanted[measure]]
        duration_ms = (time.monotonic_ns() - started_ns) / 1e6
        for number, value_found, count in counted:
            answers[number] = Answer(
                None if value_found is None else float(value_found),
                count,
                _write(_compute(selects[number.measure], number)),
                duration_ms,
            )
    return answers


def compose_reading(rule: RuleDraft, answers: Sequence[Answer]) -> Reading:
    """Return what a rule's windows come to together, in the order of ``find_windows``."""
    answer, value, baseline, count = answers[0], answers[0].value, None, answers[0].values_count
    if value is None and rule.kind is RuleKind.aggregate and rule.minimum_count == 0:
        value = 0.0  # a rule that needs no values means something by an empty window: nothing waits, nothing failed
    if rule.kind is RuleKind.drift:
        baseline = answers[1].value
        count = min(count, answers[1].values_count)
        value = (value - baseline) / abs(baseline) if value is not None and baseline else None
    return Reading(
        value=value,
        baseline_value=baseline,
        values_count=count,
        query=answer.query,
        duration_ms=sum(one.duration_ms for one in answers),
    )


async def read_window(
    session: AsyncSession, source: ValueSource, rule: RuleDraft, project_id: UUID, to_at: datetime
) -> Reading:
    """Return what the window that ends at an instant came to, for one rule."""
    await bound_statements(session)
    number = find_number(rule)
    answers = [
        (await read_numbers(session, source, window, [number]))[number]
        for window in find_windows(rule, project_id, to_at)
    ]
    return compose_reading(rule, answers)


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


def _group_alike(selects: Mapping[str, Select[Any]]) -> list[list[str]]:
    """Return the measures whose statements read the same rows, together: they differ in the value alone."""
    groups: list[tuple[list[FromClause], Select[Any], list[str]]] = []
    for measure, statement in selects.items():
        columns, tables = statement.selected_columns, list(statement.get_final_froms())
        rows = statement.with_only_columns(columns["at"], columns["subject"])
        for known_tables, known, measures in groups:
            # Tables are compared as objects: two aliases of one table are two sets of rows.
            is_alike = len(tables) == len(known_tables) and all(map(operator.is_, tables, known_tables))
            if is_alike and known.compare(rows):
                measures.append(measure)
                break
        else:
            groups.append((tables, rows, [measure]))
    return [measures for _, _, measures in groups]


def _compute(values: Select[Any], number: Number) -> Select[Any]:
    watched = values.subquery("watched")
    value = cast(watched.c.value, Double)
    return select(_make_column(number, value), func.count(value)).select_from(watched)


def _make_column(number: Number, value: ColumnElement[Any]) -> ColumnElement[Any]:
    if number.aggregation is not None:
        return _aggregate(number.aggregation, value)
    beyond = {
        Comparison.above: value > number.limit,
        Comparison.at_least: value >= number.limit,
        Comparison.below: value < number.limit,
        Comparison.at_most: value <= number.limit,
    }[number.comparison or Comparison.above]
    return cast(func.count().filter(beyond), Double)


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
