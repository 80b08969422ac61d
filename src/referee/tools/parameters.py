"""The parameters of a tool run, complete and checked before anything starts.

What a person gave is laid over a preset, the preset over the defaults; each
value is checked against its declaration, so a tool never meets a value of the
wrong type, and a mistyped name is an error with a suggestion, not ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.tools.contract import Parameter, ParameterValue, ToolDescription

__all__ = ["check_parameter", "parse_parameter_text", "resolve_parameters"]

MAX_TEXT_CHARACTERS = 4_096
"""Longest text value: far above any rule list, far below what a command line takes."""
MAX_ARRAY_COUNT = 1_000
"""Most entries of an array: pylint has about 400 messages, the most of all tools."""
MAX_OBJECT_CHARACTERS = 65_536
"""Longest object when written as JSON."""


def resolve_parameters(
    description: ToolDescription, given: Mapping[str, object], *, preset: str | None = None
) -> dict[str, ParameterValue]:
    """Return every parameter of a tool: defaults, then the preset, then what was given, each checked.

    Args:
        description: The tool.
        given: Values by parameter name. Lists stand for arrays, mappings for objects.
        preset: Name of one of the tool's presets; None for the defaults alone.

    Raises:
        InvalidInput: An unknown parameter or preset, or a value of the wrong type or range.
    """
    declared = {parameter.name: parameter for parameter in description.parameters}
    values: dict[str, ParameterValue] = {name: parameter.default for name, parameter in declared.items()}
    if preset is not None:
        if preset not in description.presets:
            raise InvalidInput(
                "tools.unknown_preset",
                f"{description.name} has no preset {preset!r}.",
                _suggest(preset, description.presets, "presets"),
                tool=description.name,
            )
        values.update(description.presets[preset])
    for name, value in given.items():
        if name not in declared:
            raise InvalidInput(
                "tools.unknown_parameter",
                f"{description.name} has no parameter {name!r}.",
                _suggest(name, declared, "parameters"),
                tool=description.name,
            )
        values[name] = check_parameter(description.name, declared[name], value)
    return values


def check_parameter(tool: str, parameter: Parameter, value: object) -> ParameterValue:
    """Return ``value`` in the form a tool gets it (arrays as tuples, numbers as floats).

    Raises:
        InvalidInput: The value does not fit the parameter's declaration.
    """
    if value is None and parameter.default is None:
        return None
    match parameter.type:
        case "string":
            return _check_option(tool, parameter, _check_text(tool, parameter, value))
        case "boolean":
            if not isinstance(value, bool):
                raise _wrong(tool, parameter, "must be true or false")
            return value
        case "integer":
            if isinstance(value, bool) or not isinstance(value, int):
                raise _wrong(tool, parameter, "must be a whole number")
            _check_range(tool, parameter, value)
            return value
        case "number":
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise _wrong(tool, parameter, "must be a number")
            _check_range(tool, parameter, value)
            return float(value)
        case "array":
            if not isinstance(value, list | tuple):
                raise _wrong(tool, parameter, "must be a list of words")
            if len(value) > MAX_ARRAY_COUNT:
                raise _wrong(tool, parameter, f"must have at most {MAX_ARRAY_COUNT} entries")
            return tuple(_check_option(tool, parameter, _check_text(tool, parameter, item)) for item in value)
        case "object":
            return _check_object(tool, parameter, value)


def parse_parameter_text(tool: str, parameter: Parameter, text: str) -> ParameterValue:
    """Return the value that ``text`` from a command line or form means for this parameter.

    Booleans are ``true``/``false``, arrays are separated by commas, objects are JSON.

    Raises:
        InvalidInput: The text means no value that fits the parameter.
    """
    value: object = text
    match parameter.type:
        case "boolean":
            value = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
                text.strip().lower()
            )
        case "integer":
            try:
                value = int(text)
            except ValueError:
                value = text
        case "number":
            try:
                value = float(text)
            except ValueError:
                value = text
        case "array":
            value = [item.strip() for item in text.split(",") if item.strip()]
        case "object":
            try:
                value = json.loads(text)
            except ValueError:
                raise _wrong(tool, parameter, "must be a JSON object") from None
        case "string":
            pass
    return check_parameter(tool, parameter, value)


def _check_text(tool: str, parameter: Parameter, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(tool, parameter, "must be text")
    if len(value) > MAX_TEXT_CHARACTERS:
        raise _wrong(tool, parameter, f"must have at most {MAX_TEXT_CHARACTERS} characters")
    if not value.isprintable():
        raise _wrong(tool, parameter, "must have no control characters")
    return value


def _check_option(tool: str, parameter: Parameter, value: str) -> str:
    if parameter.options and value not in parameter.options:
        raise _wrong(tool, parameter, f"must be one of {', '.join(parameter.options)}")
    return value


def _check_range(tool: str, parameter: Parameter, value: float) -> None:
    low, high = parameter.minimum, parameter.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        if low is None:
            raise _wrong(tool, parameter, f"must be at most {high:g}")
        if high is None:
            raise _wrong(tool, parameter, f"must be at least {low:g}")
        raise _wrong(tool, parameter, f"must be between {low:g} and {high:g}")


def _check_object(tool: str, parameter: Parameter, value: object) -> dict[str, JsonValue]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _wrong(tool, parameter, "must be an object with text keys")
    try:
        text = json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise _wrong(tool, parameter, "must hold only JSON values") from None
    if len(text) > MAX_OBJECT_CHARACTERS:
        raise _wrong(tool, parameter, f"must have at most {MAX_OBJECT_CHARACTERS} characters as JSON")
    copy: dict[str, JsonValue] = json.loads(text)
    return copy


def _wrong(tool: str, parameter: Parameter, what: str) -> InvalidInput:
    return InvalidInput(
        "tools.invalid_parameter",
        f"The parameter {parameter.name!r} of {tool} {what}.",
        f"It means: {parameter.help}",
        tool=tool,
        parameter=parameter.name,
    )


def _suggest(name: str, known: Iterable[str], noun: str) -> str:
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Its {noun} are {', '.join(names)}." if names else f"It has no {noun}."
