"""``referee analyze``, ``referee analysis`` and ``referee finding``."""

from __future__ import annotations

import getpass
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
    from referee.analysis.running import AnalysisRoom
    from referee.analysis.views import Analysis, ToolRun
    from referee.core.vocabulary import Severity
    from referee.foundation.jobs import JobEngine
    from referee.foundation.settings import Settings
    from referee.foundation.store import Database

__all__ = [
    "EXIT_FINDINGS",
    "EXIT_INCOMPLETE",
    "AnalysisApplication",
    "analysis_app",
    "analyze",
    "finding_app",
]

EXIT_FINDINGS = 10
"""Exit code: findings at or above ``--fail-on``."""
EXIT_INCOMPLETE = 11
"""Exit code: the analysis ended, and not as completed."""

analysis_app = typer.Typer(help="Analyses: list, show, export, cancel, retry.", no_args_is_help=True)
finding_app = typer.Typer(help="Findings: list, show, dismiss, reopen.", no_args_is_help=True)


class AnalysisApplication(Protocol):
    """The parts of the application that these commands use."""

    @property
    def settings(self) -> Settings:
        """Settings of this process."""

    @property
    def database(self) -> Database:
        """The open database."""

    @property
    def engine(self) -> JobEngine:
        """The job engine."""

    @property
    def analysis(self) -> AnalysisRoom:
        """The analysis room."""


FilterArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[FILTER]...", help="Such as: severity:>=high path:backend/*")
]


def analyze(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help="Folder of the app.")],
    tools: Annotated[
        str | None,
        typer.Option("--tools", help="Names, separated by commas, or all. Default: the profile's."),
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="quick, standard or deep.")] = "standard",
    services: Annotated[
        str | None,
        typer.Option(
            "--services", help="Only tools of static, dynamic, performance or ai, separated by commas."
        ),
    ] = None,
    load: Annotated[
        str, typer.Option("--load", help="Preset of the load tools: quick, standard, stress or production.")
    ] = "quick",
    template: Annotated[
        str | None,
        typer.Option("--template", help="What the app was asked to do: a JSON file, or a known slug."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Slug of the model that wrote the app.")
    ] = None,
    number: Annotated[int | None, typer.Option("--app", help="Number of the app.")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="A tool's parameter, such as bandit.severity_level=medium."),
    ] = None,
    output_format: Annotated[str, typer.Option("--format", help="table, json, sarif or junit.")] = "table",
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", help="Exit with 10 when a finding is this severe or worse.")
    ] = None,
    is_absence_allowed: Annotated[
        bool,
        typer.Option(
            "--allow-unavailable",
            help="Exit with 0 when all that is missing are tools that cannot be had here.",
        ),
    ] = False,
    is_cache_allowed: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Answer unchanged tools from the result cache.")
    ] = True,
    project: ProjectOption = "default",
) -> None:
    """Analyse an app or any folder, and keep every result.

    Exit codes: 0 completed; 2 bad input; 10 findings at or above --fail-on; 11 not completed.
    """
    from dataclasses import replace
    from pathlib import Path

    from referee.analysis.following import check_format, parse_parameters, parse_severity
    from referee.analysis.requests import AnalysisRequest

    threshold = parse_severity(fail_on)
    check_format(output_format)
    request = AnalysisRequest(
        path=str(Path(path).absolute()) if path.strip() else path,
        tools=tuple(name.strip() for name in tools.split(",") if name.strip()) if tools else (),
        services=tuple(name.strip() for name in (services or "").split(",") if name.strip()),
        profile=profile,
        load=load,
        parameters=parse_parameters(parameters or []),
        model=model,
        number=number,
        is_cache_allowed=is_cache_allowed,
    )

    async def run(application: AnalysisApplication, project_id: UUID) -> tuple[bool, int]:
        from referee.analysis.following import follow_analysis, is_whole_enough, resolve_template
        from referee.analysis.service import create_analysis

        known = await resolve_template(application.analysis, project_id, template)
        analysis = await create_analysis(
            application.analysis, application.engine, project_id, replace(request, template=known)
        )
        ended = await follow_analysis(
            application.database, project_id, analysis.analysis_id, make_console(stderr=True)
        )
        await _print_result(application, project_id, ended, output_format)
        is_whole = is_whole_enough(*ended, is_absence_allowed=is_absence_allowed)
        return is_whole, await _count_failing(application, analysis.analysis_id, threshold)

    is_whole, failing_count = run_for_project(ctx, project, run, is_worker=None)
    if not is_whole:
        raise typer.Exit(EXIT_INCOMPLETE)
    if failing_count:
        typer.echo(f"{failing_count} findings are {fail_on} or worse.", err=True)
        raise typer.Exit(EXIT_FINDINGS)


@analysis_app.command("list")
def list_command(
    ctx: typer.Context,
    words: FilterArgument = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List analyses, newest first. Filter such as: state:completed model:coder created:>=-7d."""
    from referee.analysis.queries import ANALYSIS_FIELDS, list_analyses
    from referee.foundation.web.filters import parse_filter

    where = parse_filter(" ".join(words or []), ANALYSIS_FIELDS)

    async def read(application: AnalysisApplication, project_id: UUID) -> None:
        from referee.analysis.models import AnalysisModel
        from referee.analysis.printing import print_analyses

        async with application.database.reading() as session:
            page = await list_analyses(session, project_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(AnalysisModel.of))
            return
        print_analyses(make_console(), page.items)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, read)


@analysis_app.command("trends")
def trends_command(
    ctx: typer.Context,
    app: Annotated[str, typer.Argument(metavar="APP", help="Id of the app, with or without app_ in front.")],
    filter_text: Annotated[
        str, typer.Option("--filter", help="In the filter grammar, such as tool:ab name:*p95*.")
    ] = "",
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List measurements of an app over its versions; those that its latest version made worse come first."""
    from referee.analysis.measurement_trends import TREND_FIELDS
    from referee.core.ids import parse_id
    from referee.foundation.web.filters import parse_filter

    app_id, where = parse_id(app, "app"), parse_filter(filter_text, TREND_FIELDS)

    async def read(application: AnalysisApplication, project_id: UUID) -> None:
        from referee.analysis.printing import print_trends
        from referee.analysis.trend_surface import MeasurementTrendModel, list_trend_page

        async with application.database.reading() as session:
            page = await list_trend_page(session, project_id, app_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(MeasurementTrendModel.of))
            return
        print_trends(make_console(), page.items)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, read)


@analysis_app.command("show")
def show_command(
    ctx: typer.Context,
    analysis: Annotated[str, typer.Argument(help="Id of the analysis.")],
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show an analysis with its completeness ledger."""
    analysis_id = _parse("analysis", analysis)

    async def read(application: AnalysisApplication, project_id: UUID) -> None:
        from referee.analysis.models import AnalysisDetailModel
        from referee.analysis.printing import print_analysis
        from referee.analysis.queries import get_analysis, list_tool_runs

        async with application.database.reading() as session:
            found = await get_analysis(session, project_id, analysis_id)
            tool_runs = await list_tool_runs(session, analysis_id)
        if is_json:
            typer.echo(AnalysisDetailModel.build(found, tool_runs).model_dump_json(indent=1))
            return
        print_analysis(make_console(), found, tool_runs)

    run_for_project(ctx, project, read)


@analysis_app.command("export")
def export_command(
    ctx: typer.Context,
    analysis: Annotated[str, typer.Argument(help="Id of the analysis.")],
    output_format: Annotated[str, typer.Option("--format", help="json, sarif, junit or csv.")] = "json",
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; - is standard output.")] = "-",
    project: ProjectOption = "default",
) -> None:
    """Write an analysis as JSON, SARIF, JUnit XML or CSV."""
    analysis_id = _parse("analysis", analysis)

    async def export(application: AnalysisApplication, project_id: UUID) -> bytes:
        from referee.analysis.exports import export_analysis
        from referee.analysis.following import check_export_format

        return await export_analysis(
            application.analysis, project_id, analysis_id, check_export_format(output_format)
        )

    data = run_for_project(ctx, project, export)
    if output == "-":
        sys.stdout.buffer.write(data)
        return
    write_output(output, data)


@analysis_app.command("cancel")
def cancel_command(
    ctx: typer.Context,
    analysis: Annotated[str, typer.Argument(help="Id of the analysis.")],
    project: ProjectOption = "default",
) -> None:
    """Cancel an analysis; tools that ended keep their results."""
    analysis_id = _parse("analysis", analysis)

    async def cancel(application: AnalysisApplication, project_id: UUID) -> None:
        from referee.analysis.service import cancel_analysis

        await cancel_analysis(application.analysis, application.engine, project_id, analysis_id)

    run_for_project(ctx, project, cancel)
    typer.echo("The analysis is cancelled.", err=True)


@analysis_app.command("retry")
def retry_command(
    ctx: typer.Context,
    analysis: Annotated[str, typer.Argument(help="Id of the analysis.")],
    project: ProjectOption = "default",
) -> None:
    """Analyse the same subject again; tools whose result still holds are answered from the cache."""
    analysis_id = _parse("analysis", analysis)

    async def retry(application: AnalysisApplication, project_id: UUID) -> Analysis:
        from referee.analysis.following import follow_analysis
        from referee.analysis.service import retry_analysis

        again = await retry_analysis(application.analysis, application.engine, project_id, analysis_id)
        ended = await follow_analysis(
            application.database, project_id, again.analysis_id, make_console(stderr=True)
        )
        await _print_result(application, project_id, ended, "table")
        return ended[0]

    if run_for_project(ctx, project, retry, is_worker=None).state.value != "completed":
        raise typer.Exit(EXIT_INCOMPLETE)


@finding_app.command("list")
def list_findings_command(
    ctx: typer.Context,
    words: FilterArgument = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List findings, worst first. Filter such as: is:open severity:>=high tool:bandit."""
    from referee.analysis.finding_queries import FINDING_FIELDS, list_findings
    from referee.foundation.web.filters import parse_filter

    where = parse_filter(" ".join(words or []), FINDING_FIELDS)

    async def read(application: AnalysisApplication, project_id: UUID) -> None:
        from referee.analysis.models import FindingModel
        from referee.analysis.printing import print_findings

        async with application.database.reading() as session:
            page = await list_findings(session, project_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(FindingModel.of))
            return
        print_findings(make_console(), page.items)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, read)


@finding_app.command("dismiss")
def dismiss_command(
    ctx: typer.Context,
    finding: Annotated[str, typer.Argument(help="Id of the finding.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it does not count.")],
    project: ProjectOption = "default",
) -> None:
    """Say that a finding does not count, and why; later analyses remember it."""
    finding_id = _parse("finding", finding)

    async def dismiss(application: AnalysisApplication, project_id: UUID) -> None:
        from referee.analysis.service import dismiss_finding

        await dismiss_finding(application.analysis, project_id, finding_id, reason=reason, actor=_actor())

    run_for_project(ctx, project, dismiss)
    typer.echo("The finding is dismissed.", err=True)


@finding_app.command("reopen")
def reopen_command(
    ctx: typer.Context,
    finding: Annotated[str, typer.Argument(help="Id of the finding.")],
    project: ProjectOption = "default",
) -> None:
    """Take a dismissal back."""
    finding_id = _parse("finding", finding)

    async def reopen(application: AnalysisApplication, project_id: UUID) -> None:
        from referee.analysis.service import reopen_finding

        await reopen_finding(application.analysis, project_id, finding_id, actor=_actor())

    run_for_project(ctx, project, reopen)
    typer.echo("The finding is open.", err=True)


@finding_app.command("link")
def link_command(
    ctx: typer.Context,
    finding: Annotated[str, typer.Argument(help="Id of the finding.")],
    project: ProjectOption = "default",
) -> None:
    """Let a finding join those of other tools that report the same problem."""
    _set_link(ctx, finding, project, is_linked=True)


@finding_app.command("unlink")
def unlink_command(
    ctx: typer.Context,
    finding: Annotated[str, typer.Argument(help="Id of the finding.")],
    project: ProjectOption = "default",
) -> None:
    """Take a finding out of its cluster, for good."""
    _set_link(ctx, finding, project, is_linked=False)


def _set_link(ctx: typer.Context, finding: str, project: str, *, is_linked: bool) -> None:
    finding_id = _parse("finding", finding)

    async def change(application: AnalysisApplication, project_id: UUID) -> None:
        from referee.analysis.service import set_finding_link

        await set_finding_link(
            application.analysis, project_id, finding_id, is_linked=is_linked, actor=_actor()
        )

    run_for_project(ctx, project, change)
    typer.echo("The finding may be linked again." if is_linked else "The finding stands alone.", err=True)


async def _count_failing(
    application: AnalysisApplication, analysis_id: UUID, threshold: Severity | None
) -> int:
    """Count what fails a build: neither dismissed by a person nor suppressed in the code."""
    if threshold is None:
        return 0
    from referee.analysis.finding_queries import OCCURRENCE_FIELDS, list_occurrences
    from referee.foundation.web.filters import parse_filter

    words = f"severity:>={threshold.value} -state:dismissed -is:suppressed"
    async with application.database.reading() as session:
        page = await list_occurrences(
            session, analysis_id, where=parse_filter(words, OCCURRENCE_FIELDS), limit=1
        )
    return page.total_count


async def _print_result(
    application: AnalysisApplication,
    project_id: UUID,
    ended: tuple[Analysis, tuple[ToolRun, ...]],
    output_format: str,
) -> None:
    from referee.analysis.exports import export_analysis
    from referee.analysis.following import check_export_format
    from referee.analysis.printing import print_analysis

    analysis, tool_runs = ended
    if output_format == "table":
        print_analysis(make_console(), analysis, tool_runs)
        return
    data = await export_analysis(
        application.analysis, project_id, analysis.analysis_id, check_export_format(output_format)
    )
    sys.stdout.buffer.write(data)


def _parse(noun: str, text: str) -> UUID:
    from referee.core.ids import parse_id

    return parse_id(text, noun)


def _actor() -> str:
    """Return who works at this machine."""
    return f"local user {getpass.getuser()}"
