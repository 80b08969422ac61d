"""Audit logs of another system: at each of its schema versions, once, with every byte."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Thread
from uuid import UUID

import pytest
from sqlalchemy import select
from tests.audit.historic import FLAT, ROWS, VERSIONS, build_audit_database, insert

from referee.audit.importing import AuditImport, import_audits
from referee.audit.lists import list_trace, read_original
from referee.audit.queries import verify_chain
from referee.audit.sources import SourceRow, open_source
from referee.audit.tables import ImportedAuditRow
from referee.core.errors import InvalidInput, NotFound
from referee.foundation.store import Database


def count(done: AuditImport) -> tuple[int, int, int, int, int]:
    return (
        done.rows_count, done.decisions_count, done.events_count, done.quarantined_count, done.known_count
    )  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
async def test_database_of_each_version_is_imported_once_and_left_as_it_was(
    database: Database, project_id: UUID, tmp_path: Path, version: str
) -> None:
    path = build_audit_database(tmp_path / "audit.db", version)
    before = hashlib.sha256(path.read_bytes()).hexdigest()

    first = await import_audits(database, project_id, path)
    again = await import_audits(database, project_id, path)

    assert first.schema_version == f"0.{int(version[1:])}.0"
    assert count(first) == (9, 4, 1, 4, 0)
    assert count(again) == (9, 0, 0, 0, 9)
    assert first.quarantined == (
        "task_audits 6: Its payload is not JSON.",
        "task_audits 7: Its payload is JSON, and not an object.",
        "task_audits 8: The event type 'SUPERVISOR_DREAMED' of a supervisor is not known.",
        "task_audits 9: Its decision_type 'perhaps' is not known.",
    )
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [name.name for name in tmp_path.iterdir()] == ["audit.db"]


async def test_both_shapes_of_payload_become_the_same_kind_of_decision(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    await import_audits(database, project_id, build_audit_database(tmp_path / "audit.db", "v44"))

    async with database.reading() as session:
        flat, snapshot = (await list_trace(session, project_id, "task_1")).items
        original = await read_original(session, project_id, flat.decision_id)
    assert (flat.kind, flat.reason, flat.reason_code) == (
        "blocked",
        "The plan crosses a red line.",
        "REDLINE",
    )
    assert flat.findings == (
        {
            "kind": "redline",
            "severity": "critical",
            "code": "REDLINE",
            "message": "Deletes a table.",
            "evidence": ["step 3"],
        },
    )
    assert (flat.lag_ms, snapshot.lag_ms) == (2_000, 3_000)
    assert (flat.source_event_provenance, flat.supervisor_processed_provenance) == (
        "payload.source_event_ts", "payload.timestamp",
    )  # fmt: skip
    assert (snapshot.kind, snapshot.policy, snapshot.reason_code) == ("paused", "default", "RISK_COST")
    assert snapshot.source_event_provenance == "payload.decision_snapshot.event.ts"
    assert original == json.dumps(FLAT).encode()


async def test_row_without_a_payload_says_that_its_instants_are_when_it_was_written(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    await import_audits(database, project_id, build_audit_database(tmp_path / "audit.db", "v06"))

    async with database.reading() as session:
        allowed, error = (await list_trace(session, project_id, "task_2")).items
    assert (allowed.kind, error.kind) == ("allowed", "error")
    assert (allowed.source_event_provenance, allowed.supervisor_processed_provenance) == (
        "created_at",
        "created_at",
    )


async def test_every_row_is_kept_byte_for_byte_whatever_it_holds(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    path = build_audit_database(tmp_path / "audit.db", "v06", rows=())
    hostile = [
        b'{"decision_type": "allow", "reason": "\\u0000 \\ud800 <script>"}', b"\xff\xfe not text", b'{"a": NaN}',
        b'{"a": ' + b"[" * 100_000, b'{"findings": {"no": "list"}}', b'{"reason": {"deep": [1]}}',
    ]  # fmt: skip
    with closing(sqlite3.connect(path)) as connection, connection:
        insert(connection, [("task\0x", "SUPERVISOR_ALLOWED", payload) for payload in hostile])

    done = await import_audits(database, project_id, path)

    assert count(done) == (6, 2, 0, 4, 0)
    async with database.reading() as session:
        kept = set(await session.scalars(select(ImportedAuditRow.original)))
        assert [problem async for problem in verify_chain(session, project_id)] == []
    assert kept == set(hostile)


async def test_rows_that_came_since_are_added_to_what_was_imported(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    path = build_audit_database(tmp_path / "audit.db", "v21")
    await import_audits(database, project_id, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        insert(connection, [("task_9", "SUPERVISOR_ALLOWED", "{}")])
        connection.execute("UPDATE task_audits SET source_event_ts = created_at")

    done = await import_audits(database, project_id, path)

    assert count(done) == (10, 1, 0, 0, 9)
    async with database.reading() as session:
        assert [problem async for problem in verify_chain(session, project_id)] == []


def test_rows_may_be_read_in_another_thread_each_time(tmp_path: Path) -> None:
    rows = open_source(build_audit_database(tmp_path / "audit.db", "v21")).read_rows()
    read: list[SourceRow | None] = []
    while not read or read[-1] is not None:
        thread = Thread(target=lambda: read.append(next(rows, None)))
        thread.start()
        thread.join()
    assert len(read) == 9 + 1


async def test_log_of_lines_is_imported_with_the_place_of_what_cannot_be_read(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    lines = [
        *(json.dumps({"task_id": task, "event_type": event, "payload": payload and json.loads(payload),
                      "created_at": "2026-03-01T10:00:05Z"}) for task, event, payload in ROWS[:3]),
        json.dumps({"task_id": "task_1", "event_type": "SUPERVISOR_DECISION", **FLAT}),
        json.dumps({"task_id": "task_1", "event_type": "SUPERVISOR_BLOCKED", "payload": json.dumps(FLAT)}),
        "not json", "[]", '{"task_id": "task_1"}', "",
        '{"event_type": "SUPERVISOR_ALLOWED"}', '{"event_type": "SUPERVISOR_ALLOWED"}',
    ]  # fmt: skip
    path = tmp_path / "audit.jsonl"
    path.write_text("\n".join(lines))

    first = await import_audits(database, project_id, path)
    again = await import_audits(database, project_id, path)

    assert count(first) == (10, 7, 0, 3, 0)
    assert count(again) == (10, 0, 0, 0, 10)
    assert first.quarantined == (
        "line 6: The line is not JSON.",
        "line 7: The line is JSON, and not an object.",
        "line 8: The line names no event_type.",
    )
    async with database.reading() as session:
        trace = (await list_trace(session, project_id, "task_1")).items
    assert [one.lag_ms for one in trace] == [2_000, 3_000, 2_000, 2_000]
    assert [one.supervisor_processed_at - one.source_event_at for one in trace[:1]] == [timedelta(seconds=2)]  # type: ignore[operator]  # both are known


async def test_what_is_no_audit_log_is_refused_in_clear_words(
    database: Database, project_id: UUID, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE task_audits (audit_id INTEGER PRIMARY KEY)")
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\0" + bytes(4_000))

    with pytest.raises(
        InvalidInput, match="no table task_audits with created_at, event_type, payload, task_id"
    ):
        await import_audits(database, project_id, tmp_path / "other.db")
    with pytest.raises(InvalidInput, match="torn"):
        await import_audits(database, project_id, tmp_path / "torn.db")
    with pytest.raises(NotFound):
        await import_audits(database, project_id, tmp_path / "none.db")
