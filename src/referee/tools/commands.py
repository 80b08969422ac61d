"""``referee tool``: what tools there are, installing them, and what is wrong with them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from referee.foundation.sandbox import Isolation
    from referee.tools.contract import InstallKit

__all__ = ["app"]

app = typer.Typer(help="Tools: list, install, doctor.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_SYSTEM_CODES = ("tools.program_absent", "tools.zap_absent")
"""Of errors that say: only the system can bring it."""
NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TOOL]...", help="Names, deep or all. Default: the eight static tools."),
]


@app.command("list")
def list_command(is_json: JsonOption = False) -> None:
    """List the tools with what they judge."""
    from referee.tools.catalogue import ToolModel
    from referee.tools.registry import describe_tools

    descriptions = describe_tools()
    if is_json:
        typer.echo(json.dumps([ToolModel.of(one).model_dump(mode="json") for one in descriptions], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Service", "Tool", "Default", "Looks at", "Finds"):
        table.add_column(heading, no_wrap=heading != "Finds")
    for one in descriptions:
        table.add_row(
            one.service.value, one.name, "yes" if one.is_default else "", one.applies_to, one.summary
        )
    Console(highlight=False).print(table)


@app.command("install")
def install_command(names: NamesArgument = None) -> None:
    """Install tools into their own pinned environments; what is there already is left alone."""
    problems = asyncio.run(_check(names))
    if problems:
        raise typer.Exit(6)


@app.command("doctor")
def doctor_command(names: NamesArgument = None) -> None:
    """Say for each tool whether it runs here, and how well tools are isolated. Exit code 6 when one cannot."""
    from referee.foundation.sandbox import detect_isolation

    problems = asyncio.run(_check(names))
    _print_isolation(detect_isolation())
    if problems:
        raise typer.Exit(6)


async def _check(names: list[str] | None) -> int:
    """Install each tool and ask for its version; return how many cannot be had."""
    from referee.core.errors import Unavailable
    from referee.foundation.settings import load_settings
    from referee.tools.install import ToolInstaller
    from referee.tools.registry import TOOL_NAMES, get_tool

    settings = load_settings()
    kit: InstallKit = ToolInstaller(
        settings.tools_path,
        advisories_dir=settings.advisories_dir,
        install_timeout_s=settings.install_timeout_s,
    )
    if names == ["all"]:
        chosen = [get_tool(name) for name in TOOL_NAMES]
    elif names == ["deep"]:
        chosen = [tool for tool in map(get_tool, TOOL_NAMES) if tool.describe().is_in_deep]
    elif names:
        chosen = [get_tool(name) for name in names]
    else:
        chosen = [tool for tool in map(get_tool, TOOL_NAMES) if tool.describe().is_default]
    problems_count = 0
    for tool in chosen:
        name = tool.describe().name
        try:
            version = await tool.probe_version(await tool.ensure_installed(kit))
        except Unavailable as error:
            # Of a group, what only the system can bring may be missing: the rest of it works.
            is_expected = names in (["all"], ["deep"]) and error.code in _SYSTEM_CODES
            problems_count += not is_expected
            typer.echo(f"{name:16} unavailable: {error}")
        else:
            typer.echo(f"{name:16} {version}")
    return problems_count


def _print_isolation(isolation: Isolation) -> None:
    facts = {
        "own network": isolation.has_own_network,
        "read-only system": isolation.has_read_only_system,
        "own processes": isolation.has_own_processes,
    }
    held = ", ".join(name for name, is_held in facts.items() if is_held) or "none"
    typer.echo(
        f"{'isolation':16} {isolation.method.replace('_', ' ')}: {held}; limits: {', '.join(isolation.limits)}"
    )
    typer.echo(f"{'':16} {isolation.reason}")
