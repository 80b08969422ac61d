"""``referee artifacts``: move what is stored between the folder of the home and S3."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from referee.operations.moving import Move

__all__ = ["artifacts_app"]

artifacts_app = typer.Typer(help="Stored bytes: move between a folder and S3.", no_args_is_help=True)


@artifacts_app.callback()
def artifacts() -> None:
    """Stored bytes: move between a folder and S3."""


@artifacts_app.command("move")
def move_command(
    to: Annotated[
        str,
        typer.Option("--to", metavar="URL|folder", help="s3://bucket/prefix, or folder: that of the home."),
    ],
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what there is to move; write nothing.")
    ] = False,
    is_ahead: Annotated[
        bool, typer.Option("--ahead", help="Copy while Referee runs; move the rest when it is stopped.")
    ] = False,
    is_damage_accepted: Annotated[
        bool, typer.Option("--accept-damage", help="Change places although some are damaged where they lie.")
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Copy all artifacts to another place and read them again there. Exit code 7 when some are damaged.

    Nothing is removed. Endpoint and key of S3 come from the settings. Start again to go on after a break.
    """
    import asyncio

    from referee.foundation.settings import load_settings
    from referee.foundation.store import (
        claim_artifact_place,
        open_artifacts,
        open_database,
        record_artifact_place,
    )
    from referee.operations.moving import describe_place, load_target, move_artifacts, refuse_while_written

    settings = load_settings()
    target = load_target(settings, to)

    async def run() -> Move:
        database = await open_database(settings)
        try:
            if not is_dry_run and not is_ahead:
                await refuse_while_written(settings, database)
            await claim_artifact_place(database, settings)
            move = await move_artifacts(
                database,
                open_artifacts(settings),
                open_artifacts(target),
                is_dry_run=is_dry_run,
                on_progress=_print_progress,
            )
            if not is_dry_run and not is_ahead and (is_damage_accepted or not move.problems_count):
                await record_artifact_place(database, target)
            return move
        finally:
            await database.close()

    move = asyncio.run(run())
    if is_json:
        typer.echo(json.dumps({**asdict(move), "is_dry_run": is_dry_run}, indent=1, ensure_ascii=False))
    else:
        _print_move(move, describe_place(settings), describe_place(target), is_dry_run=is_dry_run)
        if not is_dry_run and (is_damage_accepted or not move.problems_count):
            _print_next(target.artifacts_url, is_ahead=is_ahead)
    if move.problems_count:
        raise typer.Exit(7)


def _print_progress(move: Move) -> None:
    typer.echo(
        f"{move.done_count:,} of {move.total_count:,} artifacts, {move.moved_bytes:,} bytes moved", err=True
    )


def _print_move(move: Move, source: str, target: str, *, is_dry_run: bool) -> None:
    verb = "to move" if is_dry_run else "moved"
    typer.echo(
        f"{move.moved_count:,} artifacts, {move.moved_bytes:,} bytes, {verb} from {source} to {target}; "
        f"{move.there_count:,} are there already."
    )
    for problem in move.problems:
        typer.echo(problem)
    if move.problems_count:
        typer.echo(
            f"{move.problems_count:,} artifacts were not moved. Run `referee verify --repair`, then move "
            "again; or give them up with --accept-damage."
        )


def _print_next(url: str | None, *, is_ahead: bool) -> None:
    if is_ahead:
        typer.echo("Stop Referee on every machine, then run the same command without --ahead.")
        return
    change = f"REFEREE_ARTIFACTS_URL={url}" if url else "REFEREE_ARTIFACTS_URL to nothing"
    typer.echo(f"Now set {change} for every process, start Referee, and run `referee verify`.")
    typer.echo("The old place was left as it is; remove it when you no longer want to go back.")
