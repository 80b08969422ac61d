"""``referee pipeline import``: take in a pipeline that another installation exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from referee.foundation.terminal import ProjectOption, run_for_project

if TYPE_CHECKING:
    from referee.pipelines.commands import PipelineApplication
    from referee.pipelines.importing import ImportedPipeline

__all__ = ["add_import_command"]


def add_import_command(app: typer.Typer) -> None:
    """Mount the command below ``referee pipeline``."""
    app.command("import")(import_command)


def import_command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Zip file of `referee pipeline export`.")],
    project: ProjectOption = "default",
) -> None:
    """Take in an exported pipeline with every result and app: all of it or nothing.

    The same file is the same pipeline, however often it is imported.
    """
    from pathlib import Path

    from referee.core.errors import InvalidInput
    from referee.core.ids import format_id

    path = Path(file)
    if not path.is_file():
        raise InvalidInput("import.no_file", f"There is no file {file}.", "Name the zip file of an export.")

    async def take_in(application: PipelineApplication, project_id: UUID) -> ImportedPipeline:
        from referee.pipelines.importing import import_pipeline

        return await import_pipeline(application.pipelines, project_id, path)

    imported = run_for_project(ctx, project, take_in)
    pipeline, counts = imported.pipeline, imported.pipeline.counts
    typer.echo(
        f"{format_id('pipeline', pipeline.pipeline_id)} {'imported' if imported.is_new else 'was here already'}:"
        f" {pipeline.name}, {counts.valid_count:,} of {counts.total_count:,} cells valid"
    )
