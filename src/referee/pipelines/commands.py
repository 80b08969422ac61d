"""``referee pipeline``: models × templates, from a file. ``run`` and ``plan`` are in ``run_commands``."""

from __future__ import annotations

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
from referee.pipelines.comparing.commands import add_compare_command
from referee.pipelines.export_commands import add_export_command
from referee.pipelines.import_commands import add_import_command
from referee.pipelines.presets_commands import preset_app
from referee.pipelines.run_commands import plan_command, print_accepted, run_command

if TYPE_CHECKING:
    from referee.foundation.jobs import JobEngine
    from referee.foundation.store import Database
    from referee.pipelines.room import PipelinesRoom
    from referee.pipelines.views import Pipeline

__all__ = ["PipelineApplication", "pipeline_app"]

pipeline_app = typer.Typer(
    help="Pipelines: run, plan, show, list, compare, preset, pause, resume, cancel, retry, extend, export, import.",
    no_args_is_help=True,
)
add_compare_command(pipeline_app)
add_export_command(pipeline_app)
add_import_command(pipeline_app)

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


pipeline_app.command("run")(run_command)
pipeline_app.command("plan")(plan_command)
pipeline_app.add_typer(preset_app, name="preset")


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

    print_accepted(run_for_project(ctx, project, pause))


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

    print_accepted(run_for_project(ctx, project, extend))


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

    print_accepted(run_for_project(ctx, project, change))


def _parse(text: str) -> UUID:
    from referee.core.ids import parse_id

    return parse_id(text, "pipeline")
