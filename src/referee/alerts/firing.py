"""Evaluating rules that are due: each in one transaction of value, state, log and notification."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.deciding import Standing, decide
from referee.alerts.evaluating import Reading, find_last_end, find_limits, list_causes, read_window
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
from referee.foundation.web.live import publish

__all__ = ["EvaluatedRules", "evaluate_due", "judge_reading", "tell_change"]

_BATCH: Final = 200
_AT_ONCE: Final = 2
"""Rules evaluated side by side: what the database answers while this process decides about another."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class EvaluatedRules:
    """What one round did."""

    rules_count: int = 0
    failed_count: int = 0
    told_count: int = 0


async def evaluate_due(room: AlertsRoom, engine: JobEngine, *, now: datetime | None = None) -> EvaluatedRules:
    """Evaluate every rule whose window has ended, of all projects. Many processes may do so at once.

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
                    select(AlertRuleRow.rule_id)
                    .where(AlertRuleRow.next_at <= instant, AlertRuleRow.is_paused.is_(False))
                    .order_by(AlertRuleRow.next_at, AlertRuleRow.rule_id)
                    .limit(_BATCH)
                )
            ).all()
        fresh = [rule_id for rule_id in due if rule_id not in seen]
        if not fresh:
            return done
        seen.update(fresh)
        waiting = iter(fresh)

        async def work(instant: datetime = instant, waiting: object = waiting) -> None:
            for rule_id in waiting:  # type: ignore[attr-defined]  # one iterator that several tasks take from
                await _evaluate(room, engine, rule_id, instant, done)

        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


async def _evaluate(
    room: AlertsRoom, engine: JobEngine, rule_id: UUID, instant: datetime, done: EvaluatedRules
) -> None:
    with EVALUATION_SECONDS.time():
        try:
            async with room.database.transaction() as session:
                row = await session.scalar(
                    select(AlertRuleRow)
                    .where(AlertRuleRow.rule_id == rule_id)
                    .with_for_update(skip_locked=True)
                )
                if row is None or row.is_paused or row.next_at > instant:
                    return  # another process has it, or had it
                is_told = await _evaluate_row(room, engine, session, row, instant)
        except RefereeError as error:
            # The database is not there, or full: the rule stays due, and the next round comes in a minute.
            log.warning("alert.not_evaluated", rule_id=str(rule_id), code=error.code)
            done.failed_count += 1
            return
    done.rules_count += 1
    done.told_count += is_told


async def _evaluate_row(
    room: AlertsRoom, engine: JobEngine, session: AsyncSession, row: AlertRuleRow, instant: datetime
) -> bool:
    # Windows that were missed while nothing ran are not made up for: only the last one says how things are.
    to_at = max(find_last_end(row.every_s, instant), row.next_at)
    rule = view_draft(row)
    reading, problem = await _read(room, session, rule, row.project_id, to_at)
    condition, outcome = Condition(row.condition), "failed"
    if reading is not None:
        standing = Standing(condition, row.bad_since, row.good_since)
        after = decide(standing, find_limits(rule), reading.value, reading.values_count, to_at)
        outcome = judge_reading(rule, reading)
        row.bad_since, row.good_since, condition = after.bad_since, after.good_since, after.condition
        row.last_value, row.last_count = reading.value, reading.values_count
    if condition.value != row.condition:
        row.condition, row.changed_at = condition.value, to_at
    await session.execute(
        insert(AlertEvaluationRow)
        .values(
            rule_id=row.rule_id,
            to_at=to_at,
            project_id=row.project_id,
            from_at=to_at - timedelta(seconds=row.window_s),
            value=None if reading is None else reading.value,
            baseline_value=None if reading is None else reading.baseline_value,
            values_count=0 if reading is None else reading.values_count,
            outcome=outcome,
            condition=condition.value,
            reason=problem,
            query="" if reading is None else reading.query,
            duration_ms=0.0 if reading is None else reading.duration_ms,
        )
        .on_conflict_do_nothing(index_elements=["rule_id", "to_at"])
    )
    row.evaluated_at = to_at
    row.next_at = find_last_end(row.every_s, to_at) + timedelta(seconds=row.every_s)
    EVALUATIONS.labels(outcome=outcome).inc()
    is_told = await tell_change(room, engine, session, row, reading, to_at)
    await publish(session, f"alert:{row.rule_id}", {})
    return is_told


async def _read(
    room: AlertsRoom, session: AsyncSession, rule: RuleDraft, project_id: UUID, to_at: datetime
) -> tuple[Reading | None, str]:
    """Return what the window came to, or why it could not be read; the transaction goes on either way."""
    try:
        async with session.begin_nested():
            return await read_window(session, room.find_source(rule.source), rule, project_id, to_at), ""
    except RefereeError as error:
        return None, error.message[:500]
    except (
        Exception
    ) as error:  # a filter or a query that no longer fits: told in the log, and no rule stops another
        log.warning("alert.query_failed", rule=rule.name, error=repr(error)[:300])
        return None, f"The query failed: {type(error).__name__}."
    finally:
        await session.execute(text("SET LOCAL statement_timeout = DEFAULT"))


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
        causes = [
            {"subject": one.subject, "value": one.value}
            for one in await list_causes(session, source, rule, row.project_id, to_at)
        ]
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
