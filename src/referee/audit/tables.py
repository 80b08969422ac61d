"""Tables of the audit room.

``decisions`` holds what was decided in two forms: ``content``, the canonical text that the chain of
hashes covers and that never changes, and columns to search by. A column that a backfill fills later
differs from the content and says by which rule it was filled.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = ["DecisionChainRow", "DecisionRow"]


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
        Index("ix_decisions__kind", "project_id", "kind", "source_event_at"),
        CheckConstraint(
            "kind IN ('allowed', 'paused', 'blocked', 'retry_recommended', 'review_required')",
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
