"""Conditions on events as one line of text, such as ``event_type is model; metrics.accuracy less than 0.5``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from referee.core.errors import InvalidInput

__all__ = ["parse_conditions", "render_conditions"]

MAX_CONDITIONS_COUNT: Final = 50
_TERM: Final = re.compile(
    r"(?P<field>\S+)\s+(?P<operator>not exists|exists|is not|is|not contains|contains|greater than|less than"
    r"|after|before)(?:\s+(?P<value>.*))?",
    re.DOTALL,
)


def parse_conditions(text: str) -> list[dict[str, Any]]:
    """Return the conditions of a line, joined by semicolons, in the form of the events API.

    What is compared by ``greater than`` and ``less than`` is a number, by ``after`` and ``before`` a time,
    else text; text in double quotes is taken as it stands, so that it may hold a semicolon.

    Raises:
        InvalidInput: A part cannot be understood.
    """
    found: list[dict[str, Any]] = []
    for part in re.findall(r'(?:"[^"]*"|[^;])+', text):
        if not part.strip():
            continue
        match = _TERM.fullmatch(part.strip())
        if match is None or len(found) >= MAX_CONDITIONS_COUNT:
            raise InvalidInput(
                "charts.condition_invalid",
                f"The condition {part.strip()[:80]!r} cannot be understood.",
                "Write a field, an operator and a value: event_type is model; metrics.accuracy less than 0.5",
            )
        operator, value = match["operator"], match["value"]
        one: dict[str, Any] = {"field": match["field"], "operator": operator, "type": _find_type(operator)}
        if value is not None:
            quoted = re.fullmatch(r'"([^"]*)"', value)
            one["value"] = quoted[1] if quoted else value
        found.append(one)
    return found


def render_conditions(conditions: Iterable[Mapping[str, Any]]) -> str:
    """Return conditions of the events API as a line that ``parse_conditions`` reads."""
    parts = []
    for one in conditions:
        value = one.get("value")
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        if ";" in text or text != text.strip():
            text = f'"{text}"'
        parts.append(f"{one.get('field')} {one.get('operator')}" + ("" if value is None else f" {text}"))
    return "; ".join(parts)


def _find_type(operator: str) -> str:
    if operator in ("greater than", "less than"):
        return "number"
    return "datetime" if operator in ("after", "before") else "string"
