"""What analyses say about apps, for the pages and answers of the apps room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.queries import list_app_analyses, list_app_versions
from referee.analysis.tables import AnalysisRow, FindingRow, SubjectRow
from referee.analysis.views import Analysis
from referee.apps.judgements import AppAnalysis, AppSummary, AppVersion
from referee.core.vocabulary import FindingState, Severity

__all__ = ["AnalysisJudgements"]


class AnalysisJudgements:
    """Answers the apps room from this room's rows."""

    async def summarise(
        self, session: AsyncSession, project_id: UUID, app_ids: Sequence[UUID]
    ) -> Mapping[UUID, AppSummary]:
        """Return where each of the apps stands; one that was never analysed is left out."""
        counts = await session.execute(
            select(SubjectRow.app_id, func.count(), func.max(AnalysisRow.sequence))
            .join(AnalysisRow, AnalysisRow.subject_id == SubjectRow.subject_id)
            .where(SubjectRow.app_id.in_(app_ids), AnalysisRow.project_id == project_id)
            .group_by(SubjectRow.app_id)
        )
        by_app = {app_id: (count, sequence) for app_id, count, sequence in counts if app_id is not None}
        latest = await list_app_analyses(
            session, project_id, sequences=[sequence for _, sequence in by_app.values()]
        )
        latest_by_app = {analysis.subject.app_id: analysis for analysis in latest}
        severities = await self._count_open(session, project_id, app_ids)
        return {
            app_id: AppSummary(
                analyses_count=count,
                latest=_view(latest_by_app[app_id]) if app_id in latest_by_app else None,
                open_severities=severities.get(app_id, {}),
            )
            for app_id, (count, _) in by_app.items()
        }

    async def list_analyses(
        self, session: AsyncSession, project_id: UUID, app_id: UUID, *, limit: int
    ) -> Sequence[AppAnalysis]:
        """Return the latest analyses of an app, newest first."""
        found = await list_app_analyses(session, project_id, app_id=app_id, limit=limit)
        return [_view(analysis) for analysis in found]

    async def list_versions(
        self, session: AsyncSession, project_id: UUID, app_id: UUID, *, limit: int
    ) -> Sequence[AppVersion]:
        """Return the states of an app's source that were analysed, last seen first."""
        return await list_app_versions(session, project_id, app_id, limit=limit)

    async def _count_open(
        self, session: AsyncSession, project_id: UUID, app_ids: Sequence[UUID]
    ) -> dict[UUID, dict[Severity, int]]:
        rows = await session.execute(
            select(SubjectRow.app_id, FindingRow.severity, func.count())
            .join(FindingRow, FindingRow.subject_id == SubjectRow.subject_id)
            .where(
                SubjectRow.app_id.in_(app_ids),
                FindingRow.project_id == project_id,
                FindingRow.state == FindingState.open.value,
                FindingRow.is_suppressed.is_(False),
            )
            .group_by(SubjectRow.app_id, FindingRow.severity)
        )
        counts: dict[UUID, dict[Severity, int]] = {}
        for app_id, severity, count in rows:
            if app_id is not None:
                counts.setdefault(app_id, {})[Severity(severity)] = count
        return counts


def _view(analysis: Analysis) -> AppAnalysis:
    return AppAnalysis(
        analysis_id=analysis.analysis_id,
        state=analysis.state,
        created_at=analysis.created_at,
        duration_s=None if analysis.duration_ms is None else analysis.duration_ms / 1000,
        tools_count=analysis.tools_count,
        complete_count=analysis.complete_count,
        severities={severity: analysis.severities.of(severity) for severity in Severity},
    )
