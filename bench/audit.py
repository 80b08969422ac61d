"""Decision lag of 1,000,000 decisions: from the two columns, and from the content of every decision."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from bench.measuring import Measured, temporary_folder, tools_dir
from sqlalchemy import text

from referee.audit.lags import LagMethod, Window, make_window, read_decision_lag
from referee.foundation.access import get_project
from referee.foundation.settings import load_settings
from referee.foundation.store import Database, open_database

__all__ = ["measure_audit"]

REPEATS = 3
STATEMENT_TIMEOUT_S = 1_800.0

_FILL = text("""
INSERT INTO decisions (decision_id, project_id, supervisor, kind, policy, reason, subject_kind, subject_id,
  source_event_at, supervisor_processed_at, evidence_json, actions_json, content, chain_position, previous_hash, hash)
SELECT decision_id, :project_id, 'bench', 'allowed', 'default', 'Within limits.', 'task', 'task_' || number % 50000,
  event_at, decided_at, '[]', '[]',
  json_build_object('actions', '[]'::json, 'decision_id', decision_id, 'evidence',
    json_build_array(json_build_object('inputs', repeat('x', 300))), 'kind', 'allowed', 'policy', 'default',
    'reason', 'Within limits.', 'schema', 'referee.decision', 'schema_version', '1.1', 'source_event_at', event_at,
    'source_event_provenance', 'recorded', 'supervisor_processed_at', decided_at,
    'supervisor_processed_provenance', 'recorded')::text,
  number, repeat('0', 64), repeat('0', 64)
FROM (SELECT number, gen_random_uuid() AS decision_id, decided_at,
    decided_at - make_interval(secs => (number * 7919 % 100000) / 10000.0) AS event_at
  FROM (SELECT number, now() - make_interval(secs => number * 0.08) AS decided_at
    FROM generate_series(1, CAST(:count AS bigint)) AS number) numbered) timed
""")


def measure_audit(*, rows: int) -> list[Measured]:
    """Fill a table with decisions of the last 24 hours and read their lag in both ways, in turn."""
    with temporary_folder() as folder:
        settings = load_settings(
            home=folder / "home",
            tools_dir=tools_dir(),
            log_level="error",
            database_idle_stop_s=2.0,
            database_statement_timeout_s=STATEMENT_TIMEOUT_S,
        )

        async def run() -> list[Measured]:
            database = await open_database(settings)
            try:
                return await _measure(database, rows)
            finally:
                await database.close()

        return asyncio.run(run())


async def _measure(database: Database, rows: int) -> list[Measured]:
    project_id = (await get_project(database, "default")).project_id
    async with database.transaction() as session:
        await session.execute(_FILL, {"project_id": project_id, "count": rows})
    async with database.reading() as session:
        connection = await session.connection()
        raw = await connection.get_raw_connection()
        await raw.driver_connection.rollback()  # type: ignore[union-attr]  # psycopg's own connection
        await raw.driver_connection.set_autocommit(True)  # type: ignore[union-attr]  # as above; VACUUM asks for it
        await raw.driver_connection.execute("VACUUM ANALYZE decisions")  # type: ignore[union-attr]  # as above
        await raw.driver_connection.set_autocommit(False)  # type: ignore[union-attr]  # as above
    window = make_window("24h")
    times_s: dict[LagMethod, list[float]] = {"columns": [], "payload": []}
    answers = set()
    for _ in range(REPEATS):
        for method, taken in times_s.items():
            seconds, answer = await _time(database, project_id, window, method)
            taken.append(seconds)
            answers.add(answer)
    columns_s, payload_s = min(times_s["columns"]), min(times_s["payload"])
    details: dict[str, object] = {
        "rows_count": rows,
        "times_s": dict(times_s),
        "answers": sorted(map(str, answers)),
    }
    return [
        Measured(name=f"lag of {rows:,} decisions from columns", value=columns_s, unit="s", details=details),
        Measured(name="the same from payloads", value=payload_s, unit="s"),
        Measured(
            name="share of the time from payloads that columns take",
            value=columns_s / payload_s,
            unit="",
            goal=0.1,
        ),
        Measured(name="different answers of the two", value=len(answers) - 1, unit="", goal=0),
    ]


async def _time(
    database: Database, project_id: UUID, window: Window, method: LagMethod
) -> tuple[float, tuple[object, ...]]:
    async with database.reading() as session:
        started = time.perf_counter()
        lag = await read_decision_lag(session, project_id, window, method=method)
        return time.perf_counter() - started, (lag.lags_count, lag.p50_ms, lag.p95_ms, lag.max_ms)
