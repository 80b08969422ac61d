"""What analyses say about apps, as this room's pages and answers show it.

Analyses are made by a room that knows this one, so the facts come through a
protocol that the composition root fulfils.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.vocabulary import AnalysisState, Severity

__all__ = ["AppAnalysis", "AppJudgements", "AppSummary", "AppVersion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppAnalysis:
    """One analysis of an app."""

    analysis_id: UUID
    state: AnalysisState
    created_at: datetime
    duration_s: float | None
    """None while it has not ended."""
    tools_count: int
    complete_count: int
    """Tools that came to a result."""
    severities: Mapping[Severity, int]
    """Findings that the code does not suppress."""

    @property
    def findings_count(self) -> int | None:
        """Findings of all severities; None when no tool came to a result."""
        return sum(self.severities.values()) if self.complete_count else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSummary:
    """Where an app stands."""

    analyses_count: int = 0
    latest: AppAnalysis | None = None
    open_severities: Mapping[Severity, int] = field(default_factory=dict)
    """Open findings that the code does not suppress."""

    @property
    def open_findings_count(self) -> int:
        """Open findings of all severities."""
        return sum(self.open_severities.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class AppVersion:
    """One state of an app's source."""

    source_digest: str
    listing_sha256: str
    """Artifact that names its files."""
    first_seen_at: datetime
    last_seen_at: datetime
    analyses_count: int = 0
    latest_analysis_id: UUID | None = None
    runs_count: int = 0


class AppJudgements(Protocol):
    """Where the facts come from."""

    async def summarise(
        self, session: AsyncSession, project_id: UUID, app_ids: Sequence[UUID]
    ) -> Mapping[UUID, AppSummary]:
        """Return where each of the apps stands; one that was never analysed may be left out."""
        ...

    async def list_analyses(
        self, session: AsyncSession, project_id: UUID, app_id: UUID, *, limit: int
    ) -> Sequence[AppAnalysis]:
        """Return the latest analyses of an app, newest first."""
        ...

    async def list_versions(
        self, session: AsyncSession, project_id: UUID, app_id: UUID, *, limit: int
    ) -> Sequence[AppVersion]:
        """Return the states of an app's source that were analysed, last seen first."""
        ...
