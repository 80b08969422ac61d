"""``referee model``: the catalogue of models that may write apps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from uuid import UUID

    from referee.apps.run_commands import AppsApplication

__all__ = ["model_app"]

model_app = typer.Typer(help="Models that may write apps: import, list.", no_args_is_help=True)
ProjectOption = Annotated[str, typer.Option("--project", help="Slug of the project.")]


@model_app.callback()
def models() -> None:
    """Models: what they are called, what they cost, how much they read at once."""


@model_app.command("import")
def import_command(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(help="File, or address of a list such as http://127.0.0.1:8080/v1/models.")
    ],
    is_csv: Annotated[bool, typer.Option("--csv", help="The file is CSV, not JSON.")] = False,
    project: ProjectOption = "default",
) -> None:
    """Take models over from a server's list or from CSV.

    CSV begins with a line of names: model_name, slug, name, provider, input_usd_per_mtok,
    output_usd_per_mtok, context_tokens; only model_name must be there. What a list does not
    say stays as it is known.
    """
    from referee.apps.run_commands import run_with_apps

    async def run(application: AppsApplication, project_id: UUID) -> None:
        from referee.apps.catalogue import import_models
        from referee.apps.importing_models import read_model_list

        data = await _read_source(application, source)
        entries, kind, problems = read_model_list(data, is_csv=is_csv or source.lower().endswith(".csv"))
        async with application.database.transaction() as session:
            done = await import_models(session, project_id, entries, source=kind)
        for problem in (*problems, *done.problems):
            typer.echo(problem, err=True)
        typer.echo(
            f"{done.created_count} new, {done.updated_count} changed, {done.unchanged_count} as they were."
        )

    run_with_apps(ctx, project, run)


@model_app.command("list")
def list_command(
    ctx: typer.Context,
    filter_text: Annotated[
        str, typer.Option("--filter", help='As on the page, such as "provider:maker output:<5".')
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Rows.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Where the page before ended.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    project: ProjectOption = "default",
) -> None:
    """List the models of the catalogue by their slug."""
    from referee.apps.run_commands import run_with_apps

    async def run(application: AppsApplication, project_id: UUID) -> None:
        from referee.apps.catalogue import MODEL_FIELDS, list_models
        from referee.apps.model_api import ModelModel
        from referee.foundation.web.filters import parse_filter

        where = parse_filter(filter_text, MODEL_FIELDS)
        async with application.database.reading() as session:
            page = await list_models(session, project_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            items = [ModelModel.model_validate(model).model_dump(mode="json") for model in page.items]
            answer = {"items": items, "total_count": page.total_count, "next_cursor": page.next_cursor}
            typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
            return
        for model in page.items:
            prices = model.prices
            cost = (
                "prices not known"
                if prices is None
                else f"${prices.input_usd_per_mtok:g} in, ${prices.output_usd_per_mtok:g} out per million tokens"
            )
            context = f"{model.context_tokens:,} tokens" if model.context_tokens else "context not known"
            typer.echo(f"{model.slug}  {model.model_name}  {cost}  {context}")
        if page.next_cursor is not None:
            typer.echo(
                f"{len(page.items)} of {page.total_count} models; go on with --cursor {page.next_cursor}",
                err=True,
            )

    run_with_apps(ctx, project, run)


async def _read_source(application: AppsApplication, source: str) -> bytes:
    import asyncio

    from referee.apps.importing_models import MAX_LIST_BYTES, fetch_model_list
    from referee.core.errors import InvalidInput
    from referee.foundation.outgoing import open_guard

    if source.startswith(("http://", "https://")):
        settings = application.settings
        key = settings.generator_api_key
        is_ours = settings.generator_url is not None and source.startswith(
            f"{settings.generator_url.rstrip('/')}/"
        )
        guard = open_guard(settings)
        if is_ours:
            guard = guard.allowing(source)
        # The key is for the generator's own server and for no other.
        secret = key.get_secret_value() if key is not None and is_ours else None
        return await fetch_model_list(source, guard, secret)

    def read() -> bytes:
        with Path(source).open("rb") as file:
            return file.read(MAX_LIST_BYTES + 1)

    try:
        return await asyncio.to_thread(read)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            "model.list_unreadable",
            f"The list of models {source!r} cannot be read: {getattr(error, 'strerror', None) or error}.",
            "Name a JSON or CSV file, or an address that begins with http:// or https://.",
        ) from error
