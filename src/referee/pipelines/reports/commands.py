"""``referee report``: documents for people, made of pipelines or analyses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Protocol
from uuid import UUID

import typer

from referee.foundation.terminal import (
    CursorOption,
    JsonOption,
    LimitOption,
    ProjectOption,
    make_console,
    print_page_json,
    print_rest,
    run_for_project,
    write_output,
)

if TYPE_CHECKING:
    from referee.foundation.jobs import JobEngine
    from referee.foundation.store import Database
    from referee.pipelines.reports.states import ReportKind
    from referee.pipelines.reports.views import Report
    from referee.pipelines.room import PipelinesRoom

__all__ = ["report_app"]

_WAIT_S = 3_600.0

report_app = typer.Typer(help="Reports: create, list, show, export.", no_args_is_help=True)

ReportArgument = Annotated[str, typer.Argument(metavar="REPORT", help="Id of the report.")]


class _Application(Protocol):
    """The parts of the application that these commands use."""

    @property
    def database(self) -> Database:
        """The open database."""

    @property
    def engine(self) -> JobEngine:
        """The job engine."""

    @property
    def pipelines(self) -> PipelinesRoom:
        """The pipelines room."""


@report_app.command("create")
def create_command(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="model_analysis, template_comparison, tool_analysis, generation_analytics or comprehensive.",
        ),
    ],
    pipeline: Annotated[str | None, typer.Option("--pipeline", help="Pipeline it is made of.")] = None,
    analyses: Annotated[
        list[str] | None,
        typer.Option("--analysis", help="Analysis of an app of a model; in place of a pipeline."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="For a model analysis.")] = None,
    template: Annotated[str | None, typer.Option("--template", help="Only cells of this template.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Model to compare with.")] = None,
    title: Annotated[str, typer.Option("--title", help="Its title.")] = "",
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key.")] = None,
    is_awaited: Annotated[
        bool,
        typer.Option("--wait/--no-wait", help="Wait until its files are stored, or only have it accepted."),
    ] = True,
    project: ProjectOption = "default",
) -> None:
    """Make a report: JSON, HTML, PDF, workbook and CSV, kept together."""

    async def create(application: _Application, project_id: UUID) -> Report:
        from referee.core.ids import parse_id
        from referee.pipelines.reports.queries import get_report
        from referee.pipelines.reports.service import ReportRequest, create_report

        request = ReportRequest(
            kind=_check_kind(kind),
            pipeline_id=None if pipeline is None else parse_id(pipeline, "pipeline"),
            analysis_ids=[parse_id(text, "analysis") for text in analyses or []],
            model=model,
            template=template,
            baseline=baseline,
            title=title,
            idempotency_key=key,
        )
        report = await create_report(application.pipelines, application.engine, project_id, request)
        if not is_awaited or report.job_id is None:
            return report
        await application.engine.wait(report.job_id, _WAIT_S)
        async with application.database.reading() as session:
            return await get_report(session, project_id, report.report_id)

    report = run_for_project(ctx, project, create, is_worker=None if is_awaited else False)
    _print(report)
    if report.state.value == "failed":
        raise typer.Exit(1)


@report_app.command("list")
def list_command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]...", help="Such as: kind:comprehensive")
    ] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List reports, newest first."""
    from referee.foundation.web.filters import parse_filter
    from referee.pipelines.reports.queries import REPORT_FIELDS, list_reports

    where = parse_filter(" ".join(words or []), REPORT_FIELDS)

    async def read(application: _Application, project_id: UUID) -> None:
        from referee.pipelines.reports.models import ReportModel
        from referee.pipelines.reports.printing import print_reports

        async with application.database.reading() as session:
            page = await list_reports(session, project_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(ReportModel.of))
            return
        print_reports(make_console(), page.items)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, read)


@report_app.command("show")
def show_command(
    ctx: typer.Context,
    report: ReportArgument,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show a report: its state, and what it says in short."""
    report_id = _parse(report)

    async def read(application: _Application, project_id: UUID) -> None:
        from referee.pipelines.reports.models import ReportModel
        from referee.pipelines.reports.queries import get_report
        from referee.pipelines.reports.service import read_document

        async with application.database.reading() as session:
            found = await get_report(session, project_id, report_id)
        if is_json:
            typer.echo(ReportModel.of(found).model_dump_json(indent=1))
            return
        _print(found)
        if found.state.value == "completed":
            from referee.foundation.web.formats import show_text

            for sentence in (await read_document(application.pipelines, found)).summary:
                typer.echo(show_text(sentence))

    run_for_project(ctx, project, read)


@report_app.command("export")
def export_command(
    ctx: typer.Context,
    report: ReportArgument,
    file: Annotated[
        str, typer.Option("--format", help="pdf, html, xlsx, csv (a zip) or data (JSON).")
    ] = "pdf",
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; - is standard output.")] = "-",
    project: ProjectOption = "default",
) -> None:
    """Write a file of a report."""
    report_id = _parse(report)

    async def read(application: _Application, project_id: UUID) -> bytes:
        from referee.pipelines.reports.service import read_file

        data, _, _ = await read_file(application.pipelines, project_id, report_id, file)
        return data

    data = run_for_project(ctx, project, read)
    if output == "-":
        sys.stdout.buffer.write(data)
        return
    write_output(output, data)


def _check_kind(word: str) -> ReportKind:
    from referee.core.errors import InvalidInput
    from referee.pipelines.reports.states import ReportKind

    if word not in list(ReportKind):
        raise InvalidInput(
            "report.kind_unknown",
            f"There is no kind of report {word[:80]!r}.",
            f"Choose one of: {', '.join(ReportKind)}.",
        )
    return ReportKind(word)


def _parse(text: str) -> UUID:
    from referee.core.ids import parse_id

    return parse_id(text, "report")


def _print(report: Report) -> None:
    from referee.core.ids import format_id
    from referee.foundation.web.formats import show_text

    typer.echo(f"{format_id('report', report.report_id)}  {report.state.value}  {show_text(report.title)}")
    if report.reason:
        typer.echo(show_text(report.reason))
