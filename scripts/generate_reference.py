"""Write the reference pages that are made from the code: settings, tools, commands, routes, errors, metrics.

Usage: ``python scripts/generate_reference.py [--check]``. With ``--check`` nothing
is written; the exit code is 1 when a page differs from what it should be.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

from prometheus_client.metrics import MetricWrapperBase
from typer.core import TyperGroup
from typer.main import get_group

import referee
from referee.analysis.result_files import result_schema
from referee.cli import app as command_line
from referee.core import errors as error_tree
from referee.core.errors import RefereeError
from referee.foundation.metrics import REGISTRY
from referee.foundation.settings import Settings, load_settings
from referee.tools.contract import Parameter, ToolDescription
from referee.tools.registry import describe_tools
from referee.web_app import create_web_app

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"

EXIT_CODES: Final = {
    0: "done",
    1: "a fault of Referee's own",
    2: "bad input: an option, a path, a name or a value",
    3: "not allowed: no key, an unknown one, or one that may not do this",
    4: "nothing has that id, name or path",
    5: "the present state does not allow it",
    6: "something that is needed is not there now; a retry may help",
    7: "stored bytes or rows are not what was recorded",
    10: "the analysis completed, and has findings at or above `--fail-on`",
    11: "the analysis ended, and not as completed",
    130: "interrupted from the keyboard",
}

DEFAULTS_IN_WORDS: Final = {
    "home": "`$XDG_DATA_HOME/referee`; for root `/var/lib/referee`",
    "allowed_roots": "empty",
    "static_analyzer_urls": "empty",
    "dynamic_analyzer_urls": "empty",
    "performance_analyzer_urls": "empty",
    "ai_analyzer_urls": "empty",
    "outgoing_allowed": "empty",
    "worker_tool_slots_count": "number of cores, at most 8",
    "otlp_export_url": "`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces` added",
    "otlp_export_headers": "`OTEL_EXPORTER_OTLP_TRACES_HEADERS`, or `OTEL_EXPORTER_OTLP_HEADERS`",
}
"""Defaults that are computed when a program starts."""

LONGEST_LIST: Final = 12
"""Entries that a cell still shows."""

HEAD = "<!-- Made by `make docs` from the code. Do not edit. -->\n\n"


def render_settings() -> str:
    """Return the page of settings: one row for each environment variable."""
    lines = [
        HEAD + "# Settings\n",
        "Each is an environment variable, read once when a program starts. What a command line option sets wins"
        " over it. A value that is out of its range stops the program with a sentence and exit code 2.\n",
        "| Variable | Default | Range | What it does |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        bounds = {
            symbol: getattr(rule, attribute)
            for rule in field.metadata
            for attribute, symbol in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
            if getattr(rule, attribute, None) is not None
        }
        if {"≥", "≤"} <= bounds.keys():
            limits = f"{_number(bounds['≥'])} to {_number(bounds['≤'])}"
        else:
            limits = ", ".join(f"{symbol} {_number(bound)}" for symbol, bound in bounds.items()) or "–"
        default = DEFAULTS_IN_WORDS.get(name) or _number_or_code(field.default)
        lines.append(
            f"| `REFEREE_{name.upper()}` | {default} | {limits} | {_cell(field.description or '')} |"
        )
    lines.append(
        "\n`REFEREE_SANDBOX_METHOD` (`bubblewrap`, `unprivileged_user` or `limits_only`) forces a weaker isolation of"
        " tools than the machine allows. It is for tests; without it the strongest that works is taken. What each"
        " method protects: [isolation](../concepts/isolation.md).\n"
    )
    return "\n".join(lines)


def render_tools() -> str:
    """Return the page of tools."""
    lines = [
        HEAD + "# Tools\n",
        "`referee tool list` prints the same. Parameters are set with `--set tool.parameter=value`; lists and objects"
        " are written as JSON. The profiles `quick` and `deep` take the presets of that name; `deep` also runs the"
        " tools that do not run by default.\n",
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


def _tool_section(one: ToolDescription) -> Iterator[str]:
    yield f"\n## {one.name}\n"
    yield f"{one.summary} <{one.homepage_url}>\n"
    parts = [
        "rule",
        "path",
        *(["the code line's text"] if one.has_line_identity else []),
        *one.identity_fields,
    ]
    yield f"- Deadline: {one.limits.wall_s:.0f} s on a quiet machine."
    yield f"- Exit codes: {_exit_codes(one)}."
    yield f"- A finding is the same one again by {', '.join(parts[:-1])} and {parts[-1]}.\n"
    if one.parameters:
        yield "| Parameter | Type | Default | Allowed | What it does |"
        yield "| --- | --- | --- | --- | --- |"
    for parameter in one.parameters:
        yield (
            f"| `{parameter.name}` | {parameter.type} | {_long_code(parameter.default)} | {_allowed(parameter)} |"
            f" {_cell(parameter.help)} |"
        )
    for name, values in one.presets.items():
        given = ", ".join(f"`{key}` = {_code(value)}" for key, value in values.items()) or "the defaults"
        yield f"\nPreset `{name}`: {given}."


def _exit_codes(one: ToolDescription) -> str:
    """Return what exit codes mean, neighbours with one meaning as a range."""
    ranges: list[tuple[int, int, str]] = []
    for code, meaning in sorted(one.exit_codes.items()):
        word = meaning.value.replace("_", " ")
        if ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == word:
            ranges[-1] = (ranges[-1][0], code, word)
        else:
            ranges.append((code, code, word))
    return ", ".join(
        f"{low} {word}" if low == high else f"{low} to {high} {word}" for low, high, word in ranges
    )


def _allowed(parameter: Parameter) -> str:
    if parameter.minimum is not None or parameter.maximum is not None:
        return f"{_number(parameter.minimum)} to {_number(parameter.maximum)}"
    if len(parameter.options) > LONGEST_LIST:
        shown = ", ".join(f"`{option}`" for option in parameter.options[:3])
        return f"{shown} and {len(parameter.options) - 3} more; `referee tool list --json` names all"
    return ", ".join(f"`{option}`" for option in parameter.options) or "–"


def render_commands() -> str:
    """Return the page of commands with their options."""
    lines = [
        HEAD + "# Commands\n",
        "Results go to standard output, progress and errors to standard error. An error is one sentence of what"
        " happened and one of what to do.\n",
        "| Exit code | Meaning |",
        "| --- | --- |",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()),
    ]
    lines += _command_sections(get_group(command_line), "referee")
    return "\n".join(lines) + "\n"


def _command_sections(group: TyperGroup, name: str) -> Iterator[str]:
    for child_name, child in sorted(group.commands.items()):
        if isinstance(child, TyperGroup) and not child.invoke_without_command:
            yield from _command_sections(child, f"{name} {child_name}")
            continue
        yield f"\n## `{name} {child_name}`\n"
        yield re.sub(r"[ \t]*\n[ \t]*", "\n", (child.help or "").strip())
        rows = [
            (_option_label(one), getattr(one, "help", None) or "")
            for one in child.params
            if one.name != "help"
        ]
        if rows:
            yield "\n| Argument or option | What it is |"
            yield "| --- | --- |"
            yield from (f"| {label} | {_cell(text)} |" for label, text in rows)
        if isinstance(child, TyperGroup):
            yield from _command_sections(child, f"{name} {child_name}")


class CommandParameter(Protocol):
    """What is read of an argument or option; the class itself has no public name."""

    opts: list[str]
    secondary_opts: list[str]
    metavar: str | None

    @property
    def name(self) -> str | None:
        """The name of the function's parameter."""


