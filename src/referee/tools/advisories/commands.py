"""``referee advisories``: bring vulnerability records in, and see how old they are."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    name="advisories", help="Known vulnerabilities that dependencies are judged by.", no_args_is_help=True
)


@app.command("import")
def import_command(
    source: Annotated[
        str, typer.Argument(help="File or http(s) address of an OSV export (zip, JSON, JSON lines).")
    ],
    is_addition: Annotated[
        bool,
        typer.Option("--add", help="Add or update by id instead of replacing the ecosystems in the source."),
    ] = False,
) -> None:
    """Read OSV records into the advisory store."""
    from pathlib import Path

    from referee.foundation.outgoing import open_guard
    from referee.foundation.settings import load_settings
    from referee.tools.advisories.fetching import fetched_file, is_url
    from referee.tools.advisories.importing import import_file

    settings = load_settings()
    directory = settings.advisories_dir
    if is_url(source):
        with fetched_file(source, directory, open_guard(settings)) as (path, shown):
            report = import_file(path, directory, source=shown, is_addition=is_addition)
    else:
        report = import_file(Path(source), directory, is_addition=is_addition)
    stored = ", ".join(
        f"{count} for {ecosystem}" for ecosystem, count in sorted(report.stored_counts.items())
    )
    typer.echo(f"Stored {stored}{'' if report.is_changed else ' (as before)'}.")
    left_out = {
        "withdrawn": report.withdrawn_count,
        "of other ecosystems": report.other_count,
        "refused": report.refused_count,
    }
    typer.echo("Left out: " + ", ".join(f"{count} {what}" for what, count in left_out.items()) + ".")
    for where, reason in report.refused:
        typer.echo(f"  refused {where}: {reason}")


@app.command("show")
def show_command(
    format_: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Tell where the advisories come from, how many there are and how old they are."""
    from dataclasses import asdict

    from referee.core.errors import InvalidInput
    from referee.foundation.settings import load_settings
    from referee.tools.advisories.store import ECOSYSTEMS, AdvisoryStore

    if format_ not in ("table", "json"):
        raise InvalidInput("advisories.format", f"There is no format {format_!r}.", "Use table or json.")
    with AdvisoryStore.open(load_settings().advisories_dir) as store:
        data = [store.data_of(ecosystem) for ecosystem in ECOSYSTEMS]
        digest, last = store.digest, store.read_last_import()
    if format_ == "json":
        document = {"digest": digest, "ecosystems": [asdict(one) for one in data], "last_import": last}
        typer.echo(json.dumps(document, indent=2))
        return
    for one in data:
        typer.echo(
            f"{one.ecosystem:5} {one.records_count:7} advisories, newest of {one.data_on}, from {one.source}"
        )
    if any(one.is_bundled for one in data):
        typer.echo(
            "The bundled set is small: import a full export to judge dependencies by all that is known."
        )
    if last.get("refused_count"):
        typer.echo(f"The last import refused {last['refused_count']} of {last['read_count']} records.")
    typer.echo(f"digest {digest}")
