"""What would go is told kind by kind, and nothing goes by being asked."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select
from tests.alerts.conftest import SOURCES, make_draft
from tests.web_site import open_web_client

from referee.alerts.keeping import count_old_log, forget_log
from referee.alerts.room import AlertsRoom
from referee.alerts.sealing import open_sealer
from referee.alerts.service import create_rule
from referee.alerts.tables import AlertDeliveryRow, AlertEvaluationRow, AlertNotificationRow
from referee.core.errors import InvalidInput
from referee.core.ids import new_id
from referee.foundation.access import get_project
from referee.foundation.outgoing import OutgoingGuard
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.operations.retention import read_retention


@pytest.fixture
async def project_id(database: Database) -> UUID:
    return (await get_project(database, "default")).project_id


@pytest.fixture
def room(database: Database, database_settings: Settings) -> AlertsRoom:
    database_settings.ensure_home()
    return AlertsRoom(
        settings=database_settings,
        database=database,
        sources=SOURCES,
        guard=OutgoingGuard(()),
        sealer=open_sealer(database_settings.home),
    )


async def _plant(room: AlertsRoom, project_id: UUID) -> None:
    rule = await create_rule(room, project_id, make_draft())
    async with room.database.transaction() as session:
        for days in (1, 40, 400):
            at = func.now() - timedelta(days=days)
            await session.execute(
                insert(AlertEvaluationRow).values(
                    rule_id=rule.rule_id, to_at=at, project_id=project_id, from_at=at, values_count=0,
                    outcome="good", condition="active", query="", duration_ms=0,
                )
            )  # fmt: skip
            await session.execute(
                insert(AlertNotificationRow).values(
                    notification_id=new_id(), project_id=project_id, rule_id=rule.rule_id, rule_name="r",
                    transition=days, state="triggered", severity="info", title="t", content_json={}, created_at=at,
                )
            )  # fmt: skip


async def test_each_kind_says_what_would_go_and_keeps_it(room: AlertsRoom, project_id: UUID) -> None:
    await _plant(room, project_id)
    assert 40 < room.settings.alert_log_days < 400
    for days, count in ((365, 1), (30, 2), (None, 1)):
        found = {
            one.kind: one for one in await read_retention(room.database, room.settings, project_id, days)
        }
        assert (found["alert_evaluations"].count, found["alert_notifications"].count) == (count, count)
        assert found["alert_deliveries"].count == 0
    assert found["sessions"].keep_days is None and found["sessions"].count == 0
    assert {"jobs", "video_uploads", "probe_results"} <= found.keys()
    async with room.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(AlertEvaluationRow)) == 3
    with pytest.raises(InvalidInput):
        await read_retention(room.database, room.settings, project_id, 0)


async def test_what_was_told_to_go_goes(room: AlertsRoom, project_id: UUID) -> None:
    await _plant(room, project_id)
    settings = room.settings
    told = await count_old_log(room.database, project_id, settings.alert_log_days)
    gone_count = await forget_log(room)
    assert gone_count == told["evaluations"][0] >= 1
    left = await count_old_log(room.database, project_id, settings.alert_log_days)
    assert [count for count, _ in left.values()] == [0, 0, 0]
    async with room.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(AlertDeliveryRow)) == 0
        assert await session.scalar(select(func.count()).select_from(AlertNotificationRow)) == 3 - gone_count


async def test_page_and_json_say_the_same(database_settings: Settings) -> None:
    async with open_web_client(database_settings) as client:
        answer = await client.get("/v1/retention/kinds", params={"keep_days": 30})
        page = await client.get("/ui/retention?keep_days=30", headers={"Accept": "text/html"})
        refused = await client.get("/v1/retention/kinds", params={"keep_days": 0})
    assert answer.status_code == page.status_code == 200 and refused.status_code == 422
    kinds = answer.json()["kinds"]
    assert {one["asked_days"] for one in kinds} == {30}
    assert all(one["title"] in page.text for one in kinds)
