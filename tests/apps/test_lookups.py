"""Whether another try may find an app up."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from referee.apps import can_app_run
from referee.apps.runs import FailureKind
from referee.apps.tables import AppRunRow
from referee.core.ids import new_id
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database, open_artifacts, record_artifacts

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
async def project_id(database: Database) -> UUID:
    return (await get_project(database, "default")).project_id


@pytest.mark.parametrize(
    ("failure", "started_at", "can_run"),
    [
        (FailureKind.crashed, None, False),
        (FailureKind.never_listened, None, False),
        (FailureKind.crashed, AT, True),
        (FailureKind.killed, None, True),
        (FailureKind.host_lost, None, True),
        (FailureKind.port_taken, None, True),
    ],
)
async def test_app_that_was_up_or_was_stopped_by_others_is_worth_another_try(
    database: Database,
    database_settings: Settings,
    project_id: UUID,
    failure: FailureKind,
    started_at: datetime | None,
    can_run: bool,
) -> None:
    listing = await open_artifacts(database_settings).put_bytes(b"{}", "application/json")
    async with database.transaction() as session:
        await record_artifacts(session, [listing])
        session.add(
            AppRunRow(
                app_run_id=new_id(),
                project_id=project_id,
                name="an app",
                source_digest="a" * 64,
                listing_sha256=listing.sha256,
                machine="here",
                state="failed",
                failure=failure.value,
                started_at=started_at,
                finished_at=AT,
            )
        )
    async with database.reading() as session:
        assert await can_app_run(session, project_id, "a" * 64) is can_run
        assert await can_app_run(session, project_id, "b" * 64) is False
