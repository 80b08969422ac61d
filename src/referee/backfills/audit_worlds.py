"""Seeded audit databases as the agent system left them: mixed payload shapes, timestamp forms and poison rows.

For tests, benches and for trying a backfill out: ``python -m referee.backfills.audit_worlds PATH --rows 1000000``.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg

__all__ = [
    "AUDIT_SCHEMA",
    "AUDIT_V21_COLUMNS",
    "AUDIT_V21_INDEXES",
    "create_audit_database",
    "create_audit_table",
    "make_audit_rows",
]

AUDIT_SCHEMA: Final = """
CREATE TABLE task_audits (
    audit_id INTEGER PRIMARY KEY{auto}, task_id TEXT NOT NULL, level TEXT DEFAULT 'info',
    event_type TEXT NOT NULL, payload TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP{columns})
"""
AUDIT_V21_COLUMNS: Final = (
    ", decision_id TEXT, source_event_ts TEXT, supervisor_processed_at TEXT, verdict_id TEXT, repo_id TEXT"
)
AUDIT_V21_INDEXES: Final = (
    "CREATE UNIQUE INDEX idx_task_audits_decision_id ON task_audits(decision_id) WHERE decision_id IS NOT NULL",
    "CREATE INDEX idx_task_audits_source_event_ts ON task_audits(source_event_ts) "
    "WHERE source_event_ts IS NOT NULL",
    "CREATE INDEX idx_task_audits_decision_lag ON task_audits(source_event_ts, supervisor_processed_at) "
    "WHERE source_event_ts IS NOT NULL AND supervisor_processed_at IS NOT NULL",
    "CREATE INDEX idx_task_audits_event_type_ts ON task_audits(event_type, source_event_ts)",
)

_BEGIN: Final = datetime(2025, 1, 1, tzinfo=UTC)
_EVENTS: Final = (
    "SUPERVISOR_ALLOWED", "SUPERVISOR_ALLOWED", "SUPERVISOR_PAUSED", "SUPERVISOR_BLOCKED",
    "SUPERVISOR_RETRY_RECOMMENDED", "SUPERVISOR_DECISION", "SUPERVISOR_ERROR",
)  # fmt: skip
_OTHERS: Final = ("TASK_CREATED", "TASK_STEP_COMPLETED", "TOKEN_USAGE", "SNIPPET_STORED", "EXT_CALLED")
_SOURCE_KEYS: Final = ("source_event_ts", "source_ts", "event_timestamp", "task_created_at")
_PROCESSED_KEYS: Final = ("supervisor_processed_at", "processed_at", "timestamp")
_POISON: Final = (
    b'{"timestamp": "2025-01-0', b"", b"[1, 2, 3]", b'"allow"', b"17", b"null",
    b'{"source_event_ts": "0001-01-01T00:00:00", "timestamp": "9999-12-31T23:59:59Z"}',
    b'{"source_ts": "yesterday", "processed_at": {"at": 1}}',
    b'{"source_event_ts": 1e300, "timestamp": -62135596800}', b'{"source_event_ts": true}',
)  # fmt: skip


def make_audit_rows(
    count: int,
    *,
    seed: int = 6,
    poison_share: float = 0.05,
    other_share: float = 0.0,
    preset_share: float = 0.02,
) -> Iterator[tuple[Any, ...]]:
    """Yield rows: audit_id, task_id, level, event_type, payload, created_at, source, processed. The same for a seed.

    Args:
        count: Rows in all.
        seed: Of everything random.
        poison_share: Of the supervisor's rows, those that cannot be processed whole.
        other_share: Of all rows, those of other events.
        preset_share: Of the supervisor's rows, those with a column that is set already.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    instant = _BEGIN
    for audit_id in range(1, count + 1):
        instant += timedelta(milliseconds=chance.randrange(1, 1_500))
        created_at = instant.strftime("%Y-%m-%d %H:%M:%S")
        task_id = f"task_{chance.randrange(count // 20 + 1):06d}"
        if chance.random() < other_share:
            yield audit_id, task_id, "info", chance.choice(_OTHERS), '{"n": 1}', created_at, None, None
            continue
        payload: str | None
        if chance.random() < poison_share:
            payload = chance.choice(_POISON).decode()
        else:
            payload = _make_payload(chance, audit_id, instant)
        source = processed = None
        if chance.random() < preset_share:
            source, processed = (created_at, None) if chance.random() < 0.5 else (None, created_at)
        yield audit_id, task_id, "info", chance.choice(_EVENTS), payload, created_at, source, processed


