"""``referee pipeline preset``: pipeline files that a project keeps."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from referee.foundation.terminal import (
    CursorOption,
    JsonOption,
    LimitOption,
    ProjectOption,
    print_rest,
    run_for_project,
)

if TYPE_CHECKING:
    from referee.foundation.terminal import DatabaseApplication
    from referee.pipelines.presets import PipelinePreset

__all__ = ["preset_app"]

preset_app = typer.Typer(help="Pipeline files that are kept: save, list, show, delete.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the preset.")]


@preset_app.command("save")
def save_command(
    ctx: typer.Context,
    name: NameArgument,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Pipeline file; - reads standard input.")],
    is_default: Annotated[
        bool | None,
        typer.Option(
            "--default/--no-default", help="Whether it starts when nothing is named; else as it was."
        ),
    ] = None,
    project: ProjectOption = "default",
) -> None:
    """Keep a pipeline file under a name, or give the one of that name a new text."""
    from referee.pipelines.run_commands import read_definition_file

    text = read_definition_file(file)

    async def save(application: DatabaseApplication, project_id: UUID) -> PipelinePreset:
        from referee.pipelines.presets import save_preset

        async with application.database.transaction() as session:
            return await save_preset(
                session, project_id, name=name, definition_text=text, is_default=is_default
            )

    saved = run_for_project(ctx, project, save)
    typer.echo(f"Saved {saved.name!r}{', the default' if saved.is_default else ''}.")
    typer.echo(f"Start it with: referee pipeline run --preset {shlex.quote(saved.name)}")


@preset_app.command("list")
def list_command(
    ctx: typer.Context,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List the pipeline files that are kept, by name."""

    async def read(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.pipelines.presets import list_presets

        async with application.database.reading() as session:
            page = await list_presets(session, project_id, cursor=cursor, limit=limit)
        if is_json:
            from referee.foundation.terminal import print_page_json
            from referee.pipelines.presets_api import PipelinePresetModel

            print_page_json(page.map(PipelinePresetModel.model_validate))
            return
        for preset in page.items:
            mark = "  default" if preset.is_default else ""
            typer.echo(f"{preset.name}  {preset.updated_at:%Y-%m-%d %H:%M} UTC{mark}")
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, read)


@preset_app.command("show")
def show_command(ctx: typer.Context, name: NameArgument, project: ProjectOption = "default") -> None:
    """Print a kept pipeline file."""

    async def read(application: DatabaseApplication, project_id: UUID) -> str:
        from referee.pipelines.presets import get_named_preset

        async with application.database.reading() as session:
            return (await get_named_preset(session, project_id, name)).definition_text

    text = run_for_project(ctx, project, read)
    typer.echo(text, nl=not text.endswith("\n"))


@preset_app.command("delete")
def delete_command(ctx: typer.Context, name: NameArgument, project: ProjectOption = "default") -> None:
    """Forget a kept pipeline file; pipelines that were started from it stay."""

    async def delete(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.pipelines.presets import delete_preset, get_named_preset

        async with application.database.transaction() as session:
            preset = await get_named_preset(session, project_id, name)
            await delete_preset(session, project_id, preset.preset_id)

    run_for_project(ctx, project, delete)
    typer.echo(f"Deleted {name!r}.")
