"""Evaluating rules that are due: state, log and notification of a rule in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final, TypeAlias
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.deciding import Standing, decide
from referee.alerts.evaluating import (
    Answer,
    Cause,
    Number,
    Reading,
    Window,
    bound_statements,
    compose_reading,
    find_last_end,
    find_limits,
    find_number,
    find_windows,
    list_causes,
    read_numbers,
)
from referee.alerts.messages import build_content
from referee.alerts.metrics import EVALUATION_SECONDS, EVALUATIONS
from referee.alerts.notifying import record_notification
from referee.alerts.room import AlertsRoom
from referee.alerts.rules import RuleDraft
from referee.alerts.tables import AlertEvaluationRow, AlertRuleRow
from referee.alerts.views import view_draft
from referee.alerts.words import Condition
from referee.core.errors import RefereeError
from referee.foundation.jobs import JobEngine
from referee.foundation.web.live import publish_all

__all__ = ["EvaluatedRules", "evaluate_due", "judge_reading", "tell_change"]

_BATCH: Final = 200
_AT_ONCE: Final = 2
"""Windows read side by side: what the database answers while this process writes another's statement."""
_WRITTEN_AT_ONCE: Final = 50
"""Rules of one transaction, which nobody else can change until it is committed."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class EvaluatedRules:
    """What one round did."""

    rules_count: int = 0
    failed_count: int = 0
    told_count: int = 0


@dataclass(frozen=True, slots=True)
class _Read:
    """A rule as it was when its window was read, and what that came to or why it could not be read."""

    rule_id: UUID
    rule: RuleDraft
    to_at: datetime
    reading: Reading | None
    problem: str = ""


KnownCauses: TypeAlias = dict[tuple[object, ...], Sequence[Cause]]
"""Worst values of windows that were asked for already, by window, measure and direction."""


async def evaluate_due(room: AlertsRoom, engine: JobEngine, *, now: datetime | None = None) -> EvaluatedRules:
    """Evaluate every rule whose window has ended, of all projects. Many processes may do so at once.

    Windows are read without a lock, one statement for all rules that share one; then some rules at a time are locked,
    and what changed is written, told and logged in one transaction. A rule that was changed, paused or evaluated
    meanwhile is left alone.

    Args:
        room: The room.
        engine: Takes the jobs that deliver.
        now: Instead of the database's clock.
    """
    done = EvaluatedRules()
    seen: set[UUID] = set()
    while True:
        async with room.database.reading() as session:
            instant = now or (await session.execute(select(func.clock_timestamp()))).scalar_one()
            due = (
                await session.scalars(
                    select(AlertRuleRow)
                    .where(AlertRuleRow.next_at <= instant, AlertRuleRow.is_paused.is_(False))
                    .order_by(AlertRuleRow.next_at, AlertRuleRow.rule_id)
                    .limit(_BATCH)
                )
            ).all()
        fresh = [row for row in due if row.rule_id not in seen]
        if not fresh:
            return done
        seen.update(row.rule_id for row in fresh)
        reads = await _read_all(room, fresh, instant)
        for first in range(0, len(reads), _WRITTEN_AT_ONCE):
            await _write(room, engine, reads[first : first + _WRITTEN_AT_ONCE], instant, done)


async def _read_all(room: AlertsRoom, rows: Sequence[AlertRuleRow], instant: datetime) -> list[_Read]:
    """Read the windows of rules, each window once."""
    rules = [(row, view_draft(row), _find_end(row, instant)) for row in rows]
    numbers: dict[Window, set[Number]] = {}
    for row, rule, to_at in rules:
        for window in find_windows(rule, row.project_id, to_at):
            numbers.setdefault(window, set()).add(find_number(rule))
    answers: dict[Window, Mapping[Number, Answer]] = {}
    problems: dict[Window, str] = {}
    waiting = iter(numbers)

    async def read() -> None:
        for first in waiting:
            window = first
            try:
                async with room.database.reading() as session:
                    await bound_statements(session)
                    for window in chain((first,), waiting):
                        source = room.find_source(window.source)
                        answers[window] = await read_numbers(session, source, window, numbers[window])
            except RefereeError as error:
                problems[window] = error.message[:500]
            # A filter or a query that no longer fits: told in the log, and no rule stops another.
            except Exception as error:
                log.warning("alert.query_failed", source=window.source, error=repr(error)[:300])
                problems[window] = f"The query failed: {type(error).__name__}."

    await asyncio.gather(*(read() for _ in range(_AT_ONCE)))
    reads = []
    for row, rule, to_at in rules:
        windows, number = find_windows(rule, row.project_id, to_at), find_number(rule)
        problem = next((problems[window] for window in windows if window in problems), "")
        reading = None if problem else compose_reading(rule, [answers[window][number] for window in windows])
        reads.append(_Read(row.rule_id, rule, to_at, reading, problem))
    return reads


def _find_end(row: AlertRuleRow, instant: datetime) -> datetime:
    # Windows that were missed while nothing ran are not made up for: only the last one says how things are.
    return max(find_last_end(row.every_s, instant), row.next_at)


async def _write(
    room: AlertsRoom, engine: JobEngine, reads: Sequence[_Read], instant: datetime, done: EvaluatedRules
) -> None:
    try:
        async with room.database.transaction() as session:
            counted_count, told_count = await _write_rows(room, engine, session, reads, instant)
    except RefereeError as error:
        if len(reads) > 1:
            for one in reads:  # whichever of them it was, it alone stays due
                await _write(room, engine, [one], instant, done)
            return
        # The database is not there, or full: the rule stays due, and the next round comes in a minute.
        log.warning("alert.not_evaluated", rule_id=str(reads[0].rule_id), code=error.code)
        done.failed_count += 1
        return
    done.rules_count += counted_count
    done.told_count += told_count


async def _write_rows(
    room: AlertsRoom, engine: JobEngine, session: AsyncSession, reads: Sequence[_Read], instant: datetime
) -> tuple[int, int]:
    """Return how many rules were evaluated, and how many changes were told."""
    by_id = {one.rule_id: one for one in reads}
    rows = await session.scalars(
        select(AlertRuleRow)
        .where(AlertRuleRow.rule_id.in_(by_id))
        .order_by(AlertRuleRow.next_at, AlertRuleRow.rule_id)
        .with_for_update(skip_locked=True)
    )
    logged: list[dict[str, object]] = []
    changed: list[tuple[AlertRuleRow, _Read]] = []
    for row in rows.all():
        one = by_id[row.rule_id]
        if row.is_paused or row.next_at > instant:
            continue  # another process had it
        if view_draft(row) != one.rule or _find_end(row, instant) != one.to_at:
            continue  # it says something else by now: its next window is read by that
        logged.append(_decide(row, one))
        changed.append((row, one))
    if not logged:
        return 0, 0
    await session.execute(
        insert(AlertEvaluationRow).on_conflict_do_nothing(index_elements=["rule_id", "to_at"]), logged
    )
    await session.flush()
    told_count, known = 0, KnownCauses()
    for row, one in changed:
        told_count += await tell_change(room, engine, session, row, one.reading, one.to_at, known=known)
    await publish_all(session, [f"alert:{row.rule_id}" for row, _ in changed])
    return len(logged), told_count


def _decide(row: AlertRuleRow, one: _Read) -> dict[str, object]:
    """Change where a rule stands by what was read, and return its line of the log."""
    condition, outcome, reading = Condition(row.condition), "failed", one.reading
    if reading is not None:
        standing = Standing(condition, row.bad_since, row.good_since)
        after = decide(standing, find_limits(one.rule), reading.value, reading.values_count, one.to_at)
        outcome = judge_reading(one.rule, reading)
        row.bad_since, row.good_since, condition = after.bad_since, after.good_since, after.condition
        row.last_value, row.last_count = reading.value, reading.values_count
        EVALUATION_SECONDS.observe(reading.duration_ms / 1e3)
    if condition.value != row.condition:
        row.condition, row.changed_at = condition.value, one.to_at
    row.evaluated_at = one.to_at
    row.next_at = find_last_end(row.every_s, one.to_at) + timedelta(seconds=row.every_s)
    EVALUATIONS.labels(outcome=outcome).inc()
    return {
        "rule_id": row.rule_id,
        "to_at": one.to_at,
        "project_id": row.project_id,
        "from_at": one.to_at - timedelta(seconds=row.window_s),
        "value": None if reading is None else reading.value,
        "baseline_value": None if reading is None else reading.baseline_value,
        "values_count": 0 if reading is None else reading.values_count,
        "outcome": outcome,
        "condition": condition.value,
        "reason": one.problem,
        "query": "" if reading is None else reading.query,
        "duration_ms": 0.0 if reading is None else reading.duration_ms,
    }


def judge_reading(rule: RuleDraft, reading: Reading) -> str:
    """Return the word of a reading in the log."""
    limits = find_limits(rule)
    if reading.value is None:
        return "nothing"
    if reading.values_count < limits.minimum_count:
        return "too_few"
    if limits.comparison.is_met(reading.value, limits.critical):
        return "bad"
    return "between" if limits.comparison.is_met(reading.value, limits.resolved) else "good"


async def tell_change(
    room: AlertsRoom,
    engine: JobEngine,
    session: AsyncSession,
    row: AlertRuleRow,
    reading: Reading | None,
    to_at: datetime,
    *,
    reason: str = "",
    known: KnownCauses | None = None,
) -> bool:
    """Tell people where the rule stands if they were told otherwise last, in the caller's transaction.

    While a rule is muted nobody is told. When it is heard again, people are told what then differs.
    """
    is_news = row.condition != row.told_condition and not (
        row.condition == Condition.resolved.value and row.told_condition == Condition.active.value
    )
    if not is_news or (row.muted_until is not None and row.muted_until > datetime.now(UTC)):
        return False
    rule, source = view_draft(row), room.find_source(row.source)
    causes = []
    if row.condition == Condition.triggered.value and reading is not None:
        key = (*find_windows(rule, row.project_id, to_at), rule.measure, rule.comparison)
        found = None if known is None else known.get(key)
        if found is None:
            found = await list_causes(session, source, rule, row.project_id, to_at)
        if known is not None:
            known[key] = found
        causes = [{"subject": one.subject, "value": one.value} for one in found]
    unit = source.find_measure(rule.measure).unit
    content = build_content(
        rule,
        unit=unit,
        value=row.last_value if reading is None else reading.value,
        baseline_value=None if reading is None else reading.baseline_value,
        values_count=(row.last_count or 0) if reading is None else reading.values_count,
        from_at=to_at - timedelta(seconds=row.window_s),
        to_at=to_at,
        page=source.page,
        rule_url=f"/ui/alerts/{row.rule_id}",
        root_url=room.root_url,
        causes=causes,  # type: ignore[arg-type]  # a list of JSON objects
        reason=reason,
    )
    is_firing = row.condition == Condition.triggered.value
    told = await record_notification(
        session,
        engine,
        row.project_id,
        rule_id=row.rule_id,
        rule_name=rule.name,
        transition=row.transitions_count + 1,
        state=row.condition,
        severity=rule.severity.value,
        title=f"{'Firing' if is_firing else 'Resolved'}: {rule.name} ({content['value_text']})",
        content=content,
        channels=rule.channels,
    )
    row.transitions_count += 1
    row.told_condition = row.condition
    return told is not None
