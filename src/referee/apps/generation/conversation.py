"""Talking with a model until half of an app is there: one question, and as few further ones as it takes.

An answer that was cut is continued. One that asks instead of writing, that left
code out or that cannot be parsed is sent back, each a bounded number of times;
then the half is given up with the word for what was wrong.

Not here: sending, paying and keeping what is said (``recording.py``), and the words (``prompts.py``).
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from referee.apps.generation import prompts
from referee.apps.generation.blocks import FoundFiles, ends_inside_block, merge_files, read_files
from referee.apps.generation.contract import FileSet, GenerationFailed, GenerationFailure, Notice, Part
from referee.apps.generation.syntax import SyntaxReport, parse_python
from referee.foundation.llm import ChatMessage

__all__ = [
    "Answer",
    "Ask",
    "WrittenPart",
    "find_placeholders",
    "is_seeking_confirmation",
    "join_answers",
    "write_part",
]

_CONTINUATIONS: Final = 4
"""Of one answer: with the default limit of tokens that is far more than a small app has."""
_AGAIN: Final[Mapping[GenerationFailure, int]] = {
    GenerationFailure.confirmation_seeking: 2,
    GenerationFailure.no_code: 1,
    GenerationFailure.placeholder: 2,
    GenerationFailure.syntax_error: 2,
}
"""Times a model is asked again for each reason. A model that fails that often would go on failing."""
_PLACES_SHOWN: Final = 20
_MAX_OVERLAP: Final = 2_000
_LEAST_OVERLAP: Final = 20
"""Characters: less could be the same by chance."""

_MARK: Final = re.compile(r"#|//|/\*+|<!--|--|^\s*\*|\{/\*")
"""Where a comment may begin."""
_MAX_COMMENT_CHARACTERS: Final = 300
_GAPS_AT_START: Final = re.compile(
    r"\W*(?:(?:\.\.\.|…)\s*(?:\(?(?:the\s+)?(?:rest|existing|other|remaining|same|previous|similar|more|your|add"
    r"|code|implementation|as\s+before|etc)\b|\W*$)"
    r"|(?-i:"
    + "TO"
    + "DO|FIX"
    + "ME"
    + r")\b.*\b(?:implement|add|write|complete|finish|handle|replace|connect)"
    r"|(?:placeholder|stub|dummy)\s+(?:implementation|function|code|logic|route)\b)",
    re.IGNORECASE,
)
"""What a comment that stands for code begins with."""
_GAPS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:rest|remainder)\s+of\s+(?:the\s+|your\s+)?(?:\w+\s+)?(?:code|file|routes?|functions?|implementation"
        r"|components?|logic|styles?|methods?|endpoints?)\b",
        r"\b(?:existing|previous|other|remaining)\s+(?:code|routes?|functions?|components?|endpoints?|methods?|imports?)"
        r"\b.*\b(?:here|unchanged|remains?|as\s+before|same|stays?)\b",
        r"\b(?:your|actual|real|more|additional|add|insert|put|implement)\b.{0,40}"
        r"\b(?:code|logic|implementation|routes?|endpoints?)\s+(?:goes\s+)?here\b",
        r"\b(?:omitted|left\s+out|truncated|shortened)\b.*\b(?:brevity|for\s+now|clarity|space)\b",
        r"\bimplement(?:ation)?\s+(?:goes\s+here|left\s+as|to\s+be\s+(?:added|done|written))\b",
        r"\bsimilar(?:ly)?\b.*\bfor\s+(?:the\s+)?(?:other|remaining|rest)\b",
    )
)
"""What such a comment says anywhere."""
_GAPS_IN_CODE: Final = re.compile(
    r"raise\s+NotImplementedError|throw\s+new\s+Error\(\s*['\"]not\s+(?:yet\s+)?implemented", re.IGNORECASE
)
_THINKING: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
"""What some models put before their answer; it is kept with the reply and is no part of what is read."""
_ASKING: Final = re.compile(
    r"\b(?:shall|should|may|can|could)\s+i\s+(?:now\s+)?(?:proceed|continue|go\s+on|go\s+ahead|start|begin|implement|write|create|generate|provide|include|add|use|finish|also)\b"
    r"|\b(?:would|do)\s+you\s+(?:like|want|prefer)\s+(?:me|that|to|the|a|an|it|this)\b"
    r"|\b(?:please|kindly)\s+(?:confirm|clarify|let\s+me\s+know|tell\s+me|specify|answer)\b"
    r"|\blet\s+me\s+know\s+(?:if|whether|when|which|how)\b"
    r"|\b(?:before\s+i|once\s+you|when\s+you)\s+(?:begin|start|proceed|write|confirm|are\s+ready|answer|approve)\b"
    r"|\b(?:are\s+you\s+ok|is\s+that\s+ok|is\s+this\s+ok|does\s+(?:this|that)\s+(?:sound|look)\s+(?:good|right|ok))\b",
    re.IGNORECASE,
)
_ASKING_FOR_REST: Final = re.compile(
    r"(?:\b(?:shall|should|may|can)\s+i\s+(?:now\s+)?(?:proceed|continue|go\s+on|go\s+ahead|finish)\b"
    r"|\b(?:would|do)\s+you\s+(?:like|want)\s+(?:me\s+to|that\s+i)\s+(?:now\s+)?(?:proceed|continue|go\s+on|finish|provide\s+the\s+(?:rest|remaining))"
    r"|\b(?:say|reply|type|answer)\s+[\"'“]?(?:continue|go\s+on|yes|next)\b"
    r"|\bi\s+will\s+(?:continue|provide\s+the\s+(?:rest|remaining))[^.]{0,80}\b(?:next|when|once|if)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one question."""

    text: str
    is_cut: bool
    """Whether it ended because it had no more tokens."""


