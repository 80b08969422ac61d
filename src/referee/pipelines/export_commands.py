"""``referee pipeline export``: a pipeline with everything it came to, as one zip file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from referee.foundation.terminal import ProjectOption, make_unwritten, run_for_project

if TYPE_CHECKING:
    from pathlib import Path

    from referee.pipelines.commands import PipelineApplication

__all__ = ["add_export_command"]


def add_export_command(app: typer.Typer) -> None:
    """Mount the command below ``referee pipeline``."""
    app.command("export")(export_command)


def export_command(
    ctx: typer.Context,
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Id of the pipeline.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: pipeline_ID.zip in this folder."),
    ] = None,
    project: ProjectOption = "default",
) -> None:
    """Write a pipeline with every result and app into a zip file.

    The file is there as a whole or not at all.
    """
    from pathlib import Path

    from referee.core.ids import parse_id

    pipeline_id = parse_id(pipeline, "pipeline")

    async def export(application: PipelineApplication, project_id: UUID) -> Path:
        from referee.pipelines.exporting import name_export
        from referee.pipelines.queries import get_pipeline

        async with application.database.reading() as session:
            name = name_export(await get_pipeline(session, project_id, pipeline_id))
        path = Path(output or name)
        await _write(application, project_id, project, pipeline_id, path)
        return path

    path = run_for_project(ctx, project, export)
    typer.echo(f"{path} ({path.stat().st_size:,} bytes)")


async def _write(
    application: PipelineApplication, project_id: UUID, project: str, pipeline_id: UUID, path: Path
) -> None:
    """Write beside the file, then put it in its place.

    Raises:
        InvalidInput: The file cannot be written there.
    """
    from referee.pipelines.exporting import stream_export

    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            async for piece in stream_export(application.pipelines, project_id, project, pipeline_id):
                file.write(piece)
        part.replace(path)
    except OSError as error:
        raise make_unwritten(str(path), error) from error
    finally:
        part.unlink(missing_ok=True)
