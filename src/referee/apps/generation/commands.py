"""``referee app generate`` and ``referee app import``: where apps come from."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from uuid import UUID

    from referee.apps.generation.contract import Generation
    from referee.apps.run_commands import AppsApplication

__all__ = ["add_generation_commands"]

EXIT_FAILED = 12
"""Exit code: an app was not written."""
_LOOK_S = 1.0

ProjectOption = Annotated[str, typer.Option("--project", help="Slug of the project.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def add_generation_commands(app: typer.Typer) -> None:
    """Add the commands to ``referee app``."""
    app.command("import")(import_command)
    app.command("generate")(generate_command)


def import_command(
    ctx: typer.Context,
    folder: Annotated[
        str, typer.Argument(help="Folder of an app, or one that holds apps, such as models/<model>/app1.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", help="Slug for folders that name no model; else imported.")
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", help="Slug of what the apps were asked to do.")
    ] = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Make apps on disk known, with the model and number that their folders name.

    Placeholders are named as such. `referee pipeline run --folder FOLDER` does the same and analyses each.
    """
    from referee.apps.run_commands import run_with_apps

    async def run(application: AppsApplication, project_id: UUID) -> None:
        from referee.apps.importing_apps import import_apps, read_app_folder
        from referee.apps.importing_printing import print_import
        from referee.apps.known_templates import ensure_template

        slug = None
        if template is not None:
            known = await ensure_template(application.database, application.artifacts, project_id, template)
            slug = known.slug
        found = await asyncio.to_thread(
            read_app_folder, folder, allowed_roots=application.settings.source_roots
        )
        async with application.database.transaction() as session:
            imported = await import_apps(session, project_id, found, model=model, template=slug)
        print_import(imported, folder, is_json=is_json)

    run_with_apps(ctx, project, run)


def generate_command(
    ctx: typer.Context,
    model: Annotated[str, typer.Option("--model", help="Slug of a model of the catalogue.")],
    template: Annotated[str, typer.Option("--template", help="Slug or id of a template.")],
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Apps to write.")] = 1,
    number: Annotated[
        int | None, typer.Option("--app", min=1, max=999_999, help="App to write anew, as its next version.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**31 - 1, help="Of the first app; each further one adds one."),
    ] = None,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, max=2.0, help="0 to 2.")] = 0.2,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Have a model write apps for a template, and wait for them.

    Exit codes: 0 all were written; 2 bad input; 6 no server, or it keeps failing; 12 one was not written, and why.
    """
    from referee.apps.run_commands import run_with_apps

    async def run(application: AppsApplication, project_id: UUID) -> list[Generation]:
        from referee.apps.generation.creating import create_generation
        from referee.apps.generation.running import check_generator
        from referee.apps.known_templates import ensure_template
        from referee.core.errors import InvalidInput

        if number is not None and count > 1:
            raise InvalidInput(
                "generation.count_invalid",
                "An app that is written anew is one app.",
                "Give either --app or --count.",
            )
        await ensure_template(application.database, application.artifacts, project_id, template)
        made = []
        async with application.database.transaction() as session:
            await check_generator(application.apps, session)
            for offset in range(count):
                made.append(
                    await create_generation(
                        session,
                        project_id=project_id,
                        model=model,
                        template=template,
                        number=number,
                        seed=None if seed is None else (seed + offset) % 2**31,
                        temperature=temperature,
                        engine=application.engine,
                    )
                )
        return [await _follow(application, project_id, one, is_quiet=is_json) for one in made]

    ended = run_with_apps(ctx, project, run, is_worker=None)
    if is_json:
        from referee.apps.generation.api import GenerationDetailModel

        items = [GenerationDetailModel.model_validate(one).model_dump(mode="json") for one in ended]
        typer.echo(json.dumps({"items": items}, indent=1, ensure_ascii=False))
    if any(one.state != "succeeded" for one in ended):
        raise typer.Exit(EXIT_FAILED)


async def _follow(
    application: AppsApplication, project_id: UUID, generation: Generation, *, is_quiet: bool
) -> Generation:
    """Wait until a generation has ended, and say how it goes."""
    from referee.apps.generation.contract import group_notices
    from referee.apps.generation.queries import get_generation
    from referee.apps.service import get_app

    said = ""
    while True:
        async with application.database.reading() as session:
            generation = await get_generation(session, project_id, generation.generation_id)
            app = await get_app(session, project_id, generation.app_id)
        name = f"{app.model}/app{app.number}"
        if generation.is_ended:
            break
        now = generation.stage or generation.state.value
        if now != said and not is_quiet:
            typer.echo(f"{name}  {now}", err=True)
            said = now
        await application.engine.wait_for_bell(_LOOK_S)
    if is_quiet:
        return generation
    cost = "cost not known" if generation.cost_usd is None else f"${generation.cost_usd:.4f}"
    tokens = f"{generation.prompt_tokens:,} + {generation.completion_tokens:,} tokens"
    if generation.state == "succeeded":
        typer.echo(f"{name}  version {generation.version}  {generation.files_count} files  {tokens}  {cost}")
        typer.echo(f"  {app.path}")
    else:
        word = generation.failure.value if generation.failure is not None else generation.state.value
        typer.echo(f"{name}  {word}  {tokens}  {cost}", err=True)
        typer.echo(f"  {generation.reason}", err=True)
    for kind, notices in group_notices(generation.notices).items():
        more = f" ({len(notices) - 1} more)" if len(notices) > 1 else ""
        typer.echo(f"  {kind.replace('_', ' ')}: {notices[0].message}{more}")
    return generation
