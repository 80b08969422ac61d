"""Writing pipeline files: what a form or a few options stand for, as the text that a person could have written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from referee.core.findings import JsonValue

__all__ = ["write_definition", "write_folder_definition"]

_FLOW_CHARACTERS: Final = 100
"""Longest line that a list is written on."""
_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")
_WORDS: Final = frozenset({"", "null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def write_definition(value: Mapping[str, JsonValue]) -> str:
    """Return a pipeline file. Keys stay in their order, and every text is quoted that YAML could mistake."""
    return "".join(f"{line}\n" for line in _write_map(value, ""))


def write_folder_definition(
    folder: str,
    *,
    name: str,
    template: str | None = None,
    profile: str = "standard",
    tools: Sequence[str] = (),
    services: Sequence[str] = (),
) -> str:
    """Return the pipeline file that analyses all apps of a folder."""
    existing: dict[str, JsonValue] = {"folder": folder}
    if template is not None:
        existing["template"] = template
    analysis: dict[str, JsonValue] = {"profile": profile}
    if tools:
        analysis["tools"] = [*tools]
    if services:
        analysis["services"] = [*services]
    return write_definition({"name": name, "existing": existing, "analysis": analysis})


def _write_map(value: Mapping[str, JsonValue], indent: str) -> list[str]:
    lines = []
    for key, inner in value.items():
        start = f"{indent}{_write_text(key)}:"
        if isinstance(inner, dict) and inner:
            lines += [start, *_write_map(inner, f"{indent}  ")]
        elif isinstance(inner, list):
            lines += _write_list(start, inner, f"{indent}  ")
        else:
            lines.append(f"{start} {_write_value(inner)}")
    return lines


def _write_list(start: str, values: Sequence[JsonValue], indent: str) -> list[str]:
    line = f"{start} [{', '.join(_write_value(value) for value in values)}]"
    if not values or len(line) <= _FLOW_CHARACTERS:
        return [line]
    return [start, *(f"{indent}- {_write_value(value)}" for value in values)]


def _write_value(value: JsonValue) -> str:
    """Return a value on one line. YAML takes 1e-05 for a text, and only 1.0e-05 for a number."""
    if isinstance(value, str):
        return _write_text(value)
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "." not in text:
        return text.replace("e", ".0e")
    return text


def _write_text(text: str) -> str:
    is_plain = set(text) <= _SAFE and text[:1].isalpha() and text.lower() not in _WORDS
    return text if is_plain else f'"{"".join(map(_write_character, text))}"'


def _write_character(letter: str) -> str:
    """Return a character of a text in double quotes."""
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