def _option_label(parameter: CommandParameter) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    if names[0].startswith("-"):
        return ", ".join(f"`{name}`" for name in names)
    return f"`{parameter.metavar or str(parameter.name).upper()}`"


def render_routes() -> str:
    """Return the page of routes: one row for each operation, with the addresses that older clients use."""
    document = open_api()
    lines = [
        HEAD + "# HTTP API\n",
        "The whole contract is an OpenAPI 3.1 document: [openapi.json](openapi.json), on a running server"
        " `/v1/openapi.json`. It is made from the models that the server runs on, and every answer is tested against"
        " it. [The API](../guide/api.md) tells how to use it.\n",
        "Errors are `application/problem+json` (RFC 9457) with a `code` of [these](errors.md). Lists are paged:"
        " `limit`, `cursor`, `next_cursor` and a `Link` header. What can be created twice takes an"
        " `Idempotency-Key`.\n",
        "On loopback no key is needed. Elsewhere every request takes `Authorization: Bearer rfr_…`, a key made by"
        " `referee key create`; `/health` and `/ready` need none. The third column names the scope that the key"
        " needs.\n",
        "| Method | Path | Scope | What it does | Older address |",
        "| --- | --- | --- | --- | --- |",
    ]
    older = list_older_addresses(document)
    for method, path, operation in list_operations(document):
        if operation.get("deprecated"):
            continue
        text = operation.get("description") or operation.get("summary") or ""
        addresses = ", ".join(f"`{one}`" for one in older.get((method, path), ())) or "–"
        lines.append(f"| {method.upper()} | `{path}` | {_scope(operation)} | {_cell(text)} | {addresses} |")
    return "\n".join(lines) + "\n"


