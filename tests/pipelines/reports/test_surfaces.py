"""A report is made by a job, completed with all its files, and found by page, JSON and command."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from tests.pipelines.comparing.rows import plant_pipeline
from tests.web_site import open_site

from referee.app import Application
from referee.core.errors import InvalidInput, NotFound
from referee.foundation.web.shell import Shell
from referee.pipelines.reports import ReportKind, ReportRequest, ReportState, create_report, get_report
from referee.pipelines.reports.pages import create_reports_routes
from referee.pipelines.reports.service import fail_report, make_report
from referee.pipelines.reports.tables import ReportRow


@pytest.fixture
async def pipeline_id(application: Application, project_id: UUID) -> UUID:
    """A planted pipeline of two models and three templates."""
    return await plant_pipeline(application, project_id)


@pytest.fixture
async def client(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    def register(shell: Shell) -> None:
        shell.register_templates("referee.pipelines.reports")

    routes = create_reports_routes(lambda: application.pipelines, lambda: application.engine)
    async with open_site(application.settings, application.database, *routes, register=[register]) as opened:
        yield opened


async def test_report_is_completed_with_all_its_files(
    application: Application, client: httpx.AsyncClient, pipeline_id: UUID
) -> None:
    body = {"kind": "comprehensive", "pipeline_id": str(pipeline_id), "title": "Spring <b>"}
    accepted = await client.post("/v1/reports", json=body, headers={"Idempotency-Key": "one"})
    again = await client.post("/v1/reports", json=body, headers={"Idempotency-Key": "one"})
    other = await client.post(
        "/v1/reports", json=body | {"kind": "tool_analysis"}, headers={"Idempotency-Key": "one"}
    )
    await application.engine.wait(UUID(accepted.json()["job_id"]), 120)
    report = (await client.get(accepted.headers["location"])).json()
    files = {name: await client.get(address) for name, address in report["files"].items()}
    page = await client.get(f"/ui/reports/{report['report_id']}")
    listed = (await client.get("/v1/reports?filter=kind:comprehensive")).json()

    assert (accepted.status_code, again.json()["report_id"]) == (202, accepted.json()["report_id"])
    assert (other.status_code, other.json()["code"]) == (409, "report.key_reused")
    assert (report["state"], report["reason"]) == ("completed", "")
    assert {name: (one.status_code, one.content[:4]) for name, one in files.items()} == {
        "data": (200, b'{\n "'),
        "html": (200, b"<!do"),
        "pdf": (200, b"%PDF"),
        "xlsx": (200, b"PK\x03\x04"),
        "csv": (200, b"PK\x03\x04"),
    }
    assert files["pdf"].headers["content-disposition"].startswith('attachment; filename="report-')
    data = files["data"].json()
    assert data["summary"][0] in page.text
    assert hashlib.sha256(b"name: planted 1\n").hexdigest() == data["reproduction"]["definition_sha256"]
    assert data["reproduction"]["definition"] == "name: planted 1\n"
    assert "Spring &lt;b&gt;" in page.text
    assert listed["total_count"] == 1


async def test_database_refuses_a_completed_report_without_a_file(
    application: Application, project_id: UUID, pipeline_id: UUID
) -> None:
    request = ReportRequest(kind=ReportKind.tool_analysis, pipeline_id=pipeline_id)
    report = await create_report(application.pipelines, application.engine, project_id, request)
    assert report.job_id is not None
    await application.engine.wait(report.job_id, 120)
    with pytest.raises(IntegrityError, match="complete_with_all_files"):
        async with application.database.transaction() as session:
            await session.execute(update(ReportRow).values(pdf_sha256=None))


async def test_report_that_cannot_be_made_fails_with_a_reason_and_one_that_ended_stays(
    application: Application, project_id: UUID, pipeline_id: UUID, client: httpx.AsyncClient
) -> None:
    request = ReportRequest(kind=ReportKind.tool_analysis, pipeline_id=pipeline_id)
    report = await create_report(application.pipelines, application.engine, project_id, request)
    assert report.job_id is not None
    await application.engine.wait(report.job_id, 120)
    async with application.database.transaction() as session:
        await fail_report(session, report.report_id, "Too late.")
    assert await make_report(application.pipelines, project_id, report.report_id) == "completed"

    lost = uuid4()
    async with application.database.transaction() as session:
        session.add(
            ReportRow(
                report_id=lost,
                project_id=project_id,
                kind="tool_analysis",
                title="lost",
                parameters_json={"pipeline_id": str(uuid4()), "analysis_ids": []},
                request_digest="x",
            )
        )
        job = await application.engine.submit(
            session,
            kind="pipelines.report",
            arguments={"report_id": str(lost)},
            project_id=project_id,
            key=None,
            title="x",
        )
    await application.engine.wait(job.job_id, 120)
    async with application.database.reading() as session:
        found = await get_report(session, project_id, lost)
    refused = await client.get(f"/v1/reports/{lost}/files/pdf")
    page = await client.get(f"/ui/reports/{lost}")
    assert (found.state, found.reason) == (ReportState.failed, "There is no such pipeline.")
    assert (refused.status_code, refused.json()["code"]) == (409, "report.not_completed")
    assert "The report could not be made" in page.text


@pytest.mark.parametrize(
    ("parameters", "error", "code"),
    [
        ({}, InvalidInput, "report.source_needed"),
        ({"pipeline_id": uuid4()}, NotFound, "pipeline.not_found"),
        ({"analysis_ids": [uuid4()]}, NotFound, "analysis.not_found"),
        ({"analysis_ids": [uuid4()], "pipeline_id": uuid4()}, InvalidInput, "report.source_needed"),
    ],
)
async def test_report_without_a_source_is_refused(
    application: Application,
    project_id: UUID,
    parameters: dict[str, object],
    error: type[Exception],
    code: str,
) -> None:
    request = ReportRequest(kind=ReportKind.comprehensive, **parameters)  # type: ignore[arg-type]
    with pytest.raises(error) as refusal:
        await create_report(application.pipelines, application.engine, project_id, request)
    assert getattr(refusal.value, "code", "") == code


async def test_reports_of_another_project_are_not_there(
    application: Application, project_id: UUID, pipeline_id: UUID
) -> None:
    request = ReportRequest(kind=ReportKind.model_analysis, pipeline_id=pipeline_id, model="alpha")
    report = await create_report(application.pipelines, application.engine, project_id, request)
    async with application.database.reading() as session:
        with pytest.raises(NotFound):
            await get_report(session, uuid4(), report.report_id)
    with pytest.raises(NotFound):
        await create_report(application.pipelines, application.engine, uuid4(), request)
    assert report.title == "Model analysis: planted, alpha"


async def test_form_makes_a_report_and_keeps_what_was_entered_when_it_is_wrong(
    application: Application, client: httpx.AsyncClient, pipeline_id: UUID
) -> None:
    form = {"pipeline": str(pipeline_id), "kind": "model_analysis", "title": "Mine"}
    origin = {"Origin": "http://127.0.0.1:8765"}
    wrong = await client.post("/ui/reports", data=form, headers=origin)
    right = await client.post("/ui/reports", data=form | {"model": "beta"}, headers=origin)

    assert wrong.status_code == 422
    assert "A report on a model needs the model." in wrong.text
    assert 'value="Mine"' in wrong.text
    assert right.status_code == 303
    page = await client.get(right.headers["location"])
    assert page.status_code == 200
    assert "Mine" in page.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "poem"}, "request.invalid"),
        ({"kind": "comprehensive", "pipeline_id": "x"}, "pipeline.id_invalid"),
        ({"kind": "comprehensive", "analysis_ids": ["x"] * 201}, "request.invalid"),
    ],
)
async def test_bad_body_is_refused(client: httpx.AsyncClient, body: dict[str, object], code: str) -> None:
    answer = await client.post(
        "/v1/reports", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, code)
