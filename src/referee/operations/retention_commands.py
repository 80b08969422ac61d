"""``referee retention list``: what would be deleted by its age, kind by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from referee.foundation.terminal import (
    DatabaseApplication,
    JsonOption,
    ProjectOption,
    make_console,
    run_for_project,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from referee.operations.retention import KindRetention

__all__ = ["list_retention"]


def list_retention(
    ctx: typer.Context,
    days: Annotated[
        int | None, typer.Option("--days", help="Try so many days for every kind; left out: as decided.")
    ] = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Say what would be deleted by its age, kind by kind, and delete nothing."""

    async def run(application: DatabaseApplication, project_id: UUID) -> Sequence[KindRetention]:
        from referee.foundation.settings import load_settings
        from referee.operations.retention import read_retention

        return await read_retention(application.database, load_settings(), project_id, days)

    kinds = run_for_project(ctx, project, run)
    if is_json:
        from referee.operations.retention_surface import RetentionKindsModel

        typer.echo(RetentionKindsModel.of(kinds).model_dump_json(indent=1))
        return
    _print(kinds)


def _print(kinds: Sequence[KindRetention]) -> None:
    from rich.table import Table

    from referee.foundation.web.formats import format_bytes
    from referee.operations.retention import KEPT_FOR_EVER

    table = Table("Kind", "Kept for", "Would go", "Oldest", "Size", "Decided by")
    for one in kinds:
        table.add_row(
            one.title,
            "ever" if one.asked_days is None else f"{one.asked_days:g} days",
            f"{one.count:,}",
            "" if one.oldest_at is None else f"{one.oldest_at:%Y-%m-%d %H:%M}",
            "" if one.size_bytes is None else format_bytes(one.size_bytes),
            one.decided_by,
        )
    make_console().print(table)
    typer.echo(KEPT_FOR_EVER)
