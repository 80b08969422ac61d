"""``referee app sbom``: what an app is made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from referee.foundation.terminal import ProjectOption, write_output

if TYPE_CHECKING:
    from uuid import UUID

    from referee.apps.run_commands import AppsApplication

__all__ = ["sbom_command"]


def sbom_command(
    ctx: typer.Context,
    app: Annotated[str, typer.Argument(metavar="APP", help="Id of the app, or MODEL/appN.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; else it is printed.")
    ] = None,
    project: ProjectOption = "default",
) -> None:
    """Print the CycloneDX bill of materials of an app, from the dependency files in its folder."""
    from referee.apps.run_commands import run_with_apps

    async def make(application: AppsApplication, project_id: UUID) -> bytes:
        from referee.apps.bill_of_materials.serving import make_bill
        from referee.apps.naming import find_app_id

        async with application.database.reading() as session:
            app_id = await find_app_id(session, project_id, app)
        return await make_bill(application.apps, project_id, app_id)

    document = run_with_apps(ctx, project, make)
    if output is None:
        typer.echo(document.decode(), nl=False)
        return
    write_output(str(output), document)
