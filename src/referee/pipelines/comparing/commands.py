"""``referee pipeline compare``: the models of a pipeline, or those of analyses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol
from uuid import UUID

import typer

from referee.foundation.terminal import JsonOption, ProjectOption, make_console, run_for_project

if TYPE_CHECKING:
    from referee.foundation.store import Database
    from referee.pipelines.comparing.views import ModelComparison
    from referee.pipelines.room import PipelinesRoom

__all__ = ["add_compare_command"]


class _Application(Protocol):
    """The parts of the application that this command uses."""

    @property
    def database(self) -> Database:
        """The open database."""

    @property
    def pipelines(self) -> PipelinesRoom:
        """The pipelines room."""


def add_compare_command(app: typer.Typer) -> None:
    """Add the command to those of pipelines."""
    app.command("compare")(compare_command)


def compare_command(
    ctx: typer.Context,
    ids: Annotated[
        list[str],
        typer.Argument(metavar="PIPELINE|ANALYSIS...", help="A pipeline, or analyses of apps of models."),
    ],
    metric: Annotated[
        str | None,
        typer.Option("--metric", help="Metric that is told of all models; the first, unless given."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Model to compare with; the first, unless given.")
    ] = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Compare models over the same templates: who is better, by how much, and how surely."""

    async def compare(application: _Application, project_id: UUID) -> ModelComparison:
        from referee.core.ids import parse_id
        from referee.pipelines.comparing.service import compare_analyses, compare_pipeline

        room = application.pipelines
        if len(ids) == 1 and not ids[0].startswith("analysis_"):
            pipeline_id = parse_id(ids[0], "pipeline")
            return await compare_pipeline(room, project_id, pipeline_id, metric=metric, baseline=baseline)
        analysis_ids = [parse_id(text, "analysis") for text in ids]
        return await compare_analyses(room, project_id, analysis_ids, metric=metric, baseline=baseline)

    comparison = run_for_project(ctx, project, compare)
    if is_json:
        from pydantic import TypeAdapter

        from referee.pipelines.comparing.views import ModelComparison

        typer.echo(TypeAdapter(ModelComparison).dump_json(comparison, indent=1).decode())
        return
    from referee.pipelines.comparing.printing import print_comparison

    print_comparison(make_console(), comparison)
