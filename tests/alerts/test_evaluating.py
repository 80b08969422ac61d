"""Many rules read together what each of them would read alone."""

from __future__ import annotations

import itertools
from uuid import UUID

from sqlalchemy import insert, text
from tests.alerts.conftest import SOURCES, START, make_draft, minutes

from referee.alerts.evaluating import (
    compose_reading,
    find_number,
    find_windows,
    read_numbers,
    read_window,
)
from referee.alerts.room import AlertsRoom
from referee.alerts.rules import RuleDraft
from referee.alerts.tables import MetricSampleRow
from referee.alerts.words import Aggregation

SPAN_RULES = [
    make_draft(source="spans", measure=measure, filter="type:model", aggregation=aggregation, minimum_count=1)
    for measure, aggregation in itertools.product(
        ("spans", "errors", "duration_ms", "cost_usd"), ("average", "p95", "count")
    )
]


def make_rules() -> list[RuleDraft]:
    rules = [make_draft(aggregation=one.value, name=one.value) for one in Aggregation]
    rules += [
        make_draft(kind="per_event", critical_threshold=limit, resolved_threshold=limit) for limit in (3, 5)
    ]
    rules += [
        make_draft(kind="drift", aggregation=one, critical_threshold=1, resolved_threshold=1)
        for one in ("average", "max")
    ]
    rules += [make_draft(measure="milliseconds"), make_draft(minimum_count=2, filter="name:nothing")]
    return rules


async def test_rules_that_share_a_window_read_together_what_each_reads_alone(
    room: AlertsRoom, project_id: UUID
) -> None:
    values = [{"name": "planted", "labels": "", "at": minutes(-at / 2), "value": at} for at in range(1, 19)]
    async with room.database.transaction() as session:
        await session.execute(insert(MetricSampleRow), values)
    rules = make_rules()
    async with room.database.reading() as session:
        for rule in rules:
            alone = await read_window(session, SOURCES["metrics"], rule, project_id, START)
            answers = []
            for window in find_windows(rule, project_id, START):
                alike = [one for one in rules if window in find_windows(one, project_id, START)]
                found = await read_numbers(session, SOURCES["metrics"], window, map(find_number, alike))
                answers.append(found[find_number(rule)])
            together = compose_reading(rule, answers)
            assert (together.value, together.baseline_value, together.values_count, together.query) == (
                alone.value, alone.baseline_value, alone.values_count, alone.query
            )  # fmt: skip
            assert (alone.values_count > 0) == (rule.filter == "name:planted")


async def test_rules_of_one_window_of_spans_are_one_statement(room: AlertsRoom, project_id: UUID) -> None:
    windows = {find_windows(rule, project_id, START) for rule in SPAN_RULES}
    ((window,),) = windows
    async with room.database.transaction() as session:
        await session.execute(text("SELECT 1"))
        said: list[str] = []
        execute = session.execute

        async def listen(statement: object, *given: object) -> object:
            said.append(str(statement))
            return await execute(statement, *given)  # type: ignore[call-overload]

        session.execute = listen  # type: ignore[method-assign, assignment]
        found = await read_numbers(session, SOURCES["spans"], window, map(find_number, SPAN_RULES))
    assert len(said) == 1 and len(found) == len(SPAN_RULES)


async def test_each_source_gives_its_measures_together_what_it_gives_alone(
    room: AlertsRoom, project_id: UUID
) -> None:
    async with room.database.reading() as session:
        for name, source in SOURCES.items():
            rules = [
                make_draft(source=name, measure=measure, aggregation=aggregation, filter="")
                for measure in source.measures
                for aggregation in ("sum", "median")
            ]
            (window,) = find_windows(rules[0], project_id, START)
            found = await read_numbers(session, source, window, map(find_number, rules))
            alone = [(await read_numbers(session, source, window, [one]))[one].query for one in found]
            assert [one.query for one in found.values()] == alone
