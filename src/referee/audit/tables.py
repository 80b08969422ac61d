"""Tables of the audit room.

``decisions`` holds what was decided in two forms: ``content``, the canonical text that the chain of
hashes covers and that never changes, and columns to search by. A column that a backfill fills later
differs from the content and says by which rule it was filled.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = [
    "AuditImportRow",
    "DecisionChainRow",
    "DecisionRow",
    "ImportedAuditRow",
    "LeadFindingRow",
    "LeadScanRow",
]


class DecisionRow(Base):
    """One audited act of a supervisor."""

    __tablename__ = "decisions"
    __table_args__ = (
        UniqueConstraint("project_id", "chain_position"),
        Index(
            "uq_decisions__project_id_source_key",
            "project_id",
            "supervisor",
            "source_key",
            unique=True,
            postgresql_where=text("source_key IS NOT NULL"),
        ),
        Index("ix_decisions__subject", "project_id", "subject_kind", "subject_id", "sequence"),
        Index(
            "ix_decisions__source_event_at",
            "project_id",
            "source_event_at",
            "supervisor_processed_at",
            postgresql_where=text("source_event_at IS NOT NULL"),
        ),
        Index(
            "ix_decisions__lag",
            "project_id",
            "supervisor_processed_at",
            postgresql_include=[
                "source_event_at",
                "source_event_provenance",
                "supervisor_processed_provenance",
                "kind",
                "decision_id",
            ],
        ),
        Index(
            "ix_decisions__incomplete",
            "project_id",
            "recorded_at",
            postgresql_where=text("source_event_at IS NULL OR supervisor_processed_at IS NULL"),
        ),
        Index("ix_decisions__kind", "project_id", "kind", "source_event_at"),
        CheckConstraint(
            "kind IN ('allowed', 'paused', 'blocked', 'retry_recommended', 'review_required', 'error')",
            name="kind_known",
        ),
        CheckConstraint("chain_position >= 1", name="chain_position_positive"),
        CheckConstraint("hash ~ '^[0-9a-f]{64}$'", name="hash_form"),
        CheckConstraint("previous_hash ~ '^[0-9a-f]{64}$'", name="previous_hash_form"),
    )

    decision_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """Order of recording: clocks may jump, this does not."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    supervisor: Mapped[str]
    """Who decided, such as ``pipelines``."""
    kind: Mapped[str]
    policy: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """Name of the rule that led to it."""
    reason: Mapped[str]
    """One sentence."""
    reason_code: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """Word by which reasons are counted, such as the code of its first finding."""
    subject_kind: Mapped[str]
    """What it is about: ``pipeline``, ``cell``, ``service``, ``task``."""
    subject_id: Mapped[str]
    source_key: Mapped[str | None]
    """What makes it unique for its supervisor; the same act told again is the same decision."""
    source_event_at: Mapped[datetime | None]
    """When that happened which was decided on."""
    source_event_provenance: Mapped[str] = mapped_column(
        default="recorded", server_default=text("'recorded'")
    )
    supervisor_processed_at: Mapped[datetime | None]
    """When it was decided. Less the instant before: the decision lag."""
    supervisor_processed_provenance: Mapped[str] = mapped_column(
        default="recorded", server_default=text("'recorded'")
    )
    evidence_json: Mapped[list[JsonValue]]
    """What it rests on."""
    findings_json: Mapped[list[JsonValue]] = mapped_column(server_default=text("'[]'::jsonb"))
    """What a policy found: objects with ``kind``, ``severity``, ``code`` and ``message``."""
    actions_json: Mapped[list[JsonValue]]
    """What was done about it."""
    content: Mapped[str]
    """Canonical JSON of all of the above as it was recorded, with schema and version."""
    chain_position: Mapped[int] = mapped_column(BigInteger)
    """Place in the project's chain, from 1, without a gap."""
    previous_hash: Mapped[str]
    hash: Mapped[str]
    """SHA-256 over the hash before and the content."""
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DecisionChainRow(Base):
    """The end of a project's chain of decisions."""

    __tablename__ = "decision_chains"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"), primary_key=True)
    decisions_count: Mapped[int] = mapped_column(BigInteger)
    head_hash: Mapped[str]


