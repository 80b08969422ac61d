"""``referee alert``: rules, what they would have done, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol, TypeAlias
from uuid import UUID

import typer

from referee.foundation.terminal import (
    CursorOption,
    JsonOption,
    LimitOption,
    ProjectOption,
    make_console,
    print_page_json,
    print_rest,
    run_for_project,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from referee.alerts.room import AlertsRoom
    from referee.foundation.jobs import JobEngine
    from referee.foundation.settings import Settings
    from referee.foundation.store import Database

__all__ = ["alert_app"]

alert_app = typer.Typer(
    help="Alert rules: what is watched, when it fires, who is told.", no_args_is_help=True
)
channel_app = typer.Typer(
    help="Channels: mail, Slack and webhooks that notifications go to.", no_args_is_help=True
)
alert_app.add_typer(channel_app, name="channel")
RuleArgument: TypeAlias = Annotated[str, typer.Argument(metavar="RULE", help="Name or id of the rule.")]
ChannelArgument: TypeAlias = Annotated[str, typer.Argument(metavar="CHANNEL", help="Name of the channel.")]
FilterOption: TypeAlias = Annotated[
    str, typer.Option("--filter", help="In the filter grammar, such as state:triggered.")
]


class _Application(Protocol):
    @property
    def database(self) -> Database: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def alerts(self) -> AlertsRoom: ...
    @property
    def engine(self) -> JobEngine: ...


@alert_app.command("list")
def list_command(
    ctx: typer.Context,
    filter_text: FilterOption = "",
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List rules, those that fire first."""
    from referee.alerts import queries
    from referee.alerts.messages import show_condition, show_value
    from referee.alerts.models import AlertModel
    from referee.alerts.service import ensure_default_rules
    from referee.core.pages import Page
    from referee.foundation.web.filters import parse_filter

    async def run(application: _Application, project_id: UUID) -> None:
        room = application.alerts
        where = parse_filter(filter_text, queries.RULE_FIELDS)
        await ensure_default_rules(room, project_id)
        async with room.database.reading() as session:
            page = await queries.list_rules(session, project_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            models = tuple(AlertModel.of(one) for one in page.items)
            print_page_json(Page(models, page.total_count, page.limit, page.next_cursor))
            return
        rows = []
        for rule in page.items:
            unit = room.find_source(rule.draft.source).find_measure(rule.draft.measure).unit
            condition = show_condition(rule.draft, unit)
            rows.append(
                (
                    rule.draft.name,
                    rule.state.value,
                    rule.draft.severity.value,
                    show_value(rule.last_value, unit),
                    condition,
                )
            )
        _print_table(("Rule", "State", "Severity", "Last value", "Condition"), rows)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, run)


