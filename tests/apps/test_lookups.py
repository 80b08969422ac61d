"""Whether another try may find an app up."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.apps.failed_runs import AT, add_failed_run

from referee.apps import can_app_run
from referee.apps.runs import FailureKind
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database

DIGEST, OTHER = "a" * 64, "b" * 64


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
    failure: FailureKind,
    started_at: datetime | None,
    can_run: bool,
) -> None:
    project_id = (await get_project(database, "default")).project_id
    await add_failed_run(
        database, database_settings, project_id, failure, source_digest=DIGEST, started_at=started_at
    )

    async with database.reading() as session:
        assert await can_app_run(session, project_id, DIGEST) is can_run
        assert await can_app_run(session, project_id, OTHER) is False
