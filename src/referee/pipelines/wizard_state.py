"""What was entered so far in the steps of a new pipeline, and the pipeline file that it stands for.

The form carries everything with it: nothing is kept between its steps. Every value is bounded as it is
read, and what it means is checked by the reader of pipeline files, so that form and file cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal, TypeAlias

from starlette.datastructures import FormData

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.pipelines.definition_writing import write_definition

__all__ = ["STEPS", "WizardState", "WizardStep", "list_carried", "read_state", "write_state"]

WizardStep: TypeAlias = Literal["generation", "analysis", "review"]
STEPS: Final[tuple[WizardStep, ...]] = ("generation", "analysis", "review")
MAX_CHOSEN_COUNT: Final = 300
"""Models, templates or apps of one form; a file takes more."""
_MAX_CHARACTERS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WizardState:
    """All that was entered. Numbers stay the text that they are until they are used."""

    name: str = ""
    mode: str = "generate"
    models: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    repeats: str = "1"
    apps: tuple[str, ...] = ()
    folder: str = ""
    existing_template: str = ""
    profile: str = "standard"
    tools: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    load: str = "quick"
    is_fresh: str = ""
    cells_at_once: str = "2"
    attempts: str = "3"
    budget_usd: str = ""


_LISTS: Final = frozenset({"models", "templates", "apps", "tools", "services"})
OF_STEP: Final[dict[WizardStep, frozenset[str]]] = {
    "generation": frozenset(
        {"name", "mode", "models", "templates", "repeats", "apps", "folder", "existing_template"}
    ),
    "analysis": frozenset(
        {"profile", "tools", "services", "load", "is_fresh", "cells_at_once", "attempts", "budget_usd"}
    ),
    "review": frozenset(),
}
"""Fields that each step asks for; the others are carried along."""


def read_state(form: FormData) -> WizardState:
    """Return what a form says.

    Raises:
        InvalidInput: A value is too long, or too many things were chosen.
    """
    values: dict[str, str | tuple[str, ...]] = {}
    for field in fields(WizardState):
        given = [value for value in form.getlist(field.name) if isinstance(value, str)]
        if any(len(value) > _MAX_CHARACTERS for value in given):
            raise InvalidInput(
                "pipeline.form_invalid",
                f"The field {field.name} has more than {_MAX_CHARACTERS:,} characters.",
                "Shorten it, or write a pipeline file.",
            )
        if field.name in _LISTS:
            chosen = tuple(dict.fromkeys(value for value in given if value))
            if len(chosen) > MAX_CHOSEN_COUNT:
                raise InvalidInput(
                    "pipeline.form_invalid",
                    f"More than {MAX_CHOSEN_COUNT} {field.name} were chosen.",
                    "Write a pipeline file for so many.",
                )
            values[field.name] = chosen
        elif given:
            values[field.name] = given[-1].strip()
    return WizardState(**values)  # type: ignore[arg-type]  # lists are tuples, the others texts


def write_state(state: WizardState) -> str:
    """Return the pipeline file that was entered. Whether it is usable its reader says.

    Raises:
        InvalidInput: A number is none, or nothing was chosen.
    """
    definition: dict[str, JsonValue] = {"name": state.name or _name(state)}
    if state.mode == "existing":
        definition["existing"] = _write_existing(state)
    else:
        _require(state.models, "model")
        _require(state.templates, "template")
        definition["generate"] = {
            "models": [*state.models],
            "templates": [*state.templates],
            "repeats": _read_number(state.repeats, "repeats"),
        }
    analysis: dict[str, JsonValue] = {"profile": state.profile}
    if state.tools:
        analysis["tools"] = [*state.tools]
    if state.services:
        analysis["services"] = [*state.services]
    if state.load != "quick":
        analysis["load"] = state.load
    if state.is_fresh:
        analysis["is_cache_allowed"] = False
    definition["analysis"] = analysis
    definition["limits"] = {
        "cells_at_once": _read_number(state.cells_at_once, "cells at once"),
        "attempts": _read_number(state.attempts, "tries of one cell"),
    }
    if state.budget_usd:
        definition["budget_usd"] = _read_amount(state.budget_usd)
    return write_definition(definition)


def list_carried(state: WizardState, step: WizardStep, shown: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Return what a step carries along without asking for it, as names and values.

    Args:
        state: What was entered.
        step: That is shown.
        shown: Chosen things, as ``field:value``, that it shows as chosen; the rest of them was filtered away.
    """
    visible = set(shown)
    carried: list[tuple[str, str]] = []
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, tuple):
            is_asked = field.name in OF_STEP[step]
            carried += [
                (field.name, one) for one in value if not is_asked or f"{field.name}:{one}" not in visible
            ]
        elif field.name not in OF_STEP[step]:
            carried.append((field.name, value))
    return carried


def _write_existing(state: WizardState) -> dict[str, JsonValue]:
    existing: dict[str, JsonValue] = {}
    if state.apps:
        existing["apps"] = [*state.apps]
    if state.folder:
        existing["folder"] = state.folder
    if not existing:
        raise InvalidInput(
            "pipeline.form_incomplete",
            "No app was chosen.",
            "Choose apps, or name the folder that holds them.",
        )
    if state.existing_template:
        existing["template"] = state.existing_template
    return existing


def _name(state: WizardState) -> str:
    if state.mode == "existing":
        count = len(state.apps)
        return f"{count} app{'' if count == 1 else 's'}" if count else "apps of a folder"
    return f"{_count(state.models, 'model')}, {_count(state.templates, 'template')}"


def _count(values: Sequence[str], noun: str) -> str:
    return f"{len(values)} {noun}{'' if len(values) == 1 else 's'}"


def _require(chosen: Sequence[str], noun: str) -> None:
    if not chosen:
        raise InvalidInput(
            "pipeline.form_incomplete", f"No {noun} was chosen.", f"Choose one {noun} at least."
        )


def _read_number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise InvalidInput(
            "pipeline.form_invalid", f"The {what} are no whole number.", "Write one, such as 2."
        )
    return int(text)


def _read_amount(text: str) -> float:
    try:
        amount = float(text) if len(text) <= 20 else -1.0
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= 1_000_000:
        raise InvalidInput(
            "pipeline.form_invalid",
            "The budget is no amount of dollars.",
            "Write one, such as 5.00, or leave it empty.",
        )
    return amount
