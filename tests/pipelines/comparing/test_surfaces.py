"""A pipeline read from rows, and the page, the JSON and the command that show the same numbers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import event, select, update
from tests.pipelines.comparing.rows import plant_pipeline
from tests.pipelines.conftest import RunPipeline
from tests.web_site import open_site

from referee.analysis.tables import AnalysisRow
from referee.app import Application
from referee.core.errors import InvalidInput, NotFound
from referee.core.ids import format_id
from referee.foundation.web.shell import Shell
from referee.pipelines.comparing import compare_analyses, compare_pipeline
from referee.pipelines.comparing.collecting import collect_analyses, collect_pipeline
from referee.pipelines.comparing.pages import create_comparing_routes
from referee.pipelines.tables import CellRow

UNKNOWN = UUID(int=7)


@pytest.fixture
async def client(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    def register(shell: Shell) -> None:
        shell.register_templates("referee.pipelines.comparing")

    routes = create_comparing_routes(lambda: application.pipelines)
    async with open_site(application.settings, application.database, *routes, register=[register]) as opened:
        yield opened


async def test_cells_of_a_pipeline_are_read_with_all_that_is_known_of_them(
    application: Application, project_id: UUID
) -> None:
    pipeline_id = await plant_pipeline(application, project_id, repeats=2)

    async with application.database.reading() as session:
        cells = await collect_pipeline(session, project_id, pipeline_id)

    assert (cells.models, cells.units, cells.unit_word) == (
        ("alpha", "beta"),
        ("board", "shop", "notes"),
        "template",
    )
    assert (len(cells.cells), cells.valid_count) == (12, 12)
    first = cells.cells[0]
    bandit = first.tools["bandit"]
    assert bandit.findings_count == sum(bandit.severities.values()) == sum(bandit.rules.values())
    assert len(bandit.things) == bandit.findings_count
    assert set(first.tools["locust"].numbers) == {"latency_p95_ms", "requests_per_s"}
    assert first.generation is not None
    assert (first.generation.attempts_count, first.generation.calls_count) == (1, 2)
    assert first.code_lines_count is not None
    assert first.has_started is not None


async def test_many_cells_take_no_more_queries_than_few(application: Application, project_id: UUID) -> None:
    counts = []
    for templates in (["a", "b"], [f"t{index}" for index in range(12)]):
        pipeline_id = await plant_pipeline(
            application,
            project_id,
            models=(f"x{len(templates)}", f"y{len(templates)}"),
            templates=templates,
            seed=len(templates),
        )
        statements: list[str] = []

        def note(*arguments: object, seen: list[str] = statements) -> None:
            seen.append(str(arguments[2]))

        engine = application.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        async with application.database.reading() as session:
            await collect_pipeline(session, project_id, pipeline_id)
        event.remove(engine, "before_cursor_execute", note)
        counts.append(len(statements))
    assert counts[0] == counts[1]
    assert counts[0] <= 16


async def test_real_apps_without_template_are_paired_by_their_number(
    run_pipeline: RunPipeline, application: Application, project_id: UUID, four_apps: Path
) -> None:
    (four_apps / "beta" / "app1" / "more.py").write_text("import os\nos.system('ls ' + input())\n")
    pipeline = await run_pipeline(
        "name: four\nexisting: {apps: [alpha/app1, alpha/app2, beta/app1, beta/app2]}\n"
        "analysis: {tools: [bandit, vulture]}\n"
    )

    comparison = await compare_pipeline(
        application.pipelines, project_id, pipeline.pipeline_id, metric="findings_count"
    )

    metric = comparison.find_metric("findings_count")
    assert metric is not None
    assert (comparison.unit_word, comparison.units) == ("app number", ("app 1", "app 2"))
    assert comparison.tools == ("bandit", "vulture")
    one = metric.differences[0]
    assert (one.candidate, one.shared_count, one.verdict) == ("beta", 2, "not_shown")
    assert one.value is not None
    assert one.value > 0
    density = comparison.find_metric("weighted_findings_per_kloc")
    assert density is not None
    assert density.cells_count == 4  # the lines were counted when the analyses were accepted


async def test_cell_that_is_not_valid_is_a_hole_with_its_reason(
    application: Application, project_id: UUID
) -> None:
    pipeline_id = await plant_pipeline(application, project_id)
    async with application.database.transaction() as session:
        await session.execute(
            update(CellRow)
            .where(CellRow.position == 0)
            .values(state="failed", is_valid=False, reason="zap is timed out.")
        )

    comparison = await compare_pipeline(
        application.pipelines, project_id, pipeline_id, metric="findings_count"
    )

    metric = comparison.find_metric("findings_count")
    assert metric is not None
    assert (comparison.valid_count, comparison.cells_count) == (5, 6)
    assert (metric.cells_count, metric.planned_cells_count) == (5, 6)
    assert [(one.reason, one.cells) for one in metric.missing] == [
        ("zap is timed out.", ("alpha × board #1",))
    ]
    assert (metric.differences[0].shared_count, metric.differences[0].planned_count) == (2, 3)


async def test_analyses_are_compared_like_cells(application: Application, project_id: UUID) -> None:
    pipeline_id = await plant_pipeline(application, project_id)
    async with application.database.reading() as session:
        ids = list(await session.scalars(select(AnalysisRow.analysis_id).order_by(AnalysisRow.sequence)))
        cells = await collect_analyses(session, project_id, ids)
    by_pipeline = await compare_pipeline(application.pipelines, project_id, pipeline_id)
    by_analyses = await compare_analyses(application.pipelines, project_id, ids)
    assert cells.valid_count == 6
    assert by_analyses.metrics == by_pipeline.metrics
    assert (by_analyses.source_kind, by_analyses.pipeline_id) == ("analyses", None)


async def test_another_metric_of_the_same_cells_computes_nothing_again(
    application: Application, project_id: UUID
) -> None:
    pipeline_id = await plant_pipeline(application, project_id, models=("a", "b", "c"))
    first, second, changed = [
        await compare_pipeline(
            application.pipelines, project_id, pipeline_id, metric=metric, baseline=baseline
        )
        for metric, baseline in (("findings_count", None), ("start_share", None), ("start_share", "b"))
    ]
    assert second.screens is first.screens
    assert changed.screens is not first.screens
    assert [(one.key, len(one.differences)) for one in second.metrics if len(one.differences) > 2] == [
        ("start_share", 3)
    ]
    async with application.database.transaction() as session:
        await session.execute(
            update(CellRow).where(CellRow.position == 0).values(state="failed", is_valid=False, reason="x")
        )
    later = await compare_pipeline(application.pipelines, project_id, pipeline_id, metric="start_share")
    assert later.valid_count == second.valid_count - 1


async def test_page_and_answer_show_the_same(
    application: Application, project_id: UUID, client: httpx.AsyncClient
) -> None:
    pipeline_id = await plant_pipeline(application, project_id, step=6)
    label = format_id("pipeline", pipeline_id)

    answer = await client.get(f"/v1/pipelines/{label}/comparison", params={"metric": "findings_count"})
    page = await client.get("/ui/compare", params={"pipeline": label, "metric": "findings_count"})

    assert (answer.status_code, page.status_code) == (200, 200)
    metric = next(one for one in answer.json()["metrics"] if one["key"] == "findings_count")
    assert metric["differences"][0]["sentence"] in page.text
    assert f"/v1/pipelines/{pipeline_id}/comparison?metric=findings_count&amp;baseline=alpha" in page.text
    assert "These numbers are opinions, not measurements" in page.text


async def test_pipeline_whose_cells_wait_has_nothing_measured_yet(
    application: Application, project_id: UUID, client: httpx.AsyncClient
) -> None:
    pipeline_id = await plant_pipeline(application, project_id)
    async with application.database.transaction() as session:
        await session.execute(
            update(CellRow).values(
                state="waiting",
                is_valid=False,
                analysis_id=None,
                generation_id=None,
                app_id=None,
                finished_at=None,
            )
        )
    page = await client.get("/ui/compare", params={"pipeline": str(pipeline_id)})
    assert page.status_code == 200
    assert "Nothing is measured yet" in page.text


async def test_hostile_names_are_text_on_the_page(
    application: Application, project_id: UUID, client: httpx.AsyncClient
) -> None:
    models = ("<img src=x onerror=alert(1)>", '"><script>alert(1)</script>\u202egnp')
    pipeline_id = await plant_pipeline(application, project_id, models=models)
    page = await client.get("/ui/compare", params={"pipeline": str(pipeline_id), "candidate": models[1]})
    assert page.status_code == 200
    assert "<img src=x" not in page.text
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/comparison?analysis=nonsense", 422, "analysis.id_invalid"),
        (f"/v1/comparison?analysis={UNKNOWN}", 404, "analysis.not_found"),
        (f"/v1/pipelines/{UNKNOWN}/comparison", 404, "pipeline.not_found"),
        (f"/v1/pipelines/{UNKNOWN}/comparison?metric={'x' * 90}", 422, "request.invalid"),
        ("/v1/comparison?" + "&".join(f"analysis={UNKNOWN}" for _ in range(201)), 422, "request.invalid"),
    ],
)
async def test_what_cannot_be_compared_is_refused(
    client: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_form_shows_what_is_wrong_with_the_analyses_that_were_named(client: httpx.AsyncClient) -> None:
    page = await client.get("/ui/compare", params={"analysis": "nonsense, more"})
    assert page.status_code == 422
    assert 'value="nonsense more"' in page.text
    assert "is not the id of one analysis" in page.text


async def test_analysis_of_a_folder_belongs_to_no_model(application: Application, project_id: UUID) -> None:
    await plant_pipeline(application, project_id)
    async with application.database.reading() as session:
        ids = list(await session.scalars(select(AnalysisRow.analysis_id)))
        with pytest.raises(InvalidInput, match="1 to 200 analyses"):
            await collect_analyses(session, project_id, [])
        with pytest.raises(NotFound):
            await collect_analyses(session, uuid4(), ids)
