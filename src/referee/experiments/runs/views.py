"""A run as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from referee.core.findings import JsonValue
from referee.experiments.runs.definitions import PassingRange, parse_passing_range

__all__ = ["Run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution over the datapoints of a dataset."""

    run_id: str
    project_id: UUID
    sequence: int
    name: str
    description: str | None
    status: str
    dataset_id: str | None
    dataset_name: str | None
    """None for a dataset of the client's own, and for one that is gone."""
    metadata: Mapping[str, JsonValue]
    results: Mapping[str, JsonValue]
    configuration: Mapping[str, JsonValue]
    event_ids: Sequence[str]
    metric_names: Sequence[str]
    created_at: datetime
    updated_at: datetime | None

    @property
    def session_ids(self) -> list[str]:
        """Sessions that the run names, under either of the names that clients use."""
        named = self.metadata.get("session_ids")
        further = [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
        return list(dict.fromkeys([*self.event_ids, *further]))

    @property
    def passing_ranges(self) -> dict[str, PassingRange]:
        """Name of a metric → what passes, as the run says."""
        raw = self.metadata.get("passing_ranges")
        if not isinstance(raw, dict):
            return {}
        found = {name: parse_passing_range(value) for name, value in raw.items()}
        return {name: one for name, one in found.items() if not one.is_empty}
