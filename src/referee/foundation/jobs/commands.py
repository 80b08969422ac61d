"""``referee job``: look at background jobs and cancel them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated, Protocol, TypeAlias, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from uuid import UUID

    from referee.core.pages import Page
    from referee.foundation.jobs.engine import JobEngine
    from referee.foundation.jobs.states import Job, JobState

__all__ = ["app"]

app = typer.Typer(name="job", help="Background jobs: what waits, runs and has ended.", no_args_is_help=True)

Result = TypeVar("Result")

JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
JobArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="JOB", help="Id of the job, with or without job_ in front.")
]


class Opened(Protocol):
    """What the root command opens for us."""

    @property
    def engine(self) -> JobEngine:
        """The engine of this process."""
        ...


class Composition(Protocol):
    """How the root command, which is the context's object, opens the application."""

    def __call__(self, *, is_worker: bool | None) -> AbstractAsyncContextManager[Opened]:
        """Open it for one command."""
        ...


@app.command("list")
def list_command(
    ctx: typer.Context,
    states: Annotated[
        list[str] | None, typer.Option("--state", help="queued, running, succeeded, failed or cancelled.")
    ] = None,
    kinds: Annotated[list[str] | None, typer.Option("--kind", help="Kind, such as analysis.run.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="Part of the title.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Children of this job.")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Children too.")] = False,
    limit: Annotated[int, typer.Option("--limit", help="Rows, 1 to 1000.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Where the page before ended.")] = None,
    is_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    from referee.core.ids import parse_id
    from referee.foundation.jobs.queries import list_jobs

    wanted = [_read_state(state) for state in states or []]
    parent_job_id = None if parent is None else parse_id(parent, "job")

    async def read(engine: JobEngine) -> Page[Job]:
        async with engine.database.reading() as session:
            return await list_jobs(
                session,
                states=wanted,
                kinds=kinds or [],
                text=text,
                parent_job_id=parent_job_id,
                has_parent=None if is_all or parent_job_id is not None else False,
                limit=limit,
                cursor=cursor,
            )

    page = _run(ctx, read)
    if is_json:
        _print_json(
            {
                "items": [_to_json(job) for job in page.items],
                "total_count": page.total_count,
                "limit": page.limit,
                "next_cursor": page.next_cursor,
            }
        )
        return
    _print_table(page)


@app.command("show")
def show_command(ctx: typer.Context, job_id: JobArgument, is_json: JsonOption = False) -> None:
    """Show one job with its error and its children."""
    from referee.core.ids import parse_id
    from referee.foundation.jobs.queries import get_job, list_jobs

    wanted: UUID = parse_id(job_id, "job")

    async def read(engine: JobEngine) -> tuple[Job, Page[Job]]:
        async with engine.database.reading() as session:
            return await get_job(session, wanted), await list_jobs(session, parent_job_id=wanted, limit=1000)

    job, children = _run(ctx, read)
    if is_json:
        _print_json({**_to_json(job), "children": [_to_json(child) for child in children.items]})
        return
    for name, value in _to_json(job).items():
        if value not in (None, {}):
            typer.echo(f"{name:15} {value}")
    if children.items:
        _print_table(children)


@app.command("cancel")
def cancel_command(ctx: typer.Context, job_id: JobArgument, is_json: JsonOption = False) -> None:
    """Cancel a job with its children. What has ended stays as it is."""
    from referee.core.ids import parse_id

    wanted: UUID = parse_id(job_id, "job")

    async def cancel(engine: JobEngine) -> Job:
        return await engine.cancel(wanted)

    job = _run(ctx, cancel)
    if is_json:
        _print_json(_to_json(job))
    elif job.state == "cancelled":
        typer.echo(f"Cancelled {_id(job)} ({job.title}).")
    else:
        typer.echo(f"{_id(job)} ({job.title}) had {job.state} before.")


def _run(ctx: typer.Context, work: Callable[[JobEngine], Awaitable[Result]]) -> Result:
    import asyncio

    composition: Composition = ctx.obj

    async def run() -> Result:
        async with composition(is_worker=False) as opened:
            return await work(opened.engine)

    return asyncio.run(run())


def _read_state(text: str) -> JobState:
    from referee.core.errors import InvalidInput
    from referee.foundation.jobs.states import JOB_STATES

    for state in JOB_STATES:
        if state == text:
            return state
    raise InvalidInput(
        "jobs.state_invalid", f"{text[:80]!r} is not a state.", f"Use {', '.join(JOB_STATES)}."
    )


def _id(job: Job) -> str:
    from referee.core.ids import format_id

    return format_id("job", job.job_id)


def _to_json(job: Job) -> dict[str, object]:
    from dataclasses import asdict

    def instant(value: datetime | None) -> str | None:
        return value.isoformat() if value else None

    return {
        "job_id": str(job.job_id),
        "kind": job.kind,
        "title": job.title,
        "state": job.state,
        "queue": job.queue,
        "priority": job.priority,
        "key": job.key,
        "arguments": dict(job.arguments),
        "created_at": instant(job.created_at),
        "started_at": instant(job.started_at),
        "finished_at": instant(job.finished_at),
        "attempts_count": job.attempts_count,
        "executor_id": job.executor_id,
        "progress": None if job.progress is None else asdict(job.progress),
        "result": None if job.result is None else dict(job.result),
        "error": None if job.error is None else asdict(job.error),
        "parent_job_id": None if job.parent_job_id is None else str(job.parent_job_id),
    }


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(page: Page[Job]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not page.items:
        typer.echo("No such jobs.")
        return
    table = Table("job", "kind", "title", "state", "attempts", "created", "seconds")
    for job in page.items:
        took = job.finished_at - job.started_at if job.finished_at and job.started_at else None
        cells = (
            _id(job),
            job.kind,
            job.title,
            job.state,
            str(job.attempts_count),
            f"{job.created_at:%Y-%m-%d %H:%M:%S} UTC",
            "" if took is None else f"{took.total_seconds():.1f}",
        )
        table.add_row(*map(Text, cells))
    Console().print(table)
    if page.next_cursor is not None:
        typer.echo(
            f"{len(page.items)} of {page.total_count} jobs; go on with --cursor {page.next_cursor}", err=True
        )
