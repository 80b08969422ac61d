"""Tables of runs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = ["RUN_STATUSES", "ExperimentRunRow"]

RUN_STATUSES = ("pending", "running", "completed", "failed", "cancelled")


class ExperimentRunRow(Base):
    """One execution over the datapoints of a dataset. Its sessions and scores are in the event store."""

    __tablename__ = "experiment_runs"
    __table_args__ = (
        UniqueConstraint("sequence"),
        Index("ix_experiment_runs__project_id_sequence", "project_id", "sequence"),
        Index("ix_experiment_runs__project_id_dataset_id", "project_id", "dataset_id"),
        CheckConstraint(f"status IN ({', '.join(map(repr, RUN_STATUSES))})", name="status_known"),
        CheckConstraint("length(run_id) BETWEEN 1 AND 200", name="run_id_length"),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"), primary_key=True)
    run_id: Mapped[str] = mapped_column(primary_key=True)
    """The client's, where it sent one."""
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """Order of acceptance."""
    name: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="pending", server_default=text("'pending'"))
    dataset_id: Mapped[str | None]
    """A managed dataset's id, or one of the client's own that begins with ``EXT-``."""
    metadata_json: Mapped[dict[str, JsonValue]]
    results_json: Mapped[dict[str, JsonValue]]
    configuration_json: Mapped[dict[str, JsonValue]]
    event_ids_json: Mapped[list[str]]
    """Sessions that belong to it besides those that say so themselves."""
    metric_names_json: Mapped[list[str]]
    """Metrics that its events had when its result was last computed."""
    request_digest: Mapped[str]
    """SHA-256 of what created it: the same creation again is the same run."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime | None]
