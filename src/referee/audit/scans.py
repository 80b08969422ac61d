"""Lead scans: apply the rules to the decisions of a window, keep what they find, and open work for it.

One scan of a project at a time. A dry run reads and writes nothing. A finding is kept once for its fingerprint
and counts the scans that found it. A self-check says so when there are decisions and never was a finding: either
all is well, or the rules do not see what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import case, func, literal_column, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.audit.lags import Window, WindowKind, make_window
from referee.audit.room import AuditRoom
from referee.audit.rules import RULES, LeadDraft
from referee.audit.tables import DecisionChainRow, DecisionRow, LeadFindingRow, LeadScanRow
from referee.core.errors import Conflict, NotFound
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.jobs import JobContext, JobEngine
from referee.foundation.store import decode_cursor, encode_cursor

__all__ = [
    "LeadFinding",
    "LeadScan",
    "close_follow_up",
    "list_lead_findings",
    "list_lead_scans",
    "register_lead_scans",
    "scan_decisions",
]

log = structlog.get_logger("referee.audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadFinding:
    """What scans found, once for each fingerprint."""

    fingerprint: str
    code: str
    severity: str
    title: str
    description: str
    window_kind: str
    first_seen_at: datetime
    last_seen_at: datetime
    seen_count: int
    """Scans that found it."""
    evidence: Mapping[str, JsonValue]
    follow_up_id: UUID
    follow_up_state: str
    """``open`` or ``done``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadScan:
    """One scan."""

    scan_id: UUID | None
    """None for a dry run, of which nothing is kept."""
    window: Window
    is_dry_run: bool
    decisions_count: int
    findings_count: int
    new_count: int
    """Findings that no scan had found before."""
    alert: str
    """What the self-check says; empty when it has nothing to say."""
    found: tuple[LeadDraft, ...] = ()
    """What it found; empty where past scans are listed."""


async def scan_decisions(
    room: AuditRoom,
    project_id: UUID,
    kind: WindowKind,
    *,
    is_dry_run: bool = False,
    to_at: datetime | None = None,
) -> LeadScan:
    """Apply every rule to the window that ends now.

    Args:
        room: Of the audit.
        project_id: Whose decisions.
        kind: Length of the window.
        is_dry_run: Say what would be found; write nothing, open no work.
        to_at: End of the window; None: now.

    Raises:
        Conflict: Another scan of the project is under way.
    """
    window = make_window(kind, to_at)
    if is_dry_run:
        async with room.database.reading() as session:
            return await _scan(room, session, project_id, window, is_dry_run=True)
    async with room.database.transaction() as session:
        is_free = await session.scalar(
            text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))"),
            {"name": f"lead_scan:{project_id}"},
        )
        if not is_free:
            raise Conflict(
                "lead_scan.running",
                "Another scan of this project is under way.",
                "Try again when it has ended.",
            )
        return await _scan(room, session, project_id, window, is_dry_run=False)


async def _scan(
    room: AuditRoom, session: AsyncSession, project_id: UUID, window: Window, *, is_dry_run: bool
) -> LeadScan:
    found: list[LeadDraft] = []
    for rule in RULES.values():
        found += await rule(session, project_id, window, room.settings)
    decisions_count = (
        await session.scalar(
            select(func.count())
            .select_from(DecisionRow)
            .where(
                DecisionRow.project_id == project_id,
                DecisionRow.supervisor_processed_at >= window.from_at,
                DecisionRow.supervisor_processed_at < window.to_at,
            )
        )
        or 0
    )
    known = set(
        await session.scalars(
            select(LeadFindingRow.fingerprint).where(
                LeadFindingRow.project_id == project_id,
                LeadFindingRow.fingerprint.in_([one.fingerprint for one in found]),
            )
        )
    )
    new_count = len({one.fingerprint for one in found} - known)
    alert = "" if found else await _check_itself(room, session, project_id, decisions_count)
    scan_id = None
    if not is_dry_run:
        scan_id = new_id()
        for one in found:
            await _keep(session, project_id, one)
        session.add(
            LeadScanRow(
                scan_id=scan_id,
                project_id=project_id,
                window_kind=window.kind,
                from_at=window.from_at,
                to_at=window.to_at,
                decisions_count=decisions_count,
                findings_count=len(found),
                new_count=new_count,
                alert=alert,
            )
        )
        if alert:
            log.warning("lead_scan.never_found", project_id=str(project_id), decisions_count=decisions_count)
    return LeadScan(
        scan_id=scan_id,
        window=window,
        is_dry_run=is_dry_run,
        decisions_count=decisions_count,
        findings_count=len(found),
        new_count=new_count,
        alert=alert,
        found=tuple(found),
    )


async def _check_itself(
    room: AuditRoom, session: AsyncSession, project_id: UUID, decisions_count: int
) -> str:
    if decisions_count < room.settings.lead_self_check_decisions_count:
        return ""
    was_ever = await session.scalar(
        select(LeadFindingRow.fingerprint).where(LeadFindingRow.project_id == project_id).limit(1)
    )
    if was_ever is not None:
        return ""
    return f"No scan has ever found anything, and this window has {decisions_count:,} decisions: check the thresholds."


