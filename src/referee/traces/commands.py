"""``referee session`` and ``referee trace``: sessions, and the spans of a trace as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
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

__all__ = ["session_app", "trace_app"]

session_app = typer.Typer(help="Sessions of agents: list, show.", no_args_is_help=True)
trace_app = typer.Typer(help="Traces: show the spans of one.", no_args_is_help=True)


@session_app.callback()
def sessions() -> None:
    """Sessions of agents: list, show."""


@trace_app.callback()
def traces() -> None:
    """Traces: show the spans of one."""


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


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
