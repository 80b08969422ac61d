"""The numbers of the overview. Its page and its JSON show what this reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.finding_queries import FINDING_FIELDS, count_finding_facets, count_findings_by_state
from referee.analysis.queries import count_analyses_by_state, count_outcomes
from referee.analysis.views import Facet
from referee.core.vocabulary import AnalysisState, FindingState, Outcome
from referee.foundation.web.filters import parse_filter

__all__ = ["OPEN_FILTER", "Overview", "read_overview"]

OPEN_FILTER: Final = "is:open suppressed:no"
"""The findings that count: not fixed, not dismissed, and not silenced in the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How a project is."""

    analyses: Mapping[AnalysisState, int]
    findings: Mapping[FindingState, int]
    """Without those that the code suppresses."""
    severities: tuple[Facet, ...]
    """Those of ``OPEN_FILTER`` by severity."""
    outcomes: tuple[Facet, ...]
    """Tool runs by tool and outcome."""

    @property
    def active_count(self) -> int:
        """Analyses that wait or run."""
        return self.analyses[AnalysisState.queued] + self.analyses[AnalysisState.running]

    @property
    def complete_runs_count(self) -> int:
        """Tool runs that came to a result."""
        return sum(facet.count for facet in self.outcomes if Outcome(facet.value).is_complete)

    @property
    def runs_count(self) -> int:
        """Tool runs that ended."""
        return sum(facet.count for facet in self.outcomes)


async def read_overview(session: AsyncSession, project_id: UUID) -> Overview:
    """Return the numbers of a project."""
    open_findings = parse_filter(OPEN_FILTER, FINDING_FIELDS)
    facets = await count_finding_facets(session, project_id, where=open_findings)
    return Overview(
        analyses=await count_analyses_by_state(session, project_id),
        findings=await count_findings_by_state(session, project_id),
        severities=facets["severity"],
        outcomes=await count_outcomes(session, project_id),
    )
