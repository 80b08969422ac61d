"""What is said to a language model and what it answers, and reading the JSON in its text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeAlias

from referee.core.findings import JsonValue
from referee.foundation.llm.errors import LlmError

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

__all__ = ["ChatMessage", "Completion", "LlmReply", "estimate_tokens", "read_completion", "read_value"]

Role: TypeAlias = Literal["system", "user", "assistant"]

BYTES_FOR_A_TOKEN: Final = 3
"""Fewer than the 3.5 to 4 that common tokenizers need for English and code, so an estimate is rather too high."""
_FENCE: Final = "```"
_MAX_PROBLEMS: Final = 5


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of the provider, before its text is read as JSON."""

    text: str
    model: str
    finish_reason: str
    prompt_tokens: int | None
    """None when the provider does not count."""
    completion_tokens: int | None

    def count_tokens(self, prompt_estimate: int) -> tuple[int, int]:
        """Return tokens of prompt and answer; what the provider does not count is estimated."""
        return (
            prompt_estimate if self.prompt_tokens is None else self.prompt_tokens,
            estimate_tokens(self.text.encode("utf-8", errors="replace"))
            if self.completion_tokens is None
            else self.completion_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmReply:
    """An answer, and what it took to get it."""

    value: JsonValue
    """JSON that fits the schema that was asked for; None where text was."""
    text: str
    """The model's words, verbatim."""
    model: str
    """The model that answered, as the provider calls it; it need not be the one that was asked."""
    prompt_tokens: int
    """Of all requests that led to this reply; estimated where the provider does not count."""
    completion_tokens: int
    attempts_count: int
    """Requests that were sent: retries, repairs and refused formats included."""
    duration_ms: int
    finish_reason: str


def estimate_tokens(data: bytes) -> int:
    """Return about how many tokens a text has, rather too many than too few."""
    return len(data) // BYTES_FOR_A_TOKEN + 1


def read_completion(body: bytes) -> Completion:
    """Return the answer that a provider's body holds.

    Raises:
        LlmError: ``malformed`` when it is not a chat completion, ``refused`` when the model declined.

    Source:
        OpenAI API reference, "The chat completion object".
    """
    try:
        document = _parse_json(body.decode("utf-8", errors="replace"))
    except ValueError:
        raise LlmError(
            "malformed", "The language model's server answered with something that is not JSON."
        ) from None
    choice = _first_choice(document)
    message = choice.get("message")
    if not isinstance(document, dict) or not isinstance(message, dict):
        raise LlmError("malformed", "The language model's server answered without a message.")
    finish_reason = _text(choice.get("finish_reason")) or "stop"
    if finish_reason == "content_filter" or _text(message.get("refusal")):
        raise LlmError("refused", "The language model declined to answer.", finish_reason=finish_reason)
    usage = document.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Completion(
        text=_text(message.get("content")),
        model=_text(document.get("model"))[:200],
        finish_reason=finish_reason[:50],
        prompt_tokens=_count(counts.get("prompt_tokens")),
        completion_tokens=_count(counts.get("completion_tokens")),
    )


def read_value(text: str, validator: Draft202012Validator) -> tuple[JsonValue, str]:
    """Return the JSON value in a model's text, and what is wrong with it; "" when nothing is.

    Models put JSON into a code fence, or a sentence around it, when nobody forces its form;
    that is taken off. What is inside must fit the schema as it is.
    """
    for candidate in _candidates(text):
        try:
            value = _parse_json(candidate)
        except ValueError:
            continue
        try:
            errors = validator.iter_errors(value)
            problems = [f"{_place(list(error.instance_path))}: {error.message}" for error, _ in zip(
                errors, range(_MAX_PROBLEMS), strict=False
            )]  # fmt: skip
        except ValueError:  # a lone surrogate, which is no text
            return None, "the answer holds characters that are not Unicode text"
        return value, "; ".join(problems)[:2_000]
    return None, "the answer is not JSON"


def _candidates(text: str) -> Iterator[str]:
    yield text
    stripped = text.strip()
    if stripped.startswith(_FENCE) and stripped.endswith(_FENCE):
        yield stripped.removesuffix(_FENCE).partition("\n")[2]
    first, last = text.find("{"), text.rfind("}")
    if 0 <= first < last:
        yield text[first : last + 1]


def _parse_json(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text, parse_constant=_reject_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _first_choice(document: JsonValue) -> dict[str, JsonValue]:
    choices = document.get("choices") if isinstance(document, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else {}


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _place(path: Sequence[object]) -> str:
    return "/".join(map(str, path)) or "the answer"
