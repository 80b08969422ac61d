"""``referee session`` and ``referee trace``: sessions, and the spans of a trace as a tree."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Protocol
from uuid import UUID

import typer

from referee.foundation.terminal import (
    CursorOption,
    DatabaseApplication,
    JsonOption,
    LimitOption,
    ProjectOption,
    make_console,
    print_page_json,
    print_rest,
    run_for_project,
)

if TYPE_CHECKING:
    from referee.core.findings import JsonValue
    from referee.traces.room import TracesRoom

__all__ = ["retention_app", "session_app", "trace_app"]

session_app = typer.Typer(help="Sessions of agents: list, show.", no_args_is_help=True)
trace_app = typer.Typer(help="Traces: show the spans of one, remap.", no_args_is_help=True)
retention_app = typer.Typer(help="How long sessions are kept: show, set.", no_args_is_help=True)


class TracesApplication(DatabaseApplication, Protocol):
    """The part of the application that maps spans."""

    @property
    def traces(self) -> TracesRoom:
        """The room."""


@session_app.callback()
def sessions() -> None:
    """Sessions of agents: list, show."""


@trace_app.callback()
def traces() -> None:
    """Traces: show the spans of one, remap."""


@session_app.command("list")
def list_sessions_command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]...", help="Such as: is:error started:>=-24h")
    ] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List sessions, the latest start first."""
    from referee.foundation.web.filters import parse_filter
    from referee.traces.filter_fields import SESSION_FIELDS
    from referee.traces.queries import list_sessions

    where = parse_filter(" ".join(words or []), SESSION_FIELDS)

    async def read(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.traces.printing import print_sessions
        from referee.traces.trace_models import SessionSummary

        async with application.database.reading() as session:
            page = await list_sessions(session, project_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(SessionSummary.of))
            return
        print_sessions(make_console(), page.items)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, read)


