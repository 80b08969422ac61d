"""Accepted analyses whose tool runs wait for results, and results recorded without running a tool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from tests.analysis.reports import make_result

from referee.analysis import AnalysisRequest, create_analysis
from referee.analysis.finding_queries import list_findings
from referee.analysis.queries import list_tool_runs
from referee.analysis.recording import ToolRunKey, record_tool_run
from referee.analysis.views import Finding
from referee.app import Application
from referee.core.findings import ToolReport
from referee.foundation.access import get_project


@dataclass(frozen=True, slots=True)
class Planned:
    """An accepted analysis whose tool runs wait for results."""

    application: Application
    project_id: UUID
    keys: dict[str, ToolRunKey]

    async def record(self, tool: str, report: ToolReport, *, attempt: int = 1) -> bool:
        """Record a report as a worker does; return whether it was accepted."""
        async with self.application.database.transaction() as session:
            key = replace(self.keys[tool], attempt=attempt)
            return await record_tool_run(session, key, make_result(report))

    async def findings(self) -> tuple[Finding, ...]:
        """Return all findings of the project."""
        async with self.application.database.reading() as session:
            return (await list_findings(session, self.project_id, limit=1000)).items


async def plan(application: Application, path: Path, *tools: str) -> Planned:
    """Accept an analysis."""
    project_id = (await get_project(application.database, "default")).project_id
    request = AnalysisRequest(path=str(path), tools=tools)
    analysis = await create_analysis(application.analysis, application.engine, project_id, request)
    async with application.database.reading() as session:
        runs = await list_tool_runs(session, analysis.analysis_id)
    keys = {
        run.tool: ToolRunKey(
            tool_run_id=run.tool_run_id,
            analysis_id=analysis.analysis_id,
            subject_id=analysis.subject.subject_id,
            project_id=project_id,
            tool=run.tool,
            parameters_digest="0" * 64,
            attempt=1,
        )
        for run in runs
    }
    return Planned(application, project_id, keys)
