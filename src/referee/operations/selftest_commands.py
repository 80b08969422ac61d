"""``referee selftest``: the checks of a live installation as a table."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from referee.foundation.terminal import JsonOption, make_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from referee.operations.selftest import CheckRow, SelfTest, SelfTestOptions

__all__ = ["EXIT_UNFIT", "selftest"]

EXIT_UNFIT = 12
"""Exit code: a check failed."""
_PROJECT = "selftest"
"""Of its own, so that its apps and findings are in nobody's counts."""


def selftest(
    ctx: typer.Context,
    server: Annotated[
        str | None, typer.Option("--server", metavar="URL", help="Default: the server of this home.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            envvar="REFEREE_KEY",
            show_envvar=False,
            help="Bearer key with the scope write, best of a project of its own; REFEREE_KEY does too.",
        ),
    ] = None,
    rounds_count: Annotated[
        int, typer.Option("--rounds", min=1, max=1_000, help="Pipelines of four apps, one after another.")
    ] = 1,
    submitters_count: Annotated[
        int,
        typer.Option(
            "--submitters", min=1, max=500, help="Clients that send each pipeline at the same time."
        ),
    ] = 40,
    is_app_run: Annotated[
        bool, typer.Option("--run-apps/--no-run-apps", help="Whether the apps are run and met by tools.")
    ] = True,
    is_json: JsonOption = False,
) -> None:
    """Check a live installation: health, a pipeline, duplicates, hand-over and success rates.

    Exit codes: 0 every check that could be judged is good; 6 no server; 12 a check failed.
    """
    import asyncio

    from referee.operations.selftest import SelfTestOptions

    options = SelfTestOptions(
        rounds_count=rounds_count, submitters_count=submitters_count, is_app_run=is_app_run
    )
    url = server or _find_own_server(ctx)
    test = asyncio.run(_run(url, key, options))
    if is_json:
        typer.echo(json.dumps([dataclasses.asdict(row) for row in test.rows], indent=1, ensure_ascii=False))
    else:
        _print(url, test.rows)
    if test.has_failed:
        raise typer.Exit(EXIT_UNFIT)


async def _run(url: str, key: str | None, options: SelfTestOptions) -> SelfTest:
    from referee.operations.selftest import SelfTest, open_clients

    console = make_console(stderr=True)
    async with open_clients(url, key, _PROJECT, count=max(1, options.submitters_count)) as clients:
        test = SelfTest(clients, options, lambda sentence: console.print(sentence, markup=False))
        await test.run()
        return test


def _find_own_server(ctx: typer.Context) -> str:
    """Return the address of this home's server, after making sure that the project is there.

    Raises:
        Unavailable: No server runs.
    """
    import asyncio

    from referee.core.errors import Unavailable
    from referee.foundation.settings import load_settings
    from referee.operations.processes import find_server

    settings = load_settings()
    state = find_server(settings)
    if state is None:
        raise Unavailable(
            "server.absent",
            f"No server of {settings.home} is running.",
            "Start it with `referee up`, or name another one with --server.",
        )
    asyncio.run(_ensure_project(ctx.obj))
    return state.url


async def _ensure_project(open_application: Any) -> None:
    from contextlib import suppress

    from referee.core.errors import Conflict
    from referee.foundation.access import find_local_principal
    from referee.foundation.access.service import create_project

    async with open_application(is_worker=False) as application:
        principal = await find_local_principal(application.database)
        with suppress(Conflict):
            await create_project(application.database, principal, _PROJECT, "Self test")


def _print(url: str, rows: Sequence[CheckRow]) -> None:
    from rich import box
    from rich.table import Table

    table = Table("Check", "Verdict", "Measured", "Expected", box=box.SIMPLE, title=None, pad_edge=False)
    for row in rows:
        table.add_row(row.check, row.verdict, row.measured, row.expected)
    console = make_console()
    console.print(f"Self test of {url}", markup=False)
    console.print(table)
