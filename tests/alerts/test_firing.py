"""Rules fire once and rest once, whoever evaluates them and whatever people do with them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update
from tests.alerts.conftest import START, make_draft, minutes

from referee.alerts.channels import create_channel
from referee.alerts.firing import evaluate_due
from referee.alerts.queries import get_rule, list_evaluations, list_notifications
from referee.alerts.room import AlertsRoom
from referee.alerts.rules import RuleDraft
from referee.alerts.sampling import Sampler
from referee.alerts.service import (
    act_on_rule,
    apply_rules,
    create_rule,
    delete_rule,
    ensure_default_rules,
    mute_rule,
    try_rule,
    update_rule,
)
from referee.alerts.tables import AlertDeliveryRow, AlertRuleRow, MetricSampleRow
from referee.alerts.words import ChannelKind
from referee.core.errors import Conflict, InvalidInput
from referee.core.ids import new_id
from referee.foundation.access import Principal, create_project
from referee.foundation.jobs import JobEngine, JobRow


async def plant(room: AlertsRoom, *values: tuple[float, float], name: str = "planted") -> None:
    """Write samples: minutes after START and value."""
    rows = [{"name": name, "labels": "", "at": minutes(at), "value": value} for at, value in values]
    async with room.database.transaction() as session:
        await session.execute(insert(MetricSampleRow), rows)


async def make(room: AlertsRoom, project_id: UUID, draft: RuleDraft) -> UUID:
    """Add a rule whose first window ends at START."""
    rule = await create_rule(room, project_id, draft)
    async with room.database.transaction() as session:
        await session.execute(
            update(AlertRuleRow).where(AlertRuleRow.rule_id == rule.rule_id).values(next_at=START)
        )
    return rule.rule_id


async def tell_states(room: AlertsRoom, project_id: UUID, rule_id: UUID | None = None) -> list[str]:
    """Return what was told, the first first."""
    async with room.database.reading() as session:
        page = await list_notifications(session, project_id, rule_id=rule_id, limit=200)
    return [one.state for one in reversed(page.items)]


async def test_a_rule_fires_once_and_resolves_once_with_a_log_of_every_window(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    await create_channel(
        room, project_id, name="ops", kind=ChannelKind.webhook, address="http://127.0.0.1:9/hook"
    )
    rule_id = await make(room, project_id, make_draft())
    await plant(room, (0.5, 8), (1.5, 8))
    for minute in range(12):
        await evaluate_due(room, engine, now=minutes(minute))
    async with room.database.reading() as session:
        log = await list_evaluations(session, project_id, rule_id)
        told = (await list_notifications(session, project_id, rule_id=rule_id)).items
        deliveries = (await session.scalars(select(AlertDeliveryRow))).all()
        jobs = (await session.scalars(select(JobRow.kind))).all()
    assert [(one.value, one.outcome) for one in reversed(log.items)] == [
        (0, "good"), (8, "between"), (16, "bad"), (16, "bad"), (16, "bad"), (16, "bad"), (8, "between"),
        (0, "good"), (0, "good"), (0, "good"), (0, "good"), (0, "good"),
    ]  # fmt: skip
    assert "metric_samples" in log.items[0].query and "planted" in log.items[0].query
    assert [one.title for one in reversed(told)] == ["Firing: Errors (16)", "Resolved: Errors (0)"]
    assert told[1].content["causes"] == [{"subject": "planted", "value": 8.0}] * 2
    assert str(told[1].content["url"]).endswith(f"/ui/alerts/{rule_id}")
    assert (len(deliveries), jobs) == (2, ["alerts.deliver"] * 2)


async def test_many_evaluators_tell_each_change_once(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    rules = [await make(room, project_id, make_draft(name=f"r{number}", window="1m")) for number in range(6)]
    await plant(room, *((minute + 0.5, 20) for minute in range(0, 20, 2)))
    for minute in range(20):
        await asyncio.gather(*(evaluate_due(room, engine, now=minutes(minute)) for _ in range(4)))
    for rule_id in rules:
        assert await tell_states(room, project_id, rule_id) == ["triggered", "resolved"] * 9 + ["triggered"]


@pytest.mark.slow
async def test_windows_that_nobody_evaluated_are_not_made_up_for(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    rule_id = await make(room, project_id, make_draft())
    await plant(room, (0.5, 50), (100.5, 50))
    await evaluate_due(room, engine, now=minutes(0))
    done = await evaluate_due(room, engine, now=minutes(103.4))
    async with room.database.reading() as session:
        rule, log = (
            await get_rule(session, project_id, rule_id),
            await list_evaluations(session, project_id, rule_id),
        )
    assert (done.rules_count, rule.evaluated_at, rule.next_at) == (1, minutes(103), minutes(104))
    assert [one.value for one in log.items] == [50, 0]


async def test_a_muted_rule_is_silent_and_says_afterwards_how_things_are(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    rule_id = await make(room, project_id, make_draft())
    other_id = await make(room, project_id, make_draft(name="Over by then", window="1m"))
    for one in (rule_id, other_id):
        await mute_rule(room, project_id, one, datetime.now(UTC) + timedelta(days=1))
    await plant(room, (0.5, 50))
    for minute in range(4):
        await evaluate_due(room, engine, now=minutes(minute))
    assert await tell_states(room, project_id) == []
    shown = [await act_on_rule(room, engine, project_id, one, "unmute") for one in (rule_id, other_id)]
    assert [one.state.value for one in shown] == ["triggered", "resolved"]
    assert [await tell_states(room, project_id, one) for one in (rule_id, other_id)] == [["triggered"], []]


@pytest.mark.slow
async def test_people_pause_resolve_and_change_a_rule(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    rule_id = await make(room, project_id, make_draft())
    await plant(room, (0.5, 50))
    await evaluate_due(room, engine, now=minutes(1))
    assert (
        await act_on_rule(room, engine, project_id, "Errors", "resolve", actor="me")
    ).state.value == "resolved"
    with pytest.raises(Conflict):
        await act_on_rule(room, engine, project_id, "Errors", "resolve")
    await evaluate_due(room, engine, now=minutes(2))  # still bad: it fires again
    assert (await act_on_rule(room, engine, project_id, "Errors", "pause")).state.value == "paused"
    assert (await evaluate_due(room, engine, now=minutes(9))).rules_count == 0
    changed = await update_rule(
        room, project_id, rule_id, make_draft(name="Many errors", severity="critical")
    )
    assert (changed.draft.name, changed.draft.severity.value, changed.condition.value) == (
        "Many errors", "critical", "triggered",
    )  # fmt: skip
    assert await tell_states(room, project_id) == ["triggered", "resolved", "triggered"]
    await delete_rule(room, project_id, rule_id)
    assert await tell_states(room, project_id) == ["triggered", "resolved", "triggered"]


@pytest.mark.slow
async def test_drift_and_single_events_are_watched(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    drift = make_draft(
        name="Drift",
        kind="drift",
        aggregation="average",
        critical_threshold="50%",
        resolved_threshold="20%",
        minimum_count=2,
    )
    single = make_draft(name="Single", kind="per_event", critical_threshold=25, resolved_threshold=25)
    ids = [await make(room, project_id, one) for one in (drift, single)]
    await plant(room, (-8, 10), (-7, 12), (-3, 20), (-2, 26))
    await evaluate_due(room, engine, now=START)
    async with room.database.reading() as session:
        first, second = [(await list_evaluations(session, project_id, one)).items[0] for one in ids]
    assert first.value == pytest.approx(12 / 11)
    assert (first.baseline_value, first.values_count, first.outcome) == (11, 2, "bad")
    assert (second.value, second.values_count, second.outcome) == (1, 2, "bad")


async def test_a_rule_is_tried_on_history(room: AlertsRoom, project_id: UUID) -> None:
    await plant(room, *((minute + 0.5, 20) for minute in (0, 20, 40)))
    trial = await try_rule(room, project_id, make_draft(), windows_count=60, to_at=minutes(59.7))
    assert (trial.fired_count, trial.resolved_count) == (3, 3)
    assert trial.sentence == "It would have fired 3 times and resolved 3, over 60 windows."
    assert await tell_states(room, project_id) == []
    with pytest.raises(InvalidInput):
        await try_rule(room, project_id, make_draft(), windows_count=301)


@pytest.mark.slow
async def test_a_query_that_fails_is_told_in_the_log_and_stops_no_other_rule(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    bad, good = [await make(room, project_id, make_draft(name=name)) for name in ("bad", "good")]
    async with room.database.transaction() as session:
        await session.execute(update(AlertRuleRow).where(AlertRuleRow.rule_id == bad).values(filter="gone:1"))
    await evaluate_due(room, engine, now=START)
    async with room.database.reading() as session:
        logs = [(await list_evaluations(session, project_id, one)).items[0] for one in (bad, good)]
    assert [one.outcome for one in logs] == ["failed", "good"]
    assert "gone" in logs[0].reason


@pytest.mark.slow
async def test_a_file_of_rules_is_applied_by_name(room: AlertsRoom, project_id: UUID) -> None:
    first = await apply_rules(room, project_id, [make_draft(), make_draft(name="b")])
    second = await apply_rules(
        room, project_id, [make_draft(hold="2m"), make_draft(name="b"), make_draft(name="c")]
    )
    assert first == [("Errors", "created"), ("b", "created")]
    assert second == [("Errors", "changed"), ("b", "unchanged"), ("c", "created")]
    with pytest.raises(InvalidInput):
        await apply_rules(room, project_id, [make_draft(), make_draft()])
    with pytest.raises(InvalidInput):
        await apply_rules(room, project_id, [make_draft(name="d"), make_draft(name="e", channels="nobody")])


async def test_default_rules_are_made_once_for_each_project(room: AlertsRoom, project_id: UUID) -> None:
    admin = Principal(project_id, "default", None, frozenset({"admin"}))
    other = await create_project(room.database, admin, "other", "Other")
    assert [await ensure_default_rules(room, one) for one in (project_id, other.project_id, project_id)] == [
        8,
        4,
        0,
    ]
    await delete_rule(room, project_id, "Jobs wait long")
    assert await ensure_default_rules(room, project_id) == 0
    with pytest.raises(InvalidInput, match="whole installation"):
        await create_rule(room, other.project_id, make_draft())


async def test_every_source_and_measure_can_be_watched(room: AlertsRoom, project_id: UUID) -> None:
    for source in room.sources.values():
        for measure in (*source.measures, *([f"{source.open_measures}a.b"] if source.open_measures else [])):
            fields = [name for name, field in source.fields.items() if field.kind in ("keyword", "text")][:2]
            draft = make_draft(
                source=source.name,
                measure=measure,
                aggregation="p95",
                filter=" ".join(f"{name}:x*" for name in fields),
            )
            trial = await try_rule(room, project_id, draft, windows_count=1)
            assert trial.points[0].values_count == 0, (source.name, measure)


@pytest.mark.slow
async def test_own_metrics_become_rows_of_what_they_grew_by(room: AlertsRoom) -> None:
    from referee.alerts.metrics import DELIVERIES

    sampler = Sampler(room)
    await sampler.sample()
    DELIVERIES.labels(kind="slack", result="failed").inc(3)
    await sampler.sample()
    await sampler.sample()
    async with room.database.reading() as session:
        rows = await session.execute(
            select(MetricSampleRow.value)
            .where(
                MetricSampleRow.name == "referee_alerts_deliveries_total",
                MetricSampleRow.labels.contains("slack"),
            )
            .order_by(MetricSampleRow.sample_id.desc())
        )
        disk = await session.scalar(
            select(MetricSampleRow.value)
            .where(MetricSampleRow.name == "referee_alerts_disk_free_share")
            .limit(1)
        )
    assert rows.scalars().first() == 3
    assert disk is not None and 0 < disk < 1
    assert new_id() != new_id()
