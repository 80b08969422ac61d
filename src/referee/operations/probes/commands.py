"""``referee probe``: try Referee out now, and see what became of earlier tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Protocol
from uuid import UUID

import typer

from referee.foundation.terminal import (
    CursorOption,
    JsonOption,
    LimitOption,
    make_console,
    print_page_json,
    print_rest,
    run_for_project,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from referee.foundation.store import Database
    from referee.operations.probes.room import ProbesRoom
    from referee.operations.probes.words import ProbeResult

__all__ = ["probe_app"]

EXIT_FAILED: Final = 12
"""Exit code: a probe failed or timed out."""
_WAIT_GRACE_S: Final = 70.0

probe_app = typer.Typer(
    help="Probes: write a trace, store an artifact, finish an analysis, and see that it worked.",
    no_args_is_help=True,
)


class _Application(Protocol):
    @property
    def database(self) -> Database: ...
    @property
    def probes(self) -> ProbesRoom: ...


@probe_app.command("run")
def run_command(
    ctx: typer.Context,
    probes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROBE]...", help="trace, artifact, analysis. Default: all of them."),
    ] = None,
    is_json: JsonOption = False,
) -> None:
    """Run probes now, one after another, and say what became of them. Exit code 12 when one failed."""
    from referee.core.errors import InvalidInput
    from referee.core.pages import Page
    from referee.operations.probes.models import ProbeResultModel
    from referee.operations.probes.words import Probe, ProbeOutcome

    unknown = [name for name in probes or [] if name not in set(Probe)]
    if unknown:
        raise InvalidInput(
            "probe.unknown",
            f"There is no probe {unknown[0][:40]!r}.",
            f"Choose from {', '.join(Probe)}.",
        )
    wanted = [Probe(name) for name in probes or list(Probe)]

    async def run(application: _Application, _: UUID) -> list[ProbeResult]:
        return [await _run_one(application.probes, probe) for probe in wanted]

    results = run_for_project(ctx, "default", run, is_worker=None)
    if is_json:
        models = tuple(ProbeResultModel.of(result) for result in results)
        print_page_json(Page(models, len(models), max(1, len(models)), None))
    else:
        _print(results)
    if any(result.outcome not in (ProbeOutcome.succeeded, ProbeOutcome.unavailable) for result in results):
        raise typer.Exit(EXIT_FAILED)


async def _run_one(room: ProbesRoom, probe: object) -> ProbeResult:
    from referee.operations.probes.queries import get_result
    from referee.operations.probes.service import start_probe
    from referee.operations.probes.words import Probe

    wanted = Probe(str(probe))
    started = await start_probe(room, room.engine, wanted)
    if started.job_id is not None:
        await room.engine.wait(started.job_id, room.get_timeout_s(wanted) + _WAIT_GRACE_S)
    async with room.database.reading() as session:
        return await get_result(session, started.probe_result_id)


@probe_app.command("list")
def list_command(
    ctx: typer.Context,
    filter_text: Annotated[
        str, typer.Option("--filter", help="In the filter grammar, such as outcome:failed.")
    ] = "",
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
) -> None:
    """List what became of probes, the latest first."""
    from referee.foundation.web.filters import parse_filter
    from referee.operations.probes.models import ProbeResultModel
    from referee.operations.probes.queries import PROBE_FIELDS, list_results

    async def run(application: _Application, _: UUID) -> None:
        where = parse_filter(filter_text, PROBE_FIELDS)
        async with application.database.reading() as session:
            page = await list_results(session, where=where, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(ProbeResultModel.of))
            return
        _print(page.items)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, "default", run)


def _print(results: Sequence[ProbeResult]) -> None:
    from rich.table import Table
    from rich.text import Text

    from referee.foundation.web.formats import format_milliseconds

    if not results:
        typer.echo("No probe has run yet. Run them with `referee probe run`.")
        return
    table = Table("Probe", "Outcome", "Latency", "Steps", "Asked for", "Error")
    for result in results:
        steps = ", ".join(f"{step.name} {format_milliseconds(step.latency_ms)}" for step in result.steps)
        latency = "" if result.latency_ms is None else format_milliseconds(result.latency_ms)
        asked = f"{result.requested_at:%Y-%m-%d %H:%M:%S} UTC"
        cells = (result.probe.value, result.state, latency, steps, asked, result.error)
        table.add_row(*map(Text, cells))
    make_console().print(table)
