"""Accepting the same pipeline and the same cell many times at once; pausing, cancelling, retrying."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from tests.pipelines.conftest import RunPipeline, wait_for_end
from tests.pipelines.test_existing import FOUR

from referee.app import Application
from referee.core.errors import Conflict, InvalidInput
from referee.core.ids import new_id
from referee.pipelines import (
    CellState,
    PipelineRequest,
    PipelineState,
    cancel_pipeline,
    create_pipeline,
    list_cells,
    pause_pipeline,
    resume_pipeline,
    retry_cells,
)
from referee.pipelines.definition import parse_definition
from referee.pipelines.planning import CellPlan, ensure_cells
from referee.pipelines.tables import CellRow, PipelineRow


async def test_same_pipeline_submitted_at_once_is_one(
    application: Application, project_id: UUID, four_apps: Path
) -> None:
    request = PipelineRequest(definition_text=FOUR, idempotency_key="spring")

    answers = await asyncio.gather(
        *(create_pipeline(application.pipelines, application.engine, project_id, request) for _ in range(40))
    )

    assert len({answer.pipeline_id for answer in answers}) == 1
    assert {answer.counts.total_count for answer in answers} == {4}
    async with application.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(PipelineRow)) == 1
        assert await session.scalar(select(func.count()).select_from(CellRow)) == 4
    with pytest.raises(Conflict):
        other = PipelineRequest(definition_text=FOUR + "# changed\n", idempotency_key="spring")
        await create_pipeline(application.pipelines, application.engine, project_id, other)
    await wait_for_end(application, project_id, answers[0].pipeline_id)


async def test_same_cell_asked_for_at_once_is_one_and_the_database_refuses_a_second(
    application: Application, project_id: UUID, four_apps: Path
) -> None:
    request = PipelineRequest(definition_text=FOUR)
    pipeline = await create_pipeline(application.pipelines, application.engine, project_id, request)
    await pause_pipeline(application.pipelines, project_id, pipeline.pipeline_id)
    definition = parse_definition(FOUR)

    async def ask() -> UUID:
        async with application.database.transaction() as session:
            plan = CellPlan(model="gamma", template="", number=7)
            (cell_id,) = await ensure_cells(session, pipeline.pipeline_id, definition, [plan])
            return cell_id

    ids = await asyncio.gather(*(ask() for _ in range(40)))

    assert len(set(ids)) == 1
    with pytest.raises(IntegrityError, match="uq_cells__identity"):
        async with application.database.transaction() as session:
            await session.execute(
                text(
                    "INSERT INTO cells (cell_id, pipeline_id, position, model, template, number, analysis_kind,"
                    " parameters_digest) SELECT :id, pipeline_id, 99, model, template, number, analysis_kind,"
                    " parameters_digest FROM cells WHERE cell_id = :known"
                ),
                {"id": new_id(), "known": ids[0]},
            )


async def test_paused_pipeline_begins_no_cell_until_it_is_resumed(
    application: Application, project_id: UUID, four_apps: Path
) -> None:
    request = PipelineRequest(definition_text=FOUR)
    accepted = await create_pipeline(application.pipelines, application.engine, project_id, request)
    await pause_pipeline(application.pipelines, project_id, accepted.pipeline_id)
    paused = await wait_for_end(application, project_id, accepted.pipeline_id)
    assert paused.state is PipelineState.paused
    with pytest.raises(Conflict, match="only one that is queued or running can be paused"):
        await pause_pipeline(application.pipelines, project_id, accepted.pipeline_id)

    await resume_pipeline(application.pipelines, application.engine, project_id, accepted.pipeline_id)
    ended = await wait_for_end(application, project_id, accepted.pipeline_id)

    assert (ended.state, ended.counts.valid_count) == (PipelineState.completed, 4)


async def test_cancelled_pipeline_ends_every_cell_and_a_retry_goes_on(
    application: Application, project_id: UUID, four_apps: Path
) -> None:
    request = PipelineRequest(definition_text=FOUR)
    accepted = await create_pipeline(application.pipelines, application.engine, project_id, request)
    cancelled = await cancel_pipeline(
        application.pipelines, application.engine, project_id, accepted.pipeline_id
    )
    assert cancelled.state is PipelineState.cancelled
    assert cancelled.counts.ended_count == 4
    assert cancelled.counts.of(CellState.cancelled) >= 1

    await retry_cells(application.pipelines, application.engine, project_id, accepted.pipeline_id)
    ended = await wait_for_end(application, project_id, accepted.pipeline_id)

    assert (ended.state, ended.counts.valid_count, ended.counts.total_count) == (
        PipelineState.completed,
        4,
        4,
    )
    with pytest.raises(Conflict, match="Every cell is valid"):
        await retry_cells(application.pipelines, application.engine, project_id, accepted.pipeline_id)


async def test_cell_without_a_source_fails_with_the_reason_and_others_go_on(
    application: Application, project_id: UUID, four_apps: Path, run_pipeline: RunPipeline
) -> None:
    shutil.rmtree(four_apps / "beta" / "app2")

    pipeline = await run_pipeline(FOUR)

    assert pipeline.state is PipelineState.partially_completed
    assert pipeline.reason == "3 of 4 cells are valid; each of the others says why not."
    async with application.database.reading() as session:
        cells = (await list_cells(session, pipeline.pipeline_id)).items
    assert [cell.state for cell in cells][3] is CellState.failed
    assert "There is no folder" in cells[3].reason
    assert cells[3].attempts_count == 1, "a verdict on the app is not tried again"


async def test_folder_of_apps_is_imported_and_analysed_without_doubles(
    application: Application, run_pipeline: RunPipeline, four_apps: Path
) -> None:
    extra = four_apps / "delta" / "app1"
    extra.mkdir(parents=True)
    (extra / "main.py").write_text("import os\n\nos.getcwd()\n")

    pipeline = await run_pipeline(
        f"name: a folder\nexisting: {{apps: [beta/app2], folder: {four_apps}}}\nanalysis: {{tools: [vulture]}}\n"
    )

    async with application.database.reading() as session:
        cells = (await list_cells(session, pipeline.pipeline_id)).items
    assert (pipeline.state, pipeline.counts.valid_count) == (PipelineState.completed, 5)
    assert [(cell.model, cell.number) for cell in cells] == [
        ("beta", 2), ("alpha", 1), ("alpha", 2), ("beta", 1), ("delta", 1),
    ]  # fmt: skip


async def test_app_that_is_not_known_is_refused_and_nothing_is_left(
    application: Application, project_id: UUID
) -> None:
    with pytest.raises(InvalidInput, match="There is no app 'alpha/app1'"):
        await create_pipeline(
            application.pipelines, application.engine, project_id, PipelineRequest(definition_text=FOUR)
        )
    async with application.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(PipelineRow)) == 0
