"""From filter text to a ``Filter``, with a position and a suggestion for each mistake."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NoReturn

from referee.core.errors import InvalidInput
from referee.core.ids import parse_id
from referee.foundation.web.filters.fields import FilterField
from referee.foundation.web.filters.tree import (
    Comparison,
    Filter,
    FlagValue,
    IdValue,
    NumberValue,
    Sort,
    Term,
    TextValue,
    TimeValue,
    Value,
    WordValue,
)

__all__ = ["MAX_FILTER_CHARS", "parse_filter"]

MAX_FILTER_CHARS: Final = 2_000
MAX_TERMS_COUNT: Final = 40
MAX_VALUES_COUNT: Final = 50
MAX_SORTS_COUNT: Final = 3
MAX_NUMBER: Final = 2**63 - 1
"""The largest whole number a database column takes."""

_KEY: Final = re.compile(r"(-?)([A-Za-z][A-Za-z0-9_.]*):")
_RELATIVE: Final = re.compile(r"-(\d{1,6})(s|m|h|d|w)")
_COMPARISONS: Final = (">=", "<=", ">", "<", "=")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_FLAG_WORDS: Final = {"yes": True, "true": True, "no": False, "false": False}
_MAX_DISTANCE: Final = timedelta(days=366 * 100)


def parse_filter(text: str, fields: Mapping[str, FilterField]) -> Filter:
    """Return what ``text`` asks for.

    Args:
        text: A filter such as ``is:open severity:>=high path:core/*``; empty asks for everything.
        fields: The keys of the list.

    Raises:
        InvalidInput: Something in the text cannot be expressed. The context has ``position``
            (from 0), ``length`` and, where there is a nearest thing, ``suggestion``.
    """
    if len(text) > MAX_FILTER_CHARS:
        raise InvalidInput(
            "filter.too_long",
            f"The filter has {len(text):,} characters, and {MAX_FILTER_CHARS:,} are allowed.",
            "Ask for less at once.",
            position=MAX_FILTER_CHARS,
            length=len(text) - MAX_FILTER_CHARS,
        )
    return _Parser(text, fields).parse()


@dataclass(frozen=True, slots=True)
class _Word:
    """One written value with where it stands."""

    text: str
    position: int
    length: int
    is_quoted: bool = False
    is_pattern: bool = False


class _Parser:
    def __init__(self, text: str, fields: Mapping[str, FilterField]) -> None:
        self._text = text
        self._fields = fields
        self._keys = {key: key for key in fields}
        for key, known in fields.items():
            self._keys.update((alias, key) for alias in known.aliases)
        self._at = 0

    def parse(self) -> Filter:
        terms: list[Term] = []
        sorts: list[Sort] = []
        while self._skip_spaces():
            start = self._at
            match = _KEY.match(self._text, self._at)
            if match is None:
                term = self._read_bare()
            elif match[2].lower() == "sort":
                sorts.append(self._read_sort(match))
                continue
            else:
                term = self._read_keyed(match)
            if term not in terms:
                terms.append(term)
            if len(terms) > MAX_TERMS_COUNT:
                self._fail(
                    "filter.too_many_terms", start, 1, f"A filter has at most {MAX_TERMS_COUNT} terms."
                )
        if len(sorts) > MAX_SORTS_COUNT:
            self._fail("filter.too_many_sorts", 0, 1, f"A list is sorted by at most {MAX_SORTS_COUNT} keys.")
        return Filter(tuple(terms), tuple(sorts), self._fields)

    # Reading

    def _skip_spaces(self) -> bool:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at < len(self._text)

    def _read_bare(self) -> Term:
        start = self._at
        is_excluded = self._text[self._at] == "-"
        self._at += is_excluded
        word = self._read_word(":")
        if self._at < len(self._text) and self._text[self._at] == ":":
            self._fail(
                "filter.key_malformed",
                start,
                self._at - start + 1,
                f"{self._text[start : self._at + 1]!r} is not a key of this list.",
                hint="Put quotation marks around text that has a colon.",
            )
        if not any(known.is_searched for known in self._fields.values()):
            self._fail(
                "filter.search_unsupported",
                start,
                self._at - start,
                "This list cannot be searched by bare text.",
            )
        return Term(None, (TextValue(word.text, word.is_pattern),), is_excluded)

    def _read_keyed(self, match: re.Match[str]) -> Term:
        written = match[2].lower()
        key_position = match.start(2)
        self._at = match.end()
        is_excluded = bool(match[1])
        if written == "is":
            return self._read_is(is_excluded)
        key = self._keys.get(match[2]) or self._keys.get(written)  # a list may have keys with capitals
        if key is None:
            self._fail_key(written, key_position)
        values = tuple(dict.fromkeys(self._read_value(word, key) for word in self._read_words(written)))
        return Term(key, values, is_excluded)

    def _read_is(self, is_excluded: bool) -> Term:
        words = self._read_words("is")
        if len(words) != 1:
            self._fail(
                "filter.is_takes_one",
                words[0].position,
                1,
                "is: takes one word.",
                hint="Write key:(a OR b) instead.",
            )
        word = words[0]
        wanted = _normalise(word.text)
        for key, known in self._fields.items():
            if known.kind == "flag" and key == wanted:
                return Term(key, (FlagValue(True),), is_excluded)
            if known.kind == "enum" and wanted in known.values:
                return Term(key, (WordValue(wanted),), is_excluded)
        choices = [value for known in self._fields.values() if known.kind == "enum" for value in known.values]
        choices += [key for key, known in self._fields.items() if known.kind == "flag"]
        self._fail_word(f"is:{word.text} means nothing in this list.", word, choices)

    def _read_sort(self, match: re.Match[str]) -> Sort:
        if match[1]:
            self._fail(
                "filter.sort_excluded",
                match.start(),
                1,
                "An order cannot be excluded.",
                hint="Write sort:-key.",
            )
        self._at = match.end()
        word = self._read_word("()")
        written = word.text.removeprefix("-").lower()
        key = self._keys.get(written)
        sortable = [name for name, known in self._fields.items() if known.is_sortable]
        if key is None or key not in sortable:
            self._fail_word(f"This list cannot be sorted by {written!r}.", word, sortable)
        return Sort(key, word.text.startswith("-"))

    def _read_words(self, key: str) -> list[_Word]:
        if self._at >= len(self._text) or self._text[self._at].isspace():
            self._fail(
                "filter.value_missing",
                self._at - len(key) - 1,
                len(key) + 1,
                f"{key}: has no value.",
                hint="Write the value directly behind the colon.",
            )
        if self._text[self._at] != "(":
            return [self._read_word("()")]
        start = self._at
        self._at += 1
        words: list[_Word] = []
        while True:
            if not self._skip_spaces():
                self._fail(
                    "filter.parenthesis_open",
                    start,
                    1,
                    "A parenthesis is not closed.",
                    hint="Add ) at its end.",
                )
            words.append(self._read_word("()"))
            if len(words) > MAX_VALUES_COUNT:
                self._fail(
                    "filter.too_many_values",
                    start,
                    1,
                    f"A parenthesis holds at most {MAX_VALUES_COUNT} values.",
                )
            if not self._skip_spaces():
                self._fail(
                    "filter.parenthesis_open",
                    start,
                    1,
                    "A parenthesis is not closed.",
                    hint="Add ) at its end.",
                )
            if self._text[self._at] == ")":
                self._at += 1
                return words
            joint = self._read_word("()")
            if joint.text != "OR" or joint.is_quoted:
                self._fail(
                    "filter.or_expected",
                    joint.position,
                    joint.length,
                    f"OR is expected before {joint.text!r}.",
                    hint="Write (a OR b), or put quotation marks around a value with spaces.",
                )

    def _read_word(self, stops: str) -> _Word:
        start = self._at
        prefix = ""
        for sign in _COMPARISONS:
            if self._text.startswith(sign, self._at) and ":" not in stops:
                prefix = sign
                self._at += len(sign)
                break
        if self._at < len(self._text) and self._text[self._at] == '"':
            return self._read_quoted(start, prefix)
        characters: list[str] = []
        is_pattern = False
        while self._at < len(self._text):
            character = self._text[self._at]
            if character.isspace() or character in stops:
                break
            if character in '"()':
                self._fail(
                    "filter.character_unexpected",
                    self._at,
                    1,
                    f"{character!r} is not expected here.",
                    hint="Put quotation marks around text that has it.",
                )
            if character == "\\":
                self._at += 1
                if self._at >= len(self._text):
                    self._fail("filter.escape_open", self._at - 1, 1, "A backslash has nothing behind it.")
                character = self._text[self._at]
                if character == "*":
                    character = "\0"
            elif character == "*":
                is_pattern = True
            characters.append(character)
            self._at += 1
        if not characters:
            self._fail(
                "filter.value_missing", start, 1, "A value is missing.", hint="Write it after the sign."
            )
        text = "".join(characters)
        if is_pattern and "\0" in text:
            self._fail(
                "filter.star_mixed",
                start,
                self._at - start,
                "A pattern cannot hold a literal star besides its own.",
            )
        return _Word(prefix + text.replace("\0", "*"), start, self._at - start, False, is_pattern)

    def _read_quoted(self, start: int, prefix: str) -> _Word:
        quote = self._at
        self._at += 1
        characters: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == '"':
                return _Word(prefix + "".join(characters), start, self._at - start, not prefix)
            if character == "\\" and self._at < len(self._text):
                character = self._text[self._at]
                self._at += 1
            characters.append(character)
        self._fail("filter.quote_open", quote, 1, "A quotation mark is not closed.", hint='Add " at its end.')

    # Understanding

    def _read_value(self, word: _Word, key: str) -> Value:
        known = self._fields[key]
        if known.kind in ("text", "keyword"):
            return TextValue(word.text, word.is_pattern)
        comparison, text = _split_comparison(word)
        if comparison is not Comparison.equal and not known.is_comparable:
            self._fail_value(word, key, "takes no comparison")
        match known.kind:
            case "enum" | "ordered":
                wanted = _normalise(text)
                if wanted not in known.values:
                    self._fail_word(f"{text!r} is not a value of {key}.", word, known.values)
                return WordValue(wanted, comparison)
            case "number":
                return NumberValue(self._read_number(text, word, key), comparison)
            case "time":
                return TimeValue(self._read_time(text, word, key), comparison)
            case "id":
                return self._read_id(text, word, key, known.noun)
            case _:
                if text.lower() not in _FLAG_WORDS:
                    self._fail_word(f"{key} is yes or no.", word, ("yes", "no"))
                return FlagValue(_FLAG_WORDS[text.lower()])

    def _read_number(self, text: str, word: _Word, key: str) -> int | float:
        try:
            number: int | float = int(text) if re.fullmatch(r"[+-]?\d{1,20}", text) else float(text)
        except ValueError:
            self._fail_value(word, key, "takes a number")
        if not math.isfinite(number) or abs(number) > MAX_NUMBER:
            self._fail_value(word, key, "takes a number that a column can hold")
        return number

    def _read_time(self, text: str, word: _Word, key: str) -> date | datetime | timedelta:
        relative = _RELATIVE.fullmatch(text)
        if relative:
            distance = timedelta(seconds=int(relative[1]) * _SECONDS[relative[2]])
            if distance > _MAX_DISTANCE:
                self._fail_value(word, key, "reaches back 100 years at most")
            return distance
        try:
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
                return date.fromisoformat(text)
            instant = datetime.fromisoformat(text)
            return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
        except (ValueError, OverflowError):
            self._fail_value(word, key, "takes a date such as 2026-03-01, an instant, or -7d")

    def _read_id(self, text: str, word: _Word, key: str, noun: str) -> IdValue:
        try:
            return IdValue(parse_id(text, noun or key), noun)
        except InvalidInput as error:
            self._fail("filter.value_invalid", word.position, word.length, error.message, hint=error.hint)

    # Failing

    def _fail_key(self, written: str, position: int) -> NoReturn:
        keys = [*self._keys, "is", "sort"]
        nearest = _find_nearest(written, keys)
        self._fail(
            "filter.unknown_key",
            position,
            len(written),
            f"{written!r} at position {position + 1} is not a key of this list.",
            hint=f"Did you mean {nearest}:?" if nearest else f"Keys are: {', '.join(sorted(self._fields))}.",
            suggestion=nearest,
        )

    def _fail_word(self, message: str, word: _Word, choices: Iterable[str]) -> NoReturn:
        known = list(dict.fromkeys(choices))
        written = word.text.lstrip("<>=-")
        sign = word.text.removesuffix(written)
        nearest = _find_nearest(_normalise(written), known)
        nearest = sign + nearest if nearest else None
        hint = f"Did you mean {nearest}?" if nearest else f"It takes: {', '.join(known) or 'nothing'}."
        self._fail("filter.value_unknown", word.position, word.length, message, hint=hint, suggestion=nearest)

    def _fail_value(self, word: _Word, key: str, expectation: str) -> NoReturn:
        example = self._fields[key].example
        self._fail(
            "filter.value_invalid",
            word.position,
            word.length,
            f"{key} {expectation}, and {word.text!r} at position {word.position + 1} is something else.",
            hint=f"Write for example {example}." if example else "",
        )

    def _fail(
        self,
        code: str,
        position: int,
        length: int,
        message: str,
        *,
        hint: str = "",
        suggestion: str | None = None,
    ) -> NoReturn:
        context: dict[str, object] = {"position": position, "length": max(1, length)}
        if suggestion:
            context["suggestion"] = suggestion
        raise InvalidInput(code, message, hint or "The filter help lists what can be asked.", **context)


def _split_comparison(word: _Word) -> tuple[Comparison, str]:
    if not word.is_quoted:
        for sign in _COMPARISONS:
            if word.text.startswith(sign):
                return Comparison(sign), word.text.removeprefix(sign)
    return Comparison.equal, word.text


def _normalise(text: str) -> str:
    return text.strip().lower().replace("-", "_").replace(" ", "_")


def _find_nearest(written: str, choices: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(written, list(choices), n=1, cutoff=0.6)
    return close[0] if close else None
