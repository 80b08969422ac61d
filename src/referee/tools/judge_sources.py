"""Which part of an app's source a judge is shown: the pieces that share rare words with what is asked.

A file is cut into functions, classes and components. Each requirement ranks
the pieces by BM25, and the requirements take turns in choosing until the
characters are used up; what was left out is named.

Source:
    S. Robertson, H. Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond",
    Foundations and Trends in Information Retrieval 3(4), 333-389.
"""

from __future__ import annotations

import ast
import math
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from referee.core.sources import SourceFile, SourceSnapshot
from referee.tools.code_scanning import CODE_LANGUAGES, blank_prose, split_lines

__all__ = [
    "AppSource",
    "ReadSource",
    "ShownSource",
    "SourcePiece",
    "choose_pieces",
    "extract_words",
    "read_source",
    "render_pieces",
]

_MAX_FILE_BYTES: Final = 400_000
"""A larger file was not written by a person or a model in one go."""
_MAX_TOTAL_BYTES: Final = 4_000_000
"""A hundred times what is shown; a bigger app is judged by the files that come first, and the rest is named."""
_MAX_PIECE_LINES: Final = 80
_MAX_LINE_CHARACTERS: Final = 300
_SATURATION: Final = 1.5
"""BM25's k1: how soon a word that comes again adds nothing; the usual value, as is the next."""
_LENGTH_WEIGHT: Final = 0.75
_WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_SCRIPT_START: Final = re.compile(
    r"^(?:export\s+)?(?:default\s+)?(?:async\s+)?(?:function\b|class\b|const\b|let\b|var\b|\w+\.\w+\(|\(function)"
)
_STOP_WORDS: Final = frozenset({
    "a", "all", "also", "an", "and", "any", "are", "as", "at", "be", "by", "can", "each", "for", "from",
    "has", "have", "if", "in", "is", "it", "its", "may", "must", "no", "not", "of", "on", "one", "only",
    "or", "other", "own", "so", "than", "that", "the", "their", "them", "there", "they", "this", "to",
    "was", "what", "when", "where", "which", "who", "with",
})  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ReadSource:
    """One file of an app, read."""

    file: SourceFile
    lines: tuple[str, ...]
    code_lines: tuple[str, ...]
    """The same lines with everything that is not code blanked out."""


@dataclass(frozen=True, slots=True, eq=False)
class SourcePiece:
    """A function, class, component or other stretch of a file. Lines count from 1, both ends included."""

    source: ReadSource
    start_line: int
    end_line: int

    @property
    def lines(self) -> tuple[str, ...]:
        """Its lines as they are."""
        return self.source.lines[self.start_line - 1 : self.end_line]

    @property
    def code_words(self) -> frozenset[str]:
        """The words of its code: names and strings without white space, no comments."""
        return frozenset(
            extract_words("\n".join(self.source.code_lines[self.start_line - 1 : self.end_line]))
        )

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return f"{self.source.file.path}:{self.start_line}-{self.end_line}"


