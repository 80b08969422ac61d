"""What differs between two texts, word by word."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from referee.core.findings import JsonValue

__all__ = ["TextPart", "compute_word_difference", "show_value"]

MAX_WORDS_COUNT: Final = 400
"""Of each text; the time grows with the square."""
_WORDS: Final = re.compile(r"\s+|[^\W_]+|[\W_]")


@dataclass(frozen=True, slots=True)
class TextPart:
    """Some words that both texts have, or only one of them."""

    kind: Literal["same", "removed", "added"]
    text: str


def compute_word_difference(old: str, new: str) -> list[TextPart]:
    """Return both texts as one: what is the same, what only the old one has, and what only the new one."""
    before, after = _split(old), _split(new)
    parts: list[TextPart] = []
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for word, start, end, other_start, other_end in matcher.get_opcodes():
        if word == "equal":
            parts.append(TextPart("same", "".join(before[start:end])))
            continue
        if start < end:
            parts.append(TextPart("removed", "".join(before[start:end])))
        if other_start < other_end:
            parts.append(TextPart("added", "".join(after[other_start:other_end])))
    return parts


def show_value(value: JsonValue) -> str:
    """Return outputs as people read them: a lone text as it is, everything else as JSON."""
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if isinstance(value, str):
        return value
    return "" if value in ({}, None) else json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)


def _split(text: str) -> Sequence[str]:
    words = _WORDS.findall(text)
    return [*words[:MAX_WORDS_COUNT], "…"] if len(words) > MAX_WORDS_COUNT else words