async def _keep(session: AsyncSession, project_id: UUID, draft: LeadDraft) -> None:
    """Keep a finding once for its fingerprint; open work for it unless that is open."""
    statement = insert(LeadFindingRow).values(
        project_id=project_id,
        fingerprint=draft.fingerprint,
        code=draft.code,
        severity=draft.severity,
        title=draft.title,
        description=draft.description,
        window_kind=draft.window_kind,
        evidence_json=dict(draft.evidence),
        follow_up_id=new_id(),
    )
    new = statement.excluded
    was_done = LeadFindingRow.follow_up_state == "done"
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["project_id", "fingerprint"],
            set_={
                "severity": new.severity,
                "title": new.title,
                "description": new.description,
                "evidence_json": new.evidence_json,
                "seen_count": LeadFindingRow.seen_count + 1,
                "last_seen_at": func.clock_timestamp(),
                "follow_up_id": case((was_done, new.follow_up_id), else_=LeadFindingRow.follow_up_id),
                "follow_up_state": literal_column("'open'"),
            },
        )
    )


async def list_lead_findings(
    session: AsyncSession, project_id: UUID, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[LeadFinding]:
    """Return findings, the last seen first."""
    statement = (
        select(LeadFindingRow)
        .where(LeadFindingRow.project_id == project_id)
        .order_by(LeadFindingRow.last_seen_at.desc(), LeadFindingRow.fingerprint.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        seen_at, fingerprint = decode_cursor(cursor, "lead_findings")
        after = (datetime.fromisoformat(str(seen_at)), str(fingerprint))
        statement = statement.where(tuple_(LeadFindingRow.last_seen_at, LeadFindingRow.fingerprint) < after)
    rows = (await session.scalars(statement)).all()
    total_count = await session.scalar(
        select(func.count()).select_from(LeadFindingRow).where(LeadFindingRow.project_id == project_id)
    )
    kept = rows[:limit]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor(
            "lead_findings", [kept[-1].last_seen_at.isoformat(), kept[-1].fingerprint]
        )
    return Page(tuple(_view_finding(row) for row in kept), total_count or 0, limit, next_cursor)


async def list_lead_scans(
    session: AsyncSession, project_id: UUID, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[tuple[LeadScan, datetime]]:
    """Return past scans with when they began, the latest first. Dry runs leave no trace."""
    statement = (
        select(LeadScanRow)
        .where(LeadScanRow.project_id == project_id)
        .order_by(LeadScanRow.scan_id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        (scan_id,) = decode_cursor(cursor, "lead_scans")
        statement = statement.where(LeadScanRow.scan_id < UUID(str(scan_id)))
    rows = (await session.scalars(statement)).all()
    total_count = await session.scalar(
        select(func.count()).select_from(LeadScanRow).where(LeadScanRow.project_id == project_id)
    )
    kept = rows[:limit]
    next_cursor = encode_cursor("lead_scans", [str(kept[-1].scan_id)]) if len(rows) > limit else None
    return Page(
        tuple((_view_scan(row), row.started_at) for row in kept), total_count or 0, limit, next_cursor
    )


async def close_follow_up(session: AsyncSession, project_id: UUID, fingerprint: str) -> LeadFinding:
    """Say that the work on a finding is done; a scan that finds it again opens new work.

    Raises:
        NotFound: There is no such finding.
    """
    row = await session.get(LeadFindingRow, (project_id, fingerprint), with_for_update=True)
    if row is None:
        raise NotFound(
            "lead_finding.not_found",
            "There is no such lead finding.",
            "Look for it in the list of lead findings.",
        )
    row.follow_up_state = "done"
    await session.flush()
    return _view_finding(row)


def register_lead_scans(room: AuditRoom, engine: JobEngine) -> None:
    """Scan every project by the clock: a day each night at 02:00, a week each Monday at 03:00. UTC."""

    def make(kind: WindowKind) -> None:
        async def scan(context: JobContext, _: dict[str, JsonValue]) -> dict[str, JsonValue]:
            async def run() -> dict[str, JsonValue]:
                return await _scan_projects(room, kind)

            return await context.step("scan", run)

        engine.register_schedule(f"lead_scan_{kind}", _CRONS[kind], scan)

    for kind in _CRONS:
        make(kind)


_CRONS: Final[Mapping[WindowKind, str]] = {"24h": "0 2 * * *", "7d": "0 3 * * 1"}


async def _scan_projects(room: AuditRoom, kind: WindowKind) -> dict[str, JsonValue]:
    async with room.database.reading() as session:
        projects = (await session.scalars(select(DecisionChainRow.project_id))).all()
    findings_count = skipped_count = 0
    for project_id in projects:
        try:
            findings_count += (await scan_decisions(room, project_id, kind)).findings_count
        except Conflict:  # a person scans at this moment: that one counts
            skipped_count += 1
    return {"projects_count": len(projects), "findings_count": findings_count, "skipped_count": skipped_count}


def _view_finding(row: LeadFindingRow) -> LeadFinding:
    return LeadFinding(
        fingerprint=row.fingerprint,
        code=row.code,
        severity=row.severity,
        title=row.title,
        description=row.description,
        window_kind=row.window_kind,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        seen_count=row.seen_count,
        evidence=row.evidence_json,
        follow_up_id=row.follow_up_id,
        follow_up_state=row.follow_up_state,
    )


def _view_scan(row: LeadScanRow) -> LeadScan:
    return LeadScan(
        scan_id=row.scan_id,
        window=Window("24h" if row.window_kind == "24h" else "7d", row.from_at, row.to_at),
        is_dry_run=False,
        decisions_count=row.decisions_count,
        findings_count=row.findings_count,
        new_count=row.new_count,
        alert=row.alert,
    )
