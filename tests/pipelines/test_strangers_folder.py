"""A stranger's folder in one pipeline: every app analysed, every placeholder skipped and named."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from tests.apps.strangers_folder import APP, PLACEHOLDERS, make_strangers_folder, write_files
from tests.pipelines.conftest import RunPipeline, wait_for_end

from referee.app import Application
from referee.pipelines import CellState, PipelineState, list_cells, retry_cells
from referee.pipelines.definition_writing import write_folder_definition
from referee.pipelines.queries import find_event_message
from referee.pipelines.service import LEFT_OUT


@pytest.mark.slow
async def test_twenty_apps_are_imported_and_analysed_and_placeholders_do_not_count_as_good(
    run_pipeline: RunPipeline, application: Application, tmp_path: Path
) -> None:
    make_strangers_folder(tmp_path, "generated/apps")
    text = write_folder_definition(str(tmp_path), name="theirs", profile="quick", tools=["vulture"])

    pipeline = await run_pipeline(text)

    assert (pipeline.counts.total_count, pipeline.counts.valid_count) == (20, 15)
    assert pipeline.state is PipelineState.partially_completed
    async with application.database.reading() as session:
        cells = await list_cells(session, pipeline.pipeline_id)
    skipped = [cell for cell in cells.items if cell.state is CellState.skipped]
    assert {f"{cell.model}/app{cell.number}" for cell in skipped} == set(PLACEHOLDERS)
    for cell in skipped:
        kind = PLACEHOLDERS[f"{cell.model}/app{cell.number}"][0]
        assert cell.reason.startswith(f"The app is a placeholder ({kind}): ")
        assert (cell.is_valid, cell.analysis_id) == (False, None)


async def test_placeholder_is_skipped_and_analysed_once_it_was_written(
    run_pipeline: RunPipeline, application: Application, project_id: UUID, tmp_path: Path
) -> None:
    write_files(tmp_path / "models/ash/app1", {"main.py": APP})
    write_files(tmp_path / "models/ash/app2", {"main.py": "pass\n"})
    write_files(tmp_path / "models/ash/notes", {"todo.txt": "x\n"})
    pipeline = await run_pipeline(write_folder_definition(str(tmp_path), name="two", tools=["vulture"]))
    assert (pipeline.counts.of(CellState.skipped), pipeline.counts.valid_count) == (1, 1)
    async with application.database.reading() as session:
        said = await find_event_message(session, pipeline.pipeline_id, LEFT_OUT)
    assert said == f"Left out of the folder, 1:\n{tmp_path}/models/ash/notes: Its name is not appN."

    write_files(tmp_path / "models/ash/app2", {"main.py": APP})
    again = await retry_cells(application.pipelines, application.engine, project_id, pipeline.pipeline_id)
    ended = await wait_for_end(application, project_id, again.pipeline_id)
    assert (ended.state, ended.counts.valid_count) == (PipelineState.completed, 2)
