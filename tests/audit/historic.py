"""Audit databases of the agent system, built by applying its schema versions in order."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

VERSIONS: Final = ("v06", "v15", "v17", "v20", "v21", "v24", "v44")

_ALTER: Final = "ALTER TABLE task_audits ADD COLUMN"
_ALL_COLUMNS: Final = (
    "audit_id, task_id, level, event_type, payload, created_at, decision_id, source_event_ts, "
    "supervisor_processed_at, verdict_id, repo_id"
)
STEPS: Final[dict[str, tuple[str, ...]]] = {
    "v06": (
        "CREATE TABLE tasks (task_id TEXT PRIMARY KEY, title TEXT)",
        "CREATE TABLE schema_version (version TEXT PRIMARY KEY, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)",
        "CREATE TABLE task_audits (audit_id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, level TEXT "
        "DEFAULT 'info' CHECK (level IN ('info', 'warn', 'error')), event_type TEXT NOT NULL, payload TEXT, "
        "created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (task_id) REFERENCES tasks(task_id))",
    ),
    "v15": (
        f"{_ALTER} decision_id TEXT", f"{_ALTER} source_event_ts TEXT", f"{_ALTER} supervisor_processed_at TEXT",
        "CREATE UNIQUE INDEX idx_task_audits_decision_id ON task_audits(decision_id) WHERE decision_id IS NOT NULL",
    ),
    "v17": (f"{_ALTER} verdict_id TEXT",),
    "v20": (f"{_ALTER} repo_id TEXT",),
    "v21": (
        "CREATE INDEX idx_source_event_ts ON task_audits(source_event_ts) WHERE source_event_ts IS NOT NULL",
        "CREATE INDEX idx_lag ON task_audits(source_event_ts, supervisor_processed_at) "
        "WHERE source_event_ts IS NOT NULL",
        "CREATE INDEX idx_event_type_ts ON task_audits(event_type, source_event_ts)",
    ),
    "v24": (
        "CREATE TABLE task_audits_new (audit_id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, level TEXT, "
        "event_type TEXT NOT NULL, payload TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, decision_id TEXT, "
        "source_event_ts TEXT, supervisor_processed_at TEXT, verdict_id TEXT, repo_id TEXT, "
        "FOREIGN KEY (task_id) REFERENCES tasks(task_id) ON DELETE CASCADE)",
        f"INSERT INTO task_audits_new ({_ALL_COLUMNS}) SELECT {_ALL_COLUMNS} FROM task_audits",  # noqa: S608 - constants
        "DROP TABLE task_audits", "ALTER TABLE task_audits_new RENAME TO task_audits",
    ),
    "v44": (f"{_ALTER} created_at_ms INTEGER",),
}  # fmt: skip

FLAT: Final = {
    "decision_id": "dec_1", "decision_type": "block", "reason": "The plan crosses a red line.",
    "findings": [{
        "finding_id": "f1", "category": "REDLINE", "severity": "CRITICAL", "description": "Deletes a table.",
        "evidence": ["step 3"], "source": "policy",
    }],
    "actions": [{"action_id": "a1", "action_type": "stop", "target": "task", "params": {}}],
    "source_event_ts": "2026-03-01T10:00:00Z", "timestamp": "2026-03-01 10:00:02",
}  # fmt: skip
SNAPSHOT: Final = {
    "decision_snapshot": {
        "decision_id": "dec_2", "policy": "default",
        "event": {"event_id": "e1", "event_type": "TASK_STEP_COMPLETED", "source": "eventbus", "ts": 1772359200},
        "inputs": {"step": 2},
        "findings": [{"kind": "RISK", "severity": "HIGH", "code": "RISK_COST", "message": "Costs.", "evidence": {}}],
        "decision": {"decision_type": "PAUSE"}, "actions": [], "metrics": {"rules": 4},
    },
    "processed_at": 1772359203000,
}  # fmt: skip
ROWS: Final[tuple[tuple[str, str, str | None], ...]] = (
    ("task_1", "SUPERVISOR_BLOCKED", json.dumps(FLAT)),
    ("task_1", "SUPERVISOR_DECISION", json.dumps(SNAPSHOT)),
    ("task_2", "SUPERVISOR_ALLOWED", None),
    ("task_2", "SUPERVISOR_ERROR", "{}"),
    ("task_2", "TASK_FAILED", '{"error": "boom"}'),
    ("task_3", "SUPERVISOR_PAUSED", '{"timestamp": "2026-03'),
    ("task_3", "SUPERVISOR_PAUSED", "[1, 2]"),
    ("task_3", "SUPERVISOR_DREAMED", "{}"),
    ("task_3", "SUPERVISOR_DECISION", '{"decision_type": "perhaps"}'),
)
"""Task, event type, payload: four decisions, one other event, four that cannot be read."""


def build_audit_database(
    path: Path, version: str, rows: tuple[tuple[str, str, str | None], ...] = ROWS
) -> Path:
    """Write rows at the first version, then apply every version up to one, as the agent system's migrator did."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for name in VERSIONS[: VERSIONS.index(version) + 1]:
            for statement in STEPS[name]:
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version (version) VALUES (?)", (f"0.{int(name[1:])}.0",))
            if name == "v06":
                insert(connection, rows)
    return path


def insert(connection: sqlite3.Connection, rows: Any) -> None:
    """Add rows as the first version had them."""
    connection.executemany(
        "INSERT INTO task_audits (task_id, event_type, payload, created_at) VALUES (?, ?, ?, '2026-03-01 10:00:05')",
        rows,
    )
