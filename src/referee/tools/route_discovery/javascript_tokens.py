"""JavaScript, TypeScript and JSX as tokens: strings, templates, comments and regular expressions told apart.

Enough to find calls and their arguments without ever taking a comment or a
string for code. Not a parser: text between JSX tags comes out as stray words,
and a quote that its line does not close counts as a character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["HOLE", "Token", "match_brackets", "split_arguments", "tokenize"]

TokenKind = Literal["name", "string", "template", "number", "regex", "mark"]

MAX_TOKENS: Final = 200_000
MAX_TEMPLATE_DEPTH: Final = 16
MAX_ARGUMENTS: Final = 100
MAX_BRACKET_TOKENS: Final = 24
MAX_UNCLOSED: Final = 100
"""Quotes and slashes without their end; each costs a look to the end of its line."""

HOLE: Final = "\x00"
"""Stands for a ``${…}`` in a template's value."""

_NAME: Final = re.compile(r"[A-Za-z_$#][\w$]*")
_NUMBER: Final = re.compile(r"\d[\w.]*")
_SPACE: Final = re.compile(r"\s+")
_STRING: Final = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL)
_REGEX: Final = re.compile(r"/(?![*/])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_MARK: Final = re.compile(r"=>|\?\.|\.\.\.|[^\w\s]")
_BEFORE_REGEX: Final = frozenset(
    {"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else"}
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token."""

    kind: TokenKind
    value: str
    """Of a string or a template its text; of anything else what stands in the source."""
    line: int


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a source text, at most ``MAX_TOKENS``."""
    tokenizer = _Tokenizer(text)
    tokens: list[Token] = []
    place, line = 0, 1
    while place < len(text) and len(tokens) < MAX_TOKENS:
        stop, kind, value = tokenizer.read(place, tokens[-1] if tokens else None)
        if kind is not None:
            tokens.append(Token(kind, value, line))
        line += text.count("\n", place, stop)
        place = stop
    return tokens


class _Tokenizer:
    """Reads one token after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._unclosed_count = 0

    def read(self, place: int, before: Token | None) -> tuple[int, TokenKind | None, str]:
        """Return where the next token ends, its kind (None: nothing to keep) and its value."""
        text, letter = self._text, self._text[place]
        if match := _SPACE.match(text, place):
            return match.end(), None, ""
        if text.startswith("//", place):
            stop = text.find("\n", place)
            return (len(text) if stop < 0 else stop), None, ""
        if text.startswith("/*", place):
            stop = text.find("*/", place + 2)
            return (len(text) if stop < 0 else stop + 2), None, ""
        if letter in "\"'" and (match := self._match_closed(_STRING, place)):
            return match.end(), "string", _ESCAPE.sub(r"\1", match.group()[1:-1])
        if letter == "`":
            stop, value = _read_template(text, place, 0)
            return stop, "template", value
        if letter == "/" and _may_be_regex(before) and (match := self._match_closed(_REGEX, place)):
            return match.end(), "regex", match.group()
        if match := _NAME.match(text, place):
            return match.end(), "name", match.group()
        if match := _NUMBER.match(text, place):
            return match.end(), "number", match.group()
        match = _MARK.match(text, place)
        return (match.end(), "mark", match.group()) if match else (place + 1, None, "")

    def _match_closed(self, pattern: re.Pattern[str], place: int) -> re.Match[str] | None:
        """Match what must be closed on its line; after many that are not, none is tried any more."""
        if self._unclosed_count > MAX_UNCLOSED:
            return None
        match = pattern.match(self._text, place)
        self._unclosed_count += match is None
        return match


def _may_be_regex(before: Token | None) -> bool:
    if before is None:
        return True
    if before.kind == "name":
        return before.value in _BEFORE_REGEX
    return before.kind == "mark" and before.value not in (")", "]", "}", "<")


def _read_template(text: str, place: int, depth: int) -> tuple[int, str]:
    """Return where the template that begins at ``place`` ends, and its text with holes."""
    parts: list[str] = []
    place += 1
    while place < len(text):
        letter = text[place]
        if letter == "`":
            return place + 1, "".join(parts)
        if letter == "\\":
            parts.append(text[place + 1 : place + 2])
            place += 2
        elif text.startswith("${", place):
            parts.append(HOLE)
            place = _skip_hole(text, place + 2, depth)
        else:
            parts.append(letter)
            place += 1
    return place, "".join(parts)


def _skip_hole(text: str, place: int, depth: int) -> int:
    """Return the place after the brace that closes a ``${``."""
    open_count = 1
    while place < len(text):
        letter = text[place]
        match = _STRING.match(text, place) if letter in "\"'" else None
        if match:
            place = match.end()
            continue
        if letter == "`" and depth < MAX_TEMPLATE_DEPTH:
            place, _ = _read_template(text, place, depth + 1)
            continue
        open_count += (letter == "{") - (letter == "}")
        place += 1
        if open_count == 0:
            break
    return place


_OPENERS: Final = frozenset("([{")
_CLOSERS: Final = frozenset(")]}")


def match_brackets(tokens: list[Token]) -> dict[int, int]:
    """Return the index of the bracket that closes each one, by the index of the opening one."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind != "mark":
            continue
        if token.value in _OPENERS:
            opened.append(index)
        elif token.value in _CLOSERS and opened:
            pairs[opened.pop()] = index
    return pairs


def split_arguments(tokens: list[Token], opening: int, pairs: dict[int, int]) -> list[list[Token]]:
    """Return the tokens of each argument of the call whose ``(`` is at ``opening``.

    What stands in long brackets, such as a function's body, is left out.
    """
    closing = pairs.get(opening, opening)
    arguments: list[list[Token]] = [[]]
    index = opening + 1
    while index < closing and len(arguments) <= MAX_ARGUMENTS:
        token = tokens[index]
        if token.kind == "mark" and token.value == ",":
            arguments.append([])
        elif index in pairs:
            stop = min(pairs[index], closing)
            short = stop - index <= MAX_BRACKET_TOKENS
            arguments[-1] += tokens[index : stop + 1] if short else (token, tokens[stop])
            index = stop
        else:
            arguments[-1].append(token)
        index += 1
    return [argument for argument in arguments if argument]
