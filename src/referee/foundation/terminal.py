"""What commands of all rooms share: opening the application for a project, and printing lists.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar
from uuid import UUID

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from referee.core.errors import InvalidInput
    from referee.core.pages import Page
    from referee.foundation.store import Database

__all__ = [
    "CursorOption",
    "DatabaseApplication",
    "JsonOption",
    "LimitOption",
    "OpenApplication",
    "ProjectOption",
    "make_console",
    "make_unwritten",
    "print_page_json",
    "print_rest",
    "run_for_project",
    "write_output",
]

ProjectOption = Annotated[str, typer.Option("--project", help="Slug of the project.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="Rows.")]
CursorOption = Annotated[str | None, typer.Option("--cursor", help="Where the page before ended.")]

Value = TypeVar("Value")


class DatabaseApplication(Protocol):
    """The part of the application that every command uses."""

    @property
    def database(self) -> Database:
        """The open database."""


Opened = TypeVar("Opened", bound=DatabaseApplication)
Opened_co = TypeVar("Opened_co", bound=DatabaseApplication, covariant=True)


class OpenApplication(Protocol[Opened_co]):
    """How a command gets the application; ``ctx.obj`` of the root command."""

    def __call__(self, *, is_worker: bool | None) -> AbstractAsyncContextManager[Opened_co]:
        """Open it; ``is_worker`` None: carry out jobs only when no other process does."""


def run_for_project(
    ctx: typer.Context,
    project: str,
    function: Callable[[Opened, UUID], Awaitable[Value]],
    *,
    is_worker: bool | None = False,
) -> Value:
    """Open the application and call a function with it and the id of a project.

    Args:
        ctx: Of the command; its ``obj`` opens the application.
        project: Slug.
        function: What the command does.
        is_worker: Whether this process also carries out jobs; None: only when no other one does.
    """
    import asyncio

    from referee.foundation.access import get_project

    open_application: OpenApplication[Opened] = ctx.obj

    async def run() -> Value:
        async with open_application(is_worker=is_worker) as application:
            owner = await get_project(application.database, project)
            return await function(application, owner.project_id)

    return asyncio.run(run())


def make_console(*, stderr: bool = False) -> Console:
    """Return where a command prints; wide when nobody looks."""
    from rich.console import Console

    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 200
    return Console(stderr=stderr, highlight=False, width=width)


def print_page_json(page: Page[Any]) -> None:
    """Print a page of models as JSON."""
    import json

    typer.echo(
        json.dumps(
            {
                "items": [item.model_dump(mode="json") for item in page.items],
                "total_count": page.total_count,
                "limit": page.limit,
                "next_cursor": page.next_cursor,
            },
            indent=1,
            ensure_ascii=False,
        )
    )


def print_rest(shown_count: int, total_count: int, next_cursor: str | None) -> None:
    """Say how to go on where a list was cut."""
    if next_cursor is not None:
        typer.echo(f"{shown_count} of {total_count}; go on with --cursor {next_cursor}", err=True)


def write_output(output: str, data: bytes) -> None:
    """Write what was asked for to the file that was named.

    Raises:
        InvalidInput: It cannot be written.
    """
    from pathlib import Path

    try:
        Path(output).write_bytes(data)
    except OSError as error:
        raise make_unwritten(output, error) from error


def make_unwritten(output: str, error: OSError) -> InvalidInput:
    """Return what is said when a named file cannot be written."""
    from referee.core.errors import InvalidInput

    return InvalidInput(
        "export.not_written",
        f"The file {output!r} cannot be written: {error.strerror}.",
        "Check its folder, its permissions and the free space.",
    )
