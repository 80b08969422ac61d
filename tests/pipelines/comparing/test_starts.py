"""Whether an app counts as one that starts: what others did to it says nothing of its model."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.apps.failed_runs import AT, add_failed_run

from referee.apps import read_starts
from referee.apps.runs import FailureKind
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("failure", "started_at", "told"),
    [
        (FailureKind.crashed, None, {DIGEST: False}),
        (FailureKind.dependencies_failed, None, {DIGEST: False}),
        (FailureKind.crashed, AT, {DIGEST: True}),
        (FailureKind.killed, None, {}),
        (FailureKind.host_lost, None, {}),
        (FailureKind.port_taken, None, {}),
    ],
)
async def test_only_its_own_faults_make_an_app_one_that_does_not_start(
    database: Database,
    database_settings: Settings,
    failure: FailureKind,
    started_at: datetime | None,
    told: dict[str, bool],
) -> None:
    project_id = (await get_project(database, "default")).project_id
    await add_failed_run(
        database, database_settings, project_id, failure, source_digest=DIGEST, started_at=started_at
    )

    async with database.reading() as session:
        assert await read_starts(session, project_id, [DIGEST]) == told
