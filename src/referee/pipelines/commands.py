"""``referee pipeline``: models × templates, from a file."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
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
)

if TYPE_CHECKING:
    from pathlib import Path

    from referee.foundation.jobs import JobEngine
    from referee.foundation.store import Database
    from referee.pipelines.room import PipelinesRoom
    from referee.pipelines.views import Pipeline

__all__ = ["EXIT_INCOMPLETE", "PipelineApplication", "pipeline_app"]

EXIT_INCOMPLETE = 11
"""Exit code: the pipeline ended, and not as completed."""

pipeline_app = typer.Typer(
    help="Pipelines: run, show, list, pause, resume, cancel, retry, extend, export.", no_args_is_help=True
)

PipelineArgument = Annotated[str, typer.Argument(metavar="PIPELINE", help="Id of the pipeline.")]


class PipelineApplication(Protocol):
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


@pipeline_app.command("run")
def run_command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Pipeline file; - reads standard input.")],
    key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key: the same one with the same file runs once.")
    ] = None,
    is_awaited: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow it to its end, or only have it accepted.")
    ] = True,
    project: ProjectOption = "default",
) -> None:
    """Accept a pipeline and follow it to its end.

    Exit codes: 0 every cell is valid; 2 bad input; 11 not every cell is valid.
    """
    from referee.pipelines.definition_reading import MAX_DEFINITION_BYTES
    from referee.pipelines.service import PipelineRequest

    text = _read_file(file, MAX_DEFINITION_BYTES)
    request = PipelineRequest(definition_text=text, idempotency_key=key)

    async def run(application: PipelineApplication, project_id: UUID) -> Pipeline:
        from referee.pipelines.following import follow_pipeline
        from referee.pipelines.service import create_pipeline

        pipeline = await create_pipeline(application.pipelines, application.engine, project_id, request)
        if not is_awaited:
            return pipeline
        return await follow_pipeline(
            application.database, project_id, pipeline.pipeline_id, make_console(stderr=True)
        )

    pipeline = run_for_project(ctx, project, run, is_worker=None if is_awaited else False)
    _print(pipeline)
    if is_awaited and pipeline.state.value != "completed":
        raise typer.Exit(EXIT_INCOMPLETE)


@pipeline_app.command("show")
def show_command(
    ctx: typer.Context,
    pipeline: PipelineArgument,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show a pipeline: the counts of its cells and what is missing, with the reasons."""
    pipeline_id = _parse(pipeline)

    async def read(application: PipelineApplication, project_id: UUID) -> None:
        from referee.pipelines.models import PipelineModel
        from referee.pipelines.printing import print_pipeline
        from referee.pipelines.queries import get_pipeline, list_holes

        async with application.database.reading() as session:
            found = await get_pipeline(session, project_id, pipeline_id)
            holes = await list_holes(session, pipeline_id, limit=50)
        if is_json:
            typer.echo(PipelineModel.of(found).model_dump_json(indent=1))
            return
        print_pipeline(make_console(), found, holes.items, holes.total_count)

    run_for_project(ctx, project, read)


