"""``referee run``: runs of experiments, their results, and what changed between two."""

from __future__ import annotations

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
    from referee.experiments.room import ExperimentsRoom
    from referee.foundation.store import Database

__all__ = ["run_app"]

run_app = typer.Typer(help="Runs of experiments: list, show, compare.", no_args_is_help=True)

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]


class RunsApplication(Protocol):
    """The parts of the application that these commands use."""

    @property
    def database(self) -> Database:
        """The open database."""

    @property
    def experiments(self) -> ExperimentsRoom:
        """The experiments room."""


@run_app.command("list")
def list_command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]...", help="Such as: status:failed")
    ] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List runs, newest first."""
    from referee.experiments.runs.queries import RUN_FIELDS, list_runs
    from referee.foundation.web.filters import parse_filter

    where = parse_filter(" ".join(words or []), RUN_FIELDS)

    async def read(application: RunsApplication, project_id: UUID) -> None:
        from referee.experiments.runs.models import RunModel
        from referee.experiments.runs.printing import print_runs

        async with application.database.reading() as session:
            page = await list_runs(session, project_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(RunModel.of))
            return
        print_runs(make_console(), page.items)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, read)


@run_app.command("show")
def show_command(
    ctx: typer.Context,
    run: RunArgument,
    function: Annotated[
        str, typer.Option("--aggregate", help="average, sum, min, max, median, p90, p95, p99 or count.")
    ] = "average",
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show what came out of a run: each metric summed up, and the datapoints that failed."""

    async def read(application: RunsApplication, project_id: UUID) -> None:
        from referee.experiments.runs.printing import print_outcome
        from referee.experiments.runs.result_models import RunResultModel
        from referee.experiments.runs.service import read_outcome

        outcome = await read_outcome(application.experiments, project_id, run, aggregate_function=function)
        if is_json:
            typer.echo(RunResultModel.of(outcome).model_dump_json(indent=1))
            return
        print_outcome(make_console(), outcome)

    run_for_project(ctx, project, read)


@run_app.command("compare")
def compare_command(
    ctx: typer.Context,
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="Id of the run to compare with.")],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="Id of the run that is judged.")],
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Compare two runs over the datapoints that both have: by how much they differ, and how surely."""

    async def read(application: RunsApplication, project_id: UUID) -> None:
        from referee.experiments.runs.printing import dump_statistics, print_comparison
        from referee.experiments.runs.service import compute_pair_statistics, read_pair

        pair = await read_pair(application.experiments, project_id, old_run_id=baseline, new_run_id=candidate)
        statistics = await compute_pair_statistics(pair)
        if is_json:
            typer.echo(dump_statistics(statistics))
            return
        print_comparison(make_console(), pair, statistics)

    run_for_project(ctx, project, read)
