"""Tables of datasets and datapoints.

What a datapoint says is kept once for each revision and never changed; a
dataset's membership has the versions from and until which it holds. So every
version of a dataset can be read as it was, and costs only what differed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from referee.foundation.store import Base

__all__ = ["DatapointRevisionRow", "DatapointRow", "DatasetMemberRow", "DatasetRow", "DatasetVersionRow"]


class DatasetRow(Base):
    """Cases that belong together."""

    __tablename__ = "datasets"
    __table_args__ = (
        Index("ix_datasets__project_id_created_at", "project_id", "created_at"),
        Index("ix_datasets__project_id_name", "project_id", "name"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint("version >= 1", name="version_positive"),
        CheckConstraint("datapoints_count >= 0", name="datapoints_count_range"),
    )

    dataset_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    description: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """Of its datapoints; name and description have none."""
    datapoints_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class DatasetVersionRow(Base):
    """One state of a dataset's datapoints."""

    __tablename__ = "dataset_versions"
    __table_args__ = (CheckConstraint("version >= 1", name="version_positive"),)

    dataset_id: Mapped[UUID] = mapped_column(
        ForeignKey("datasets.dataset_id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    datapoints_count: Mapped[int]
    change: Mapped[str]
    """One sentence: what differs from the version before."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class DatapointRow(Base):
    """One case."""

    __tablename__ = "datapoints"
    __table_args__ = (Index("ix_datapoints__project_id_created_at", "project_id", "created_at"),)

    datapoint_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    revision: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """The one that holds now."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    deleted_at: Mapped[datetime | None]
    """A deleted case is found no more, and stays in the older versions of its datasets."""


class DatapointRevisionRow(Base):
    """What a case says, or said."""

    __tablename__ = "datapoint_revisions"

    datapoint_id: Mapped[UUID] = mapped_column(
        ForeignKey("datapoints.datapoint_id", ondelete="CASCADE"), primary_key=True
    )
    revision: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    inputs_json: Mapped[dict[str, Any]]
    history_json: Mapped[list[Any]] = mapped_column(JSONB)
    ground_truth_json: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    metadata_json: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    linked_event: Mapped[str | None]
    """Id of the event it was made from."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class DatasetMemberRow(Base):
    """A datapoint's place in a dataset, from one version until another."""

    __tablename__ = "dataset_members"
    __table_args__ = (
        ForeignKeyConstraint(
            ["datapoint_id", "revision"],
            ["datapoint_revisions.datapoint_id", "datapoint_revisions.revision"],
            name="fk_dataset_members__datapoint_id_revision",
            ondelete="CASCADE",
        ),
        Index(
            "uq_dataset_members__present",
            "dataset_id",
            "datapoint_id",
            unique=True,
            postgresql_where=text("until_version IS NULL"),
        ),
        Index("ix_dataset_members__datapoint_id", "datapoint_id"),
        Index("ix_dataset_members__dataset_id_position", "dataset_id", "position"),
        CheckConstraint("until_version IS NULL OR until_version > from_version", name="versions_in_order"),
    )

    dataset_id: Mapped[UUID] = mapped_column(
        ForeignKey("datasets.dataset_id", ondelete="CASCADE"), primary_key=True
    )
    datapoint_id: Mapped[UUID] = mapped_column(primary_key=True)
    from_version: Mapped[int] = mapped_column(primary_key=True)
    until_version: Mapped[int | None]
    """First version without it; null while it belongs."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    revision: Mapped[int]
    position: Mapped[int]
    """Order within the dataset."""
