"""``referee key``: make, list and revoke API keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from referee.foundation.access.keys import KeyKind
    from referee.foundation.access.service import KeyView, Project
    from referee.foundation.store import Database

__all__ = ["app"]

app = typer.Typer(name="key", help="API keys: who may use this Referee from elsewhere.", no_args_is_help=True)

Result = TypeVar("Result")

ProjectOption = Annotated[str, typer.Option("--project", help="Slug of the project.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("create")
def create_command(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            help="read, write or admin; each includes the ones before. Default: write; for a key of the data "
            "plane charts_read or charts_write, by default both.",
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="project; ingestion: may only send telemetry; data_plane: for operations with a project's id "
            "in their path.",
        ),
    ] = "project",
    expires_at: Annotated[
        str | None, typer.Option("--expires-at", help="Instant such as 2030-01-31T00:00:00Z. Default: never.")
    ] = None,
    project: ProjectOption = "default",
    is_json: JsonOption = False,
) -> None:
    """Make a key and print its secret, which is shown this once."""
    from referee.foundation.access.service import KEY_SCOPES, create_key

    expiry = _read_instant(expires_at)
    key_kind = _read_kind(kind)
    wanted = scopes or (["write"] if key_kind == "project" else KEY_SCOPES[key_kind])

    async def create(database: Database, owner: Project) -> tuple[KeyView, str]:
        return await create_key(database, owner, name, wanted, expiry, kind=key_kind)

    view, secret = _run(project, create)
    if is_json:
        _print_json({**_to_json(view), "secret": secret})
        return
    typer.echo(secret)
    typer.echo(f"Key {_id(view)} for {view.name!r}. The secret above cannot be shown again.", err=True)


@app.command("list")
def list_command(
    project: ProjectOption = "default",
    limit: Annotated[int, typer.Option("--limit", help="Rows, 1 to 1000.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Where the page before ended.")] = None,
    is_json: JsonOption = False,
) -> None:
    """List keys, newest first. Secrets are not kept and cannot be listed."""
    from referee.core.pages import Page
    from referee.foundation.access.service import list_keys

    async def read(database: Database, owner: Project) -> Page[KeyView]:
        return await list_keys(database, owner, limit=limit, cursor=cursor)

    page = _run(project, read)
    if is_json:
        _print_json(
            {
                "items": [_to_json(view) for view in page.items],
                "total_count": page.total_count,
                "limit": page.limit,
                "next_cursor": page.next_cursor,
            }
        )
        return
    _print_table(page.items)
    if page.next_cursor is not None:
        typer.echo(
            f"{len(page.items)} of {page.total_count} keys; go on with --cursor {page.next_cursor}", err=True
        )


@app.command("revoke")
def revoke_command(
    key_id: Annotated[
        str, typer.Argument(metavar="KEY", help="Id of the key, with or without key_ in front.")
    ],
    project: ProjectOption = "default",
    is_json: JsonOption = False,
) -> None:
    """End a key. The next request with it is refused."""
    from referee.core.ids import parse_id
    from referee.foundation.access.service import revoke_key

    api_key_id = parse_id(key_id, "key")

    async def revoke(database: Database, owner: Project) -> KeyView:
        return await revoke_key(database, owner, api_key_id)

    view = _run(project, revoke)
    if is_json:
        _print_json(_to_json(view))
        return
    typer.echo(f"Revoked {_id(view)} ({view.name}).")


def _run(project_slug: str, work: Callable[[Database, Project], Awaitable[Result]]) -> Result:
    """Run ``work`` on the database of the environment's settings, for one project."""
    import asyncio

    from referee.foundation.access.service import get_project
    from referee.foundation.settings import load_settings
    from referee.foundation.store import open_database

    async def run() -> Result:
        database = await open_database(load_settings())
        try:
            return await work(database, await get_project(database, project_slug))
        finally:
            await database.close()

    return asyncio.run(run())


def _read_kind(text: str) -> KeyKind:
    from referee.core.errors import InvalidInput
    from referee.foundation.access.keys import KeyKind

    try:
        return KeyKind(text)
    except ValueError as error:
        raise InvalidInput(
            "access.kind_unknown",
            f"{text[:80]!r} is no kind of key.",
            f"Choose from {', '.join(KeyKind)}.",
        ) from error


def _read_instant(text: str | None) -> datetime | None:
    from referee.core.errors import InvalidInput

    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            "access.expiry_invalid",
            f"{text[:80]!r} is not an instant.",
            "Write it as 2030-01-31T00:00:00Z.",
        ) from error


def _id(view: KeyView) -> str:
    from referee.core.ids import format_id

    return format_id("key", view.api_key_id)


def _state(view: KeyView) -> str:
    from datetime import UTC

    if view.revoked_at is not None:
        return "revoked"
    return "expired" if view.expires_at is not None and view.expires_at <= datetime.now(UTC) else "live"


def _to_json(view: KeyView) -> dict[str, object]:
    def instant(value: datetime | None) -> str | None:
        return value.isoformat() if value else None

    return {
        "api_key_id": str(view.api_key_id),
        "kind": view.kind.value,
        "name": view.name,
        "prefix": view.prefix,
        "scopes": sorted(view.scopes),
        "state": _state(view),
        "created_at": instant(view.created_at),
        "expires_at": instant(view.expires_at),
        "revoked_at": instant(view.revoked_at),
        "last_used_at": instant(view.last_used_at),
    }


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=2))


def _print_table(views: tuple[KeyView, ...]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not views:
        typer.echo("No keys. Make one with `referee key create NAME`.")
        return
    table = Table("key", "kind", "name", "begins with", "scopes", "state", "created", "last used")
    for view in views:
        last_used = f"{view.last_used_at:%Y-%m-%d %H:%M} UTC" if view.last_used_at else "never"
        cells = (
            _id(view),
            view.kind.value,
            view.name,
            view.prefix,
            " ".join(sorted(view.scopes)),
            _state(view),
            f"{view.created_at:%Y-%m-%d %H:%M} UTC",
            last_used,
        )
        table.add_row(*map(Text, cells))
    Console().print(table)
