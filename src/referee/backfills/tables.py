"""Runs that this server was asked for. The truth of a run stands in its target; this is what pages list."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.backfills.states import RunState
from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = ["BackfillRunRow"]

_STATES = ", ".join(f"'{state.value}'" for state in RunState)


class BackfillRunRow(Base):
    """One run, or dry run, of a backfill on a database."""

    __tablename__ = "backfill_runs"
    __table_args__ = (
        UniqueConstraint("project_id", "idempotency_key"),
        UniqueConstraint("sequence"),
        Index("ix_backfill_runs__project_id_sequence", "project_id", "sequence"),
        CheckConstraint(f"state IN ({_STATES})", name="state_known"),
        CheckConstraint("state <> 'failed' OR reason <> ''", name="failure_explained"),
    )

    backfill_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """Order of acceptance."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    backfill: Mapped[str]
    database: Mapped[str]
    """As it was asked for; never with a password."""
    is_dry: Mapped[bool]
    """Whether it only plans."""
    request_json: Mapped[dict[str, JsonValue]]
    """Parameters, scope, digest of the plan, and whether a backup is made."""
    state: Mapped[str] = mapped_column(default="queued", server_default=text("'queued'"))
    reason: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """One sentence: why it is in this state."""
    run_json: Mapped[dict[str, JsonValue] | None]
    """The run, or the plan, as it last stood in the target."""
    progress_json: Mapped[dict[str, JsonValue] | None]
    """Rate and time left while it runs."""
    jobs_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Jobs that were submitted for it; part of their keys."""
    job_id: Mapped[UUID | None]
    """The last of them."""
    idempotency_key: Mapped[str | None]
    request_digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
