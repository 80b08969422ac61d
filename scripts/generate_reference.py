"""Write the reference pages that are made from the code: settings, tools, commands, routes.

Usage: ``python scripts/generate_reference.py [--check]``. With ``--check`` nothing
is written; the exit code is 1 when a page differs from what it should be.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import typer

from referee.analysis.result_files import result_schema
from referee.app import create_web_app
from referee.cli import app as command_line
from referee.foundation.settings import Settings, load_settings
from referee.tools.contract import ToolDescription
from referee.tools.registry import describe_tools

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"

HEAD = "<!-- Made by `make docs` from the code. Do not edit. -->\n\n"


def render_settings() -> str:
    """Return the page of settings: one row for each environment variable."""
    lines = [
        HEAD + "# Settings\n",
        "Each is an environment variable. What a command line option sets wins over it.\n",
        "| Variable | Default | Range | What it does |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        limits = [
            f"{symbol} {getattr(rule, attribute)}"
            for rule in field.metadata
            for attribute, symbol in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
            if getattr(rule, attribute, None) is not None
        ]
        default = "depends on the machine" if field.default_factory else _code(field.default)
        lines.append(
            f"| `REFEREE_{name.upper()}` | {default} | {', '.join(limits) or '–'} | {_cell(field.description or '')} |"
        )
    lines.append(
        "\n`REFEREE_SANDBOX_METHOD` (`bubblewrap`, `unprivileged_user` or `limits_only`) forces a weaker isolation of"
        " tools than the machine allows. It is for tests; without it the strongest that works is taken.\n"
    )
    return "\n".join(lines)


def render_tools() -> str:
    """Return the page of tools."""
    lines = [
        HEAD + "# Tools\n",
        "`referee tool list` prints the same. Parameters are set with `--set tool.parameter=value`.\n",
        "| Tool | Service | Runs by default | Looks at | Finds | Licence |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    descriptions = describe_tools()
    lines += [
        f"| [{one.name}](#{one.name}) | {one.service.value} | {'yes' if one.is_default else 'no'} |"
        f" {_cell(one.applies_to)} | {_cell(one.summary)} | {one.license} |"
        for one in descriptions
    ]
    for one in descriptions:
        lines += _tool_section(one)
    return "\n".join(lines) + "\n"


def _tool_section(one: ToolDescription) -> Iterable[str]:
    yield f"\n## {one.name}\n"
    yield f"{one.summary} <{one.homepage_url}>\n"
    codes = ", ".join(f"{code} {meaning.value.replace('_', ' ')}" for code, meaning in sorted(one.exit_codes.items()))
    identity = ", ".join(one.identity_fields) or "nothing else"
    line = "the code line's text, " if one.has_line_identity else ""
    yield f"- Deadline: {one.limits.wall_s:.0f} s on a quiet machine."
    yield f"- Exit codes: {codes}."
    yield f"- A finding is the same one again by rule, path, {line}and {identity}.\n"
    if one.parameters:
        yield "| Parameter | Type | Default | Allowed | What it does |"
        yield "| --- | --- | --- | --- | --- |"
    for parameter in one.parameters:
        allowed = ", ".join(f"`{option}`" for option in parameter.options)
        if parameter.minimum is not None or parameter.maximum is not None:
            allowed = f"{parameter.minimum} to {parameter.maximum}"
        yield (
            f"| `{parameter.name}` | {parameter.type} | {_code(parameter.default)} | {allowed or '–'} |"
            f" {_cell(parameter.help)} |"
        )
    for name, values in one.presets.items():
        given = ", ".join(f"`{key}` = {_code(value)}" for key, value in values.items()) or "the defaults"
        yield f"\nPreset `{name}`: {given}."


def render_commands() -> str:
    """Return the page of commands with their options."""
    lines = [
        HEAD + "# Commands\n",
        "Errors are one sentence of what happened and one of what to do, on standard error. Exit codes: 0 done; 1 a"
        " fault of Referee's own; 2 bad input; 3 not allowed; 4 not found; 5 the state does not allow it; 6 something"
        " needed is not there now; 7 stored bytes or rows are not what was recorded; 10 findings at or above"
        " `--fail-on`; 11 the analysis ended, and not as completed.\n",
    ]
    root = typer.main.get_command(command_line)
    lines += _command_sections(root, "referee")
    return "\n".join(lines) + "\n"


def _command_sections(command: click.Command, name: str) -> Iterable[str]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children or name == "referee":
        yield f"\n## `{name}`\n"
        yield (command.help or "").strip() + "\n"
    options = [parameter for parameter in command.params if getattr(parameter, "hidden", False) is False]
    shown = [parameter for parameter in options if parameter.name != "help"]
    if shown and not children:
        yield "| Argument or option | What it is |"
        yield "| --- | --- |"
        for parameter in shown:
            names = ", ".join([*parameter.opts, *parameter.secondary_opts])
            label = names if names.startswith("-") else (parameter.metavar or str(parameter.name).upper())
            yield f"| `{label}` | {_cell(getattr(parameter, 'help', None) or '')} |"
    for child_name, child in sorted(children.items()):
        yield from _command_sections(child, f"{name} {child_name}")


def render_routes() -> str:
    """Return the page of routes."""
    settings = load_settings(home=ROOT / ".referee")
    document = create_web_app(settings).openapi()
    lines = [
        HEAD + "# HTTP API\n",
        "OpenAPI 3.1 at `/v1/openapi.json`, made from the models that the server runs on. Errors are"
        " `application/problem+json` (RFC 9457). Lists are paged: `limit`, `cursor`, `next_cursor` and a `Link`"
        " header. `POST /v1/analyses` takes an `Idempotency-Key`.\n",
        "| Method | Path | What it does |",
        "| --- | --- | --- |",
    ]
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            text = operation.get("description") or operation.get("summary") or ""
            lines.append(f"| {method.upper()} | `{path}` | {_cell(text)} |")
    return "\n".join(lines) + "\n"


def render_result_schema() -> str:
    """Return the published JSON Schema of result files."""
    return json.dumps(result_schema(), indent=2) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": render_settings,
    "tools.md": render_tools,
    "commands.md": render_commands,
    "api.md": render_routes,
    "referee-analysis-1.0.json": render_result_schema,
}


def _code(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{json.dumps(value, ensure_ascii=False, default=str)}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def main() -> int:
    """Write the pages, or with ``--check`` say which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page differs")
    is_check = parser.parse_args().check
    differing = []
    for name, render in PAGES.items():
        path, text = REFERENCE / name, render()
        if path.exists() and path.read_text("utf-8") == text:
            continue
        differing.append(name)
        if not is_check:
            path.write_text(text, "utf-8")
    for name in differing:
        print(f"{'differs' if is_check else 'written'}: docs/reference/{name}")
    return int(is_check and bool(differing))


if __name__ == "__main__":
    sys.exit(main())
