"""Checking what a judge quotes: the lines exist, they are code, and they have to do with what was asked.

A judge's word is worth as much as the lines it can show. So that text in an
app cannot speak for the app, comments, docstrings, prose, declarations,
constants and log lines are no evidence, whatever they say.
"""

from __future__ import annotations

import keyword
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypeAlias

from referee.core.findings import Location
from referee.core.sources import SourceSnapshot
from referee.tools.judge_sources import ReadSource, SourcePiece, extract_words
from referee.tools.reading import normalise_path, shorten

__all__ = ["CheckedQuote", "QuoteChecker"]

_MIN_CHARACTERS: Final = 8
"""Without white space; less occurs anywhere."""
_MAX_CHARACTERS: Final = 4_000
_MAX_LINES: Final = 40
_MAX_LINE_CHARACTERS: Final = 1_000
"""Of one line that is looked at; a longer one is no code that a person wrote."""
_MAX_KEPT_CHARACTERS: Final = 2_000
_LINE_NUMBER: Final = re.compile(r"^\s*\d{1,6}\|", re.MULTILINE)
_NAME: Final = re.compile(r"[A-Za-z_$][\w$]*")
_DECLARATION: Final = re.compile(
    r"^\s*(?:async\s+def|def|class|import|from|pass|global|nonlocal|interface|type|export\s+(?:type|interface))\b"
)
_LOGGING: Final = re.compile(r"^\s*(?:print|log|logger|logging|console|warnings)\b\s*[.(]")
_CONSTANT: Final = re.compile(
    r"""^\s*(?:(?:const|let|var)\s+)?["']?[\w$.]+["']?\s*[:=]\s*(?:"[^"]*"|'[^']*'|`[^`]*`|[\d.]+|\w+)\s*[,;]?\s*$"""
)
_OPERATION: Final = re.compile(
    r"[\w$\])]\s*\(|[\w$\])]\??\.[A-Za-z_$]|=>|[<>!=]=|\s[-+*/%<>]\s|[-+*/]=|\breturn\s+[A-Za-z_{\[(]|[\w$]\[|<[A-Za-z]\w*\s+[\w-]+=|=\{"
    r"|\b(?:CREATE|INSERT|SELECT|UPDATE|DELETE)\b",
)
"""A call, attribute, comparison, arithmetic, returned value, index, element with attributes, or SQL statement."""
_WORDS_WITHOUT_MEANING: Final = frozenset(
    {*keyword.kwlist, "const", "let", "var", "function", "true", "false", "null"}
)


_Place: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class CheckedQuote:
    """Lines that exist and are code."""

    location: Location
    text: str
    """The lines as they are in the file, not as the judge wrote them."""
    code: tuple[str, ...]
    """What of the quote itself is code: not the rest of its first and last line."""


class QuoteChecker:
    """Checks quotes against one app."""

    def __init__(self, snapshot: SourceSnapshot, pieces: Sequence[SourcePiece]) -> None:
        self._snapshot = snapshot
        self._sources: Mapping[str, ReadSource] = {piece.source.file.path: piece.source for piece in pieces}
        self._pieces = pieces

    def find_quote(self, path: str, start_line: int, quote: str) -> CheckedQuote | str:
        """Return the quoted lines, or one sentence why they cannot be shown.

        White space does not matter; where the quote occurs more than once, the
        place nearest to ``start_line`` is taken.
        """
        name = normalise_path(path.strip())
        if not quote.strip():
            return "The judge quoted nothing."
        if name is None or name not in self._snapshot.by_path:
            return f"The judge quoted {shorten(path, limit=120)!r}, which is no file of the app."
        source = self._sources.get(name)
        if source is None:
            return f"The judge quoted {name}, which is not code that can be shown."
        compact = _compact(_LINE_NUMBER.sub("", quote))
        if len(compact) < _MIN_CHARACTERS:
            return f"The judge quoted fewer than {_MIN_CHARACTERS} characters of {name}."
        if len(compact) > _MAX_CHARACTERS:
            return f"The judge quoted more than {_MAX_CHARACTERS:,} characters of {name}."
        span = _find_nearest(source.lines, compact, start_line)
        if span is None:
            return f"The judge's quote is not in {name}."
        (first, first_column), (last, end_column) = span
        if last - first >= _MAX_LINES:
            return f"The judge quoted more than {_MAX_LINES} lines of {name}."
        code = list(source.code_lines[first - 1 : last])
        code[-1] = code[-1][:end_column]
        code[0] = " " * first_column + code[0][first_column:]
        return CheckedQuote(
            Location(name, start_line=first, end_line=last),
            shorten("\n".join(source.lines[first - 1 : last]), limit=_MAX_KEPT_CHARACTERS),
            tuple(code),
        )

    def explain_doubt(self, quote: CheckedQuote, requirement: str) -> str:
        """Return one sentence why the quoted lines do not show that a requirement is met; "" when they may."""
        place = quote.location
        source = self._sources[place.path]
        first, last = place.start_line or 1, place.end_line or 1
        if not _does_something(quote.code):
            return (
                f"The judge's quote of {place.path} line {first} shows nothing: it is a comment, text, "
                "a declaration, a constant or a log line."
            )
        asked = set(extract_words(requirement))
        shown = {
            word
            for piece in self._pieces
            if piece.source is source and piece.start_line <= last and first <= piece.end_line
            for word in piece.code_words
        }
        if not asked & shown:
            return f"The code around {place.path} line {first} shares no word with the requirement."
        return ""


def _does_something(code_lines: Sequence[str]) -> bool:
    idle = (_DECLARATION, _LOGGING, _CONSTANT)
    lines = [line.strip()[:_MAX_LINE_CHARACTERS] for line in code_lines]
    doing = [line for line in lines if not any(pattern.match(line) for pattern in idle)]
    names = {name for line in doing for name in _NAME.findall(line)} - _WORDS_WITHOUT_MEANING
    return len(names) >= 2 and any(_OPERATION.search(line) for line in doing)


def _find_nearest(lines: Sequence[str], compact: str, start_line: int) -> tuple[_Place, _Place] | None:
    """Return begin and end, as (line, column), of the occurrence whose first line is nearest to ``start_line``."""
    parts = [_compact(line) for line in lines]
    whole = "".join(parts)
    begins = list(accumulate((len(part) for part in parts), initial=0))
    best: tuple[int, int] | None = None
    found = whole.find(compact)
    while found >= 0:
        first = bisect_right(begins, found)
        if best is None or abs(first - start_line) < abs(best[1] - start_line):
            best = found, first
        found = whole.find(compact, found + 1)
    if best is None:
        return None
    begin, first = best
    end = begin + len(compact) - 1
    last = bisect_right(begins, end)
    return (
        (first, _find_column(lines[first - 1], begin - begins[first - 1])),
        (last, _find_column(lines[last - 1], end - begins[last - 1]) + 1),
    )


def _find_column(line: str, number: int) -> int:
    """Return where in a line the character stands that has ``number`` others before it, white space not counted."""
    return [column for column, character in enumerate(line) if not character.isspace()][number]


def _compact(text: str) -> str:
    return "".join(text.split())
