"""``referee backfill`` and ``referee audit migrate``: on a database that is named, with or without a server."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from referee.foundation.terminal import JsonOption, write_output

if TYPE_CHECKING:
    from pathlib import Path

    from referee.backfills.contract import Backfill
    from referee.backfills.ledger import Run
    from referee.backfills.local import LocalRun

__all__ = ["backfill_app", "migrate_command"]

backfill_app = typer.Typer(
    help="Backfills: list, plan, run, watch, pause, undo and verify rewrites of old rows.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the backfill; `list` shows them.")]
DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database",
        "--db-path",
        metavar="URL_OR_PATH",
        help="SQLite file, postgresql:// address, or env:NAME.",
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=NUMBER", help="A parameter of the backfill.")
]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1, max=100_000, help="Rows a transaction.")]
ThrottleOption = Annotated[
    int, typer.Option("--throttle-ms", min=0, max=60_000, help="Milliseconds of rest after each batch.")
]
ShareOption = Annotated[
    float,
    typer.Option("--max-failure-share", min=0.0, max=1.0, help="Stop when more rows than this share fail."),
]
RunOption = Annotated[
    int | None, typer.Option("--run", min=1, help="Number of the run; the newest by default.")
]
RetryOption = Annotated[
    bool, typer.Option("--retry-dead-letters", help="Only the rows that could not be processed before.")
]
NoBackupOption = Annotated[bool, typer.Option("--no-backup", help="Make no copy of a SQLite file before.")]


@backfill_app.command("list")
def list_command(is_json: JsonOption = False) -> None:
    """List the backfills there are."""
    from referee.backfills.registry import list_backfills

    found = list_backfills()
    if is_json:
        typer.echo(json.dumps([_describe(one) for one in found], indent=1))
        return
    for one in found:
        typer.echo(f"{one.name:18} {one.summary}")
        for name, parameter in one.parameters.items():
            typer.echo(f"{'':18} --set {name}={parameter.default}  {parameter.description}")


@backfill_app.command("plan")
def plan_command(
    name: NameArgument,
    database: DatabaseOption,
    parameters: SetOption = None,
    is_retry: RetryOption = False,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write the plan to, for `run --plan`.")
    ] = "",
    is_json: JsonOption = False,
) -> None:
    """Compute every row without writing anything, and say what a run would do."""
    _plan(name, database, parameters, is_retry=is_retry, output=output, is_json=is_json)


@backfill_app.command("run")
def run_command(
    name: NameArgument,
    database: DatabaseOption,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="The same as `plan`: write nothing.")] = False,
    batch_size: BatchOption = 1_000,
    throttle_ms: ThrottleOption = 0,
    max_failure_share: ShareOption = 0.2,
    parameters: SetOption = None,
    plan: Annotated[
        str, typer.Option("--plan", metavar="DIGEST_OR_FILE", help="What the run must match.")
    ] = "",
    is_difference_accepted: Annotated[
        bool, typer.Option("--accept-differences", help="Run even where the plan has changed.")
    ] = False,
    is_retry: RetryOption = False,
    has_no_backup: NoBackupOption = False,
    is_migrating: Annotated[
        bool, typer.Option("--migrate", help="Add missing columns first, without asking.")
    ] = False,
    is_forced: Annotated[
        bool, typer.Option("--force", help="Take an open run over from a process that is surely gone.")
    ] = False,
    is_json: JsonOption = False,
) -> None:
    """Run a backfill, or go on with its run that has not ended."""
    from referee.backfills.ledger import RunOptions
    from referee.backfills.local import LocalRun

    if is_dry:
        _plan(name, database, parameters, is_retry=is_retry, output="", is_json=is_json)
        return
    request = LocalRun(
        options=RunOptions(
            batch_size=batch_size, throttle_ms=throttle_ms, max_failure_share=max_failure_share
        ),
        scope="dead_letters" if is_retry else "all",
        plan=plan,
        is_difference_accepted=is_difference_accepted,
        has_backup=not has_no_backup,
        is_forced=is_forced,
    )
    backfill = _create(name, parameters)
    _offer_migration(database, backfill, is_migrating=is_migrating, has_backup=not has_no_backup)
    _finish(_run(database, backfill, request), backfill, is_json=is_json)


@backfill_app.command("status")
def status_command(
    database: DatabaseOption,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Show the newest run of this one.")] = "",
    run_no: RunOption = None,
    is_json: JsonOption = False,
) -> None:
    """Show the runs of a database, or one run with all its counts."""
    from referee.backfills.ledger import Ledger
    from referee.backfills.local import dump_run, find_run
    from referee.backfills.printing import print_run, print_runs
    from referee.backfills.registry import create_backfill
    from referee.backfills.targets.opening import open_target

    with open_target(database, is_read_only=True) as target:
        runs = [find_run(target, name, run_no)] if name else Ledger(target).list_runs()
    if is_json:
        typer.echo(json.dumps([dump_run(run) for run in runs], indent=1))
    elif name:
        print_run(runs[0], create_backfill(name))
    else:
        print_runs(runs)


@backfill_app.command("pause")
def pause_command(name: NameArgument, database: DatabaseOption) -> None:
    """Let the open run stop after its present batch; `resume` goes on there."""
    _ask(database, name, "pause")


@backfill_app.command("resume")
def resume_command(
    name: NameArgument,
    database: DatabaseOption,
    is_forced: Annotated[
        bool, typer.Option("--force", help="Take it over from a process that is surely gone.")
    ] = False,
    is_json: JsonOption = False,
) -> None:
    """Go on with the open run at its cursor."""
    from referee.backfills.ledger import Ledger
    from referee.backfills.local import LocalRun
    from referee.backfills.targets.opening import open_target
    from referee.core.errors import Conflict

    backfill = _create(name, None)
    with open_target(database, is_read_only=True) as target:
        run = Ledger(target).find_open_run(name)
    if run is None:
        raise Conflict(
            "backfill.no_open_run", f"No run of {name} is open.", "Start one with `referee backfill run`."
        )
    request = LocalRun(options=run.options, scope=run.scope, has_backup=False, is_forced=is_forced)
    _finish(_run(database, backfill, request), backfill, is_json=is_json)


@backfill_app.command("cancel")
def cancel_command(name: NameArgument, database: DatabaseOption) -> None:
    """End the open run after its present batch; what is written stays until it is undone."""
    _ask(database, name, "cancel")


@backfill_app.command("tune")
def tune_command(
    name: NameArgument,
    database: DatabaseOption,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, max=100_000, help="Rows.")] = None,
    throttle_ms: Annotated[int | None, typer.Option("--throttle-ms", min=0, max=60_000, help="Rest.")] = None,
    max_failure_share: Annotated[
        float | None, typer.Option("--max-failure-share", min=0.0, max=1.0, help="Share of rows, 0 to 1.")
    ] = None,
) -> None:
    """Change how the open run works, from its next batch on."""
    from referee.backfills.local import ask

    given = {"batch_size": batch_size, "throttle_ms": throttle_ms, "max_failure_share": max_failure_share}
    run = ask(database, name, options={key: value for key, value in given.items() if value is not None})
    typer.echo(
        f"Run {run.run_no}: batches of {run.options.batch_size:,}, {run.options.throttle_ms} ms of rest, stops above "
        f"{run.options.max_failure_share:.0%} failures."
    )


@backfill_app.command("undo")
def undo_command(
    name: NameArgument,
    database: DatabaseOption,
    run_no: RunOption = None,
    has_no_backup: NoBackupOption = False,
) -> None:
    """Set what a run filled back to NULL, where it still is what the run wrote."""
    from referee.backfills.local import undo

    done = undo(database, name, run_no, has_backup=not has_no_backup, on_progress=None)
    typer.echo(
        f"Run {done.run.run_no} of {name} is undone: {done.restored_count:,} cells are NULL again, "
        f"{done.changed_count:,} had been changed since and stayed."
    )


@backfill_app.command("dead-letters")
def dead_letters_command(
    name: NameArgument,
    database: DatabaseOption,
    cursor: Annotated[str, typer.Option("--cursor", help="Row key after which to go on.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="Rows.")] = 50,
    is_json: JsonOption = False,
) -> None:
    """List rows that could not be processed, with the reason; `run --retry-dead-letters` tries them again."""
    from referee.backfills.ledger import Ledger
    from referee.backfills.local import tell_reason
    from referee.backfills.targets.opening import open_target
    from referee.foundation.web.formats import show_text

    backfill = _create(name, None)
    with open_target(database, is_read_only=True) as target:
        counts = Ledger(target).count_dead_letters(name)
        rows = Ledger(target).list_dead_letters(name, cursor, limit)
    if is_json:
        keys = ("row_key", "columns", "reason", "detail", "tries_count", "run_no")
        items = [dict(zip(keys, row, strict=True)) for row in rows]
        typer.echo(
            json.dumps({"items": items, "reasons": counts, "total_count": sum(counts.values())}, indent=1)
        )
        return
    for reason, count in counts.items():
        typer.echo(f"{count:>9,}  {reason}  {tell_reason(backfill, reason)}")
    for key, columns, reason, detail, tries, _ in rows:
        typer.echo(f"{key}  {reason}  {columns}  {show_text(detail)}  (tried {tries})")
    if len(rows) == limit:
        typer.echo(f"Go on with --cursor {rows[-1][0]}", err=True)


@backfill_app.command("verify")
def verify_command(name: NameArgument, database: DatabaseOption, is_json: JsonOption = False) -> None:
    """Ask the database the questions that show whether the columns are right."""
    from referee.backfills.local import verify
    from referee.backfills.printing import print_answers

    answers = verify(database, _create(name, None))
    if is_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "question": one.question,
                        "columns": list(one.columns),
                        "rows": [list(row) for row in one.rows],
                        "is_right": one.is_right,
                    }
                    for one in answers
                ],
                indent=1,
            )
        )
    else:
        print_answers(answers)
    if any(one.is_right is False for one in answers):
        raise typer.Exit(1)


def migrate_command(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="SQLite file or address of the audit database.")
    ],
    to: Annotated[int, typer.Option("--to", help="Schema version: 15, 17, 20 or 21.")] = 21,
    has_no_backup: NoBackupOption = False,
) -> None:
    """Add the columns and indexes that an older audit database lacks, in one transaction after a backup."""
    from referee.backfills.local import migrate

    done = migrate(path, to=to, has_backup=not has_no_backup)
    if not done.added:
        typer.echo(f"Nothing to add: {path} has all of version {to}.")
        return
    typer.echo(f"Added to {path}: {', '.join(done.added)}.")
    if done.backup is not None:
        typer.echo(f"Backup: {done.backup}")


def _create(name: str, parameters: list[str] | None) -> Backfill:
    from referee.backfills.registry import create_backfill
    from referee.core.errors import InvalidInput

    given = {}
    for text in parameters or []:
        key, _, value = text.partition("=")
        try:
            given[key] = int(value)
        except ValueError:
            raise InvalidInput(
                "backfill.parameter_unreadable", f"{text[:80]!r} is no parameter.", "Give NAME=NUMBER."
            ) from None
    return create_backfill(name, given)


def _plan(
    name: str, database: str, parameters: list[str] | None, *, is_retry: bool, output: str, is_json: bool
) -> None:
    from referee.backfills.local import plan
    from referee.backfills.printing import ProgressLine, print_plan

    line = ProgressLine()
    made = plan(
        database,
        _create(name, parameters),
        scope="dead_letters" if is_retry else "all",
        on_progress=line.tell_rows,
    )
    line.end()
    if output:
        write_output(output, json.dumps(made.dump(), indent=1).encode())
    if is_json:
        typer.echo(json.dumps(made.dump(), indent=1))
    else:
        print_plan(made)


def _run(database: str, backfill: Backfill, request: LocalRun) -> Run:
    from referee.backfills.local import retry_or_run
    from referee.backfills.printing import ProgressLine

    line = ProgressLine()

    def begin(run: Run, backup: Path | None, is_resumed: bool) -> None:
        if backup is not None:
            typer.echo(f"Backup: {backup}", err=True)
        if is_resumed:
            typer.echo(f"Going on with run {run.run_no} after {run.counts.seen_count:,} rows.", err=True)

    try:
        return retry_or_run(database, backfill, request, on_begin=begin, on_progress=line.tell)
    except KeyboardInterrupt:
        line.end()
        typer.echo("Paused. Go on with the same command.", err=True)
        raise
    finally:
        line.end()


def _offer_migration(database: str, backfill: Backfill, *, is_migrating: bool, has_backup: bool) -> None:
    """Where only columns are missing that a migration adds: add them if that is wanted."""
    from referee.backfills.local import migrate
    from referee.backfills.targets.opening import open_target
    from referee.backfills.targets.target import check_shape
    from referee.core.errors import Conflict

    try:
        with open_target(database, is_read_only=True) as target:
            check_shape(backfill, target.find_shape(backfill.table), target.label)
        return
    except Conflict as error:
        is_offered = error.code == "backfill.columns_missing" and error.hint == backfill.migrate_hint
        if not is_offered:
            raise
        if not is_migrating:
            if not sys.stdin.isatty():
                error.hint = f"{error.hint} Or let the run do it with --migrate."
                raise
            if not typer.confirm(f"{error.message} Add what is missing now?"):
                raise
    done = migrate(database, has_backup=has_backup)
    typer.echo(f"Added: {', '.join(done.added)}.", err=True)


def _finish(run: Run, backfill: Backfill, *, is_json: bool) -> None:
    from referee.backfills.local import dump_run
    from referee.backfills.printing import print_run

    if is_json:
        typer.echo(json.dumps(dump_run(run), indent=1))
    else:
        print_run(run, backfill)
    if run.state.value in ("failed", "cancelled"):
        raise typer.Exit(1)


def _ask(database: str, name: str, requested: str) -> None:
    from referee.backfills.local import ask

    run = ask(database, name, requested=requested)
    words = f"is asked to {requested}" if run.requested else f"is {run.state}"
    typer.echo(f"Run {run.run_no} of {name} {words}.")


def _describe(one: type[Backfill]) -> dict[str, object]:
    return {
        "name": one.name,
        "title": one.title,
        "summary": one.summary,
        "version": one.version,
        "table": one.table,
        "columns": list(one.columns),
        "rules": list(one.rules),
        "reasons": dict(one.reasons),
        "parameters": {
            key: {
                "default": value.default,
                "low": value.low,
                "high": value.high,
                "description": value.description,
            }
            for key, value in one.parameters.items()
        },
    }
