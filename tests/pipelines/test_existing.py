"""Pipelines over apps that exist: one analysis for each cell, counted once everywhere."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from tests.pipelines.conftest import RunPipeline

from referee.analysis.tables import AnalysisRow, ToolRunRow
from referee.app import Application
from referee.audit import list_subject_decisions, verify_chain
from referee.pipelines import CellState, PipelineState, list_cells
from referee.pipelines.queries import list_events
from referee.pipelines.tables import CellRow

FOUR = """
name: four apps
existing:
  apps: [alpha/app1, alpha/app2, beta/app1, "beta:2"]
analysis:
  tools: [bandit, vulture]
limits: {cells_at_once: 2}
"""


async def test_four_apps_are_four_cells_and_four_analyses(
    run_pipeline: RunPipeline, application: Application, project_id: UUID, four_apps: Path
) -> None:
    pipeline = await run_pipeline(FOUR)

    assert (pipeline.state, pipeline.reason) == (PipelineState.completed, "All 4 cells are valid.")
    assert (pipeline.counts.total_count, pipeline.counts.valid_count) == (4, 4)
    async with application.database.reading() as session:
        cells = await list_cells(session, pipeline.pipeline_id)
        analyses_count = await session.scalar(select(func.count()).select_from(AnalysisRow))
        tool_runs_count = await session.scalar(select(func.count()).select_from(ToolRunRow))
        events = await list_events(session, pipeline.pipeline_id)
        decisions = await list_subject_decisions(session, project_id, "pipeline", str(pipeline.pipeline_id))
        problems = [problem async for problem in verify_chain(session, project_id)]
    assert [(cell.model, cell.number, cell.state, cell.is_valid) for cell in cells.items] == [
        (model, number, CellState.completed, True) for model in ("alpha", "beta") for number in (1, 2)
    ]
    assert (analyses_count, tool_runs_count) == (4, 8)
    assert len({cell.analysis_id for cell in cells.items}) == 4
    assert [event.kind for event in reversed(events.items)][:2] == ["pipeline.accepted", "pipeline.running"]
    assert next(event.kind for event in events.items) == "pipeline.completed"
    assert [decision.kind for decision in decisions] == ["allowed"]
    assert problems == []
    with pytest.raises(IntegrityError, match="valid_with_analysis"):
        async with application.database.transaction() as session:
            await session.execute(update(CellRow).values(analysis_id=None))
