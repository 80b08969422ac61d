"""``referee import``: take in what earlier systems and other tools found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Protocol
from uuid import UUID

import typer

from referee.foundation.terminal import (
    CursorOption,
    DatabaseApplication,
    JsonOption,
    LimitOption,
    ProjectOption,
    make_console,
    print_page_json,
    print_rest,
    run_for_project,
)

if TYPE_CHECKING:
    from referee.analysis import AnalysisRoom
    from referee.backfills.old_results.importing import ImportCounts
    from referee.backfills.room import BackfillsRoom
    from referee.foundation.store import Database

__all__ = ["import_app"]


class ImportApplication(Protocol):
    """The parts of the application that these commands use."""

    @property
    def database(self) -> Database:
        """The open database."""

    @property
    def analysis(self) -> AnalysisRoom:
        """The room that imported analyses become part of."""

    @property
    def backfills(self) -> BackfillsRoom:
        """The room that imports."""


import_app = typer.Typer(help="Old results and tools' own files: take in, list.", no_args_is_help=True)


@import_app.callback()
def import_root() -> None:
    """Take in old results and the files that tools write; list what was imported and set aside."""


@import_app.command("results")
def results_command(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder, zip file, result file, SARIF log, SQLite file, postgresql:// address or env:NAME.",
        ),
    ],
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Count, and write nothing.")] = False,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Import old analyses, each once: what is not recognised is set aside with its reason.

    Cut off, it goes on when it is started again.
    """
    from dataclasses import asdict

    async def run(application: ImportApplication, project_id: UUID) -> tuple[ImportCounts, UUID | None]:
        from referee.backfills.old_results.service import import_now

        return await import_now(application.backfills, project_id, source, is_dry=is_dry)

    counts, import_id = run_for_project(ctx, project, run)
    if is_json:
        answer = {"result_import_id": None if import_id is None else str(import_id), **asdict(counts)}
        typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    for place, reason in counts.quarantined:
        typer.echo(f"set aside: {place}: {reason}", err=True)
    typer.echo(_summarise(counts, is_dry=is_dry))


@import_app.command("findings")
def findings_command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What the tool wrote: JSON, text, XML or CSV.")],
    tool: Annotated[str, typer.Option("--tool", help="The tool that wrote it.")],
    model: Annotated[
        str | None, typer.Option("--model", help="Slug of the model whose app it judged.")
    ] = None,
    app: Annotated[int | None, typer.Option("--app", help="Number of that app.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What it judged, where that is no app.")] = None,
    project: ProjectOption = "default",
) -> None:
    """Import the output of one tool as an analysis with that one tool run."""
    from pathlib import Path

    from referee.core.errors import InvalidInput
    from referee.core.ids import format_id

    if (model is None) != (app is None):
        raise InvalidInput(
            "app.incomplete",
            "An app is named by its model and its number together.",
            "Give both --model and --app.",
        )

    async def run(application: ImportApplication, project_id: UUID) -> tuple[UUID, bool, int]:
        from referee.analysis import import_analysis
        from referee.backfills.old_results.tool_files import read_tool_file

        read = read_tool_file(Path(file), tool, model=model, number=app, name=name)
        analysis_id, is_new = await import_analysis(application.analysis, project_id, read.analysis)
        return analysis_id, is_new, read.findings_count

    analysis_id, is_new, count = run_for_project(ctx, project, run)
    what = "imported" if is_new else "was here already"
    typer.echo(f"{format_id('analysis', analysis_id)} {what}: {count:,} findings")


@import_app.command("list")
def list_command(
    ctx: typer.Context,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List imports, newest first."""

    async def run(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.backfills.old_results.models import ResultImportModel
        from referee.backfills.old_results.queries import list_imports

        async with application.database.reading() as session:
            page = await list_imports(session, project_id, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(ResultImportModel.of))
            return
        _print_table(
            ("Import", "Source", "State", "Imported", "Known", "Set aside", "Findings"),
            [
                (
                    str(one.result_import_id),
                    f"{one.source}{', dry run' if one.is_dry else ''}",
                    one.state,
                    f"{one.counts.imported_count:,}",
                    f"{one.counts.known_count:,}",
                    f"{one.counts.quarantined_count:,}",
                    f"{one.counts.findings_count:,}",
                )
                for one in page.items
            ],
        )
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, run)


@import_app.command("show")
def show_command(
    ctx: typer.Context,
    result_import: Annotated[str, typer.Argument(metavar="IMPORT", help="Id of the import.")],
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List what an import found and what it set aside, each with its reason."""
    from referee.core.ids import parse_id

    import_id = parse_id(result_import, "import")

    async def run(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.backfills.old_results.models import ResultImportItemModel
        from referee.backfills.old_results.queries import list_items

        async with application.database.reading() as session:
            page = await list_items(session, project_id, import_id, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(ResultImportItemModel.of))
            return
        _print_table(
            ("State", "Format", "Where", "Tools", "Findings", "Analysis or reason"),
            [
                (
                    one.state,
                    one.format,
                    one.place,
                    f"{one.tools_count:,}",
                    f"{one.findings_count:,}",
                    one.reason or str(one.analysis_id or ""),
                )
                for one in page.items
            ],
        )
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, run)


def _summarise(counts: ImportCounts, *, is_dry: bool) -> str:
    formats = ", ".join(f"{count:,} of format {letter}" for letter, count in sorted(counts.formats.items()))
    verb = "would be imported" if is_dry else "imported"
    lines = [
        f"{counts.imported_count:,} old analyses {verb}, {counts.known_count:,} known before,"
        f" {counts.quarantined_count:,} set aside{f' ({formats})' if formats else ''}.",
        f"{counts.tools_count:,} tool runs; {counts.findings_count:,} findings counted,"
        f" {counts.claimed_count:,} claimed.",
    ]
    if counts.app_files_count:
        lines.append(
            f"{counts.app_files_count:,} files of apps' sources: take them in with `referee app import`."
        )
    if not is_dry and not counts.imported_count:
        lines.append("Nothing was written.")
    return "\n".join(lines)


def _print_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    make_console().print(table)
