"""``referee app``: the apps that are known."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from referee.apps.bill_of_materials.commands import sbom_command
from referee.apps.generation.commands import add_generation_commands
from referee.apps.run_commands import add_run_commands

__all__ = ["app"]

app = typer.Typer(help="Apps: import, generate, list, run, stop, status, logs, sbom.", no_args_is_help=True)
add_generation_commands(app)
add_run_commands(app)
app.command("sbom")(sbom_command)


@app.callback()
def apps() -> None:
    """Apps: model × number, with the folder they lie in."""


@app.command("list")
def list_command(
    model: Annotated[str | None, typer.Option("--model", help="Part of the model's slug.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Rows.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Where the page before ended.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    project: Annotated[str, typer.Option("--project", help="Slug of the project.")] = "default",
) -> None:
    """List apps by model and number."""
    import asyncio

    from referee.apps.service import list_apps
    from referee.core.ids import format_id
    from referee.core.pages import Page
    from referee.foundation.access import get_project
    from referee.foundation.settings import load_settings
    from referee.foundation.store import open_database

    async def read() -> Page[dict[str, object]]:
        database = await open_database(load_settings())
        try:
            owner = await get_project(database, project)
            async with database.reading() as session:
                page = await list_apps(session, owner.project_id, model=model, cursor=cursor, limit=limit)
        finally:
            await database.close()
        return page.map(
            lambda found: {
                "app_id": format_id("app", found.app_id),
                "model": found.model,
                "number": found.number,
                "template": found.template,
                "path": found.path,
                "placeholder": found.placeholder,
                "placeholder_reason": found.placeholder_reason,
                "created_at": found.created_at.isoformat(),
            }
        )

    page = asyncio.run(read())
    if is_json:
        answer = {"items": list(page.items), "total_count": page.total_count, "next_cursor": page.next_cursor}
        typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    for found in page.items:
        mark = f"  placeholder: {found['placeholder']}" if found["placeholder"] else ""
        typer.echo(f"{found['app_id']}  {found['model']}/app{found['number']}  {found['path']}{mark}")
    if page.next_cursor is not None:
        typer.echo(
            f"{len(page.items)} of {page.total_count} apps; go on with --cursor {page.next_cursor}", err=True
        )
