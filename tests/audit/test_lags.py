"""Decision lag: percentiles of what says something, and the rest counted."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import text
from tests.audit.conftest import NOW, Decide, make_past

from referee.audit.lags import LagMethod, make_window, read_decision_lag
from referee.audit.levels import compute_level
from referee.foundation.store import Database


@pytest.mark.parametrize("method", ["columns", "payload"])
async def test_lag_is_the_same_from_columns_and_from_payloads(
    database: Database, project_id: UUID, decide: Decide, method: LagMethod
) -> None:
    ids = await decide(
        *(make_past("allowed", "a", lag_ms=lag) for lag in range(0, 1_010, 10)),
        make_past("allowed", "a", lag_ms=-5_000),
        make_past("allowed", "a", lag_ms=0, provenance="created_at"),
        make_past("allowed", "a", hours=25, lag_ms=9_000),
        make_past("allowed", "a", hours=-1, lag_ms=9_000),
    )

    async with database.reading() as session:
        lag = await read_decision_lag(session, project_id, make_window("24h", NOW), method=method)

    assert (lag.lags_count, lag.p50_ms, lag.p95_ms, lag.max_ms) == (101, 500, 950, 1_000)
    assert (lag.negative_count, lag.fallback_count, lag.missing_count) == (1, 1, 0)
    assert [sample.lag_ms for sample in lag.samples] == [1_000, 990, 980, 970, 960]
    assert lag.samples[0].decision_id == ids[100]


async def test_seven_days_reach_further_than_one(
    database: Database, project_id: UUID, decide: Decide
) -> None:
    await decide(make_past("allowed", "a", hours=1), make_past("allowed", "a", hours=100))

    async with database.reading() as session:
        day = await read_decision_lag(session, project_id, make_window("24h", NOW))
        week = await read_decision_lag(session, project_id, make_window("7d", NOW))

    assert (day.lags_count, week.lags_count) == (1, 2)


async def test_empty_columns_are_read_from_the_content_and_counted_apart(
    database: Database, project_id: UUID, decide: Decide
) -> None:
    await decide(*(make_past("allowed", "a", lag_ms=lag) for lag in (10, 20, 30, 40)))
    async with database.transaction() as session:
        await session.execute(text("UPDATE decisions SET source_event_at = NULL WHERE chain_position = 4"))

    async with database.reading() as session:
        lag = await read_decision_lag(session, project_id, make_window("24h", NOW))

    assert (lag.query_method, lag.columns_coverage_share, lag.lags_count) == ("payload_fallback", 0.75, 4)
    assert [(sample.lag_ms, sample.source) for sample in lag.samples][:2] == [
        (40, "payload"),
        (30, "columns"),
    ]


async def test_false_zeros_of_when_a_row_was_written_count_only_when_asked_for(
    database: Database, project_id: UUID, decide: Decide
) -> None:
    zeros = [make_past("allowed", "a", lag_ms=0, provenance="created_at") for _ in range(9)]
    await decide(*zeros, make_past("allowed", "a", lag_ms=4_000))

    async with database.reading() as session:
        honest = await read_decision_lag(session, project_id, make_window("24h", NOW))
        poisoned = await read_decision_lag(session, project_id, make_window("24h", NOW), has_fallbacks=True)

    assert (honest.p50_ms, honest.lags_count, honest.fallback_count) == (4_000, 1, 9)
    assert (poisoned.p50_ms, poisoned.lags_count) == (0, 10)


async def test_without_a_decision_nothing_is_claimed(database: Database, project_id: UUID) -> None:
    async with database.reading() as session:
        lag = await read_decision_lag(session, project_id, make_window("24h", NOW))

    assert (lag.lags_count, lag.p95_ms, lag.columns_coverage_share, lag.samples) == (0, None, None, ())


@pytest.mark.parametrize(
    ("value", "level"), [(None, "ok"), (99, "ok"), (100, "warn"), (499, "warn"), (500, "critical")]
)
def test_levels_begin_at_their_thresholds(value: float | None, level: str) -> None:
    assert compute_level(value, 100, 500) == level
