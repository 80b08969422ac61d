"""Backfills: rows a second by rows and batch size, beside one bare UPDATE in the same run; and kills."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import psycopg
from bench.measuring import Measured, temporary_folder
from tests.backfills.kills import run_kills

from referee.backfills.audit_worlds import create_audit_database, create_audit_table
from referee.foundation.settings import load_settings
from referee.foundation.store.database import database_url_of
from referee.foundation.store.server import join_server

__all__ = ["measure_backfill_kills", "measure_backfills"]

_SIZES = ((10_000, 1_000), (10_000, 10_000), (100_000, 1_000), (100_000, 5_000), (100_000, 10_000))
_LARGE = ((1_000_000, 1_000), (1_000_000, 5_000), (1_000_000, 10_000))
_ORIGINAL_ROWS_PER_S = 3_300
_WORK = """
import json, pathlib, sys, time
from referee.backfills.ledger import RunOptions
from referee.backfills.registry import create_backfill
from referee.backfills.running import RunRequest, run_backfill, start_run
from referee.backfills.targets.opening import open_target
with open_target(sys.argv[1]) as target:
    wall, cpu = time.monotonic(), time.process_time()
    request = RunRequest(options=RunOptions(batch_size=int(sys.argv[2])))
    run = run_backfill(target, start_run(target, create_backfill("audit-decisions"), request), max_batch_s=60)
    status = pathlib.Path("/proc/self/status").read_text()
    print(json.dumps({"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu, "state": run.state,
        "rows": run.counts.seen_count, "rss_mb": int(status.split("VmHWM:")[1].split()[0]) / 1024}))
"""
_KEYS = (
    ("source_event_ts", ("source_event_ts", "source_ts", "event_timestamp", "task_created_at")),
    ("supervisor_processed_at", ("supervisor_processed_at", "processed_at", "timestamp")),
)


def measure_backfills(*, rows: int) -> list[Measured]:
    """Measure every combination up to ``rows`` rows, on SQLite, and the largest on PostgreSQL."""
    sizes = [one for one in (*_SIZES, *_LARGE) if one[0] <= rows]
    measured: list[Measured] = []
    with temporary_folder() as folder:
        for count in sorted({count for count, _ in sizes}):
            bare_wall, bare_cpu = _measure_bare(folder, count)
            for _, batch_size in [one for one in sizes if one[0] == count]:
                measured += _measure_run(folder, count, batch_size, bare_wall, bare_cpu)
        measured += _measure_postgres(folder, min(rows, 1_000_000))
    return measured


def measure_backfill_kills(*, kills: int, rows: int, seed: int) -> list[Measured]:
    """Kill a run at random instants, and compare its end with that of one nobody killed."""
    print(f"seed {seed}", file=sys.stderr)
    with temporary_folder() as folder:
        count = run_kills(
            folder,
            kills=kills,
            rows=rows,
            batch_size=max(100, rows // kills // 5),
            seed=seed,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
    faults: tuple[tuple[str, Sequence[object]], ...] = (
        ("files that the dry run before wrote to or made", count.written_files),
        ("numbers that the dry run predicted otherwise", count.wrong_predictions),
        ("rules whose values are not as many as the run says", count.uncounted_rules),
    )
    return [
        Measured(name=f"kills of a backfill of {rows:,} rows", value=count.kills, unit=""),
        Measured(name="kills amid work", value=count.kills_amid_work, unit=""),
        *(
            Measured(name=name, value=len(found), unit="", goal=0, details={"names": found})
            for name, found in faults
        ),
        Measured(
            name="tables that differ from an uninterrupted run", value=count.differing_tables, unit="", goal=0
        ),
        Measured(name="undo that did not restore the original", value=not count.is_undone, unit="", goal=0),
    ]


def _measure_run(
    folder: Path, count: int, batch_size: int, bare_wall: float, bare_cpu: float
) -> list[Measured]:
    path = folder / f"run-{count}-{batch_size}.db"
    create_audit_database(path, count)
    told = _run_apart(str(path), batch_size)
    path.unlink()
    name = f"{count:,} rows, batches of {batch_size:,}"
    wall_s, cpu_s = told["wall_s"], told["cpu_s"]
    return [
        Measured(
            name=f"SQLite, {name}: time a row",
            value=1e6 * wall_s / told["rows"],
            unit="µs",
            goal=10.0 if (count, batch_size) == (1_000_000, 10_000) else None,
            details={
                **told,
                "rows_per_s": told["rows"] / wall_s,
                "rows_per_cpu_s": told["rows"] / cpu_s,
                "original_rows_per_s": _ORIGINAL_ROWS_PER_S,
            },
        ),
        Measured(name=f"SQLite, {name}: processor time a row", value=1e6 * cpu_s / told["rows"], unit="µs"),
        Measured(
            name=f"SQLite, {name}: processor time ÷ that of one bare UPDATE",
            value=cpu_s / bare_cpu,
            unit="×",
            goal=2.0,
            details={"bare_wall_s": bare_wall, "bare_cpu_s": bare_cpu, "wall_ratio": wall_s / bare_wall},
        ),
        Measured(name=f"SQLite, {name}: peak memory", value=told["rss_mb"], unit="MB", goal=200.0),
    ]


def _run_apart(address: str, batch_size: int) -> dict[str, float]:
    """In a process of its own, so that its memory can be measured."""
    done = subprocess.run(
        [sys.executable, "-c", _WORK, address, str(batch_size)], capture_output=True, text=True, check=True
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _measure_bare(folder: Path, count: int) -> tuple[float, float]:
    """One UPDATE that does the same with SQLite's own JSON functions, and one INSERT of the same provenance."""
    path = folder / f"bare-{count}.db"
    create_audit_database(path, count)
    wall, cpu = time.monotonic(), time.process_time()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=-49152")
        connection.execute("PRAGMA wal_autocheckpoint=8000")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _bare_statements(
            "json_valid(payload) AND json_type(payload) = 'object'", _sqlite_value
        ):
            connection.execute(statement)
        connection.execute("COMMIT")
    took = time.monotonic() - wall, time.process_time() - cpu
    path.unlink()
    return took


