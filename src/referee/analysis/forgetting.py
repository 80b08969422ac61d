"""Deleting ended analyses with everything that is theirs alone, for projects whose analyses nobody keeps.

Not here: the bytes of artifacts. They are kept once for whoever has the same, and those that no row names are harmless.
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.analyzers.tables import AnalyzerRequestRow
from referee.analysis.running import AnalysisRoom
from referee.analysis.tables import (
    AnalysisRow,
    FindingRow,
    ManifestEntryRow,
    ManifestRow,
    MeasurementRow,
    OccurrenceRow,
    ToolRunAttemptRow,
    ToolRunRow,
)
from referee.core.vocabulary import AnalysisState

__all__ = ["forget_analyses"]

_ENDED: Final = [state.value for state in AnalysisState if state.is_final]


async def forget_analyses(room: AnalysisRoom, project_id: UUID, *, older_than: timedelta, limit: int) -> int:
    """Delete ended analyses of a project that nothing else refers to, the oldest first; return how many.

    One with findings, or that a remote analyzer worked for, stays: their lives are longer than its own.

    Args:
        room: Where they are.
        project_id: Whose.
        older_than: Since they ended.
        limit: At most so many.
    """
    has_findings = select(FindingRow.finding_id).where(
        FindingRow.first_analysis_id == AnalysisRow.analysis_id
    )
    is_remote = select(AnalyzerRequestRow.request_id).where(
        AnalyzerRequestRow.analysis_id == AnalysisRow.analysis_id
    )
    async with room.database.transaction() as session:
        rows = await session.execute(
            select(AnalysisRow.analysis_id, AnalysisRow.results_path)
            .where(
                AnalysisRow.project_id == project_id,
                AnalysisRow.state.in_(_ENDED),
                AnalysisRow.finished_at < func.now() - older_than,
                ~has_findings.exists(),
                ~is_remote.exists(),
            )
            .order_by(AnalysisRow.finished_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        found = [(analysis_id, path) for analysis_id, path in rows]
        await _delete(session, [analysis_id for analysis_id, _ in found])
    for _, path in found:
        if path:
            folder = (room.settings.results_dir / path).resolve()
            if folder.is_relative_to(room.settings.results_dir.resolve()):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return len(found)


async def _delete(session: AsyncSession, analysis_ids: list[UUID]) -> None:
    runs = select(ToolRunRow.tool_run_id).where(ToolRunRow.analysis_id.in_(analysis_ids))
    await session.execute(delete(ToolRunAttemptRow).where(ToolRunAttemptRow.tool_run_id.in_(runs)))
    for table in (OccurrenceRow, MeasurementRow, ManifestEntryRow, ManifestRow, ToolRunRow, AnalysisRow):
        await session.execute(delete(table).where(table.analysis_id.in_(analysis_ids)))
