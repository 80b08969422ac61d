"""What of a source file is code: comments, docstrings and prose in strings are blanked out.

Prose can say anything about a program; only code shows what it does. Used
where text of an app under test must not be taken for evidence about it.
Nothing is run or imported.
"""

from __future__ import annotations

import io
import re
import tokenize
from typing import Final

from referee.core.sources import Language

__all__ = ["CODE_LANGUAGES", "blank_prose", "split_lines"]

CODE_LANGUAGES: Final[tuple[Language, ...]] = (
    "python", "javascript", "jsx", "typescript", "tsx", "html", "sql",
)  # fmt: skip
"""Languages whose code this module can tell from prose."""

_HTML_PROSE: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|(?<=>)[^<>]*|<script\b.*?(?:</script\s*>|\Z)", re.DOTALL | re.IGNORECASE
)
_SQL_PROSE: Final = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_NOT_LINE_BREAK: Final = re.compile(r"[^\n]")
_STRING_TOKENS: Final = frozenset(
    kind
    for kind in (
        tokenize.STRING,
        getattr(tokenize, "FSTRING_MIDDLE", None),
        getattr(tokenize, "TSTRING_MIDDLE", None),
    )
    if kind is not None
)
"""Python 3.12 and later split strings with expressions; their text comes as a token of its own."""
_REGEX_MAY_FOLLOW: Final = frozenset("(,=:[!&|?{};+-*%<>~^")


def split_lines(text: str) -> list[str]:
    """Return the lines of a file as tools count them: a line ends with LF or CR LF, with nothing else."""
    return text.replace("\r\n", "\n").split("\n")


def blank_prose(text: str, language: Language) -> list[str]:
    """Return the lines of a file with everything that is not code replaced by spaces.

    Comments, docstrings, strings that hold white space, and text between HTML
    tags are not code; a string without white space, such as a path or a key, is.
    What follows a place that cannot be read is not code either.

    Args:
        text: The whole file.
        language: Any of ``CODE_LANGUAGES``; every other file has no code.
    """
    source = text.replace("\r\n", "\n")
    if language == "python":
        blanked = _blank_python(source)
    elif language in ("javascript", "jsx", "typescript", "tsx"):
        blanked = _ScriptScanner(source).blank()
    elif language == "html":
        blanked = _HTML_PROSE.sub(lambda match: _blank(match[0]), source)
    elif language == "sql":
        blanked = _SQL_PROSE.sub(lambda match: _blank(match[0]), source)
    else:
        blanked = _blank(source)
    return blanked.split("\n")


def _blank(text: str) -> str:
    return _NOT_LINE_BREAK.sub(" ", text)


def _is_prose(string: str) -> bool:
    return any(character.isspace() for character in string.strip())


def _blank_python(source: str) -> str:
    lines = source.split("\n")
    kept = [list(line) for line in lines]
    end_of_file = len(lines), len(lines[-1])
    last_end = 1, 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT or (token.type in _STRING_TOKENS and _is_prose(token.string)):
                _blank_range(kept, token.start, token.end)
            elif token.type == tokenize.ERRORTOKEN:  # a quote without its end, and the words after it
                _blank_range(kept, token.start, (token.start[0], len(lines[token.start[0] - 1])))
            last_end = token.end
    except (tokenize.TokenError, SyntaxError, ValueError):
        _blank_range(kept, last_end, end_of_file)
    return "\n".join("".join(line) for line in kept)


def _blank_range(lines: list[list[str]], start: tuple[int, int], end: tuple[int, int]) -> None:
    for number in range(start[0], min(end[0], len(lines)) + 1):
        line = lines[number - 1]
        first = start[1] if number == start[0] else 0
        last = min(end[1], len(line)) if number == end[0] else len(line)
        line[first:last] = " " * max(0, last - first)


class _ScriptScanner:
    """Tells code from prose in JavaScript and TypeScript, with or without JSX, in one pass.

    Text between JSX tags stays, because telling it from code needs a full parser.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.kept = list(source)
        self.position = 0
        self.last_code = ""
        self.open_templates: list[int] = []
        """For each template literal whose ``${`` is open: braces open inside of it."""

    def blank(self) -> str:
        source = self.source
        while self.position < len(source):
            start, character = self.position, source[self.position]
            if source.startswith("//", start):
                self._blank_until(_find(source, "\n", start))
            elif source.startswith("/*", start):
                self._blank_until(_find(source, "*/", start + 2) + 2)
            elif character in "'\"":
                self._read_string(character)
            elif character == "`":
                self.position += 1
                self._read_template()
            elif character == "/" and (not self.last_code or self.last_code in _REGEX_MAY_FOLLOW):
                self._read_regex()
            elif character == "}" and self.open_templates and self.open_templates[-1] == 0:
                self.open_templates.pop()
                self.position += 1
                self._read_template()
            else:
                self._read_code(character)
        return "".join(self.kept)

    def _read_code(self, character: str) -> None:
        if self.open_templates and character in "{}":
            self.open_templates[-1] += 1 if character == "{" else -1
        if not character.isspace():
            self.last_code = character
        self.position += 1

    def _read_string(self, quote: str) -> None:
        """A quote without its end on the line is an apostrophe in JSX text, not a string."""
        end = self.position + 1
        while end < len(self.source) and self.source[end] not in (quote, "\n"):
            end += 2 if self.source[end] == "\\" else 1
        if end >= len(self.source) or self.source[end] == "\n":
            self.position += 1
            return
        if _is_prose(self.source[self.position + 1 : end]):
            self._blank_range(self.position + 1, end)
        self.last_code = quote
        self.position = end + 1

    def _read_template(self) -> None:
        """Read the text of a template literal up to its end or to the next ``${``."""
        start = end = self.position
        while end < len(self.source) and self.source[end] != "`" and not self.source.startswith("${", end):
            end += 2 if self.source[end] == "\\" else 1
        end = min(end, len(self.source))
        if _is_prose(self.source[start:end]):
            self._blank_range(start, end)
        if self.source.startswith("${", end):
            self.open_templates.append(0)
            self.position = end + 2
        else:
            self.position = end + 1
        self.last_code = "`"

    def _read_regex(self) -> None:
        """A slash without a second one on the line is a division or the end of a JSX tag."""
        end, is_in_class = self.position + 1, False
        while end < len(self.source) and self.source[end] != "\n":
            character = self.source[end]
            if character == "/" and not is_in_class:
                break
            is_in_class = character == "[" or (is_in_class and character != "]")
            end += 2 if character == "\\" else 1
        if end >= len(self.source) or self.source[end] == "\n" or self.last_code == "<":
            self._read_code("/")
            return
        if _is_prose(self.source[self.position + 1 : end]):
            self._blank_range(self.position + 1, end)
        self.last_code = "/"
        self.position = end + 1

    def _blank_until(self, end: int) -> None:
        self._blank_range(self.position, end)
        self.position = end

    def _blank_range(self, start: int, end: int) -> None:
        for index in range(start, min(end, len(self.kept))):
            if self.kept[index] != "\n":
                self.kept[index] = " "


def _find(source: str, text: str, start: int) -> int:
    found = source.find(text, start)
    return len(source) if found < 0 else found
