"""Scores in answers, prompts of events, and values that a metric may give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.experiments.runs.events import define, make_event

from referee.core.findings import JsonValue
from referee.experiments.evaluators.prompts import PromptGapError, read_score, render_prompt
from referee.experiments.evaluators.verdicts import Verdict, check_value

EVENT = make_event(
    "s1",
    "e1",
    inputs={"question": "2+2?", "messages": [{"role": "user", "content": "hi"}]},
    outputs={"answer": "{{inputs.question}}", "flat.key": "dotted"},
    feedback={"ground_truth": {"answer": "4"}},
)


def test_a_prompt_is_filled_with_values_that_are_not_looked_at_again() -> None:
    template = "Q: {{ inputs.question }} A: {{outputs.answer}} T: {{feedback.ground_truth.answer}} {{outputs.flat.key}}"
    assert render_prompt(template, EVENT) == "Q: 2+2? A: {{inputs.question}} T: 4 dotted"


def test_objects_stand_in_a_prompt_as_json_and_lists_are_reached_by_number() -> None:
    assert render_prompt("{{ground_truth}}", EVENT) == '{\n "answer": "4"\n}'
    assert render_prompt("{{event.inputs.messages.0.content}}", EVENT) == "hi"


def test_a_prompt_that_asks_for_what_the_event_has_not_is_no_prompt() -> None:
    with pytest.raises(PromptGapError, match=r"asks for inputs\.context, which the event does not have"):
        render_prompt("{{inputs.context}}", EVENT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good. [[4]]", 4.0),
        ("[[ 3.5 ]] is fair, so [[3.5]]", 3.5),
        ("[[0]]", 0.0),
        ("[[5]]", 5.0),
        ("[[1e0]]", 1.0),
    ],
)
def test_a_score_is_the_number_inside_double_brackets(text: str, expected: float) -> None:
    assert read_score(text, define("tone", type="LLM", scale=5)) == (expected, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I would say 4 of 5", "The answer has no score inside [[ ]]."),
        ("[4]", "The answer has no score inside [[ ]]."),
        ("[[2]] or rather [[3]]", "The answer has 2 different scores inside [[ ]]."),
        ("[[four]]", "'four' inside [[ ]] is no number."),
        ("[[4/5]]", "'4/5' inside [[ ]] is no number."),
        ("[[nan]]", "'nan' inside [[ ]] is no number."),
        ("[[6]]", "6.0 is outside the metric's scale, 0 to 5."),
        ("[[-1]]", "-1.0 is outside the metric's scale, 0 to 5."),
        ("[[1e999]]", "inf is no finite number."),
        ("[[]]", "'' inside [[ ]] is no number."),
    ],
)
def test_nothing_else_is_a_score_and_nothing_is_guessed(text: str, reason: str) -> None:
    assert read_score(text, define("tone", type="LLM", scale=5)) == (None, reason)


@given(st.text())
def test_no_text_breaks_the_reading_of_a_score(text: str) -> None:
    score, reason = read_score(text, define("tone", type="LLM", scale=5))
    assert (score is None) == bool(reason)


def test_scores_of_other_types() -> None:
    assert read_score("[[True]]", define("ok", return_type="boolean")) == (True, "")
    assert read_score("[[0]]", define("ok", return_type="boolean")) == (False, "")
    assert read_score("[[2]]", define("ok", return_type="boolean"))[0] is None
    kinds: list[JsonValue] = ["kind", {"category": "rude"}]
    assert read_score("[[rude]]", define("tone", return_type="categorical", categories=kinds)) == ("rude", "")
    assert read_score("[[cold]]", define("tone", return_type="categorical", categories=kinds))[0] is None
    assert read_score("[[any words]]", define("note", return_type="string")) == ("any words", "")


@pytest.mark.parametrize("value", [True, "4", None, [1], float("nan"), 10**400])
def test_what_is_no_finite_number_is_no_score(value: object) -> None:
    assert check_value(define("x"), value)[0] is None


def test_an_unscored_verdict_says_so_in_the_metrics_of_its_event() -> None:
    assert Verdict.unscored("No \0number\ud800.").to_metrics("tone") == {
        "tone": "unscored",
        "tone_explanation": "unscored: No \ufffdnumber?.",
    }
    assert Verdict(score=True, explanation="fits").to_metrics("ok") == {"ok": True, "ok_explanation": "fits"}
