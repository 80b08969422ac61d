"""What reads of datasets and datapoints return."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from referee.core.findings import JsonValue

__all__ = ["Datapoint", "DatapointContent", "Dataset", "DatasetVersion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Cases that belong together."""

    dataset_id: UUID
    project_id: UUID
    name: str
    description: str | None
    version: int
    datapoints_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """One state of a dataset's datapoints."""

    version: int
    datapoints_count: int
    change: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapointContent:
    """What a case says."""

    inputs: dict[str, JsonValue] = field(default_factory=dict)
    history: list[JsonValue] = field(default_factory=list)
    """Messages before it, each an object."""
    ground_truth: dict[str, JsonValue] | None = None
    metadata: dict[str, JsonValue] | None = None
    linked_event: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Datapoint:
    """One case."""

    datapoint_id: UUID
    project_id: UUID
    revision: int
    content: DatapointContent
    linked_datasets: tuple[UUID, ...]
    created_at: datetime
    updated_at: datetime
