"""``referee audit``: import decisions, read their lag and traces, scan them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Protocol, TypeAlias
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
    from pydantic import BaseModel

    from referee.audit.lags import WindowKind
    from referee.foundation.settings import Settings

__all__ = ["audit_app"]

audit_app = typer.Typer(help="Decisions of supervisors: import, read, measure, scan.", no_args_is_help=True)
WindowOption: TypeAlias = Annotated[str, typer.Option("--window", help="24h or 7d.")]


@audit_app.callback()
def audit() -> None:
    """Decisions of supervisors: import, read, measure, scan."""


@audit_app.command("import")
def import_command(
    ctx: typer.Context,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="SQLite audit database of any version, or JSON lines.")
    ],
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Import an audit log once; what cannot be read is kept aside with its place."""
    from dataclasses import asdict
    from pathlib import Path

    from referee.audit.importing import import_audits

    async def run(application: DatabaseApplication, project_id: UUID) -> None:
        done = await import_audits(application.database, project_id, Path(path))
        if is_json:
            typer.echo(json.dumps(asdict(done), indent=1, default=str))
            return
        for line in done.quarantined:
            typer.echo(f"set aside: {line}", err=True)
        version = f" of schema {done.schema_version}" if done.schema_version else ""
        typer.echo(
            f"{done.rows_count:,} rows{version}: {done.decisions_count:,} decisions, {done.events_count:,} other "
            f"events, {done.quarantined_count:,} set aside, {done.known_count:,} known before."
        )

    run_for_project(ctx, project, run)


@audit_app.command("lag")
def lag_command(
    ctx: typer.Context,
    window: WindowOption = "24h",
    has_fallbacks: Annotated[
        bool, typer.Option("--fallbacks", help="Count rows whose instant is only when they were written.")
    ] = False,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Say how long after an event its supervisor decided."""
    from referee.audit.lags import make_window, read_decision_lag
    from referee.audit.models import DecisionLagModel

    kind = _read_window(window)

    async def run(application: DatabaseApplication, project_id: UUID) -> None:
        async with application.database.reading() as session:
            lag = await read_decision_lag(session, project_id, make_window(kind), has_fallbacks=has_fallbacks)
        model = DecisionLagModel.of(lag)
        if is_json:
            _print_json(model)
            return
        for name, value in model.model_dump(exclude={"samples"}).items():
            typer.echo(f"{name:24} {value:,.1f}" if isinstance(value, float) else f"{name:24} {value}")
        _print_table(
            ("Slowest", "Lag ms", "Read from"),
            [(str(one.decision_id), f"{one.lag_ms:,.1f}", one.source) for one in model.samples],
        )

    run_for_project(ctx, project, run)


@audit_app.command("trace")
def trace_command(
    ctx: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Id of the task, cell or pipeline.")],
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List every decision about one subject, the first recorded first."""
    from referee.audit.lists import list_trace
    from referee.audit.models import DecisionModel

    async def run(application: DatabaseApplication, project_id: UUID) -> None:
        async with application.database.reading() as session:
            page = await list_trace(session, project_id, subject, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(DecisionModel.of))
            return
        _print_table(
            ("Decision", "Kind", "Reason", "Lag ms"),
            [
                (str(one.decision_id), one.kind.value, one.reason, "" if one.lag_ms is None else f"{one.lag_ms:,.1f}")
                for one in page.items
            ],
        )  # fmt: skip
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, run)


@audit_app.command("decision")
def decision_command(
    ctx: typer.Context,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="Id of the decision.")],
    project: ProjectOption = "default",
) -> None:
    """Print one decision with its evidence and findings as JSON."""
    from referee.audit.lists import get_decision
    from referee.audit.models import DecisionModel
    from referee.core.ids import parse_id

    decision_id = parse_id(decision, "decision")

    async def run(application: DatabaseApplication, project_id: UUID) -> None:
        async with application.database.reading() as session:
            _print_json(DecisionModel.of(await get_decision(session, project_id, decision_id)))

    run_for_project(ctx, project, run)