@session_app.command("show")
def show_session_command(
    ctx: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Id of the session.")],
    limit: LimitOption = 200,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show a session's sums and its events as a tree."""

    async def read(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.traces.printing import print_outline, print_sessions
        from referee.traces.sessions import get_session_tree
        from referee.traces.trace_reading import read_session_tree

        if is_json:
            tree: dict[str, JsonValue] = await get_session_tree(application.database, project_id, session)
            _print_json(tree)
            return
        found = await read_session_tree(application.database, project_id, session)
        console = make_console()
        print_sessions(console, [found.session])
        print_outline(console, found.outline, limit)

    run_for_project(ctx, project, read)


@trace_app.command("show")
def show_trace_command(
    ctx: typer.Context,
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="W3C trace id, 32 hexadecimal digits.")],
    limit: LimitOption = 200,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show the spans of a trace as a tree; as JSON whole, a page at a time."""

    async def read(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.traces.printing import print_outline
        from referee.traces.trace_models import SpanModel
        from referee.traces.trace_reading import list_trace_spans, parse_trace_id, read_trace_outline

        trace_id = parse_trace_id(trace)
        if is_json:
            page = await list_trace_spans(
                application.database, project_id, trace_id, cursor=cursor, limit=limit
            )
            print_page_json(page.map(SpanModel.of))
            return
        outline = await read_trace_outline(application.database, project_id, trace_id)
        print_outline(make_console(), outline, limit)

    run_for_project(ctx, project, read)


@trace_app.command("export")
def export_traces_command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]...", help="Such as: is:failed started:>=-24h")
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="File, Parquet when it ends in .parquet; - writes standard output."
        ),
    ] = "-",
    project: ProjectOption = "default",
) -> None:
    """Write every span of the traces that match, as JSON Lines or Parquet."""
    from referee.traces.filter_fields import parse_trace_filter

    where = parse_trace_filter(" ".join(words or []))

    async def write(application: DatabaseApplication, project_id: UUID) -> None:
        import sys
        from pathlib import Path

        from referee.foundation.web.parquet import iterate_parquet
        from referee.traces.trace_exports import SPAN_COLUMNS, iterate_trace_lines

        pieces = iterate_trace_lines(application.database, project_id, where)
        if output.endswith(".parquet"):
            pieces = iterate_parquet(pieces, SPAN_COLUMNS)
        with nullcontext(sys.stdout.buffer) if output == "-" else Path(output).open("wb") as file:
            async for piece in pieces:
                file.write(piece)

    run_for_project(ctx, project, write)


@trace_app.command("critical-path")
def show_critical_path_command(
    ctx: typer.Context,
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="W3C trace id, 32 hexadecimal digits.")],
    limit: LimitOption = 50,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show the spans that bound how long a trace took."""

    async def read(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.traces.printing import print_critical_path
        from referee.traces.trace_models import CriticalPathModel
        from referee.traces.trace_reading import parse_trace_id, read_critical_path

        trace_id = parse_trace_id(trace)
        path = await read_critical_path(application.database, project_id, trace_id)
        if is_json:
            typer.echo(CriticalPathModel.of(trace_id.hex, path).model_dump_json(indent=2))
            return
        print_critical_path(make_console(), path, limit)

    run_for_project(ctx, project, read)


@trace_app.command("remap")
def remap_command(
    ctx: typer.Context,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    bodies_count: Annotated[
        int, typer.Option("--bodies", min=1, max=1000, help="Bodies of requests in one round.")
    ] = 100,
    project: ProjectOption = "default",
) -> None:
    """Read the attributes of stored spans again that an older version of the mapping has read."""

    async def remap(application: TracesApplication, project_id: UUID) -> None:
        from referee.traces.remapping import count_versions, remap_some

        found = await count_versions(application.database, project_id)
        for version, count in found.counts.items():
            typer.echo(f"Version {version}: {count:,} spans.")
        typer.echo(f"{found.older_count:,} spans can be read again by version {found.current_version}.")
        if is_dry or not found.older_count:
            return
        is_finished, remapped_count, changed_count = False, 0, 0
        while not is_finished:
            done = await remap_some(application.traces, project_id, bodies_count)
            is_finished = done.is_finished
            remapped_count += done.remapped_count
            changed_count += done.changed_count
            typer.echo(f"{remapped_count:,} read again, {changed_count:,} changed.")

    run_for_project(ctx, project, remap)


@retention_app.callback()
def retention() -> None:
    """How long sessions are kept: show, set."""


@retention_app.command("show")
def show_retention_command(ctx: typer.Context, project: ProjectOption = "default") -> None:
    """Show how long sessions are kept, and what would go now."""

    async def show(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.traces.retention import get_retention

        found = await get_retention(application.database, project_id)
        if found.keep_days is None:
            typer.echo("Sessions are kept for ever.")
            return
        typer.echo(f"Sessions are kept for {found.keep_days} days after their last span.")
        await _print_preview(application, project_id, found.keep_days)

    run_for_project(ctx, project, show)


@retention_app.command("set")
def set_retention_command(
    ctx: typer.Context,
    days: Annotated[str, typer.Argument(metavar="DAYS", help="Days, or 'forever'.")],
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    project: ProjectOption = "default",
) -> None:
    """Decide how long sessions are kept after their last span; older ones go within the hour."""
    from referee.traces.retention import parse_days

    keep_days = parse_days(days)

    async def decide(application: DatabaseApplication, project_id: UUID) -> None:
        from referee.traces.retention import set_retention

        if keep_days is not None:
            await _print_preview(application, project_id, keep_days)
        if is_dry:
            return
        await set_retention(application.database, project_id, keep_days)
        typer.echo("Sessions are kept for ever." if keep_days is None else f"Kept for {keep_days} days.")

    run_for_project(ctx, project, decide)


async def _print_preview(application: DatabaseApplication, project_id: UUID, keep_days: int) -> None:
    from referee.traces.retention import preview_retention

    found = await preview_retention(application.database, project_id, keep_days)
    typer.echo(f"{found.sessions_count:,} sessions with {found.events_count:,} events are older than that.")


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
