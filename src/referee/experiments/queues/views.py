"""What reads of annotation queues return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

__all__ = ["AnnotationQueue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationQueue:
    """Events that people are to look at."""

    annotation_queue_id: UUID
    project_id: UUID
    name: str
    description: str
    filters: dict[str, Any]
    is_enabled: bool
    events_count: int
    """Events that were put in by their ids."""
    created_at: datetime
    updated_at: datetime | None
