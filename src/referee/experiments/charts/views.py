"""What reads of charts return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

__all__ = ["Chart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart draws."""

    chart_id: UUID
    project_id: UUID
    name: str
    description: str | None
    metric: str
    func: str | None
    group_by: str | None
    bucketing: str
    date_range: dict[str, Any] | None
    query: list[Any] | None
    owner_id: str | None
    created_at: datetime
    updated_at: datetime | None
