"""What earlier results say about the next pipeline: time from cells, else from tool runs; spread from a pilot."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select, text, update
from tests.pipelines.conftest import RunPipeline

from referee.analysis.tables import ToolRunRow
from referee.app import Application
from referee.pipelines.planning_preview import PipelinePreview, preview_pipeline
from referee.pipelines.tables import CellRow

FOUR = """
name: spring
existing:
  apps: [alpha/app1, alpha/app2, beta/app1, beta/app2]
analysis:
  tools: [vulture]
"""
OTHER_PROFILE = FOUR + "  profile: quick\n"
OTHER_TOOL = FOUR.replace("vulture", "bandit")


async def test_estimates_become_known_with_results_and_say_where_from(
    run_pipeline: RunPipeline, application: Application, project_id: UUID, four_apps: Path
) -> None:
    async def preview(text: str) -> PipelinePreview:
        return await preview_pipeline(application.pipelines, project_id, text)

    before = await preview(FOUR)
    assert (before.time.seconds, before.design.pilot) == (None, None)
    assert before.design.unit == "standard deviations"
    assert before.design.comparisons_count == 1

    await run_pipeline(FOUR)
    async with application.database.transaction() as session:
        await session.execute(
            update(CellRow).values(
                started_at=func.now(), finished_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, 8)
            )
        )
        await session.execute(
            text("SET LOCAL referee.is_repairing = 'on'")
        )  # numbers that the tools did not have
        first = (await session.scalars(select(ToolRunRow.tool_run_id).limit(1))).one()
        await session.execute(update(ToolRunRow).values(findings_count=3, duration_ms=2_000))
        await session.execute(
            update(ToolRunRow).where(ToolRunRow.tool_run_id == first).values(findings_count=9)
        )

    after = await preview(FOUR)
    assert after.time.seconds == 16.0, "two rounds of two cells, eight seconds each"
    assert after.time.reason == "If cells go as the last 4 with the same tools, 2 at once."
    assert (after.design.pilot, after.design.unit) == ("spring", "findings")
    assert after.design.difference is not None

    runs = await preview(OTHER_PROFILE)
    assert runs.time.seconds == 4.0, "two rounds of one tool, two seconds each"
    assert runs.time.reason.startswith("If tools take as long as in 4 earlier runs, one after another")
    assert runs.design.pilot is None, "another profile has other parameters"

    other = await preview(OTHER_TOOL)
    assert other.time.reason == "If cells go as the last 4 of the profile standard, 2 at once."
    assert other.design.pilot is None, "findings of other tools are another scale"