def _make_payload(chance: random.Random, number: int, instant: datetime) -> str | None:
    kind = chance.random()
    if kind < 0.02:
        return None
    decision = chance.choice(("allow", "pause", "block", "retry", "require_review"))
    findings = [
        {"finding_id": f"f{number}", "category": "redline", "severity": chance.choice(("LOW", "HIGH", "CRITICAL")),
         "description": "Writes outside of its folder", "evidence": ["step 3"], "source": "guard"}
    ] if chance.random() < 0.3 else []  # fmt: skip
    processed = instant + timedelta(milliseconds=chance.randrange(5, 4_000))
    if kind < 0.12:
        snapshot = {"decision_id": f"dec_{number}", "policy": "default", "inputs": {}, "findings": findings,
                    "event": {"event_id": f"e{number}", "event_type": "TASK_FAILED", "source": "eventbus",
                              "ts": _write(chance, instant)},
                    "decision": {"decision_type": decision.upper()}, "actions": [], "metrics": {}}  # fmt: skip
        return orjson.dumps({"decision_snapshot": snapshot, "timestamp": _write(chance, processed)}).decode()
    payload: dict[str, Any] = {
        "decision_id": f"dec_{number}", "decision_type": decision, "reason": "No rule forbids it",
        "findings": findings, "actions": [],
    }  # fmt: skip
    if kind < 0.9:
        payload[_pick(chance, _SOURCE_KEYS)] = _write(chance, instant)
    if kind < 0.95:
        payload[_pick(chance, _PROCESSED_KEYS)] = _write(chance, processed)
    return orjson.dumps(payload).decode()


def _pick(chance: random.Random, keys: tuple[str, ...]) -> str:
    return keys[0] if chance.random() < 0.6 else chance.choice(keys)


def _write(chance: random.Random, instant: datetime) -> str | int | float:
    """Return an instant in one of the forms the logs have."""
    kind = chance.random()
    if kind < 0.35:
        return instant.replace(tzinfo=None).isoformat()
    if kind < 0.55:
        return instant.isoformat()
    if kind < 0.70:
        return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    if kind < 0.80:
        return instant.strftime("%Y-%m-%d %H:%M:%S")
    if kind < 0.86:
        return instant.timestamp()
    if kind < 0.92:
        return int(instant.timestamp() * 1_000)
    if kind < 0.96:
        return int(instant.timestamp() * 1_000) * 1_000_000
    return instant.astimezone(tz=None).isoformat()


def create_audit_database(
    path: Path,
    count: int,
    *,
    seed: int = 6,
    poison_share: float = 0.05,
    other_share: float = 0.0,
    is_wal: bool = True,
) -> None:
    """Write a SQLite database of schema version 21 with ``count`` rows. The file must not exist yet."""
    with closing(sqlite3.connect(path)) as connection:
        if is_wal:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(AUDIT_SCHEMA.format(auto=" AUTOINCREMENT", columns=AUDIT_V21_COLUMNS))
        connection.execute("CREATE TABLE schema_version (version TEXT PRIMARY KEY, applied_at TIMESTAMP)")
        versions = [("0.6.0",), ("0.9.0",), ("0.15.0",), ("0.17.0",), ("0.20.0",), ("0.21.0",)]
        connection.executemany("INSERT INTO schema_version (version) VALUES (?)", versions)
        connection.executemany(
            "INSERT INTO task_audits (audit_id, task_id, level, event_type, payload, created_at, source_event_ts, "
            "supervisor_processed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            make_audit_rows(count, seed=seed, poison_share=poison_share, other_share=other_share),
        )
        for statement in AUDIT_V21_INDEXES:
            connection.execute(statement)
        connection.commit()


def create_audit_table(
    conninfo: str, count: int, *, seed: int = 6, poison_share: float = 0.05, is_vacuumed: bool = True
) -> None:
    """Write the same rows into PostgreSQL. The table must not exist yet."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            "CREATE TABLE task_audits (audit_id BIGINT PRIMARY KEY, task_id TEXT NOT NULL, level TEXT, "
            "event_type TEXT NOT NULL, payload TEXT, created_at TIMESTAMP, decision_id TEXT, source_event_ts TEXT, "
            "supervisor_processed_at TEXT, verdict_id TEXT, repo_id TEXT)"
        )
        connection.execute("CREATE TABLE schema_version (version TEXT PRIMARY KEY, applied_at TIMESTAMP)")
        connection.execute("INSERT INTO schema_version (version) VALUES ('0.9.0'), ('0.21.0')")
        with connection.cursor().copy(
            "COPY task_audits (audit_id, task_id, level, event_type, payload, created_at, source_event_ts, "
            "supervisor_processed_at) FROM STDIN"
        ) as copy:
            for row in make_audit_rows(count, seed=seed, poison_share=poison_share):
                copy.write_row(row)
        for statement in AUDIT_V21_INDEXES:
            connection.execute(statement.encode())
    if not is_vacuumed:
        return
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE task_audits")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--poison", type=float, default=0.05, help="Share of rows, 0 to 1.")
    given = parser.parse_args()
    create_audit_database(given.path, given.rows, seed=given.seed, poison_share=given.poison)


if __name__ == "__main__":
    _main()