@pipeline_app.command("list")
def list_command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]...", help="Such as: state:running")
    ] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List pipelines, newest first."""
    from referee.foundation.web.filters import parse_filter
    from referee.pipelines.queries import PIPELINE_FIELDS, list_pipelines

    where = parse_filter(" ".join(words or []), PIPELINE_FIELDS)

    async def read(application: PipelineApplication, project_id: UUID) -> None:
        from referee.pipelines.models import PipelineModel
        from referee.pipelines.printing import print_pipelines

        async with application.database.reading() as session:
            page = await list_pipelines(session, project_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(PipelineModel.of))
            return
        print_pipelines(make_console(), page.items)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, read)


@pipeline_app.command("pause")
def pause_command(ctx: typer.Context, pipeline: PipelineArgument, project: ProjectOption = "default") -> None:
    """Begin no further cell; those at work come to their end."""
    pipeline_id = _parse(pipeline)

    async def pause(application: PipelineApplication, project_id: UUID) -> Pipeline:
        from referee.pipelines.service import pause_pipeline

        return await pause_pipeline(application.pipelines, project_id, pipeline_id)

    _print(run_for_project(ctx, project, pause))


@pipeline_app.command("resume")
def resume_command(
    ctx: typer.Context, pipeline: PipelineArgument, project: ProjectOption = "default"
) -> None:
    """Go on with a paused pipeline."""
    _change(ctx, project, pipeline, "resume_pipeline")


@pipeline_app.command("cancel")
def cancel_command(
    ctx: typer.Context, pipeline: PipelineArgument, project: ProjectOption = "default"
) -> None:
    """Stop a pipeline; cells that ended keep their results."""
    _change(ctx, project, pipeline, "cancel_pipeline")


@pipeline_app.command("retry")
def retry_command(ctx: typer.Context, pipeline: PipelineArgument, project: ProjectOption = "default") -> None:
    """Set every cell that ended without valid results going again."""
    _change(ctx, project, pipeline, "retry_cells")


@pipeline_app.command("extend")
def extend_command(
    ctx: typer.Context,
    pipeline: PipelineArgument,
    models: Annotated[list[str] | None, typer.Option("--model", help="A further model.")] = None,
    templates: Annotated[list[str] | None, typer.Option("--template", help="A further template.")] = None,
    project: ProjectOption = "default",
) -> None:
    """Add models or templates to a pipeline that generates; cells that are there stay as they are."""
    pipeline_id = _parse(pipeline)

    async def extend(application: PipelineApplication, project_id: UUID) -> Pipeline:
        from referee.pipelines.service import extend_pipeline

        return await extend_pipeline(
            application.pipelines,
            application.engine,
            project_id,
            pipeline_id,
            models=models or [],
            templates=templates or [],
        )

    _print(run_for_project(ctx, project, extend))


@pipeline_app.command("example")
def example_command() -> None:
    """Print a pipeline file that works."""
    from referee.pipelines.definition import EXAMPLE

    typer.echo(EXAMPLE, nl=False)


def _change(ctx: typer.Context, project: str, pipeline: str, verb: str) -> None:
    """Call a verb of the service that takes room, engine, project and pipeline."""
    pipeline_id = _parse(pipeline)

    async def change(application: PipelineApplication, project_id: UUID) -> Pipeline:
        from referee.pipelines import service

        function: Callable[..., Awaitable[Pipeline]] = getattr(service, verb)
        return await function(application.pipelines, application.engine, project_id, pipeline_id)

    _print(run_for_project(ctx, project, change))


def _read_file(name: str, max_bytes: int) -> str:
    """Return the text of a pipeline file.

    Raises:
        InvalidInput: It is absent, too large or not UTF-8.
    """
    from pathlib import Path

    from referee.core.errors import InvalidInput

    try:
        data = sys.stdin.buffer.read(max_bytes + 1) if name == "-" else _read_start(Path(name), max_bytes + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(
            "pipeline.file_unreadable",
            f"The pipeline file {name!r} cannot be read: {error.strerror}.",
            "Name a YAML file; `referee pipeline example` prints one.",
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "pipeline.file_unreadable", f"The pipeline file {name!r} is not UTF-8.", "Save it as UTF-8."
        ) from error
    return text


def _read_start(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _parse(text: str) -> UUID:
    from referee.core.ids import parse_id

    return parse_id(text, "pipeline")


def _print(pipeline: Pipeline) -> None:
    from referee.core.ids import format_id

    counts = pipeline.counts
    state = pipeline.state.value.replace("_", " ")
    typer.echo(
        f"{format_id('pipeline', pipeline.pipeline_id)}  {state}  "
        f"{counts.ended_count} of {counts.total_count} cells ended, {counts.valid_count} valid"
    )
    if pipeline.reason:
        typer.echo(pipeline.reason)