class Ask(Protocol):
    """Sends a conversation, pays for it and keeps both sides of it."""

    async def __call__(self, purpose: str, messages: Sequence[ChatMessage]) -> Answer:
        """Return the answer.

        Raises:
            GenerationFailed: There is none.
        """
        ...


@dataclass(slots=True)
class WrittenPart:
    """Half of an app."""

    part: Part
    files: dict[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Problem:
    failure: GenerationFailure
    reason: str
    question: str
    purpose: str


async def write_part(
    ask: Ask,
    part: Part,
    messages: Sequence[ChatMessage],
    check_syntax: Callable[[FileSet], Awaitable[SyntaxReport]],
) -> WrittenPart:
    """Return the files of half of an app.

    Args:
        ask: Sends a conversation to the model.
        part: Which half.
        messages: The conversation that asks for it.
        check_syntax: Parses files.

    Raises:
        GenerationFailed: It came to none that can be used; the word says why.
    """
    written = WrittenPart(part)
    asked: Counter[GenerationFailure] = Counter()
    history, purpose = list(messages), "write"
    while True:
        text = await _ask_whole(ask, part, purpose, history)
        found = await asyncio.to_thread(read_files, text, part)
        written.files, refused = merge_files(written.files, found.files)
        written.notices += [*found.notices, *refused]
        problem = await _find_problem(text, found, written, check_syntax)
        if problem is None:
            return written
        asked[problem.failure] += 1
        if asked[problem.failure] > _AGAIN[problem.failure]:
            raise GenerationFailed(problem.failure, problem.reason)
        written.notices.append(Notice("asked_again", f"The {part} was asked for again: {problem.reason}"))
        # The first question and the latest answer are enough to go on, and the context stays small.
        history = [*messages, ChatMessage("assistant", text), ChatMessage("user", problem.question)]
        purpose = problem.purpose


def is_seeking_confirmation(answer: str, found: FoundFiles) -> bool:
    """Return whether an answer asks in place of writing, or stops to ask whether to go on."""
    prose = _strip_blocks(answer)
    if found.files:
        return bool(_ASKING_FOR_REST.search(prose[-600:]))
    return bool(_ASKING.search(prose)) or prose.rstrip().endswith("?")


def find_placeholders(files: FileSet) -> list[str]:
    """Return the places where code was left out, as ``path:line: text``."""
    places = []
    for path, text in sorted(files.items()):
        if path.endswith((".md", ".txt", ".json", ".csv")):
            continue
        lines = text.split("\n")
        found = {number for number, line in enumerate(lines, start=1) if _has_gap(line)}
        if path.endswith(".py"):
            found |= _find_empty_functions(text)
        places += [f"{path}:{number}: {lines[number - 1].strip()[:120]}" for number in sorted(found)]
    return places


def _has_gap(line: str) -> bool:
    """Return whether a line stands for code that is not there. Linear in a bounded part of the line."""
    shown = line[: 2 * _MAX_COMMENT_CHARACTERS]
    if _GAPS_IN_CODE.search(shown):
        return True
    mark = _MARK.search(shown)
    if mark is None:
        return False
    comment = shown[mark.end() : mark.end() + _MAX_COMMENT_CHARACTERS]
    return bool(_GAPS_AT_START.match(comment)) or any(gap.search(comment) for gap in _GAPS)


def join_answers(text: str, more: str) -> str:
    """Return an answer with its continuation, without what the continuation repeats."""
    if ends_inside_block(text):
        more = re.sub(r"\A(?:[^\n`]{0,300}\n){0,3}?\s*(?:`{3,}|~{3,})[^\n`]{0,200}\n", "", more, count=1)
    limit = min(_MAX_OVERLAP, len(text), len(more))
    for size in range(limit, _LEAST_OVERLAP - 1, -1):
        if text.endswith(more[:size]):
            return text + more[size:]
    last_line = text.rpartition("\n")[2]
    if len(last_line.strip()) >= 4 and more.startswith(last_line):
        return text + more[len(last_line) :]
    return text + more


async def _ask_whole(ask: Ask, part: Part, purpose: str, messages: Sequence[ChatMessage]) -> str:
    """Return an answer, continued until it has come to its end."""
    answer = await ask(f"{part} {purpose}", messages)
    text = _THINKING.sub("", answer.text)
    is_cut = answer.is_cut or ends_inside_block(text)
    for _ in range(_CONTINUATIONS):
        if not is_cut:
            return text
        more = await ask(
            f"{part} continue",
            [*messages, ChatMessage("assistant", text), ChatMessage("user", prompts.ask_to_continue())],
        )
        if not more.text.strip():
            break
        text = join_answers(text, more.text)
        is_cut = more.is_cut or ends_inside_block(text)
    if is_cut:
        raise GenerationFailed(
            GenerationFailure.truncated,
            f"The {part} did not come to its end, also after {_CONTINUATIONS} continuations.",
        )
    return text


async def _find_problem(
    text: str,
    found: FoundFiles,
    written: WrittenPart,
    check_syntax: Callable[[FileSet], Awaitable[SyntaxReport]],
) -> _Problem | None:
    part = written.part
    if is_seeking_confirmation(text, found):
        return _Problem(
            GenerationFailure.confirmation_seeking,
            f"The model asked whether to go on with the {part} instead of writing it.",
            prompts.ask_for_rest() if found.files else prompts.ask_to_begin(),
            "confirm",
        )
    if not any(body.strip() for body in written.files.values()):
        return _Problem(
            GenerationFailure.no_code,
            f"No file of the {part} could be taken from what the model said.",
            prompts.ask_for_code(),
            "ask_for_code",
        )
    places = await asyncio.to_thread(find_placeholders, written.files)
    if places:
        return _Problem(
            GenerationFailure.placeholder,
            f"Code of the {part} was left out: {places[0]}",
            prompts.ask_to_fill_in(places[:_PLACES_SHOWN]),
            "fill_in",
        )
    report = await check_syntax(written.files)
    if report.problems:
        shown = [str(problem) for problem in report.problems]
        return _Problem(
            GenerationFailure.syntax_error,
            f"Not all files of the {part} can be parsed: {shown[0]}",
            prompts.ask_to_repair(shown[:_PLACES_SHOWN]),
            "repair",
        )
    return None


def _strip_blocks(answer: str) -> str:
    return re.sub(r"(?ms)^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[ \t]*$|\Z)", "", answer)


def _find_empty_functions(text: str) -> set[int]:
    """Return the lines of functions that do nothing but ``pass`` or ``...``; methods of interfaces may."""
    tree = parse_python(text)
    if isinstance(tree, str):
        return set()
    found = set()
    interfaces = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and (node.bases or node.keywords)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node in interfaces:
            continue
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        if all(
            isinstance(one, ast.Pass)
            or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and one.value.value is ...)
            for one in body
        ):
            found.add(node.lineno)
    return found
