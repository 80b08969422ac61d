"""A version of an app that is worse is said to be so, and one that is not is not."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, text
from tests.programs import Referee
from tests.web_site import open_web_client

from referee.analysis.measurement_trends import (
    MeasurementTrend,
    TrendPoint,
    compare_versions,
    find_changes,
    show_value,
)
from referee.analysis.tables import AnalysisRow, MeasurementRow, SubjectRow, ToolRunRow
from referee.apps.tables import AppRow
from referee.core.ids import new_id
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database, record_artifacts
from referee.foundation.store.artifacts import Artifact

START = datetime(2026, 4, 1, tzinfo=UTC)
LISTING = Artifact("a" * 64, 1, "text/plain")


def make(
    values: dict[str, list[float]], *, better: str = "lower", name: str = "latency_p95_ms"
) -> MeasurementTrend:
    """Return a trend: version → values, in order."""
    points = [
        TrendPoint(analysis_id=new_id(), at=START + timedelta(hours=hour), source_digest=digest, value=value)
        for hour, (digest, value) in enumerate(
            (digest, value) for digest, found in values.items() for value in found
        )
    ]
    return MeasurementTrend(tool="ab", name=name, unit="ms", better=better, address="", points=points)


def draw(level: float, count: int, seed: int) -> list[float]:
    numbers = random.Random(seed)
    return [level + numbers.gauss(0, 3) for _ in range(count)]


@pytest.mark.parametrize(
    ("better", "level", "verdict"),
    [
        ("lower", 140, "worse"),
        ("lower", 60, "better"),
        ("higher", 140, "better"),
        ("higher", 60, "worse"),
        ("neither", 140, "changed"),
        ("lower", 100, "no clear change"),
    ],
)
def test_latest_version_is_judged_by_the_direction_of_its_measurement(
    better: str, level: float, verdict: str
) -> None:
    trend = make({"a": draw(100, 6, 1), "b": draw(100, 6, 2), "c": draw(level, 6, 3)}, better=better)

    (judged,) = compare_versions([trend])

    assert judged.verdict == verdict
    assert judged.shift is not None
    assert judged.shift.low <= level - 100 <= judged.shift.high


def test_few_values_and_a_single_version_are_said_to_be_so() -> None:
    few, single = compare_versions([make({"a": [1.0, 2.0], "b": [90.0]}), make({"a": [1.0, 2.0, 3.0]})])

    assert (few.verdict, few.shift) == ("too few values", None)
    assert (single.verdict, single.p_value) == ("too few values", None)


def test_what_got_worse_comes_first_and_many_measurements_make_no_false_claims() -> None:
    quiet = [
        make({"a": draw(100, 8, 2 * seed), "b": draw(100, 8, 2 * seed + 1)}, name=f"quiet_{seed:03d}")
        for seed in range(200)
    ]
    worse = make({"a": draw(100, 8, 901), "b": draw(130, 8, 902)}, name="worse")

    judged = compare_versions([*quiet, worse])

    assert judged[0].name == "worse"
    assert sum(one.verdict in ("worse", "better") for one in judged) <= 2


def test_one_wild_value_makes_no_version_worse() -> None:
    (judged,) = compare_versions([make({"a": draw(100, 8, 1), "b": [*draw(100, 7, 2), 9_000.0]})])

    assert judged.verdict == "no clear change"


def test_change_of_level_is_marked_at_the_version_that_brought_it() -> None:
    trend = make({"a": draw(100, 8, 1), "b": draw(130, 8, 2), "c": draw(130, 8, 3)})

    (change,) = find_changes(trend.points)

    assert trend.points[change.index].source_digest == "b"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1850.4, "1,850"), (-33.14, "-33.1"), (2.5, "2.5"), (0.000213, "0.000213"), (-1e-12, "0")],
)
def test_values_are_shown_without_powers_of_ten(value: float, shown: str) -> None:
    assert show_value(value) == shown


async def plant(database: Database, project_id: UUID) -> UUID:
    """Write an app with two versions of six analyses each; the second answers more slowly."""
    app_id, subject_id = new_id(), new_id()
    async with database.transaction() as session:
        # The database lets no analysis begin as ended; here only its measurements matter.
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        await record_artifacts(session, [LISTING])
        await session.execute(
            insert(AppRow).values(app_id=app_id, project_id=project_id, model="m", number=1, path="/m/app1")
        )
        await session.execute(
            insert(SubjectRow).values(
                subject_id=subject_id,
                project_id=project_id,
                kind="app",
                app_id=app_id,
                name="m/app1",
                path="/m/app1",
            )
        )
        for number in range(13):
            analysis_id, tool_run_id, at = new_id(), new_id(), START + timedelta(hours=number)
            digest = "a" * 64 if number < 6 else "b" * 64
            await session.execute(
                insert(AnalysisRow).values(
                    analysis_id=analysis_id, project_id=project_id, subject_id=subject_id, state="completed",
                    profile="deep", parameters_json={}, is_cache_allowed=False, source_digest=digest,
                    listing_sha256=LISTING.sha256, files_count=1, excluded_count=0, request_digest="r",
                    created_at=at, started_at=at, finished_at=at,
                )
            )  # fmt: skip
            await session.execute(
                insert(ToolRunRow).values(
                    tool_run_id=tool_run_id, analysis_id=analysis_id, position=0, tool="ab", service="performance",
                    parameters_json={}, parameters_digest="stress" if number == 0 else "quick",
                    outcome="succeeded", did_run=True, exit_meaning="clean", parse_state="parsed",
                    findings_count=0, finished_at=at,
                )
            )  # fmt: skip
            rows = [
                (
                    "latency_p95_ms",
                    (100.0 if digest[0] == "a" else 180.0) + number % 3,
                    "lower",
                    "GET /",
                    None,
                ),
                ("requests_count", 50.0, "neither", None, None),
                ("complexity_count", 7.0, "lower", None, "main.py"),
            ]
            await session.execute(
                insert(MeasurementRow),
                [
                    {
                        "tool_run_id": tool_run_id, "ordinal": ordinal, "analysis_id": analysis_id, "name": name,
                        "value": value, "unit": name.rpartition("_")[2], "better": better, "address": address,
                        "path": path,
                    }
                    for ordinal, (name, value, better, address, path) in enumerate(rows)
                ],
            )  # fmt: skip
    return app_id


async def test_page_json_and_command_name_the_regression(
    database: Database, database_settings: Settings, referee: Referee
) -> None:
    app_id = await plant(database, (await get_project(database, "default")).project_id)

    async with open_web_client(database_settings) as client:
        answer = (await client.get(f"/v1/apps/{app_id}/measurements")).json()
        first = (await client.get(f"/v1/apps/{app_id}/measurements", params={"limit": 1})).json()
        second = await client.get(
            f"/v1/apps/{app_id}/measurements", params={"limit": 1, "cursor": first["next_cursor"]}
        )
        filtered = await client.get(f"/v1/apps/{app_id}/measurements", params={"filter": "name:requests*"})
        page = (await client.get(f"/ui/apps/{app_id}/measurements", headers={"Accept": "text/html"})).text
        absent = await client.get(f"/v1/apps/{new_id()}/measurements")
    printed = json.loads(referee("analysis", "trends", str(app_id), "--json").stdout)
    table = referee("analysis", "trends", str(app_id)).stdout

    latency, requests = answer["items"]
    assert (latency["name"], latency["address"], latency["verdict"]) == ("latency_p95_ms", "GET /", "worse")
    assert len(latency["points"]) == 12  # the first was measured with other parameters
    assert latency["changes"][0]["at"] == "2026-04-01T06:00:00Z"
    assert (requests["verdict"], requests["changes"]) == ("no clear change", [])
    assert (first["items"], second.json()["items"]) == ([latency], [requests])
    assert filtered.json()["total_count"] == 1
    assert absent.status_code == 404
    assert printed["items"] == answer["items"]
    assert "worse" in table
    assert "ab latency_p95_ms GET /" in page
    assert "the median changed from 101" in page
