"""The overview of operations counts what the rows say, and its page, JSON and command say the same."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, text
from tests.programs import Referee
from tests.web_site import open_web_client

from referee.alerts.tables import MetricSampleRow
from referee.analysis.tables import AnalysisRow, SubjectRow, ToolRunAttemptRow, ToolRunRow
from referee.core.ids import new_id
from referee.core.vocabulary import Service
from referee.foundation.access import create_project, find_local_principal, get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database, record_artifacts
from referee.foundation.store.artifacts import Artifact
from referee.operations.overview import read_overview
from referee.operations.windows import make_window

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
LISTING = Artifact("a" * 64, 1, "text/plain")


async def plant(
    database: Database, project_id: UUID, *, minutes_ago: float, duration_s: float, state: str = "completed",
    digest: str = "d", outcome: str = "succeeded", is_accepted: bool = True,
) -> None:  # fmt: skip
    """Write an analysis that ended so many minutes ago, with one static tool run and one attempt at it."""
    ended_at = NOW - timedelta(minutes=minutes_ago)
    analysis_id, tool_run_id = new_id(), new_id()
    async with database.transaction() as session:
        # The database lets no analysis begin as ended; what is asked of these rows is only to be counted.
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        subject_id = await session.scalar(
            text("SELECT subject_id FROM subjects WHERE project_id = :p"), {"p": project_id}
        )
        if subject_id is None:
            subject_id = new_id()
            await record_artifacts(session, [LISTING])
            await session.execute(
                insert(SubjectRow).values(
                    subject_id=subject_id, project_id=project_id, kind="folder", name="x", path="/x"
                )
            )
        await session.execute(
            insert(AnalysisRow).values(
                analysis_id=analysis_id, project_id=project_id, subject_id=subject_id, state=state,
                profile="quick", parameters_json={}, is_cache_allowed=False, source_digest=digest,
                listing_sha256=LISTING.sha256, files_count=1, excluded_count=0, request_digest="r",
                created_at=ended_at - timedelta(seconds=duration_s),
                started_at=ended_at - timedelta(seconds=duration_s), finished_at=ended_at,
            )
        )  # fmt: skip
        await session.execute(
            insert(ToolRunRow).values(
                tool_run_id=tool_run_id, analysis_id=analysis_id, position=0, tool="vulture", service="static",
                parameters_json={}, parameters_digest="p", outcome=outcome, did_run=True, exit_meaning="clean",
                parse_state="parsed", findings_count=0, finished_at=ended_at,
            )
        )  # fmt: skip
        await session.execute(
            insert(ToolRunAttemptRow).values(
                tool_run_id=tool_run_id,
                attempt=1,
                executor_id="x",
                finished_at=ended_at,
                is_accepted=is_accepted,
            )
        )


async def plant_samples(database: Database, *rows: tuple[str, str, float, int]) -> None:
    """Write samples of Referee's own metrics of ten minutes ago: name, labels, value, weight."""
    async with database.transaction() as session:
        await session.execute(
            insert(MetricSampleRow),
            [
                {
                    "name": name,
                    "labels": labels,
                    "value": value,
                    "weight": weight,
                    "at": NOW - timedelta(minutes=10),
                }
                for name, labels, value, weight in rows
            ],
        )


@pytest.fixture
async def project_id(database: Database) -> UUID:
    return (await get_project(database, "default")).project_id


async def test_every_number_is_of_the_window_and_the_project(database: Database, project_id: UUID) -> None:
    other = await create_project(database, await find_local_principal(database), "other", "Other")
    await plant(database, project_id, minutes_ago=20.4, duration_s=10)
    await plant(database, project_id, minutes_ago=19.6, duration_s=10, outcome="failed", state="failed")
    await plant(database, project_id, minutes_ago=5, duration_s=30, digest="e", is_accepted=False)
    await plant(database, project_id, minutes_ago=200, duration_s=30, digest="e")
    await plant(database, project_id, minutes_ago=3, duration_s=99, digest="f", state="cancelled")
    await plant(database, other.project_id, minutes_ago=5, duration_s=500)
    await plant_samples(
        database,
        ("referee_store_artifact_writes_total", "", 7, 1),
        ("referee_store_artifact_writes_total", "", 3, 1),
        ("referee_store_artifact_failures_total", "reason=full", 2, 1),
        ("referee_analysis_creation_seconds", "", 0.25, 18),
        ("referee_analysis_creation_seconds", "", 5.0, 2),
    )

    overview = await read_overview(database, project_id, make_window("1h", NOW))

    static = next(one for one in overview.services if one.service is Service.static)
    assert (static.succeeded_count, static.total_count) == (2, 3)
    assert [(part.count, part.failed_count, part.p50_s) for part in overview.durations] == [
        (1, 0, 10.0),
        (1, 1, 10.0),
        (1, 0, 30.0),
    ]
    assert (overview.repeats.analyses_count, overview.repeats.doubled_count) == (4, 1)
    assert (overview.repeats.attempts_count, overview.repeats.refused_attempts_count) == (4, 1)
    assert (overview.artifacts.count, overview.artifacts.failures) == (10, {"full": 2})
    assert overview.creation.count == 20
    assert (overview.creation.find_quantile_s(0.5), overview.creation.find_quantile_s(0.95)) == (0.25, 5.0)
    assert (overview.hand_overs.ended_count, overview.firing, overview.workers) == (0, [], [])


async def test_change_of_duration_is_marked_where_it_happened(database: Database, project_id: UUID) -> None:
    for minute in range(2, 42):
        duration_s = (60 if minute < 20 else 10) + minute % 3
        await plant(database, project_id, minutes_ago=minute, duration_s=duration_s, digest=str(minute))

    overview = await read_overview(database, project_id, make_window("1h", NOW))

    (change,) = overview.duration_changes
    at = overview.durations[change.index].at
    assert abs(at - (NOW - timedelta(minutes=19))) <= timedelta(minutes=1)
    assert (change.before_median, change.after_median) == (11.0, 61.0)


async def test_page_json_and_command_say_the_same(
    database: Database, project_id: UUID, database_settings: Settings, referee: Referee
) -> None:
    await plant(database, project_id, minutes_ago=4, duration_s=10)
    await plant_samples(
        database,
        ("referee_store_artifact_writes_total", "", 1_234_567, 1),
        ("referee_analysis_creation_seconds", "", 0.25, 3),
    )

    async with open_web_client(database_settings) as client:
        answer = (await client.get("/v1/operations", params={"window": "7d"})).json()
        page = (await client.get("/ui/operations?window=7d", headers={"Accept": "text/html"})).text
        refused = await client.get("/v1/operations", params={"window": "2h"})
    printed = json.loads(referee("operations", "--window", "7d", "--json").stdout)
    table = referee("operations").stdout

    assert answer["services"][0] == printed["services"][0]
    assert answer["durations"] == printed["durations"]
    assert answer["creation"] == printed["creation"]
    assert answer["artifacts"]["writes_count"] >= 1_234_567
    # Other writes of this process are counted too, and some come between one read and the next.
    assert re.search(r"1,23[4-9],\d{3}", page)
    assert "1 of 1" in page
    assert "static succeeded" in table
    assert refused.status_code == 422