def list_operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield method, path and operation of a document."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method, path, operation


def list_older_addresses(document: Mapping[str, Any]) -> dict[tuple[str, str], list[str]]:
    """Return method and path → the deprecated addresses of the same operation."""
    older: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for method, path, operation in list_operations(document):
        if operation.get("deprecated"):
            new = "/v1" + (
                path if not path.startswith("/session/") else path.replace("/session/", "/sessions/", 1)
            )
            older[method, new].append(path)
    return older


def _scope(operation: Mapping[str, Any]) -> str:
    words = [scope for needed in operation["security"] for scopes in needed.values() for scope in scopes]
    return " or ".join(f"`{word}`" for word in dict.fromkeys(words)) or "none"


def render_openapi() -> str:
    """Return the OpenAPI document."""
    return json.dumps(open_api(), indent=1, ensure_ascii=False) + "\n"


@cache
def open_api() -> dict[str, Any]:
    """Return the OpenAPI document of the application with all rooms."""
    with TemporaryDirectory(prefix="referee-reference-") as home:
        document: dict[str, Any] = create_web_app(load_settings(home=Path(home))).openapi()
    return document


@dataclass(frozen=True, slots=True, order=True)
class ErrorCode:
    """A code that the package raises."""

    code: str
    kind: str
    """Name of the error's class."""
    messages: tuple[str, ...]
    """What it says, with … where a value stands."""


