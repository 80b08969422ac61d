"""``referee pipeline run`` and ``plan``: from a file, a folder of apps or a preset."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from referee.foundation.terminal import JsonOption, ProjectOption, make_console, run_for_project

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncSession

    from referee.pipelines.commands import PipelineApplication
    from referee.pipelines.planning_preview import PipelinePreview
    from referee.pipelines.views import Pipeline

__all__ = ["EXIT_INCOMPLETE", "plan_command", "print_accepted", "read_definition_file", "run_command"]

EXIT_INCOMPLETE = 11
"""Exit code: the pipeline ended, and not as completed."""
_HOLES_COUNT = 20

FileArgument = Annotated[
    str | None, typer.Argument(metavar="[FILE]", help="Pipeline file; - reads standard input.")
]
FolderOption = Annotated[
    str | None, typer.Option("--folder", help="In place of a file: all apps of a folder, such as ./models.")
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", help="In place of a file: a kept one; without any, the default.")
]
ProfileOption = Annotated[str, typer.Option("--profile", help="Of --folder: quick, standard or deep.")]
ToolsOption = Annotated[
    list[str] | None, typer.Option("--tool", help="Of --folder: a tool; may be repeated.")
]
TemplateOption = Annotated[
    str | None, typer.Option("--template", help="Of --folder: slug of what the apps were asked to do.")
]


def run_command(
    ctx: typer.Context,
    file: FileArgument = None,
    folder: FolderOption = None,
    preset: PresetOption = None,
    profile: ProfileOption = "standard",
    tools: ToolsOption = None,
    template: TemplateOption = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key: the same one with the same file runs once.")
    ] = None,
    is_awaited: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow it to its end, or only have it accepted.")
    ] = True,
    project: ProjectOption = "default",
) -> None:
    """Accept a pipeline and follow it to its end.

    It comes from a file, from a folder of apps (which become known by that), or from a preset.

    Exit codes: 0 every cell is valid; 2 bad input; 11 not every cell is valid, and each says why.
    """
    given = _read_given(file, folder, preset, profile, tools or [], template)

    async def run(application: PipelineApplication, project_id: UUID) -> Pipeline:
        from referee.pipelines.following import follow_pipeline
        from referee.pipelines.service import PipelineRequest, create_pipeline

        async with application.database.reading() as session:
            text = await _find_text(session, project_id, given, preset)
        request = PipelineRequest(definition_text=text, idempotency_key=key)
        pipeline = await create_pipeline(application.pipelines, application.engine, project_id, request)
        await _print_left_out(application, pipeline)
        if not is_awaited:
            return pipeline
        ended = await follow_pipeline(
            application.database, project_id, pipeline.pipeline_id, make_console(stderr=True)
        )
        await _print_holes(application, ended)
        return ended

    pipeline = run_for_project(ctx, project, run, is_worker=None if is_awaited else False)
    print_accepted(pipeline)
    if is_awaited and pipeline.state.value != "completed":
        raise typer.Exit(EXIT_INCOMPLETE)


def plan_command(
    ctx: typer.Context,
    file: FileArgument = None,
    folder: FolderOption = None,
    preset: PresetOption = None,
    profile: ProfileOption = "standard",
    tools: ToolsOption = None,
    template: TemplateOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Say what a pipeline would be: cells, cost, time and the smallest difference it can detect. Starts nothing."""
    given = _read_given(file, folder, preset, profile, tools or [], template)

    async def read(application: PipelineApplication, project_id: UUID) -> PipelinePreview:
        from referee.pipelines.planning_preview import preview_pipeline

        async with application.database.reading() as session:
            text = await _find_text(session, project_id, given, preset)
        return await preview_pipeline(application.pipelines, project_id, text)

    preview = run_for_project(ctx, project, read)
    if is_json:
        from referee.pipelines.planning_api import PipelinePreviewModel

        typer.echo(PipelinePreviewModel.of(preview).model_dump_json(indent=1))
        return
    from referee.pipelines.planning_printing import print_preview

    print_preview(make_console(), preview)


