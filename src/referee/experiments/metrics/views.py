"""What reads of metrics return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

__all__ = ["Metric", "MetricVersion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What judges events and runs."""

    metric_id: UUID
    project_id: UUID
    name: str
    kind: str
    """PYTHON, LLM, HUMAN or COMPOSITE."""
    is_enabled: bool
    """Whether ingested events are judged by it."""
    sampling_percentage: float
    content: dict[str, Any]
    """The deployed version's content, as the wire says it."""
    deployed_version: int
    versions_count: int
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricVersion:
    """One definition of a metric."""

    version: int
    full_sha: str
    message: str
    content: dict[str, Any]
    is_deployed: bool
    created_at: datetime

    @property
    def name(self) -> str:
        """What it is called on the wire."""
        return f"v{self.version}"