class AuditImportRow(Base):
    """One reading of an audit database or log of another system."""

    __tablename__ = "audit_imports"
    __table_args__ = (CheckConstraint("source_kind IN ('sqlite', 'jsonl')", name="source_kind_known"),)

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    source_name: Mapped[str]
    """Name of the file, without its folder."""
    source_kind: Mapped[str]
    schema_version: Mapped[str]
    """What the source says of itself; empty where it says nothing."""
    rows_count: Mapped[int] = mapped_column(BigInteger)
    decisions_count: Mapped[int] = mapped_column(BigInteger)
    events_count: Mapped[int] = mapped_column(BigInteger)
    quarantined_count: Mapped[int] = mapped_column(BigInteger)
    known_count: Mapped[int] = mapped_column(BigInteger)
    """Rows that an earlier import had brought."""
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class ImportedAuditRow(Base):
    """One row of another system's audit log, with its original bytes."""

    __tablename__ = "imported_audits"
    __table_args__ = (
        Index("ix_imported_audits__decision_id", "decision_id"),
        Index("ix_imported_audits__task_id", "project_id", "task_id", "event_type"),
        Index("ix_imported_audits__state", "project_id", "state", "place"),
        CheckConstraint("state IN ('decision', 'event', 'quarantined')", name="state_known"),
        CheckConstraint("source_key ~ '^[0-9a-f]{64}$'", name="source_key_form"),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"), primary_key=True)
    source_key: Mapped[str] = mapped_column(primary_key=True)
    """SHA-256 of what the row said; the same row read again is the same."""
    import_id: Mapped[UUID] = mapped_column(ForeignKey("audit_imports.import_id"))
    place: Mapped[str]
    """Where it stood: ``task_audits 17`` or ``line 17``."""
    task_id: Mapped[str]
    event_type: Mapped[str]
    original: Mapped[bytes] = mapped_column(LargeBinary)
    """The payload, or the line of a log, byte for byte; empty for NULL."""
    columns_json: Mapped[dict[str, JsonValue]]
    """All other columns as they were."""
    state: Mapped[str]
    reason: Mapped[str]
    """Why it is quarantined."""
    decision_id: Mapped[UUID | None] = mapped_column(ForeignKey("decisions.decision_id"))
    occurred_at: Mapped[datetime | None]


class LeadFindingRow(Base):
    """Something that a scan of decisions found, once for each fingerprint."""

    __tablename__ = "lead_findings"
    __table_args__ = (
        Index("ix_lead_findings__last_seen_at", "project_id", "last_seen_at"),
        CheckConstraint("fingerprint ~ '^[0-9a-f]{16}$'", name="fingerprint_form"),
        CheckConstraint("window_kind IN ('24h', '7d')", name="window_kind_known"),
        CheckConstraint("follow_up_state IN ('open', 'done')", name="follow_up_state_known"),
        CheckConstraint("seen_count >= 1", name="seen_count_positive"),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str]
    """The rule."""
    severity: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    window_kind: Mapped[str]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_count: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    """Scans that found it."""
    evidence_json: Mapped[dict[str, JsonValue]]
    follow_up_id: Mapped[UUID]
    """The work to look into it; a new one is opened when it is found again after the last was done."""
    follow_up_state: Mapped[str] = mapped_column(server_default=text("'open'"))


class LeadScanRow(Base):
    """One scan of decisions."""

    __tablename__ = "lead_scans"
    __table_args__ = (
        Index("ix_lead_scans__started_at", "project_id", "started_at"),
        CheckConstraint("window_kind IN ('24h', '7d')", name="window_kind_known"),
    )

    scan_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    window_kind: Mapped[str]
    from_at: Mapped[datetime]
    to_at: Mapped[datetime]
    decisions_count: Mapped[int] = mapped_column(BigInteger)
    findings_count: Mapped[int] = mapped_column(BigInteger)
    new_count: Mapped[int] = mapped_column(BigInteger)
    """Of the findings, those that no scan had found before."""
    alert: Mapped[str]
    """What the self-check says; empty when it has nothing to say."""
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
