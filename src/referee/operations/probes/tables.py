"""The table of probe results. They are of the installation, not of a project."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Double, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base
from referee.operations.probes.words import Probe, ProbeOutcome

__all__ = ["ProbeResultRow"]


def _list(words: type[Probe] | type[ProbeOutcome]) -> str:
    return ", ".join(f"'{word.value}'" for word in words)


class ProbeResultRow(Base):
    """One try of one probe."""

    __tablename__ = "probe_results"
    __table_args__ = (
        CheckConstraint(f"probe IN ({_list(Probe)})", name="probe_known"),
        CheckConstraint(f"outcome IS NULL OR outcome IN ({_list(ProbeOutcome)})", name="outcome_known"),
        CheckConstraint("(outcome IS NULL) = (finished_at IS NULL)", name="end_whole"),
        Index("ix_probe_results__probe_requested_at", "probe", "requested_at"),
        Index("ix_probe_results__requested_at", "requested_at"),
        Index("uq_probe_results__open", "probe", unique=True, postgresql_where=text("outcome IS NULL")),
    )

    probe_result_id: Mapped[UUID] = mapped_column(primary_key=True)
    probe: Mapped[str]
    outcome: Mapped[str | None]
    """Null while it waits or runs; of each probe at most one does."""
    error: Mapped[str] = mapped_column(default="", server_default=text("''"))
    steps_json: Mapped[list[JsonValue]] = mapped_column(server_default=text("'[]'::jsonb"))
    """``{name, latency_ms}`` of each step that was begun, in order."""
    latency_ms: Mapped[float | None] = mapped_column(Double)
    is_scheduled: Mapped[bool]
    job_id: Mapped[UUID | None]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
