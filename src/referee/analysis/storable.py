"""A tool's report with only such text as a database and a SARIF log can hold.

Tools quote the files they judge, and JSON can escape what UTF-8 and PostgreSQL
cannot keep: NUL and half surrogate pairs. Replacing them here, once and right
after parsing, keeps one odd string literal from costing a whole tool run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final

from referee.core.findings import ToolReport

__all__ = ["make_storable"]

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_NAMES: dict[type, tuple[str, ...]] = {}
"""Names of a dataclass' fields, looked up once: a report may have 50,000 findings."""


def make_storable(report: ToolReport) -> ToolReport:
    """Return the report with NUL and half surrogate pairs replaced; the same object when there are none."""
    cleaned: ToolReport = _clean(report)
    return cleaned


def _clean(value: Any) -> Any:
    """Return a value of text, numbers, sequences, mappings and frozen dataclasses with its text cleaned."""
    if value is None or isinstance(value, (int, float, Enum)):
        return value
    if isinstance(value, str):
        # Almost all text is ASCII, and that is known without looking at it.
        if value.isascii() and "\0" not in value:
            return value
        return _UNSTORABLE.sub(_REPLACEMENT, value)
    if isinstance(value, Mapping):
        return _clean_mapping(value)
    if isinstance(value, (tuple, list)):
        items = [_clean(item) for item in value]
        return value if _is_same(items, value) else type(value)(items)
    if is_dataclass(value) and not isinstance(value, type):
        return _clean_dataclass(value)
    return value


def _clean_mapping(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    pairs = [(_clean(key), _clean(item)) for key, item in value.items()]
    if all(
        new is old
        for pair, known in zip(pairs, value.items(), strict=True)
        for new, old in zip(pair, known, strict=True)
    ):
        return value
    return dict(pairs)


def _clean_dataclass(value: Any) -> Any:
    kind = type(value)
    names = _NAMES.get(kind)
    if names is None:
        names = _NAMES[kind] = tuple(field.name for field in fields(kind))
    changes = {}
    for name in names:
        old = getattr(value, name)
        new = _clean(old)
        if new is not old:
            changes[name] = new
    return replace(value, **changes) if changes else value


def _is_same(items: list[Any], value: tuple[Any, ...] | list[Any]) -> bool:
    return all(new is old for new, old in zip(items, value, strict=True))