def read_definition_file(name: str) -> str:
    """Return the text of a pipeline file.

    Raises:
        InvalidInput: It is absent, too large or not UTF-8.
    """
    from pathlib import Path

    from referee.core.errors import InvalidInput
    from referee.pipelines.definition_reading import MAX_DEFINITION_BYTES

    size = MAX_DEFINITION_BYTES + 1
    try:
        data = sys.stdin.buffer.read(size) if name == "-" else _read_start(Path(name), size)
        return data.decode("utf-8-sig")
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


def print_accepted(pipeline: Pipeline) -> None:
    """Print where a pipeline stands, as one line and its reason."""
    from referee.core.ids import format_id

    counts = pipeline.counts
    state = pipeline.state.value.replace("_", " ")
    typer.echo(
        f"{format_id('pipeline', pipeline.pipeline_id)}  {state}  "
        f"{counts.ended_count} of {counts.total_count} cells ended, {counts.valid_count} valid"
    )
    if pipeline.reason:
        typer.echo(pipeline.reason)


def _read_given(
    file: str | None,
    folder: str | None,
    preset: str | None,
    profile: str,
    tools: list[str],
    template: str | None,
) -> str | None:
    """Return the pipeline file that was named or that a folder stands for; None for one that is kept.

    Raises:
        InvalidInput: Several of file, folder and preset are named, or the file cannot be read.
    """
    from pathlib import Path

    from referee.core.errors import InvalidInput

    if sum(one is not None for one in (file, folder, preset)) > 1:
        raise InvalidInput(
            "pipeline.source_ambiguous",
            "A pipeline comes from one of a file, a folder and a preset.",
            "Name one of FILE, --folder and --preset.",
        )
    if file is not None:
        return read_definition_file(file)
    if folder is None:
        return None
    from referee.pipelines.definition_writing import write_folder_definition

    path = Path(folder).expanduser().absolute()
    return write_folder_definition(
        str(path),
        name=f"apps of {path.name or 'a folder'}"[:200],
        profile=profile,
        tools=tools,
        template=template,
    )


async def _find_text(session: AsyncSession, project_id: UUID, given: str | None, preset: str | None) -> str:
    """Return the pipeline file that was given, or that is kept under a name or as the default.

    Raises:
        NotFound: No preset has that name.
        InvalidInput: Nothing was named and there is no default.
    """
    from referee.core.errors import InvalidInput
    from referee.pipelines.presets import find_default_preset, get_named_preset

    if given is not None:
        return given
    if preset is not None:
        return (await get_named_preset(session, project_id, preset)).definition_text
    default = await find_default_preset(session, project_id)
    if default is None:
        raise InvalidInput(
            "pipeline.source_missing",
            "No pipeline was named, and no preset is the default.",
            "Name a FILE, --folder FOLDER or --preset NAME; `referee pipeline example` prints a file.",
        )
    return default.definition_text


async def _print_left_out(application: PipelineApplication, pipeline: Pipeline) -> None:
    """Name what of the folder is no app."""
    from referee.foundation.web.formats import show_text
    from referee.pipelines.queries import find_event_message
    from referee.pipelines.service import LEFT_OUT

    async with application.database.reading() as session:
        message = await find_event_message(session, pipeline.pipeline_id, LEFT_OUT)
    for line in (message or "").splitlines():
        typer.echo(show_text(line), err=True)


async def _print_holes(application: PipelineApplication, pipeline: Pipeline) -> None:
    """Name the cells without valid results, each with its reason."""
    from referee.foundation.web.formats import show_text
    from referee.pipelines.queries import list_holes

    async with application.database.reading() as session:
        holes = await list_holes(session, pipeline.pipeline_id, limit=_HOLES_COUNT)
    for cell in holes.items:
        name = (
            f"{cell.model} × {cell.template} #{cell.number}"
            if cell.template
            else f"{cell.model}/app{cell.number}"
        )
        typer.echo(f"{show_text(name)}  {cell.state.value.replace('_', ' ')}  {show_text(cell.reason)}")
    if holes.total_count > len(holes.items):
        typer.echo(f"and {holes.total_count - len(holes.items)} more without valid results")


def _read_start(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)
