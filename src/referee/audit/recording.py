"""Record what a supervisor decided: once, in the caller's transaction, chained to what was decided before.

The chain is kept per project. Whoever appends locks its end, so decisions of one project are recorded
one after another; keep the transaction short.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.audit.tables import DecisionChainRow, DecisionRow
from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.ids import new_id

__all__ = [
    "FIRST_HASH",
    "Decision",
    "DecisionDraft",
    "DecisionKind",
    "compute_hash",
    "record_decision",
    "view_decision",
]

FIRST_HASH: Final = "0" * 64
"""What stands before the first decision of a chain."""
SCHEMA: Final = "referee.decision"
SCHEMA_VERSION: Final = "1.0"
_MAX_CONTENT_BYTES: Final = 1 << 20


class DecisionKind(StrEnum):
    """What a supervisor decided."""

    allowed = "allowed"
    paused = "paused"
    blocked = "blocked"
    retry_recommended = "retry_recommended"
    review_required = "review_required"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionDraft:
    """A decision to record."""

    supervisor: str
    kind: DecisionKind
    reason: str
    """One sentence."""
    subject_kind: str
    subject_id: str
    source_event_at: datetime
    """When that happened which was decided on. Aware."""
    policy: str = ""
    source_key: str | None = None
    """The same key of the same supervisor is the same decision."""
    evidence: Sequence[Mapping[str, JsonValue]] = field(default_factory=tuple)
    actions: Sequence[Mapping[str, JsonValue]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A decision that is on record."""

    decision_id: UUID
    project_id: UUID
    supervisor: str
    kind: DecisionKind
    policy: str
    reason: str
    subject_kind: str
    subject_id: str
    source_event_at: datetime | None
    supervisor_processed_at: datetime | None
    evidence: tuple[JsonValue, ...]
    actions: tuple[JsonValue, ...]
    chain_position: int
    hash: str
    recorded_at: datetime

    @property
    def lag_ms(self) -> float | None:
        """Milliseconds from the event to the decision; None when one of the instants is not known."""
        if self.source_event_at is None or self.supervisor_processed_at is None:
            return None
        return (self.supervisor_processed_at - self.source_event_at).total_seconds() * 1_000


async def record_decision(session: AsyncSession, project_id: UUID, draft: DecisionDraft) -> Decision:
    """Append a decision to the project's chain, unless its source key is on record already.

    ``supervisor_processed_at`` is the database's clock. The decision exists if and only if the
    caller's transaction commits.

    Raises:
        InvalidInput: The instant has no time zone, or evidence and actions exceed 1 MiB.
    """
    if draft.source_event_at.tzinfo is None:
        raise InvalidInput(
            "decision.instant_naive", "The instant of the event has no time zone.", "Give an aware instant."
        )
    chain = await _lock_chain(session, project_id)
    if draft.source_key is not None:
        known = await _find_by_key(session, project_id, draft)
        if known is not None:
            return view_decision(known)
    processed_at: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    decision_id = new_id()
    content = _render_content(decision_id, project_id, draft, processed_at)
    row = DecisionRow(
        decision_id=decision_id,
        project_id=project_id,
        supervisor=draft.supervisor,
        kind=draft.kind.value,
        policy=draft.policy,
        reason=draft.reason,
        subject_kind=draft.subject_kind,
        subject_id=draft.subject_id,
        source_key=draft.source_key,
        source_event_at=draft.source_event_at,
        supervisor_processed_at=processed_at,
        evidence_json=[dict(one) for one in draft.evidence],
        actions_json=[dict(one) for one in draft.actions],
        content=content,
        chain_position=chain.decisions_count + 1,
        previous_hash=chain.head_hash,
        hash=compute_hash(chain.head_hash, content),
    )
    session.add(row)
    chain.decisions_count, chain.head_hash = row.chain_position, row.hash
    await session.flush()
    await session.refresh(row)
    return view_decision(row)


def compute_hash(previous_hash: str, content: str) -> str:
    """Return SHA-256 over the hash before, a line feed and the content, in hexadecimal digits."""
    return hashlib.sha256(f"{previous_hash}\n{content}".encode()).hexdigest()


def view_decision(row: DecisionRow) -> Decision:
    """Return a row as a value."""
    return Decision(
        decision_id=row.decision_id,
        project_id=row.project_id,
        supervisor=row.supervisor,
        kind=DecisionKind(row.kind),
        policy=row.policy,
        reason=row.reason,
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        source_event_at=row.source_event_at,
        supervisor_processed_at=row.supervisor_processed_at,
        evidence=tuple(row.evidence_json),
        actions=tuple(row.actions_json),
        chain_position=row.chain_position,
        hash=row.hash,
        recorded_at=row.recorded_at,
    )


async def _lock_chain(session: AsyncSession, project_id: UUID) -> DecisionChainRow:
    """Return the end of a chain, made if it is new, and locked until the transaction ends."""
    await session.execute(
        insert(DecisionChainRow)
        .values(project_id=project_id, decisions_count=0, head_hash=FIRST_HASH)
        .on_conflict_do_nothing()
    )
    return (
        await session.execute(
            select(DecisionChainRow)
            .where(DecisionChainRow.project_id == project_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).scalar_one()


async def _find_by_key(session: AsyncSession, project_id: UUID, draft: DecisionDraft) -> DecisionRow | None:
    return (
        await session.execute(
            select(DecisionRow).where(
                DecisionRow.project_id == project_id,
                DecisionRow.supervisor == draft.supervisor,
                DecisionRow.source_key == draft.source_key,
            )
        )
    ).scalar_one_or_none()


def _render_content(decision_id: UUID, project_id: UUID, draft: DecisionDraft, processed_at: datetime) -> str:
    """Return the canonical text of a decision: sorted keys, no spaces."""
    content = json.dumps(
        {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "decision_id": str(decision_id),
            "project_id": str(project_id),
            "supervisor": draft.supervisor,
            "kind": draft.kind.value,
            "policy": draft.policy,
            "reason": draft.reason,
            "subject_kind": draft.subject_kind,
            "subject_id": draft.subject_id,
            "source_key": draft.source_key,
            "source_event_at": draft.source_event_at.isoformat(),
            "supervisor_processed_at": processed_at.isoformat(),
            "evidence": [dict(one) for one in draft.evidence],
            "actions": [dict(one) for one in draft.actions],
        },
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )
    if len(content.encode()) > _MAX_CONTENT_BYTES:
        raise InvalidInput(
            "decision.too_large",
            f"The decision has more than {_MAX_CONTENT_BYTES:,} bytes.",
            "Put large evidence into an artifact and name its digest.",
        )
    return content
