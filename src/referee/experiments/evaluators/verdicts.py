"""What came of one metric on one event, and whether a value is one that the metric may give."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final, TypeAlias

from referee.core.findings import JsonValue
from referee.experiments.runs.definitions import MetricDefinition

__all__ = ["UNSCORED", "ScoreValue", "Verdict", "check_value", "clean_text"]

UNSCORED: Final = "unscored"
"""Stands in an event's metrics where there is no score; the explanation says why."""
MAX_EXPLANATION_CHARACTERS: Final = 10_000
MAX_TEXT_CHARACTERS: Final = 2_000

ScoreValue: TypeAlias = float | bool | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A score, or the reason why there is none."""

    score: ScoreValue | None
    """None: unscored."""
    explanation: str
    """What the judge or the code said; of an unscored one why there is no score."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @classmethod
    def unscored(cls, reason: str, *, prompt_tokens: int = 0, completion_tokens: int = 0) -> Verdict:
        """Return that there is no score, and why."""
        return cls(
            score=None,
            explanation=clean_text(reason, MAX_EXPLANATION_CHARACTERS),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
        )

    def to_metrics(self, name: str) -> dict[str, JsonValue]:
        """Return the entries that go into an event's metrics."""
        if self.score is None:
            return {name: UNSCORED, f"{name}_explanation": f"{UNSCORED}: {self.explanation}"}
        return {name: self.score, f"{name}_explanation": self.explanation}


def check_value(definition: MetricDefinition, value: object) -> tuple[ScoreValue | None, str]:
    """Return a value as the metric's return type has it, or None and why it is none.

    Nothing is guessed: a number is a finite number within the scale, a boolean is true or false, a
    category is one of those that the metric names.
    """
    match definition.return_type:
        case "boolean":
            if isinstance(value, bool):
                return value, ""
            if isinstance(value, int | float) and value in (0, 1):
                return value == 1, ""
            return None, f"{_show(value)} is neither true nor false."
        case "string":
            return (
                (clean_text(value, MAX_TEXT_CHARACTERS), "")
                if isinstance(value, str)
                else (None, f"{_show(value)} is no text.")
            )
        case "categorical":
            known = [name for raw in definition.categories if (name := _read_category(raw)) is not None]
            if isinstance(value, str) and value in known:
                return value, ""
            return None, f"{_show(value)} is none of the categories {', '.join(known[:20])}."
        case _:
            return _check_number(definition, value)


def clean_text(text: str, max_characters: int) -> str:
    """Return a text that can be kept: no half surrogates, no NUL, not longer than that."""
    shown = text[:max_characters].encode("utf-8", errors="replace").decode()
    return shown.replace("\0", "\ufffd")


def _check_number(definition: MetricDefinition, value: object) -> tuple[ScoreValue | None, str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, f"{_show(value)} is no number."
    try:
        number = float(value)
    except OverflowError:
        return None, "The number is too large."
    if not isfinite(number):
        return None, f"{_show(value)} is no finite number."
    if definition.scale is not None and not 0 <= number <= definition.scale:
        return None, f"{_show(value)} is outside the metric's scale, 0 to {definition.scale}."
    return number, ""


def _read_category(raw: JsonValue) -> str | None:
    if isinstance(raw, dict):
        raw = raw.get("category") or raw.get("name") or raw.get("value")
    return raw if isinstance(raw, str) else None


def _show(value: object) -> str:
    return clean_text(repr(value), 120)
