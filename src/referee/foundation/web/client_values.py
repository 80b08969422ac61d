"""Values as telemetry clients send them: any JSON that can be kept, arrays and objects in a query.

What the database could not keep, or a later reader not parse, is refused here
with a sentence: NaN and infinity, NUL, half surrogate pairs, and nesting so
deep that no reader would follow.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue

__all__ = [
    "AnyJson",
    "JsonList",
    "JsonObject",
    "Name",
    "Text",
    "check_json",
    "check_text",
    "merge_query_lists",
    "parse_query_value",
]

MAX_DEPTH: Final = 200
"""Far deeper than anything people nest, and far from what makes parsers fail."""
MAX_QUERY_CHARACTERS: Final = 64 * 1024
MAX_NAME_CHARACTERS: Final = 200
MAX_TEXT_CHARACTERS: Final = 1 << 20
MAX_INTEGER_DIGITS: Final = 400
"""As many as the largest float has, and a little more."""
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def check_text(value: str) -> str:
    """Return a text that can be kept.

    Raises:
        ValueError: It holds a NUL or half a surrogate pair.
    """
    if _UNSTORABLE.search(value):
        raise ValueError("text holds a NUL character or half a surrogate pair, which cannot be kept")
    return value


def check_json(value: Any) -> Any:
    """Return a JSON value that can be kept.

    Raises:
        ValueError: It holds a number that is none, a text that cannot be kept, or is nested too deep.
    """
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"nesting is deeper than {MAX_DEPTH}")
        if isinstance(one, str):
            check_text(one)
        elif isinstance(one, float):
            if not math.isfinite(one):
                raise ValueError("NaN and infinity are no numbers that can be kept")
        elif isinstance(one, bool) or one is None:
            continue
        elif isinstance(one, int):
            if abs(one) >= 10**MAX_INTEGER_DIGITS:
                raise ValueError(f"an integer has more than {MAX_INTEGER_DIGITS} digits")
        elif isinstance(one, Mapping):
            for key, item in one.items():
                check_text(key)
                waiting.append((item, depth + 1))
        elif isinstance(one, list):
            waiting.extend((item, depth + 1) for item in one)
        else:
            raise ValueError(f"a {type(one).__name__} is no JSON value")
    return value


def _check_name(value: str) -> str:
    if not value.strip():
        raise ValueError("a name has at least one character that is no space")
    return check_text(value)


AnyJson: TypeAlias = Annotated[Any, AfterValidator(check_json)]
"""Any JSON value that can be kept."""
JsonObject: TypeAlias = Annotated[dict[str, Any], AfterValidator(check_json)]
"""A JSON object that can be kept."""
JsonList: TypeAlias = Annotated[list[Any], AfterValidator(check_json), Field(max_length=100_000)]
"""A JSON array that can be kept."""
Name: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS), AfterValidator(_check_name)
]
"""What people call it."""
Text: TypeAlias = Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS), AfterValidator(check_text)]
"""A text that can be kept."""


def merge_query_lists(*lists: list[str] | None, max_count: int = 1_000) -> list[str]:
    """Return the values of ``name[]=a&name[]=b`` and of ``name=a`` as one list, each value once.

    Raises:
        InvalidInput: There are too many.
    """
    merged = list(dict.fromkeys(value for one in lists for value in one or ()))
    if len(merged) > max_count:
        raise InvalidInput(
            "request.query_too_long",
            f"The query lists {len(merged)} values, and at most {max_count} are taken.",
            "Ask in several requests.",
        )
    return merged


def parse_query_value(text: str, name: str) -> JsonValue:
    """Return the value that a query parameter holds as JSON text, or as the text of a Python literal.

    Args:
        text: Such as ``{"$gte": 1}`` or ``{'$gte': 1}``.
        name: Of the parameter, for the error.

    Raises:
        InvalidInput: It is neither, too long, or nothing that JSON could say.
    """
    invalid = InvalidInput(
        "request.query_value_invalid",
        f"The query parameter {name} cannot be understood.",
        'Send JSON text, such as {"$gte": "2026-01-01T00:00:00Z", "$lte": "2026-02-01T00:00:00Z"}.',
    )
    if len(text) > MAX_QUERY_CHARACTERS:
        raise invalid
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            raise invalid from error
    try:
        checked: JsonValue = check_json(value)
    except (ValueError, TypeError) as error:
        raise invalid from error
    return checked
