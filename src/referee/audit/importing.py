"""Take in the audit log of another system: each row once, its bytes kept, what cannot be read set aside.

A batch is one transaction under the lock of the project's chain: it looks which rows are known, appends the
decisions of the others to the chain and keeps every row as it was. An import that was cut off goes on where it
was when it is started again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, cast
from uuid import UUID

from sqlalchemy import Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.audit.recording import (
    MAX_CONTENT_BYTES,
    DecisionDraft,
    PastDecision,
    append_past_decisions,
    lock_chain,
)
from referee.audit.shapes import Quarantined, ReadDecision, read_record
from referee.audit.sources import AuditSource, SourceRow, open_source
from referee.audit.tables import AuditImportRow, ImportedAuditRow
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.instants import UnreadableInstant, read_instant
from referee.foundation.store import Database, copy_rows

__all__ = ["AuditImport", "import_audits"]

SUPERVISOR: Final = "imported"
"""Name under which imported decisions stand."""
_BATCH_ROWS: Final = 1_000
_COLUMNS: Final = (
    "project_id", "source_key", "import_id", "place", "task_id", "event_type", "original", "columns_json",
    "state", "reason", "decision_id", "occurred_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditImport:
    """What an import brought."""

    import_id: UUID
    source_name: str
    source_kind: str
    schema_version: str
    rows_count: int = 0
    decisions_count: int = 0
    events_count: int = 0
    """Rows of other events, kept beside the decisions."""
    quarantined_count: int = 0
    known_count: int = 0
    """Rows that an earlier import had brought."""
    quarantined: tuple[str, ...] = ()
    """The first hundred, as ``place: reason``."""


async def import_audits(database: Database, project_id: UUID, path: Path) -> AuditImport:
    """Import an SQLite audit database of any schema version, or a log of JSON lines.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is a database without an audit log, or it is damaged; what came before is kept.
    """
    source = await asyncio.to_thread(open_source, path)
    done = AuditImport(
        import_id=new_id(),
        source_name=path.name.encode("utf-8", "backslashreplace").decode(),
        source_kind=source.kind,
        schema_version=source.schema_version,
    )
    await _begin(database, project_id, done)
    rows = _read_batches(source)
    while batch := await asyncio.to_thread(next, rows, None):
        async with database.transaction() as session:
            done = await _take_in(session, project_id, done, batch)
            await _note(session, done)
    async with database.transaction() as session:
        await session.execute(
            update(AuditImportRow)
            .where(AuditImportRow.import_id == done.import_id)
            .values(finished_at=func.clock_timestamp())
        )
    return done


def _read_batches(source: AuditSource) -> Iterator[list[tuple[SourceRow, ReadDecision | Quarantined | None]]]:
    rows = source.read_rows()
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield [(row, Quarantined(row.problem) if row.problem else read_record(row.record)) for row in batch]


async def _begin(database: Database, project_id: UUID, done: AuditImport) -> None:
    async with database.transaction() as session:
        session.add(
            AuditImportRow(
                import_id=done.import_id,
                project_id=project_id,
                source_name=done.source_name,
                source_kind=done.source_kind,
                schema_version=done.schema_version,
                rows_count=0,
                decisions_count=0,
                events_count=0,
                quarantined_count=0,
                known_count=0,
                finished_at=None,
            )
        )


async def _note(session: AsyncSession, done: AuditImport) -> None:
    names = ("rows_count", "decisions_count", "events_count", "quarantined_count", "known_count")
    await session.execute(
        update(AuditImportRow)
        .where(AuditImportRow.import_id == done.import_id)
        .values({name: getattr(done, name) for name in names})
    )


async def _take_in(
    session: AsyncSession,
    project_id: UUID,
    done: AuditImport,
    batch: Sequence[tuple[SourceRow, ReadDecision | Quarantined | None]],
) -> AuditImport:
    await lock_chain(session, project_id)
    known = set(
        await session.scalars(
            select(ImportedAuditRow.source_key).where(
                ImportedAuditRow.project_id == project_id,
                ImportedAuditRow.source_key.in_([row.source_key for row, _ in batch]),
            )
        )
    )
    decisions: list[PastDecision] = []
    kept: list[Sequence[object]] = []
    quarantined = list(done.quarantined)
    counts = {"decision": 0, "event": 0, "quarantined": 0}
    for row, read in batch:
        if row.source_key in known:
            continue
        known.add(row.source_key)
        past = _make_decision(row, read) if isinstance(read, ReadDecision) else read
        if isinstance(past, PastDecision):
            decisions.append(past)
        state = _name_state(past)
        counts[state] += 1
        if isinstance(past, Quarantined) and len(quarantined) < 100:
            quarantined.append(f"{row.record.place}: {past.reason}")
        kept.append(_keep(project_id, done.import_id, row, past, state))
    await append_past_decisions(session, project_id, decisions)
    await copy_rows(session, cast(Table, ImportedAuditRow.__table__), _COLUMNS, kept)  # as every mapped class
    return replace(
        done,
        rows_count=done.rows_count + len(batch),
        decisions_count=done.decisions_count + counts["decision"],
        events_count=done.events_count + counts["event"],
        quarantined_count=done.quarantined_count + counts["quarantined"],
        known_count=done.known_count + len(batch) - len(kept),
        quarantined=tuple(quarantined),
    )


def _name_state(read: PastDecision | Quarantined | None) -> str:
    if read is None:
        return "event"
    return "quarantined" if isinstance(read, Quarantined) else "decision"


def _make_decision(row: SourceRow, read: ReadDecision) -> PastDecision | Quarantined:
    draft = DecisionDraft(
        supervisor=SUPERVISOR,
        kind=read.kind,
        policy=read.policy,
        reason=read.reason,
        reason_code=read.reason_code,
        subject_kind="task",
        subject_id=row.record.task_id,
        source_event_at=read.source_event_at,
        source_key=row.source_key,
        findings=read.findings,
        evidence=read.evidence,
        actions=read.actions,
    )
    size_bytes = sum(len(str(part).encode()) for part in (read.findings, read.evidence, read.actions))
    if size_bytes > MAX_CONTENT_BYTES // 2:
        return Quarantined(f"Its findings and evidence have {size_bytes:,} bytes.")
    return PastDecision(
        decision_id=new_id(),
        draft=draft,
        source_event_provenance=read.source_event_provenance,
        supervisor_processed_at=read.supervisor_processed_at,
        supervisor_processed_provenance=read.supervisor_processed_provenance,
    )


def _keep(
    project_id: UUID, import_id: UUID, row: SourceRow, read: PastDecision | Quarantined | None, state: str
) -> Sequence[object]:
    record = row.record
    return (
        project_id,
        row.source_key,
        import_id,
        record.place,
        record.task_id,
        record.event_type,
        record.payload or b"",
        dict(record.columns),
        state,
        read.reason if isinstance(read, Quarantined) else "",
        read.decision_id if isinstance(read, PastDecision) else None,
        _read_created(record.columns.get("created_at_ms")) or _read_created(record.columns.get("created_at")),
    )


def _read_created(value: JsonValue) -> datetime | None:
    try:
        return read_instant(value)
    except UnreadableInstant:
        return None
