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
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import Table, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.audit.tables import DecisionChainRow, DecisionRow
from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.foundation.store import copy_rows

__all__ = [
    "FIRST_HASH",
    "MAX_CONTENT_BYTES",
    "UNKNOWN",
    "Decision",
    "DecisionDraft",
    "DecisionKind",
    "PastDecision",
    "append_past_decisions",
    "compute_hash",
    "lock_chain",
    "record_decision",
    "view_decision",
]

FIRST_HASH: Final = "0" * 64
"""What stands before the first decision of a chain."""
SCHEMA: Final = "referee.decision"
SCHEMA_VERSION: Final = "1.1"
"""1.1 added provenance, findings and the code of the reason."""
MAX_CONTENT_BYTES: Final = 1 << 20
RECORDED: Final = "recorded"
UNKNOWN: Final = "unknown"
_COLUMNS: Final = (
    "decision_id", "project_id", "supervisor", "kind", "policy", "reason", "reason_code", "subject_kind", "subject_id",
    "source_key", "source_event_at", "source_event_provenance", "supervisor_processed_at",
    "supervisor_processed_provenance", "findings_json", "evidence_json", "actions_json", "content", "chain_position",
    "previous_hash", "hash",
)  # fmt: skip


class DecisionKind(StrEnum):
    """What a supervisor decided."""

    allowed = "allowed"
    paused = "paused"
    blocked = "blocked"
    retry_recommended = "retry_recommended"
    review_required = "review_required"
    error = "error"
    """The supervisor itself failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionDraft:
    """A decision to record."""

    supervisor: str
    kind: DecisionKind
    reason: str
    """One sentence."""
    subject_kind: str
    subject_id: str
    source_event_at: datetime | None
    """When that happened which was decided on. Aware; None only for what another system left out."""
    policy: str = ""
    source_key: str | None = None
    """The same key of the same supervisor is the same decision."""
    reason_code: str = ""
    """Word by which reasons are counted; empty: the policy."""
    findings: Sequence[Mapping[str, JsonValue]] = field(default_factory=tuple)
    """What a policy found: objects with ``kind``, ``severity``, ``code`` and ``message``."""
    evidence: Sequence[Mapping[str, JsonValue]] = field(default_factory=tuple)
    actions: Sequence[Mapping[str, JsonValue]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDecision:
    """A decision that another system took."""

    decision_id: UUID
    draft: DecisionDraft
    """Its ``source_event_at`` counts only when ``source_event_provenance`` is not ``unknown``."""
    source_event_provenance: str
    supervisor_processed_at: datetime | None
    supervisor_processed_provenance: str


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
    source_event_provenance: str
    """``recorded``, or the rule by which the instant was found in what was imported."""
    supervisor_processed_provenance: str
    reason_code: str
    findings: tuple[JsonValue, ...]
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
    if draft.source_event_at is None or draft.source_event_at.tzinfo is None:
        raise InvalidInput(
            "decision.instant_naive", "The instant of the event has no time zone.", "Give an aware instant."
        )
    chain = await _lock_chain(session, project_id)
    if draft.source_key is not None:
        known = await _find_by_key(session, project_id, draft)
        if known is not None:
            return view_decision(known)
    processed_at: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    decision = PastDecision(
        decision_id=new_id(),
        draft=draft,
        source_event_provenance=UNKNOWN if draft.source_event_at is None else RECORDED,
        supervisor_processed_at=processed_at,
        supervisor_processed_provenance=RECORDED,
    )
    row = DecisionRow(**_make_row(chain, project_id, decision))
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return view_decision(row)


async def append_past_decisions(
    session: AsyncSession, project_id: UUID, decisions: Sequence[PastDecision]
) -> None:
    """Append decisions that another system took to the project's chain, in this order.

    Their source keys must be new; who imports looks for those that are known first, under the chain's lock
    that ``lock_chain`` takes.

    Raises:
        InvalidInput: One of them exceeds 1 MiB.
    """
    chain = await _lock_chain(session, project_id)
    rows = [_make_row(chain, project_id, decision) for decision in decisions]
    await session.flush()
    if rows:
        table = cast(Table, DecisionRow.__table__)  # a mapped class of ours has a table
        await copy_rows(session, table, _COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])


async def lock_chain(session: AsyncSession, project_id: UUID) -> None:
    """Let nobody else append to the project's chain until the transaction ends."""
    await _lock_chain(session, project_id)


def _make_row(chain: DecisionChainRow, project_id: UUID, decision: PastDecision) -> dict[str, Any]:
    """Return the columns of the next decision of a chain, and move the end of the chain."""
    draft = decision.draft
    content = _render_content(project_id, decision)
    row = {
        "decision_id": decision.decision_id,
        "project_id": project_id,
        "supervisor": draft.supervisor,
        "kind": draft.kind.value,
        "policy": draft.policy,
        "reason": draft.reason,
        "reason_code": draft.reason_code or draft.policy,
        "subject_kind": draft.subject_kind,
        "subject_id": draft.subject_id,
        "source_key": draft.source_key,
        "source_event_at": draft.source_event_at,
        "source_event_provenance": decision.source_event_provenance,
        "supervisor_processed_at": decision.supervisor_processed_at,
        "supervisor_processed_provenance": decision.supervisor_processed_provenance,
        "findings_json": [dict(one) for one in draft.findings],
        "evidence_json": [dict(one) for one in draft.evidence],
        "actions_json": [dict(one) for one in draft.actions],
        "content": content,
        "chain_position": chain.decisions_count + 1,
        "previous_hash": chain.head_hash,
        "hash": compute_hash(chain.head_hash, content),
    }
    chain.decisions_count, chain.head_hash = chain.decisions_count + 1, str(row["hash"])
    return row


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
        source_event_provenance=row.source_event_provenance,
        supervisor_processed_provenance=row.supervisor_processed_provenance,
        reason_code=row.reason_code,
        findings=tuple(row.findings_json),
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


def _render_content(project_id: UUID, decision: PastDecision) -> str:
    """Return the canonical text of a decision: sorted keys, no spaces."""
    draft = decision.draft
    document: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "decision_id": str(decision.decision_id),
        "project_id": str(project_id),
        "supervisor": draft.supervisor,
        "kind": draft.kind.value,
        "policy": draft.policy,
        "reason": draft.reason,
        "reason_code": draft.reason_code or draft.policy,
        "subject_kind": draft.subject_kind,
        "subject_id": draft.subject_id,
        "source_key": draft.source_key,
        "source_event_at": _render_instant(draft.source_event_at),
        "source_event_provenance": decision.source_event_provenance,
        "supervisor_processed_at": _render_instant(decision.supervisor_processed_at),
        "supervisor_processed_provenance": decision.supervisor_processed_provenance,
        "findings": [dict(one) for one in draft.findings],
        "evidence": [dict(one) for one in draft.evidence],
        "actions": [dict(one) for one in draft.actions],
    }
    content = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    if len(content.encode()) > MAX_CONTENT_BYTES:
        raise InvalidInput(
            "decision.too_large",
            f"The decision has more than {MAX_CONTENT_BYTES:,} bytes.",
            "Put large evidence into an artifact and name its digest.",
        )
    return content


def _render_instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