@alert_app.command("show")
def show_command(
    ctx: typer.Context,
    rule: RuleArgument,
    limit: LimitOption = 20,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show a rule and the latest lines of its log."""
    from referee.alerts import queries
    from referee.alerts.messages import show_value
    from referee.alerts.models import AlertModel

    async def run(application: _Application, project_id: UUID) -> None:
        room = application.alerts
        async with room.database.reading() as session:
            found = await queries.get_rule(session, project_id, _read(rule))
            log = await queries.list_evaluations(session, project_id, found.rule_id, limit=limit)
        if is_json:
            typer.echo(AlertModel.of(found).model_dump_json(indent=1))
            return
        unit = room.find_source(found.draft.source).find_measure(found.draft.measure).unit
        for name, value in AlertModel.of(found).model_dump(mode="json").items():
            typer.echo(f"{name:20} {value}")
        rows = [
            (
                f"{one.to_at:%Y-%m-%d %H:%M}",
                show_value(one.value, unit),
                str(one.values_count),
                one.outcome,
                one.condition.value,
            )
            for one in log.items
        ]
        _print_table(("Window until", "Value", "Values", "Outcome", "State"), rows)

    run_for_project(ctx, project, run)


@alert_app.command("apply")
def apply_command(
    ctx: typer.Context,
    path: Annotated[
        str, typer.Argument(metavar="FILE", help="YAML: a list of rules, in the long or the short form.")
    ],
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only check the file.")] = False,
    project: ProjectOption = "default",
) -> None:
    """Make the rules of a file true, by their names, all or none; other rules stay as they are."""
    from pathlib import Path

    from referee.alerts.rule_files import read_rule_file
    from referee.alerts.service import apply_rules

    async def run(application: _Application, project_id: UUID) -> None:
        drafts = read_rule_file(Path(path), application.alerts.sources)
        if is_dry:
            typer.echo(f"{len(drafts)} rules can be applied.")
            return
        for name, done in await apply_rules(application.alerts, project_id, drafts):
            typer.echo(f"{done:10} {name}")

    run_for_project(ctx, project, run)


@alert_app.command("try")
def try_command(
    ctx: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="RULE", help="Name of a rule, a file, or a condition: 'error_rate > 5%'.")
    ],
    windows_count: Annotated[
        int, typer.Option("--windows", min=1, max=300, help="How many of its last windows.")
    ] = 100,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Say what a rule would have done in its last windows; nothing is stored and nobody is told."""
    from pathlib import Path

    from referee.alerts import queries
    from referee.alerts.models import TrialModel
    from referee.alerts.rule_files import read_rule_file
    from referee.alerts.rules import read_rule
    from referee.alerts.service import try_rule

    async def run(application: _Application, project_id: UUID) -> None:
        room = application.alerts
        if any(sign in what for sign in "<>"):
            drafts = [read_rule({"name": "tried", "condition": what}, room.sources)]
        elif Path(what).is_file():
            drafts = read_rule_file(Path(what), room.sources)
        else:
            async with room.database.reading() as session:
                drafts = [(await queries.get_rule(session, project_id, _read(what))).draft]
        for draft in drafts:
            trial = await try_rule(room, project_id, draft, windows_count=windows_count)
            typer.echo(
                TrialModel.of(trial).model_dump_json(indent=1)
                if is_json
                else f"{draft.name}: {trial.sentence}"
            )

    run_for_project(ctx, project, run)


@alert_app.command("mute")
def mute_command(
    ctx: typer.Context,
    rule: RuleArgument,
    length: Annotated[str, typer.Option("--for", help="How long: 30m, 8h, 7d.")] = "8h",
    project: ProjectOption = "default",
) -> None:
    """Tell nobody of a rule for a while; it is evaluated all the same."""
    from datetime import UTC, datetime, timedelta

    from referee.alerts.rules import read_duration_s
    from referee.alerts.service import mute_rule

    async def run(application: _Application, project_id: UUID) -> None:
        until = datetime.now(UTC) + timedelta(seconds=read_duration_s(length))
        await mute_rule(application.alerts, project_id, _read(rule), until)
        typer.echo(f"Muted until {until:%Y-%m-%d %H:%M} UTC.")

    run_for_project(ctx, project, run)


def _act(ctx: typer.Context, rule: str, project: str, action: str) -> None:
    from referee.alerts.service import act_on_rule

    async def run(application: _Application, project_id: UUID) -> None:
        done = await act_on_rule(
            application.alerts, application.engine, project_id, _read(rule), action, actor="the command line"
        )
        typer.echo(f"{done.draft.name} is {done.state.value}.")

    run_for_project(ctx, project, run)


@alert_app.command("pause")
def pause_command(ctx: typer.Context, rule: RuleArgument, project: ProjectOption = "default") -> None:
    """Evaluate a rule no longer."""
    _act(ctx, rule, project, "pause")


@alert_app.command("resume")
def resume_command(ctx: typer.Context, rule: RuleArgument, project: ProjectOption = "default") -> None:
    """Evaluate a paused rule again."""
    _act(ctx, rule, project, "resume")


@alert_app.command("unmute")
def unmute_command(ctx: typer.Context, rule: RuleArgument, project: ProjectOption = "default") -> None:
    """Tell people of a muted rule again."""
    _act(ctx, rule, project, "unmute")


@alert_app.command("resolve")
def resolve_command(ctx: typer.Context, rule: RuleArgument, project: ProjectOption = "default") -> None:
    """Say that it is over; the rule fires again when its values are bad again."""
    _act(ctx, rule, project, "resolve")


@alert_app.command("delete")
def delete_command(ctx: typer.Context, rule: RuleArgument, project: ProjectOption = "default") -> None:
    """Remove a rule with its log; what was told stays."""
    from referee.alerts.service import delete_rule

    async def run(application: _Application, project_id: UUID) -> None:
        await delete_rule(application.alerts, project_id, _read(rule))
        typer.echo("Deleted.")

    run_for_project(ctx, project, run)


@alert_app.command("test")
def test_command(ctx: typer.Context, channel: ChannelArgument, project: ProjectOption = "default") -> None:
    """Send a test to a channel and say how it went."""
    from referee.alerts import queries
    from referee.alerts.channels import test_channel
    from referee.alerts.delivering import deliver_due

    async def run(application: _Application, project_id: UUID) -> None:
        room = application.alerts
        await test_channel(room, application.engine, project_id, channel)
        async with room.database.reading() as session:
            row = await queries.get_channel_row(session, project_id, channel)
        # The server may take it first; either way the row says what became of it.
        await deliver_due(room, application.engine, row.channel_id)
        async with room.database.reading() as session:
            found = (await queries.list_deliveries(session, project_id, limit=1)).items[0]
        typer.echo(f"{found.state.value}{': ' + found.reason if found.reason else ''}")

    run_for_project(ctx, project, run)


@alert_app.command("deliveries")
def deliveries_command(
    ctx: typer.Context,
    filter_text: FilterOption = "",
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List what was sent where and how that went, the latest first."""
    from referee.alerts import queries
    from referee.alerts.models import DeliveryModel
    from referee.core.pages import Page
    from referee.foundation.web.filters import parse_filter

    async def run(application: _Application, project_id: UUID) -> None:
        where = parse_filter(filter_text, queries.DELIVERY_FIELDS)
        async with application.database.reading() as session:
            page = await queries.list_deliveries(session, project_id, where=where, cursor=cursor, limit=limit)
        if is_json:
            models = tuple(DeliveryModel.of(one) for one in page.items)
            print_page_json(Page(models, page.total_count, page.limit, page.next_cursor))
            return
        rows = [
            (
                str(one.delivery_id),
                one.channel_name,
                one.state.value,
                str(one.attempts_count),
                one.title,
                one.reason,
            )
            for one in page.items
        ]
        _print_table(("Delivery", "Channel", "State", "Attempts", "What", "Reason"), rows)
        print_rest(len(page.items), page.total_count, page.next_cursor)

    run_for_project(ctx, project, run)


@alert_app.command("redeliver")
def redeliver_command(
    ctx: typer.Context,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Id of a delivery that was given up.")],
    project: ProjectOption = "default",
) -> None:
    """Send a delivery again that was given up, under the same id."""
    from referee.alerts.channels import redeliver
    from referee.core.ids import parse_id

    async def run(application: _Application, project_id: UUID) -> None:
        await redeliver(application.alerts, application.engine, project_id, parse_id(delivery, "delivery"))
        typer.echo("It will be sent again.")

    run_for_project(ctx, project, run)


@channel_app.command("list")
def list_channels_command(
    ctx: typer.Context, is_json: JsonOption = False, project: ProjectOption = "default"
) -> None:
    """List channels."""
    from referee.alerts import queries
    from referee.alerts.models import ChannelModel
    from referee.core.pages import Page

    async def run(application: _Application, project_id: UUID) -> None:
        async with application.database.reading() as session:
            page = await queries.list_channels(session, project_id)
        if is_json:
            models = tuple(ChannelModel.of(one) for one in page.items)
            print_page_json(Page(models, page.total_count, page.limit, page.next_cursor))
            return
        rows = [
            (
                one.name,
                one.kind.value,
                one.label,
                "enabled" if one.is_enabled else "disabled",
                one.disabled_reason,
            )
            for one in page.items
        ]
        _print_table(("Channel", "Kind", "To", "State", "Reason"), rows)

    run_for_project(ctx, project, run)


@channel_app.command("add")
def add_channel_command(
    ctx: typer.Context,
    name: ChannelArgument,
    kind: Annotated[str, typer.Option("--kind", help="email, slack or webhook.")],
    address: Annotated[
        str, typer.Option("--to", help="Recipients separated by commas, or the URL of a webhook.")
    ],
    project: ProjectOption = "default",
) -> None:
    """Add a channel; of a webhook the signing secret is shown this once."""
    from referee.alerts.channels import create_channel
    from referee.alerts.words import ChannelKind
    from referee.core.errors import InvalidInput

    if kind not in list(ChannelKind):
        raise InvalidInput(
            "alert.channel_kind", f"There is no kind {kind[:40]!r}.", "Use email, slack or webhook."
        )

    async def run(application: _Application, project_id: UUID) -> None:
        made, secret = await create_channel(
            application.alerts, project_id, name=name, kind=ChannelKind(kind), address=address
        )
        typer.echo(f"{made.name} tells {made.label}.")
        if secret is not None:
            typer.echo(f"Signing secret, shown this once: {secret}")

    run_for_project(ctx, project, run)


@channel_app.command("rotate")
def rotate_channel_command(
    ctx: typer.Context, name: ChannelArgument, project: ProjectOption = "default"
) -> None:
    """Replace a webhook's signing secret; for 24 hours the old one signs too."""
    from referee.alerts.channels import rotate_secret

    async def run(application: _Application, project_id: UUID) -> None:
        typer.echo(await rotate_secret(application.alerts, project_id, name))

    run_for_project(ctx, project, run)


@channel_app.command("enable")
def enable_channel_command(
    ctx: typer.Context, name: ChannelArgument, project: ProjectOption = "default"
) -> None:
    """Let a channel tell again."""
    _enable(ctx, name, project, is_enabled=True)


@channel_app.command("disable")
def disable_channel_command(
    ctx: typer.Context, name: ChannelArgument, project: ProjectOption = "default"
) -> None:
    """Let a channel tell no longer."""
    _enable(ctx, name, project, is_enabled=False)


@channel_app.command("delete")
def delete_channel_command(
    ctx: typer.Context, name: ChannelArgument, project: ProjectOption = "default"
) -> None:
    """Remove a channel with its deliveries."""
    from referee.alerts.channels import delete_channel

    async def run(application: _Application, project_id: UUID) -> None:
        await delete_channel(application.alerts, project_id, name)
        typer.echo("Deleted.")

    run_for_project(ctx, project, run)


def _enable(ctx: typer.Context, name: str, project: str, *, is_enabled: bool) -> None:
    from referee.alerts.channels import enable_channel

    async def run(application: _Application, project_id: UUID) -> None:
        await enable_channel(application.alerts, project_id, name, is_enabled=is_enabled)
        typer.echo("Enabled." if is_enabled else "Disabled.")

    run_for_project(ctx, project, run)


def _read(text: str) -> str | UUID:
    """Return an id where the text is one, else the name it is."""
    try:
        return UUID(text.removeprefix("alert_"))
    except ValueError:
        return text


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from referee.foundation.web.formats import show_text

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head)
    for row in rows:
        table.add_row(*(escape(show_text(cell)) for cell in row))
    make_console().print(table)
