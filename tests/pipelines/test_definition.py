"""What a pipeline file may say, and how its mistakes are told: with the line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.pipelines.definition import EXAMPLE, parse_definition
from referee.pipelines.planning import compute_parameters_digest, read_app_name

EXISTING = "name: x\nexisting:\n  apps: [alpha/app1]\n"


def refuse(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_definition(text)
    return caught.value


def test_example_is_a_whole_pipeline_with_its_defaults() -> None:
    definition = parse_definition(EXAMPLE)

    assert definition.mode == "generate"
    assert definition.generate is not None
    assert (definition.generate.models, definition.generate.repeats) == (["aurora-large", "beryl-mini"], 1)
    assert definition.limits.retry_pauses_s == [30, 60, 120]
    assert definition.budget_usd == 5.0


def test_json_is_a_pipeline_file_too() -> None:
    assert parse_definition('{"name": "x", "existing": {"apps": ["alpha:1"]}}').mode == "existing"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (EXISTING + "limits:\n  cells_at_once: 0\n", 5, "limits.cells_at_once"),
        (EXISTING + "colour: red\n", 4, "colour"),
        (EXISTING + "analysis:\n  tools: [bandid]\n", 5, "Did you mean bandit"),
        (EXISTING + "analysis:\n  profile: fast\n", 5, "no profile 'fast'"),
        ("name: x\n", 1, "exactly one of generate and existing"),
        ("name: x\nexisting: {apps: [alpha/app1, alpha/app1]}\n", 2, "named twice"),
        ("name: x\ngenerate:\n  models: [a]\n  templates: [t]\nbaseline: b\n", 1, "baseline"),
        ("name: x\nname: y\n", 2, "twice"),
        ("name: [x\n", 2, "line 2"),
        ("a: &x [1]\nb: *x\n", 1, "anchors and aliases"),
        ("name: !!python/object/apply:os.system [ls]\n", 1, "tag"),
        ("? [1]\n: 2\n", 1, "not plain text"),
        ("", 1, "empty"),
        ("- 1\n", 1, "dictionary"),
        ("budget_usd: .inf\nname: x\n", 1, "not finite"),
        ("a: " + "[" * 40 + "]" * 40, 1, "nested deeper"),
    ],
)
def test_mistake_is_told_with_its_line(text: str, line: int, words: str) -> None:
    error = refuse(text)

    assert f"line {line}" in error.message
    assert words in f"{error.message} {error.context}"


def test_file_that_is_too_large_is_refused_unread() -> None:
    assert "1,048,576 bytes" in refuse("# " + "x" * (1 << 20)).message


@given(st.text(max_size=300))
def test_any_text_is_a_pipeline_or_refused(text: str) -> None:
    try:
        parse_definition(text)
    except InvalidInput as error:
        assert error.code in ("pipeline.file_invalid", "pipeline.definition_invalid")


def test_parameters_make_cells_differ_and_order_does_not() -> None:
    def digest(analysis: str) -> str:
        return compute_parameters_digest(parse_definition(f"{EXISTING}analysis: {analysis}\n"))

    assert digest("{tools: [bandit, ruff]}") == digest("{tools: [ruff, bandit]}")
    assert digest("{tools: [bandit]}") != digest(
        "{tools: [bandit], parameters: {bandit: {severity_level: high}}}"
    )


@pytest.mark.parametrize("name", ["vendor/model-a/app3", "vendor/model-a:3"])
def test_app_is_named_by_model_and_number(name: str) -> None:
    assert read_app_name(name) == ("vendor/model-a", 3)
