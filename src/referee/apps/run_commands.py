"""``referee app run|stop|status|logs`` and ``referee template``: what people do with a running app."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar
from uuid import UUID

import typer

if TYPE_CHECKING:
    from referee.apps.room import AppsRoom
    from referee.apps.runs import AppRun
    from referee.foundation.jobs import JobEngine
    from referee.foundation.settings import Settings
    from referee.foundation.store import ArtifactStore, Database

__all__ = ["AppsApplication", "add_run_commands", "run_with_apps", "template_app"]

EXIT_FAILED = 12
"""Exit code: the app does not run."""
_HOUR_S = 3_600.0

template_app = typer.Typer(help="Templates: what apps were asked to do.", no_args_is_help=True)

Value = TypeVar("Value")
ProjectOption = Annotated[str, typer.Option("--project", help="Slug of the project.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Slug of the model that wrote the app.")]
NumberOption = Annotated[int | None, typer.Option("--app", help="Number of the app.")]


class AppsApplication(Protocol):
    """The parts of the application that these commands use."""

    @property
    def settings(self) -> Settings:
        """Settings of this process."""

    @property
    def database(self) -> Database:
        """The open database."""

    @property
    def artifacts(self) -> ArtifactStore:
        """The artifact store."""

    @property
    def engine(self) -> JobEngine:
        """The job engine of this process."""

    @property
    def apps(self) -> AppsRoom:
        """The apps room."""


class _Open(Protocol):
    def __call__(self, *, is_worker: bool | None) -> AbstractAsyncContextManager[AppsApplication]:
        """Open the application."""


def add_run_commands(app: typer.Typer) -> None:
    """Add the commands of running apps to ``referee app``."""
    app.command("run")(run_command)
    app.command("stop")(stop_command)
    app.command("status")(status_command)
    app.command("logs")(logs_command)


def run_command(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help="Folder of the app.")],
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=720, help="Hours it stays up.")] = 8.0,
    model: ModelOption = None,
    number: NumberOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Start an app in the sandbox, and keep it up for a while.

    Exit codes: 0 it runs; 2 bad input; 12 it does not run, and why.
    """
    from referee.apps.runs import AppFailed

    async def run(application: AppsApplication, project_id: UUID) -> AppRun:
        from referee.apps.holding import NothingToRun, lease_app, wait_until_up
        from referee.apps.running import read_app_source
        from referee.core.errors import InvalidInput

        source = await read_app_source(application.apps, project_id, path, model=model, number=number)
        try:
            run_id, _ = await lease_app(
                application.apps, source, holder="a person", ttl_s=hours * _HOUR_S, is_person=True
            )
        except NothingToRun:
            raise InvalidInput(
                "app.nothing_to_run",
                "Nothing in this folder can be started.",
                "Say how to start it in a referee.toml or a Procfile.",
            ) from None
        return await wait_until_up(application.apps, project_id, run_id)

    try:
        found = run_with_apps(ctx, project, run)
    except AppFailed as error:
        _tell_failure(error.explain(), error.lines, error.app_run_id)
        raise typer.Exit(EXIT_FAILED) from None
    _print_run(found, is_json=is_json)
    if not is_json:
        typer.echo(f"Stop it with: referee app stop {_format(found.app_run_id)}")


def stop_command(
    ctx: typer.Context,
    app_run: Annotated[str, typer.Argument(help="Id of the run, or folder of the app.")],
    project: ProjectOption = "default",
) -> None:
    """Stop an app that a person keeps up. Refused while a tool uses it."""

    async def stop(application: AppsApplication, project_id: UUID) -> AppRun:
        from referee.apps.running import find_app_run, stop_app_run

        found = await find_app_run(application.apps, project_id, app_run)
        return await stop_app_run(application.apps, project_id, found.app_run_id)

    stopped = run_with_apps(ctx, project, stop)
    typer.echo(f"{stopped.name} is {stopped.state.value}.")


