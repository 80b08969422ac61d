"""Parameters are complete and checked before a tool starts, with one clear sentence for each mistake."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.tools.python_samples import TOOLS

from referee.core.errors import InvalidInput
from referee.tools import parse_parameter_text, resolve_parameters
from referee.tools.contract import Parameter, ParameterType, ParameterValue, ToolDescription

from referee.tools import get_tool  # isort: skip

BANDIT = get_tool("bandit").describe()


def test_given_values_win_over_the_preset_and_the_preset_over_defaults() -> None:
    values = resolve_parameters(BANDIT, {"confidence_level": "high"}, preset="quick")
    assert values == {
        "severity_level": "medium",
        "confidence_level": "high",
        "exclude": (),
        "skips": ("B101",),
        "tests": (),
    }


def test_mistyped_parameter_names_the_nearest() -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_parameters(BANDIT, {"severity_levle": "low"})
    assert str(caught.value) == "bandit has no parameter 'severity_levle'. Did you mean 'severity_level'?"


def test_unknown_preset_lists_what_there_is() -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_parameters(BANDIT, {}, preset="zzz")
    assert str(caught.value) == (
        "bandit has no preset 'zzz'. Its presets are comprehensive, deep, quick, security_focused."
    )


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("string", 1),
        ("string", "a\nb"),
        ("string", "x" * 5000),
        ("integer", 1.5),
        ("integer", True),
        ("integer", 11),
        ("number", float("nan")),
        ("number", "1"),
        ("boolean", "true"),
        ("array", "B101"),
        ("array", [1]),
        ("array", ["x"] * 1001),
        ("object", []),
        ("object", {"a": object()}),
        ("object", {1: 2}),
    ],
)
def test_value_of_the_wrong_type_or_range_is_refused(type_name: ParameterType, value: object) -> None:
    defaults: dict[ParameterType, ParameterValue] = {
        "string": "",
        "integer": 0,
        "number": 0.0,
        "boolean": False,
        "array": (),
        "object": {},
    }
    parameter = Parameter(
        name="p", type=type_name, default=defaults[type_name], help="h", minimum=0, maximum=10
    )
    with pytest.raises(InvalidInput):
        resolve_parameters(make_description(parameter), {"p": value})


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (Parameter(name="p", type="array", default=(), help=""), "a, b,,c", ("a", "b", "c")),
        (Parameter(name="p", type="integer", default=0, help=""), "7", 7),
        (Parameter(name="p", type="number", default=0.0, help=""), "7.5", 7.5),
        (Parameter(name="p", type="boolean", default=False, help=""), "yes", True),
        (Parameter(name="p", type="object", default={}, help=""), '{"a": 1}', {"a": 1}),
        (Parameter(name="p", type="string", default="", help=""), "x", "x"),
    ],
)
def test_text_of_a_command_line_becomes_a_value(parameter: Parameter, text: str, value: object) -> None:
    assert parse_parameter_text("tool", parameter, text) == value


@pytest.mark.parametrize("name", TOOLS)
def test_every_preset_of_a_tool_holds_valid_values(name: str) -> None:
    description = get_tool(name).describe()
    assert {"quick", "deep"} <= set(description.presets)
    for preset, values in description.presets.items():
        assert resolve_parameters(description, values) == resolve_parameters(description, {}, preset=preset)


def make_description(parameter: Parameter) -> ToolDescription:
    return replace(BANDIT, parameters=(parameter,), presets={})