def render_errors() -> str:
    """Return the page of error codes: each with its class, status and exit code."""
    lines = [
        HEAD + "# Errors\n",
        "Page, API and command line say the same: a stable `code` for programs, one sentence of what happened, one of"
        " what to do. `/problems/<code>` on a running server explains a code. … stands for a value.\n",
        "| Class | HTTP status | Exit code | When |",
        "| --- | --- | --- | --- |",
    ]
    for name in ("RefereeError", *(name for name in error_tree.__all__ if name != "RefereeError")):
        kind: type[RefereeError] = getattr(error_tree, name)
        lines.append(
            f"| {name} | {kind.status} | {kind.exit_code} | {_cell((kind.__doc__ or '').splitlines()[0])} |"
        )
    lines += [
        "\n| Code | Class | HTTP status | Exit code | What it says |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in collect_error_codes():
        raised: type[RefereeError] = getattr(error_tree, one.kind)
        texts = " · ".join(_cell(message) for message in one.messages)
        lines.append(f"| `{one.code}` | {one.kind} | {raised.status} | {raised.exit_code} | {texts} |")
    return "\n".join(lines) + "\n"


@cache
def collect_error_codes() -> list[ErrorCode]:
    """Return every code that is given to an error class somewhere in the package."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for path in sorted(Path(referee.__path__[0]).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        makers = (
            {name: name for name in error_tree.__all__} | {"__init__": "RefereeError"} | _find_makers(tree)
        )
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            kind = makers.get(_called_name(call))
            if kind is None or not call.args:
                continue
            messages = [text for text in map(_text_of, call.args[1:]) if text]
            for code in _codes_of(call.args[0]):
                found[code, kind].update(messages[:1])
    return sorted(ErrorCode(code, kind, tuple(sorted(texts))) for (code, kind), texts in found.items())


def _find_makers(tree: ast.Module) -> dict[str, str]:
    """Return functions that hand their argument ``code`` on to an error class, with that class."""
    makers = {}
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        if "code" not in [argument.arg for argument in function.args.args]:
            continue
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            takes_code = call.args and isinstance(call.args[0], ast.Name) and call.args[0].id == "code"
            if takes_code and _called_name(call) in error_tree.__all__:
                makers[function.name] = _called_name(call)
    return makers


def _called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _codes_of(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _codes_of(node.body)
        yield from _codes_of(node.orelse)
    text = _text_of(node, placeholder="<{}>")
    if text is not None and re.fullmatch(r"[a-z_<>]+\.[a-z_<>]+", text):
        yield text


def _text_of(node: ast.expr, *, placeholder: str = "…") -> str | None:
    """Return a text that stands in the code, with a placeholder where a value comes in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else placeholder.format(_value_name(part))
            for part in node.values
        )
    return None


def _value_name(node: ast.expr) -> str:
    return (
        node.value.id
        if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name)
        else "value"
    )


def render_metrics() -> str:
    """Return the page of Referee's own metrics."""
    lines = [
        HEAD + "# Metrics\n",
        "`/-/metrics` on a running server, in the Prometheus text format. Seconds and bytes are base units; counters"
        " count since the process started. Labels take words from a fixed vocabulary, never an id or a path.\n",
        "| Metric | Kind | Labels | What it says |",
        "| --- | --- | --- | --- |",
    ]
    for name, kind, labels, text in list_metrics():
        shown = ", ".join(f"`{label}`" for label in labels) or "–"
        lines.append(f"| `{name}` | {kind} | {shown} | {_cell(text)} |")
    return "\n".join(lines) + "\n"


def list_metrics() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Return the metrics of all rooms: name as it is exposed, kind, labels and help."""
    metrics = []
    for collector in REGISTRY._collector_to_names:  # the registry has no public way to tell labels
        assert isinstance(collector, MetricWrapperBase)  # noqa: S101 - rooms declare nothing else
        kind = str(collector._type)
        name = f"{collector._name}_total" if kind == "counter" else collector._name
        metrics.append((name, kind, tuple(collector._labelnames), str(collector._documentation)))
    return sorted(metrics)


def render_result_schema() -> str:
    """Return the published JSON Schema of result files."""
    return json.dumps(result_schema(), indent=2) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": render_settings,
    "tools.md": render_tools,
    "commands.md": render_commands,
    "api.md": render_routes,
    "openapi.json": render_openapi,
    "errors.md": render_errors,
    "metrics.md": render_metrics,
    "referee-analysis-1.0.json": render_result_schema,
}


def _number(value: object) -> str:
    """Return a number for people: thousands apart, no needless fraction."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number_or_code(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _code(value)


def _long_code(value: object) -> str:
    """Return a default; of a long list its beginning."""
    if isinstance(value, tuple) and len(value) > LONGEST_LIST:
        return f"{_code(value[:3])[:-2]}, …]` ({len(value)} entries)"
    return _code(value)


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
