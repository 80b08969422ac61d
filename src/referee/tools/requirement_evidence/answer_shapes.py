"""Comparing the shape of an answer with what a template asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from referee.core.findings import JsonValue
from referee.tools.reading import shorten

__all__ = ["Comparison", "compare_shapes"]

MAX_DEPTH: Final = 4
_ALIASES: Final = {
    "str": "string", "text": "string", "date": "string", "datetime": "string", "email": "string", "uuid": "string",
    "url": "string", "int": "integer", "float": "number", "double": "number", "decimal": "number", "bool": "boolean",
}  # fmt: skip
_ACCEPTED: Final[dict[str, frozenset[str]]] = {
    "string": frozenset({"string"}),
    "integer": frozenset({"integer", "number"}),
    "number": frozenset({"integer", "number"}),
    "boolean": frozenset({"boolean"}),
}
_IS_ID: Final = re.compile(r"(^|_)(id|uuid)$|Id$")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an answer differs."""

    problems: tuple[str, ...]
    """What is missing or of another type."""
    doubts: tuple[str, ...]
    """What could not be seen, such as the fields of an empty list, or is only nearly right."""


def compare_shapes(wanted: JsonValue, got: JsonValue) -> Comparison:
    """Compare a template's example of a response with the shape of an answer (``Exchange.response_shape``).

    Fields that were not asked for are fine. An answer may wrap what was asked for in one field.
    """
    best = _compare(wanted, got, "", 0)
    if best.problems and isinstance(got, dict):
        for name, inner in got.items():
            if isinstance(inner, dict | list) and inner:
                second = _compare(wanted, inner, "", 0)
                if not second.problems:
                    return Comparison((), (f"it is wrapped in {_quote(name)}", *second.doubts))
    return best


def _compare(wanted: JsonValue, got: JsonValue, place: str, depth: int) -> Comparison:
    where = f"{_quote(place)} is" if place else "it is"
    if depth > MAX_DEPTH:
        return Comparison((), ())
    if isinstance(wanted, dict):
        if not isinstance(got, dict):
            return Comparison((f"{where} {_name(got)} instead of an object",), ())
        return _compare_fields(wanted, got, place, depth)
    if isinstance(wanted, list):
        if not isinstance(got, list):
            return Comparison((f"{where} {_name(got)} instead of a list",), ())
        if wanted and not got:
            return Comparison((), ("the list is empty, so its fields were not seen",))
        return _compare(wanted[0], got[0], place, depth + 1) if wanted else Comparison((), ())
    return _compare_plain(wanted, got, place, where)


def _compare_fields(
    wanted: Mapping[str, JsonValue], got: Mapping[str, JsonValue], place: str, depth: int
) -> Comparison:
    problems: list[str] = []
    doubts: list[str] = []
    for name, inner in wanted.items():
        if name not in got:
            problems.append(f"the field {_quote(name)} is missing")
            continue
        found = _compare(inner, got[name], f"{place}.{name}" if place else name, depth + 1)
        problems += found.problems
        doubts += found.doubts
    return Comparison(tuple(problems), tuple(doubts))


def _compare_plain(wanted: JsonValue, got: JsonValue, place: str, where: str) -> Comparison:
    word = wanted.strip().lower().split()[0] if isinstance(wanted, str) and wanted.strip() else ""
    accepted = _ACCEPTED.get(_ALIASES.get(word, word))
    if accepted is None:  # an example or a word of its own: any value will do
        return Comparison((), ())
    if got == "null":
        return Comparison((), (f"{where} null",))
    if isinstance(got, str) and got in accepted:
        return Comparison((), ())
    if _IS_ID.search(place) and got in ("string", "integer"):
        return Comparison((), ())
    if word in ("boolean", "bool") and got == "integer":
        return Comparison((), (f"{where} a number instead of a boolean",))
    return Comparison((f"{where} {_name(got)} instead of {_name(word)}",), ())


def _name(shape: JsonValue) -> str:
    if isinstance(shape, dict):
        return "an object"
    if isinstance(shape, list):
        return "a list"
    word = str(shape)
    return f"{'an' if word[:1] in 'aeio' else 'a'} {shorten(word, limit=40)}"


def _quote(name: str) -> str:
    return repr(shorten(name, limit=80))
