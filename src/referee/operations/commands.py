"""``referee up``, ``down``, ``status``, ``worker``, ``verify``, ``upgrade``, ``backup`` and ``restore``; others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import typer

from referee.operations.overview_commands import operations
from referee.operations.selftest_commands import selftest

if TYPE_CHECKING:
    from fastapi import FastAPI

    from referee.core.integrity import IntegrityCheck, IntegrityRepair, IntegrityReport, RepairStep
    from referee.foundation.settings import Settings

__all__ = ["register_operations"]


class CheckedApplication(Protocol):
    """The part of the application that these commands use."""

    @property
    def integrity_checks(self) -> Sequence[IntegrityCheck]:
        """What every room wants read again."""

    @property
    def repair_steps(self) -> Sequence[RepairStep]:
        """What every room can mend."""


class Composition(Protocol):
    """How commands get what the composition root makes; ``ctx.obj`` of the root command."""

    def __call__(self, *, is_worker: bool | None) -> AbstractAsyncContextManager[CheckedApplication]:
        """Open the application for one command."""

    def open_worker(self, settings: Settings, *, drain_s: float) -> AbstractAsyncContextManager[object]:
        """Open the application as a worker."""

    def create_web_app(self, settings: Settings) -> FastAPI:
        """Make the web application with all rooms."""


PortOption = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")]
HostOption = Annotated[str | None, typer.Option("--host", help="Address to listen on.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def register_operations(app: typer.Typer) -> None:
    """Mount these commands at the root."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("worker")(worker)
    app.command("verify")(verify)
    app.command("upgrade")(upgrade)
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("selftest")(selftest)
    app.command("operations")(operations)


GARBAGE_THRESHOLDS: Final = (20_000, 20, 20)
"""New objects before they are looked through. With the default of 700 the requests of 200 clients are looked through
again and again while they are served: a fifth of the processor time of an answer."""


SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread keeps the interpreter while another waits for it. With the default of 5 ms every step of the event
loop waits that long while spans are taken apart beside it, a dozen times for each transaction that stores some."""


def up(
    ctx: typer.Context,
    port: PortOption = None,
    host: HostOption = None,
    is_detached: Annotated[
        bool, typer.Option("--detach", help="Return when it answers; leave it running.")
    ] = False,
) -> None:
    """Start the server, with its worker and its pages."""
    settings = _load(port=port, host=host)
    if is_detached:
        from referee.operations.processes import start_detached

        state = start_detached(settings)
        typer.echo(f"Referee runs at {state.url}/ui/ (process {state.pid}). Stop it with: referee down")
        return
    import gc
    import sys

    from referee.foundation.store import warm_database

    warm_database(settings)
    gc.disable()  # next to nothing made while loading is garbage, and looking for it takes a tenth of the start
    from referee.foundation.logs import configure_logs
    from referee.operations.serving import serve

    composition: Composition = ctx.obj
    configure_logs(settings)
    web_app = composition.create_web_app(settings)
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    gc.enable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    serve(settings, web_app)


def down() -> None:
    """Stop the server of this home, apps that people keep up, and the database when nobody else uses it."""
    import asyncio

    from referee.apps import stop_people_runs
    from referee.operations.processes import stop_server

    settings = _load()
    was_running = stop_server(settings)
    stopped_count = asyncio.run(stop_people_runs(settings))
    typer.echo("Referee is stopped." if was_running else "No server is running.")
    if stopped_count:
        typer.echo(f"{stopped_count} apps that people kept up are stopped too.")


def status(is_json: JsonOption = False) -> None:
    """Say whether the server runs, and how it is. Exit code 6 when it does not."""
    from referee.operations.processes import find_server, read_health

    settings = _load()
    state = find_server(settings)
    if state is None:
        typer.echo(
            json.dumps({"is_running": False}) if is_json else f"No server of {settings.home} is running."
        )
        raise typer.Exit(6)
    health = read_health(state)
    if is_json:
        typer.echo(
            json.dumps({"is_running": True, "url": state.url, "pid": state.pid, "health": health}, indent=1)
        )
        return
    typer.echo(f"Referee {state.version} runs at {state.url}/ui/ (process {state.pid}).")
    for name, check in health["checks"].items():
        typer.echo(f"{name:12} {check['status']}: {check['detail']}")


def worker(ctx: typer.Context) -> None:
    """Carry out jobs beside the server, against the same database, until stopped."""
    import asyncio

    from referee.foundation.logs import configure_logs
    from referee.operations.serving import DRAIN_S, wait_for_stop

    composition: Composition = ctx.obj
    settings = _load()
    configure_logs(settings)

    async def run() -> None:
        async with wait_for_stop() as stop, composition.open_worker(settings, drain_s=DRAIN_S):
            await stop.wait()

    asyncio.run(run())


def verify(
    ctx: typer.Context,
    is_repairing: Annotated[
        bool,
        typer.Option(
            "--repair", help="First mend what a recorded digest proves: files from rows, rows from files."
        ),
    ] = False,
    is_json: JsonOption = False,
) -> None:
    """Read every artifact, manifest and row again and compare. Exit code 7 when something is wrong."""
    import asyncio

    from referee.operations.integrity import repair_everything, verify_everything

    composition: Composition = ctx.obj

    async def run() -> tuple[list[IntegrityRepair], IntegrityReport]:
        async with composition(is_worker=False) as application:
            mended = await repair_everything(application.repair_steps) if is_repairing else []
            return mended, await verify_everything(application.integrity_checks)

    mended, report = asyncio.run(run())
    if is_json:
        told = [{"code": one.code, "subject": one.subject, "message": one.message} for one in mended]
        typer.echo(json.dumps({**report.dump(), "repairs": told}, indent=1, ensure_ascii=False))
    else:
        _print_report(mended, report)
    if report.problems:
        raise typer.Exit(7)


def _print_report(mended: Sequence[IntegrityRepair], report: IntegrityReport) -> None:
    for done in mended:
        typer.echo(f"mended: {done.subject}: {done.message}")
    for problem in report.problems:
        typer.echo(f"{problem.subject}: {problem.message}")
    for name, count in report.checked_counts.items():
        typer.echo(f"checked {count} {name}", err=True)
    typer.echo(
        "Everything is as it was recorded." if not report.problems else f"{report.problems_count} problems."
    )


def backup(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="New or empty folder that the backup is made in.")
    ],
) -> None:
    """Back up everything while it is in use: database, artifacts, result files, generated apps and secrets."""
    import asyncio
    from pathlib import Path

    from referee.operations.backups import back_up

    made = asyncio.run(back_up(_load(), Path(folder)))
    typer.echo(f"Backed up {made.files_count:,} files, {made.bytes_count:,} bytes, to {made.folder}.")
    typer.echo(
        "It holds secrets; keep it where only you can read it. Settings of the environment are not in it."
    )


def upgrade(
    has_backup: Annotated[bool, typer.Option("--backup/--no-backup", help="Dump the database first.")] = True,
) -> None:
    """Bring the database to this version's schema, after a backup."""
    import asyncio

    from referee.foundation.store import upgrade_database

    done = asyncio.run(upgrade_database(_load(), backup=has_backup))
    if done.backup is not None:
        typer.echo(f"The database was backed up to {done.backup}.")
    typer.echo(f"The schema is {done.to_revision}.")


def restore(
    backup: Annotated[
        str,
        typer.Argument(help="Folder that `referee backup` made, or a file that `referee upgrade` made."),
    ],
) -> None:
    """Put a backup in the place of what is there; the replaced database is kept until the next restore."""
    import asyncio
    from pathlib import Path

    from referee.core.errors import InvalidInput
    from referee.foundation.store import restore_backup
    from referee.operations.backups import restore_whole

    path = Path(backup)
    if path.is_dir():
        contents, replaced = asyncio.run(restore_whole(_load(), path))
        typer.echo(f"The backup of {contents.created_at} is restored: {contents.files_count:,} files.")
        typer.echo(f"The database it replaced is kept as {replaced}. Run `referee verify` next.")
        return
    if not path.is_file():
        raise InvalidInput(
            "backup.absent", f"There is no backup {backup!r}.", "Look in the folder backups of the home."
        )
    replaced = asyncio.run(restore_backup(_load(), path))
    typer.echo(f"The backup is restored. The database it replaced is kept as {replaced}.")


def _load(**overrides: object) -> Settings:
    from referee.foundation.settings import load_settings

    return load_settings(**{name: value for name, value in overrides.items() if value is not None})
