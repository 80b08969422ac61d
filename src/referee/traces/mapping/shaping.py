"""Flattened attributes back to the values they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import orjson

from referee.core.findings import JsonValue
from referee.traces.otlp.spans import clean_number, clean_text

__all__ = ["clean_value", "nest", "parse_json", "read_count", "read_messages", "read_usd"]

MAX_DEPTH: Final = 40
"""Levels that dots in a key may open; the rest of the key stays one name."""
MAX_COUNT: Final = 2**62


def parse_json(value: JsonValue) -> JsonValue:
    """Return what a JSON text says when it is an object or a list, otherwise the value as it is."""
    if not isinstance(value, str):
        return value
    head = value.lstrip()[:1]
    if head not in ("{", "["):
        return value
    try:
        parsed: JsonValue = orjson.loads(value)
    except ValueError:
        pass
    else:
        # The fast parser takes neither NaN nor half surrogate pairs.
        is_clean = "\\u0000" not in value and value.count("[") + value.count("{") <= MAX_DEPTH
        return parsed if is_clean else clean_value(parsed)
    try:
        return clean_value(json.loads(value))
    except (ValueError, RecursionError):
        return value


def clean_value(value: JsonValue, depth: int = 0) -> JsonValue:
    """Return a JSON value as the database can keep it."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return clean_number(value)
    if isinstance(value, dict):
        if depth > MAX_DEPTH:
            return "(nested deeper than this)"
        return {clean_text(str(key)): clean_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        if depth > MAX_DEPTH:
            return "(nested deeper than this)"
        return [clean_value(item, depth + 1) for item in value]
    return value


def nest(flat: Mapping[str, JsonValue], *, is_json: bool = False) -> JsonValue:
    """Return keys with dots as nested objects; an object of keys 0 to n - 1 as a list."""
    root: dict[str, JsonValue] = {}
    for key, raw in flat.items():
        value = parse_json(raw) if is_json else raw
        node, last = root, key
        if "." in key:
            path, last = _split_key(key)
            for part in path:
                child = node.get(part)
                if not isinstance(child, dict):
                    child = {} if child is None else {"value": child}
                    node[part] = child
                node = child
        held = node.get(last)
        if isinstance(held, dict) and not isinstance(value, dict):
            held["value"] = value
        else:
            node[last] = value
    return _list_up(root)


@lru_cache(maxsize=16_384)
def _split_key(key: str) -> tuple[tuple[str, ...], str]:
    *path, last = key.split(".", MAX_DEPTH)
    return tuple(path), last


def _list_up(node: dict[str, JsonValue]) -> JsonValue:
    for key, item in node.items():
        if isinstance(item, dict):
            node[key] = _list_up(item)
    if "0" in node:
        size = len(node)
        if all(str(index) in node for index in range(size)):
            return [node[str(index)] for index in range(size)]
    return node


def read_messages(flat: Mapping[str, JsonValue]) -> JsonValue:
    """Return messages from ``0.message.role``, ``0.message.content`` … as a list of plain messages."""
    nested = nest(flat)
    if not isinstance(nested, list):
        return nested
    messages: list[JsonValue] = []
    for item in nested:
        message = item
        if isinstance(item, dict) and isinstance(item.get("message"), dict):
            rest = {key: value for key, value in item.items() if key != "message"}
            message = {**item["message"], **rest}  # type: ignore[dict-item]  # checked to be a dict
        messages.append(message)
    return messages


def read_count(value: JsonValue) -> int | None:
    """Return a count of tokens; None when the value is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int | float) and 0 <= value <= MAX_COUNT:
        return int(value)
    return None


def read_usd(value: JsonValue) -> float | None:
    """Return an amount in US dollars; None when the value is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
        return float(value)
    return None