def _bare_statements(is_object: str, value: Callable[[str], str]) -> list[str]:
    sets = []
    for column, keys in _KEYS:
        values = ", ".join(value(key) for key in keys)
        sets.append(
            f"{column} = COALESCE({column}, CASE WHEN payload IS NULL THEN CAST(created_at AS TEXT) "
            f"WHEN {is_object} THEN COALESCE({values}, CAST(created_at AS TEXT)) END)"
        )
    where = "event_type LIKE '%SUPERVISOR%'"
    return [
        "CREATE TABLE bare_changes (row_key BIGINT, run_no INTEGER, source_rule INTEGER, source_written TEXT, "
        "processed_rule INTEGER, processed_written TEXT, PRIMARY KEY (row_key, run_no))",
        f"UPDATE task_audits SET {', '.join(sets)} WHERE {where} "  # noqa: S608 - SQL of our own
        "AND (source_event_ts IS NULL OR supervisor_processed_at IS NULL)",
        "INSERT INTO bare_changes SELECT audit_id, 1, 1, source_event_ts, 1, supervisor_processed_at "  # noqa: S608
        f"FROM task_audits WHERE {where}",
    ]


def _sqlite_value(key: str) -> str:
    return f"json_extract(payload, '$.{key}')"


def _postgres_value(key: str) -> str:
    return f"payload::json ->> '{key}'"


def _measure_postgres(folder: Path, count: int) -> list[Measured]:
    settings = load_settings(home=folder / "home", database_idle_stop_s=0.0)
    settings.ensure_home()
    lease = join_server(settings)
    try:
        address = f"host={lease.socket_dir} user=postgres dbname=postgres"
        walls = []
        for name in ("bare", "run"):
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("DROP TABLE IF EXISTS task_audits, schema_version")
            create_audit_table(address, count)
            if name == "run":
                told = _run_apart(
                    database_url_of(address).replace("postgresql+psycopg", "postgresql"), 10_000
                )
                walls.append(told["wall_s"])
                continue
            began = time.monotonic()
            with psycopg.connect(address) as connection:
                # The text is parsed only where it looks like an object: PostgreSQL 15 cannot ask whether it is JSON.
                for statement in _bare_statements(
                    "payload LIKE '{%}' AND payload NOT LIKE '%1e300%'", _postgres_value
                ):
                    connection.execute(statement.encode())
            walls.append(time.monotonic() - began)
    finally:
        lease.release()
    bare_s, run_s = walls
    name = f"{count:,} rows, batches of 10,000"
    return [
        Measured(
            name=f"PostgreSQL, {name}: time a row", value=1e6 * run_s / count, unit="µs", details=dict(told)
        ),
        Measured(
            name=f"PostgreSQL, {name}: time ÷ that of one bare UPDATE",
            value=run_s / bare_s,
            unit="×",
            goal=2.0,
            details={"bare_s": bare_s, "run_s": run_s},
        ),
    ]
