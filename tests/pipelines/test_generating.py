"""Pipelines whose apps are written by models: a scripted server replays what they say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

import pytest
from sqlalchemy import func, select
from tests.apps.generation.conftest import NOTES
from tests.apps.generation.replies import BACKEND, FRONTEND
from tests.llm_server import LlmServer, Request, Response, Script, answer, failure, serve_llm
from tests.pipelines.conftest import wait_for_end

from referee.analysis.tables import AnalysisRow
from referee.app import Application, open_application
from referee.apps import ModelEntry, import_models, import_template
from referee.apps.tables import AppRow
from referee.audit import list_subject_decisions
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.pipelines import (
    Cell,
    CellState,
    Pipeline,
    PipelineRequest,
    PipelineState,
    create_pipeline,
    extend_pipeline,
    list_cells,
)

TWO_BY_TWO = """
name: two by two
generate: {models: [pico, nano], templates: [notes, memos]}
analysis: {tools: [bandit, vulture]}
limits: {cells_at_once: 2, retry_pauses_s: [0.2]}
"""


@dataclass(frozen=True)
class Kitchen:
    """An application whose models are a scripted server."""

    application: Application
    project_id: UUID
    server: LlmServer

    async def run(self, text: str) -> Pipeline:
        """Accept a pipeline and wait for its end."""
        request = PipelineRequest(definition_text=text)
        accepted = await create_pipeline(
            self.application.pipelines, self.application.engine, self.project_id, request
        )
        return await wait_for_end(self.application, self.project_id, accepted.pipeline_id)

    async def list_cells(self, pipeline: Pipeline) -> tuple[Cell, ...]:
        """Return the cells of a pipeline."""
        async with self.application.database.reading() as session:
            return (await list_cells(session, pipeline.pipeline_id)).items

    async def count(self, table: type[AppRow] | type[AnalysisRow]) -> int:
        """Return how many rows a table has."""
        async with self.application.database.reading() as session:
            return (await session.scalar(select(func.count()).select_from(table))) or 0


OpenKitchen: TypeAlias = Callable[[Script], AbstractAsyncContextManager[Kitchen]]


def write_apps(request: Request) -> Response:
    """Answer as a model that can: the backend, then the frontend."""
    asks_for_frontend = "frontend" in request.body["messages"][-1]["content"].lower().split("\n", 1)[0]
    return answer(FRONTEND if asks_for_frontend else BACKEND, usage=(1_000, 500))


@pytest.fixture
def open_kitchen(database_settings: Settings) -> OpenKitchen:
    """Return a function that opens an application with two models, two templates and a script."""

    @asynccontextmanager
    async def open_it(script: Script) -> AsyncIterator[Kitchen]:
        with serve_llm(script) as server:
            settings = database_settings.model_copy(
                update={
                    "generator_url": server.url,
                    "generator_requests_per_minute_count": 6_000,
                    "generator_max_attempts_count": 1,
                }
            )
            async with open_application(settings, is_worker=True) as application:
                project_id = (await get_project(application.database, "default")).project_id
                entries = [
                    ModelEntry(
                        model_name=f"maker/{slug}",
                        slug=slug,
                        input_usd_per_mtok=2.0,
                        output_usd_per_mtok=10.0,
                    )
                    for slug in ("pico", "nano", "deca")
                ]
                async with application.database.transaction() as session:
                    await import_models(session, project_id, entries, source="test")
                for slug in ("notes", "memos"):
                    document = json.dumps({**NOTES, "slug": slug}).encode()
                    await import_template(application.database, application.artifacts, project_id, document)
                yield Kitchen(application, project_id, server)

    return open_it


async def test_two_by_two_is_four_apps_and_four_analyses_and_an_extension_two_more(
    open_kitchen: OpenKitchen,
) -> None:
    async with open_kitchen(write_apps) as kitchen:
        pipeline = await kitchen.run(TWO_BY_TWO)

        assert (pipeline.state, pipeline.counts.total_count, pipeline.counts.valid_count) == (
            PipelineState.completed, 4, 4,
        )  # fmt: skip
        cells = await kitchen.list_cells(pipeline)
        assert {(cell.model, cell.template) for cell in cells} == {
            (model, template) for model in ("pico", "nano") for template in ("notes", "memos")
        }
        assert len({cell.app_id for cell in cells}) == len({cell.analysis_id for cell in cells}) == 4
        assert (await kitchen.count(AppRow), await kitchen.count(AnalysisRow)) == (4, 4)
        assert pipeline.spent_usd == pytest.approx(4 * 2 * (1_000 * 2 + 500 * 10) / 1e6)

        application = kitchen.application
        await extend_pipeline(
            application.pipelines,
            application.engine,
            kitchen.project_id,
            pipeline.pipeline_id,
            models=["deca"],
        )
        extended = await wait_for_end(application, kitchen.project_id, pipeline.pipeline_id)

        assert (extended.state, extended.counts.valid_count) == (PipelineState.completed, 6)
        assert (await kitchen.count(AppRow), await kitchen.count(AnalysisRow)) == (6, 6)
        assert {cell.cell_id for cell in cells} < {
            cell.cell_id for cell in await kitchen.list_cells(extended)
        }


async def test_models_that_fail_end_their_cells_with_the_reason_and_others_go_on(
    open_kitchen: OpenKitchen,
) -> None:
    def script(request: Request) -> Response:
        if request.body["model"] == "maker/nano":
            return answer("Shall I begin with the backend?")
        return write_apps(request)

    async with open_kitchen(script) as kitchen:
        pipeline = await kitchen.run(TWO_BY_TWO)

        assert pipeline.state is PipelineState.partially_completed
        cells = await kitchen.list_cells(pipeline)
    assert {cell.model: cell.state for cell in cells} == {
        "pico": CellState.completed,
        "nano": CellState.failed,
    }
    for cell in cells:
        if cell.model == "nano":
            assert cell.reason
            assert cell.attempts_count == 1, "what a model said is not tried again"


async def test_server_that_is_away_for_a_moment_is_tried_again_and_the_decision_kept(
    open_kitchen: OpenKitchen,
) -> None:
    refused: list[Request] = []

    def script(request: Request) -> Response:
        if len(refused) < 2 and request.body["model"] == "maker/nano":
            refused.append(request)
            return failure(500, "overloaded")
        return write_apps(request)

    text = TWO_BY_TWO.replace("[pico, nano], templates: [notes, memos]", "[nano], templates: [notes]")
    async with open_kitchen(script) as kitchen:
        pipeline = await kitchen.run(text)
        (cell,) = await kitchen.list_cells(pipeline)
        async with kitchen.application.database.reading() as session:
            decisions = await list_subject_decisions(session, kitchen.project_id, "cell", str(cell.cell_id))

    assert (pipeline.state, cell.is_valid) == (PipelineState.completed, True)
    assert (cell.attempts_count, len(refused)) == (3, 2)
    assert {decision.kind for decision in decisions} == {"retry_recommended"}


async def test_no_cell_begins_when_the_budget_is_spent(open_kitchen: OpenKitchen) -> None:
    async with open_kitchen(write_apps) as kitchen:
        pipeline = await kitchen.run(
            TWO_BY_TWO.replace("cells_at_once: 2", "cells_at_once: 1") + "budget_usd: 0.02\n"
        )
        cells = await kitchen.list_cells(pipeline)

    assert pipeline.state is PipelineState.partially_completed
    assert [cell.state for cell in cells] == [
        CellState.completed, CellState.completed, CellState.skipped, CellState.skipped,
    ]  # fmt: skip
    assert cells[3].reason.startswith("The budget of 0.02 USD is spent.")
