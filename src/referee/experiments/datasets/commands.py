"""``referee dataset``: list, show, create, import and export datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
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
    from referee.core.pages import Page
    from referee.experiments.datasets.views import Datapoint, Dataset

__all__ = ["dataset_app"]

dataset_app = typer.Typer(help="Datasets: list, show, create, import, export.", no_args_is_help=True)

DatasetArgument = Annotated[str, typer.Argument(metavar="DATASET", help="Id of the dataset.")]
VersionOption = Annotated[int | None, typer.Option("--version", min=1, help="As it was then.")]
MAX_FILE_BYTES = 256 * 1024 * 1024
"""An import holds the file and its rows in memory."""


@dataset_app.command("list")
def list_command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]...", help="Such as: name:support")
    ] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List datasets, newest first."""
    from referee.experiments.datasets import queries
    from referee.foundation.web.filters import parse_filter

    where = parse_filter(" ".join(words or []), queries.DATASET_FIELDS)

    async def read(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.experiments.datasets.models import DatasetModel
        from referee.experiments.datasets.printing import print_datasets

        async with application.database.reading() as session:
            page = await queries.list_datasets(session, project_id, where=where, cursor=cursor, limit=limit)
            ids = await queries.list_datapoint_ids(
                session, project_id, [one.dataset_id for one in page.items]
            )
        if is_json:
            print_page_json(page.map(lambda one: DatasetModel.of(one, ids[one.dataset_id])))
            return
        print_datasets(make_console(), page.items)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, read)


@dataset_app.command("show")
def show_command(
    ctx: typer.Context,
    dataset: DatasetArgument,
    version: VersionOption = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show a dataset's datapoints, as they are now or were in a version."""
    dataset_id = _parse(dataset)

    async def read(application: DatabaseApplication, project_id: UUID) -> tuple[Dataset, Page[Datapoint]]:
        from referee.experiments.datasets import queries

        async with application.database.reading() as session:
            found = await queries.get_dataset(session, project_id, dataset_id)
            page = await queries.list_dataset_datapoints(
                session,
                project_id,
                dataset_id,
                version=queries.check_version(found, version),
                cursor=cursor,
                limit=limit,
            )
        return found, page

    from referee.experiments.datasets.models import DatapointModel
    from referee.experiments.datasets.printing import print_dataset

    found, page = run_for_project(ctx, project, read)
    if is_json:
        print_page_json(page.map(DatapointModel.of))
        return
    print_dataset(make_console(), found, page.items, version)
    print_rest(len(page.items), page.total_count, page.next_cursor)


@dataset_app.command("create")
def create_command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="For people.")],
    description: Annotated[str | None, typer.Option("--description", help="More for people.")] = None,
    project: ProjectOption = "default",
) -> None:
    """Make an empty dataset and print its id."""
    from referee.core.errors import InvalidInput

    if not 1 <= len(name.strip()) <= 200:
        raise InvalidInput(
            "dataset.name_invalid", "A dataset's name has 1 to 200 characters.", "Give it such a name."
        )

    async def create(application: DatabaseApplication, project_id: UUID) -> Dataset:
        from referee.experiments.datasets.service import create_dataset

        async with application.database.transaction() as session:
            return await create_dataset(session, project_id, name=name, description=description)

    typer.echo(str(run_for_project(ctx, project, create).dataset_id))


@dataset_app.command("import")
def import_command(
    ctx: typer.Context,
    dataset: DatasetArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV, JSON Lines or JSON; its name says which.")
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--inputs", help="A column that is an input. Without any mapping all are."),
    ] = None,
    ground_truth: Annotated[
        list[str] | None, typer.Option("--ground-truth", help="A column of what should come out.")
    ] = None,
    history: Annotated[
        list[str] | None, typer.Option("--history", help="A column with the messages before.")
    ] = None,
    project: ProjectOption = "default",
) -> None:
    """Add a file's rows to a dataset, all or none; columns that are not mapped become metadata."""
    dataset_id = _parse(dataset)
    mapping = {"inputs": inputs or [], "ground_truth": ground_truth or [], "history": history or []}

    async def read_in(application: DatabaseApplication, project_id: UUID) -> tuple[Dataset, int]:
        from referee.experiments.datasets.files import find_format, import_contents, parse_file

        contents = parse_file(_read_file(file), find_format(file), mapping)
        async with application.database.transaction() as session:
            return await import_contents(session, project_id, dataset_id, contents), len(contents)

    found, count = run_for_project(ctx, project, read_in)
    typer.echo(
        f"Imported {count:,} datapoints; the dataset has {found.datapoints_count:,} in version {found.version}."
    )


@dataset_app.command("export")
def export_command(
    ctx: typer.Context,
    dataset: DatasetArgument,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="File, Parquet when it ends in .parquet; - writes standard output."
        ),
    ] = "-",
    version: VersionOption = None,
    project: ProjectOption = "default",
) -> None:
    """Write a dataset, as it is now or was in a version, as JSON Lines or Parquet."""
    from referee.foundation.terminal import write_output

    dataset_id = _parse(dataset)

    async def export(application: DatabaseApplication, project_id: UUID) -> list[bytes]:
        from referee.experiments.datasets import queries
        from referee.experiments.datasets.files import DATAPOINT_COLUMNS, list_export_pages
        from referee.foundation.web.parquet import iterate_parquet

        async with application.database.reading() as session:
            found = await queries.get_dataset(session, project_id, dataset_id)
        shown = queries.check_version(found, version)
        pages = await list_export_pages(application.database, found, shown)
        if output.endswith(".parquet"):
            return [piece async for piece in iterate_parquet(pages, DATAPOINT_COLUMNS)]
        return pages

    data = b"".join(run_for_project(ctx, project, export))
    if output == "-":
        typer.echo(data.decode(), nl=False)
        return
    write_output(output, data)


def _read_file(name: str) -> bytes:
    from pathlib import Path

    from referee.core.errors import InvalidInput, PayloadTooLarge

    path = Path(name)
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise PayloadTooLarge(
                "dataset.file_too_large",
                f"The file has {size_bytes:,} bytes, and at most {MAX_FILE_BYTES:,} are read.",
                "Split it.",
            )
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            "dataset.file_not_read",
            f"The file {name!r} cannot be read: {error.strerror}.",
            "Check its name and permissions.",
        ) from error


def _parse(text: str) -> UUID:
    from referee.core.ids import parse_id

    return parse_id(text, "dataset")