def status_command(
    ctx: typer.Context,
    app_run: Annotated[
        str | None, typer.Argument(help="Id of a run, or folder of an app; none: all that are up.")
    ] = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show runs of apps: where they answer, who holds them, why one failed."""

    async def read(application: AppsApplication, project_id: UUID) -> list[AppRun]:
        from referee.apps.running import find_app_run
        from referee.apps.runs import list_app_runs

        if app_run is not None:
            return [await find_app_run(application.apps, project_id, app_run)]
        async with application.database.reading() as session:
            page = await list_app_runs(session, project_id, is_live=True, limit=100)
        return list(page.items)

    found = run_with_apps(ctx, project, read)
    if not found:
        typer.echo("No app is up.")
    for one in found:
        _print_run(one, is_json=is_json)


def logs_command(
    ctx: typer.Context,
    app_run: Annotated[str, typer.Argument(help="Id of the run, or folder of the app.")],
    component: Annotated[str | None, typer.Option("--component", help="Such as backend; none: all.")] = None,
    is_followed: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the app ends.")] = False,
    project: ProjectOption = "default",
) -> None:
    """Print what an app printed."""

    async def tell(application: AppsApplication, project_id: UUID) -> None:
        from referee.apps.logs import follow_log
        from referee.apps.running import find_app_run

        found = await find_app_run(application.apps, project_id, app_run)
        async for name, text in follow_log(
            application.apps, project_id, found.app_run_id, component=component, is_followed=is_followed
        ):
            for line in text.splitlines():
                typer.echo(f"{name}  {line}")

    run_with_apps(ctx, project, tell)


@template_app.command("import")
def import_command(
    ctx: typer.Context,
    files: Annotated[list[str] | None, typer.Argument(help="JSON files.")] = None,
    has_library: Annotated[
        bool, typer.Option("--library", help="Those that come with Referee, too.")
    ] = False,
    project: ProjectOption = "default",
) -> None:
    """Make templates known."""
    from referee.core.errors import InvalidInput

    if not files and not has_library:
        raise InvalidInput(
            "template.file_missing", "No template was named.", "Name JSON files, or give --library."
        )

    async def read(application: AppsApplication, project_id: UUID) -> None:
        from referee.apps.known_templates import import_library, import_template, read_template_file

        if has_library:
            for known in await import_library(application.database, application.artifacts, project_id):
                typer.echo(f"{known.slug}  {known.name}")
        for name in files or ():
            document = await read_template_file(Path(name))
            known = await import_template(application.database, application.artifacts, project_id, document)
            typer.echo(f"{known.slug}  {known.name}")

    run_with_apps(ctx, project, read)


@template_app.command("list")
def list_command(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Rows.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Where the page before ended.")] = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List the versions of all templates."""

    async def read(application: AppsApplication, project_id: UUID) -> None:
        from referee.apps.known_templates import list_templates
        from referee.core.ids import format_id

        async with application.database.reading() as session:
            page = await list_templates(session, project_id, cursor=cursor, limit=limit)
        rows = [
            {
                "template_id": format_id("template", one.template_id),
                "slug": one.slug,
                "name": one.name,
                "sha256": one.sha256,
                "created_at": one.created_at.isoformat(),
            }
            for one in page.items
        ]
        if is_json:
            typer.echo(
                json.dumps(
                    {"items": rows, "total_count": page.total_count, "next_cursor": page.next_cursor},
                    indent=1,
                )
            )
            return
        for row in rows:
            typer.echo(f"{row['slug']}  {row['name']}  {row['template_id']}")
        if page.next_cursor is not None:
            typer.echo(
                f"{len(rows)} of {page.total_count} templates; go on with --cursor {page.next_cursor}",
                err=True,
            )

    run_with_apps(ctx, project, read)


def run_with_apps(
    ctx: typer.Context,
    project: str,
    function: Callable[[AppsApplication, UUID], Awaitable[Value]],
    *,
    is_worker: bool | None = False,
) -> Value:
    """Open the application, call a function with the project's id, and return what it returned.

    ``is_worker`` is that of ``open_application``: None carries out jobs when nobody else does.
    """
    import asyncio

    from referee.foundation.access import get_project

    open_application: _Open = ctx.obj

    async def run() -> Value:
        async with open_application(is_worker=is_worker) as application:
            owner = await get_project(application.database, project)
            return await function(application, owner.project_id)

    return asyncio.run(run())


def _print_run(run: AppRun, *, is_json: bool) -> None:
    if is_json:
        from referee.apps.models import AppRunModel

        typer.echo(AppRunModel.of(run).model_dump_json(indent=1))
        return
    typer.echo(f"{run.name}  {run.state.value}  {_format(run.app_run_id)}")
    if run.stage:
        typer.echo(f"  {run.stage}")
    for target in run.targets:
        typer.echo(f"  {target.name}  {target.url}  {target.framework}".rstrip())
    if run.isolation is not None:
        network = "a network of its own" if run.isolation.get("has_own_network") else "the machine's network"
        typer.echo(f"  isolated by {run.isolation.get('method')}, in {network}")
    for notice in run.notices:
        typer.echo(f"  {notice}")
    if run.failure is not None:
        _tell_failure(f"{run.failure.value}: {run.reason}", run.last_lines, run.app_run_id)


def _tell_failure(sentence: str, lines: tuple[str, ...], app_run_id: UUID | None) -> None:
    typer.echo(sentence, err=True)
    for line in lines[-20:]:
        typer.echo(f"  | {line}", err=True)
    if app_run_id is not None:
        typer.echo(f"Its whole log: referee app logs {_format(app_run_id)}", err=True)


def _format(app_run_id: UUID) -> str:
    from referee.core.ids import format_id

    return format_id("app_run", app_run_id)
