"""What a client sends about a run, brought into one form: old names and fields that became metadata included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from referee.core.findings import JsonValue
from referee.experiments.runs.datasets import is_external

__all__ = ["OFFLINE_DATASET_ID", "RunChanges", "RunRequest", "move_legacy_fields"]

OFFLINE_DATASET_ID: Final = "offline_dataset_id"
"""Key in the metadata under which a dataset of the client's own is kept."""
LEGACY_FIELDS: Final = ("evaluators", "session_ids", "datapoint_ids", "passing_ranges")
"""Fields that the interface had once; they are part of the metadata now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A run to create."""

    run_id: str | None
    """None: one is made."""
    name: str | None
    description: str | None
    status: str
    dataset_id: str | None
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    """Legacy fields and a dataset of the client's own included."""
    results: Mapping[str, JsonValue] = field(default_factory=dict)
    configuration: Mapping[str, JsonValue] = field(default_factory=dict)
    event_ids: Sequence[str] = ()

    @property
    def digest(self) -> str:
        """Equal for equal requests."""
        parts = [
            self.name, self.description, self.status, self.dataset_id, dict(self.metadata), dict(self.results),
            dict(self.configuration), list(self.event_ids),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChanges:
    """What of a run is to change; None stays as it is. Objects are merged key by key, lists are replaced."""

    name: str | None = None
    description: str | None = None
    status: str | None = None
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    results: Mapping[str, JsonValue] = field(default_factory=dict)
    configuration: Mapping[str, JsonValue] = field(default_factory=dict)
    event_ids: Sequence[str] | None = None
    dataset_id: str | None = None
    """Cannot change; another one than it has gives a warning."""


def move_legacy_fields(
    metadata: Mapping[str, JsonValue] | None,
    legacy: Mapping[str, JsonValue],
    dataset_id: str | None,
) -> tuple[dict[str, JsonValue], str | None]:
    """Return the metadata with legacy fields in it, and the dataset's id wherever it was written.

    Args:
        metadata: As sent.
        legacy: Values of ``LEGACY_FIELDS``; None for those that were not sent.
        dataset_id: As sent.
    """
    merged = dict(metadata or {})
    merged.update({name: value for name, value in legacy.items() if value is not None})
    if dataset_id and is_external(dataset_id):
        merged[OFFLINE_DATASET_ID] = dataset_id
    offline = merged.get(OFFLINE_DATASET_ID)
    if not dataset_id and isinstance(offline, str) and offline:
        return merged, offline
    return merged, dataset_id or None
