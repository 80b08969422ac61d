"""What stands before and after a finding in a filtered list, and at which place it is.

The order is that of ``list_findings``: worst first, then as they were first seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.finding_queries import FINDING_COLUMNS
from referee.analysis.tables import FindingRow, SubjectRow
from referee.analysis.views import Finding
from referee.foundation.web.filters import Filter, to_where

__all__ = ["Neighbours", "find_neighbours"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The way through a list, seen from one of its findings."""

    previous_id: UUID | None
    next_id: UUID | None
    position: int
    """Findings before this one, plus 1."""
    total_count: int
    """Findings of the list. The finding itself may have left it since."""


async def find_neighbours(
    session: AsyncSession, project_id: UUID, finding: Finding, where: Filter
) -> Neighbours:
    """Return what stands around a finding in the list that ``where`` makes."""
    conditions = [FindingRow.project_id == project_id, to_where(where, FINDING_COLUMNS)]
    rank = finding.severity.rank
    before = _beside(FindingRow.severity_rank > rank, rank, FindingRow.finding_id < finding.finding_id)
    after = _beside(FindingRow.severity_rank < rank, rank, FindingRow.finding_id > finding.finding_id)
    listed = (
        select(FindingRow.finding_id)
        .join(SubjectRow, SubjectRow.subject_id == FindingRow.subject_id)
        .where(*conditions)
    )
    counts = (
        select(func.count().filter(before), func.count())
        .select_from(FindingRow)
        .join(SubjectRow, SubjectRow.subject_id == FindingRow.subject_id)
        .where(*conditions)
    )
    before_count, total_count = (await session.execute(counts)).one()
    return Neighbours(
        previous_id=await session.scalar(
            listed.where(before).order_by(FindingRow.severity_rank, FindingRow.finding_id.desc()).limit(1)
        ),
        next_id=await session.scalar(
            listed.where(after).order_by(FindingRow.severity_rank.desc(), FindingRow.finding_id).limit(1)
        ),
        position=before_count + 1,
        total_count=total_count,
    )


def _beside(
    is_of_other_rank: ColumnElement[bool], rank: int, is_on_that_side: ColumnElement[bool]
) -> ColumnElement[bool]:
    return or_(is_of_other_rank, and_(FindingRow.severity_rank == rank, is_on_that_side))