@audit_app.command("reasons")
def reasons_command(
    ctx: typer.Context,
    window: WindowOption = "24h",
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Count why work was blocked."""
    _count(ctx, window, project, is_blocked=True, is_json=is_json)


@audit_app.command("types")
def types_command(
    ctx: typer.Context,
    window: WindowOption = "24h",
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Count decisions by what was decided."""
    _count(ctx, window, project, is_blocked=False, is_json=is_json)


@audit_app.command("scan")
def scan_command(
    ctx: typer.Context,
    window: WindowOption = "24h",
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be found, and write nothing.")
    ] = False,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Apply the six rules to the decisions of a window."""
    from referee.audit.models import LeadScanModel
    from referee.audit.room import AuditRoom
    from referee.audit.scans import scan_decisions

    kind = _read_window(window)

    async def run(application: AuditedApplication, project_id: UUID) -> None:
        room = AuditRoom(settings=application.settings, database=application.database)
        scan = LeadScanModel.of(await scan_decisions(room, project_id, kind, is_dry_run=is_dry_run))
        if is_json:
            _print_json(scan)
            return
        _print_table(
            ("Fingerprint", "Severity", "Finding"),
            [(one.fingerprint, one.severity, f"{one.title}. {one.description}") for one in scan.found],
        )
        word = " (dry run, nothing was written)" if is_dry_run else ""
        typer.echo(
            f"{scan.decisions_count:,} decisions, {scan.findings_count:,} findings, {scan.new_count:,} new{word}."
        )
        if scan.alert:
            typer.echo(f"Self-check: {scan.alert}", err=True)

    run_for_project(ctx, project, run)


@audit_app.command("findings")
def findings_command(
    ctx: typer.Context,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List what scans found, the last seen first."""
    from referee.audit.models import LeadFindingModel
    from referee.audit.scans import list_lead_findings

    async def run(application: DatabaseApplication, project_id: UUID) -> None:
        async with application.database.reading() as session:
            page = await list_lead_findings(session, project_id, cursor=cursor, limit=limit)
        if is_json:
            print_page_json(page.map(LeadFindingModel.of))
            return
        _print_table(
            ("Fingerprint", "Severity", "Finding", "Scans", "Follow-up"),
            [
                (one.fingerprint, one.severity, one.title, f"{one.seen_count:,}", one.follow_up_state)
                for one in page.items
            ],
        )
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, run)


class AuditedApplication(DatabaseApplication, Protocol):
    """The part of the application that a scan uses."""

    @property
    def settings(self) -> Settings:
        """Of this process, with the thresholds."""


def _count(ctx: typer.Context, window: str, project: str, *, is_blocked: bool, is_json: bool) -> None:
    from referee.audit.lags import make_window
    from referee.audit.lists import count_blocked_reasons, count_decision_types
    from referee.audit.models import CountedWordsModel

    kind = _read_window(window)
    count = count_blocked_reasons if is_blocked else count_decision_types

    async def run(application: DatabaseApplication, project_id: UUID) -> None:
        async with application.database.reading() as session:
            model = CountedWordsModel.of(kind, await count(session, project_id, make_window(kind)))
        if is_json:
            _print_json(model)
            return
        _print_table(
            ("Reason" if is_blocked else "Decision", "Count", "Latest"),
            [(one.word, f"{one.count:,}", str(one.example_id)) for one in model.items],
        )

    run_for_project(ctx, project, run)


def _read_window(text: str) -> WindowKind:
    from referee.audit.lags import WINDOWS
    from referee.core.errors import InvalidInput

    for kind in WINDOWS:
        if text == kind:
            return kind
    raise InvalidInput("audit.window_unknown", f"There is no window {text!r}.", "Give 24h or 7d.")


def _print_json(model: BaseModel) -> None:
    typer.echo(model.model_dump_json(indent=1))


def _print_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    if rows:
        make_console().print(table)