class AppSource:
    """The pieces of an app's source, indexed by their words. Building it takes a second for a large app."""

    def __init__(self, pieces: Sequence[SourcePiece], unread: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        """By path and line."""
        self.unread = tuple(unread)
        """Paths of files that are not code that can be told from prose, or beyond the limits."""
        self.index = _Index([extract_words("\n".join(piece.lines)) for piece in pieces])


@dataclass(frozen=True, slots=True)
class ShownSource:
    """What a judge is shown of a source, and what not."""

    pieces: tuple[SourcePiece, ...]
    """By path and line."""
    left_out: tuple[str, ...]
    """Names of pieces, then paths of files that nobody read."""


def read_source(snapshot: SourceSnapshot) -> AppSource:
    """Return the source of an app, cut into pieces.

    Markdown and other text is not read: what a README says about an app is no evidence of it.
    """
    pieces: list[SourcePiece] = []
    unread: list[str] = []
    free_bytes = _MAX_TOTAL_BYTES
    for file in snapshot.files:
        if file.language not in CODE_LANGUAGES or file.size_bytes > min(_MAX_FILE_BYTES, free_bytes):
            unread.append(file.path)
            continue
        free_bytes -= file.size_bytes
        text = (snapshot.root / file.path).read_bytes().decode("utf-8", errors="replace")
        pieces += _cut(ReadSource(file, tuple(split_lines(text)), tuple(blank_prose(text, file.language))))
    return AppSource(pieces, unread)


def extract_words(text: str) -> list[str]:
    """Return the words of a text or of code, stemmed: ``createOrders`` is ``creat``, ``order``."""
    words = (match.lower() for match in _WORD.findall(text))
    return [_stem(word) for word in words if word not in _STOP_WORDS and len(word) > 1]


def choose_pieces(
    source: AppSource,
    questions: Sequence[str],
    *,
    characters_count: int,
    weigh: Callable[[SourcePiece], float],
) -> ShownSource:
    """Choose the pieces that tell most about the questions.

    Args:
        source: What there is to choose from.
        questions: Requirements, each of which chooses in turn.
        characters_count: Characters of source that may be shown.
        weigh: Factor on a piece's score, such as less for the other half of an app.
    """
    pieces = source.pieces
    rankings = []
    for question in questions:
        scores = source.index.score(set(extract_words(question)))
        weighed = {
            number: scores[number] * weigh(piece) for number, piece in enumerate(pieces) if scores[number]
        }
        rankings.append([number for number, _ in sorted(weighed.items(), key=_by_score)])
    order = dict.fromkeys(
        ranking[place]
        for place in range(max(map(len, rankings), default=0))
        for ranking in rankings
        if place < len(ranking)
    )
    chosen: set[int] = set()
    free = characters_count
    for number in (*order, *range(len(pieces))):
        cost = sum(min(len(line), _MAX_LINE_CHARACTERS) + 7 for line in pieces[number].lines)
        if number not in chosen and cost <= free:
            chosen.add(number)
            free -= cost
    return ShownSource(
        tuple(piece for number, piece in enumerate(pieces) if number in chosen),
        (*(piece.name for number, piece in enumerate(pieces) if number not in chosen), *source.unread),
    )


def render_pieces(pieces: Sequence[SourcePiece]) -> str:
    """Return the pieces as numbered lines under the path of their file.

    Every line of an app begins with its number, and nothing in it can break the
    line, so no line of an app can look like one of ours.
    """
    written: list[str] = []
    path, last_line = "", 0
    for piece in pieces:
        if piece.source.file.path != path:
            path, last_line = piece.source.file.path, 0
            written.append(f"FILE {path}")
        if piece.start_line != last_line + 1:
            written.append("     …")
        last_line = piece.end_line
        written += (
            f"{number:5}| {_show_line(line)}"
            for number, line in enumerate(piece.lines, start=piece.start_line)
        )
    return "\n".join(written)


class _Index:
    """Documents as bags of words, scored by BM25."""

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        self.counts = [Counter(document) for document in documents]
        self.lengths = [len(document) for document in documents]
        self.mean_length = sum(self.lengths) / max(1, len(documents)) or 1.0
        self.frequencies = Counter(word for counts in self.counts for word in counts)

    def score(self, words: set[str]) -> list[float]:
        """Return the score of each document for the words of a question."""
        return [
            sum(self._score_word(word, counts[word], length) for word in sorted(words) if counts[word])
            for counts, length in zip(self.counts, self.lengths, strict=True)
        ]

    def _score_word(self, word: str, count: int, length: int) -> float:
        frequency = self.frequencies[word]
        rarity = math.log(1 + (len(self.counts) - frequency + 0.5) / (frequency + 0.5))
        norm = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * length / self.mean_length)
        return rarity * count * (_SATURATION + 1) / (count + norm)


def _by_score(entry: tuple[int, float]) -> tuple[float, int]:
    return -entry[1], entry[0]


def _cut(source: ReadSource) -> list[SourcePiece]:
    lines_count = len(source.lines)
    starts = _find_python_starts(source) if source.file.language == "python" else _find_script_starts(source)
    edges = sorted({1, *(start for start in starts if 1 <= start <= lines_count)})
    pieces = []
    for start, end in pairwise((*edges, lines_count + 1)):
        for first in range(start, end, _MAX_PIECE_LINES):
            last = min(first + _MAX_PIECE_LINES, end) - 1
            if any(line.strip() for line in source.lines[first - 1 : last]):
                pieces.append(SourcePiece(source, first, last))
    return pieces


def _find_python_starts(source: ReadSource) -> list[int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an app's odd escapes are no news of ours
            tree = ast.parse("\n".join(source.lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    starts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            starts.append(min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]))
    return starts


def _find_script_starts(source: ReadSource) -> list[int]:
    return [number for number, line in enumerate(source.code_lines, start=1) if _SCRIPT_START.match(line)]


def _stem(word: str) -> str:
    """Return a word without the endings of plural and tense; enough for the same word in code and in a sentence."""
    if word.endswith("s") and not word.endswith(("ss", "us")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) >= len(ending) + 3:
            word = word[: -len(ending)]
    return word.removesuffix("e") if len(word) > 3 else word


def _show_line(line: str) -> str:
    """Return a line without characters that break it, hide it or turn its direction."""
    shown = "".join(
        character
        if character == "\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else "\N{REPLACEMENT CHARACTER}"
        for character in line[:_MAX_LINE_CHARACTERS]
    )
    return shown + (" …" if len(line) > _MAX_LINE_CHARACTERS else "")
