"""Which of the optional parts of a chat request a server takes.

Servers call themselves OpenAI-compatible and differ in how JSON is asked for,
in the name of the token limit, and in whether a temperature may be given. A
server that refuses a part names it; the client then leaves it out for good.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from referee.core.findings import JsonValue
from referee.foundation.llm.messages import ChatMessage

__all__ = ["Dialect", "Question"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, whatever the server's dialect."""

    model: str
    messages: Sequence[ChatMessage]
    schema: dict[str, JsonValue] | None
    """None when the answer is text of any form."""
    schema_name: str
    max_tokens: int
    seed: int | None
    temperature: float = 0.0
    """0: the same question is to get the same answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one server wants to be asked. The default is the most exact way."""

    response_format: Literal["json_schema", "json_object", "text"] = "json_schema"
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    has_temperature: bool = True
    has_seed: bool = True

    def render(self, question: Question) -> dict[str, JsonValue]:
        """Return the body of the request."""
        messages = list(question.messages)
        if question.schema is not None and self.response_format != "json_schema":
            messages = _ask_for_json(messages, question.schema)
        body: dict[str, JsonValue] = {
            "model": question.model,
            "messages": [{"role": message.role, "content": message.text} for message in messages],
            self.tokens_field: question.max_tokens,
            "stream": False,
        }
        if self.has_temperature:
            body["temperature"] = question.temperature
        if self.has_seed and question.seed is not None:
            body["seed"] = question.seed
        if question.schema is None:
            return body
        if self.response_format == "json_schema":
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": question.schema_name, "strict": True, "schema": question.schema},
            }
        elif self.response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def without_refused_part(self, refusal: str) -> Dialect | None:
        """Return a dialect without what a refusal names; None when it names nothing that can be left out."""
        said = refusal.lower()
        if "max_completion_tokens" in said and self.tokens_field == "max_tokens":
            return replace(self, tokens_field="max_completion_tokens")
        if any(name in said for name in ("response_format", "json_schema", "json_object")):
            if self.response_format == "json_schema":
                return replace(self, response_format="json_object")
            if self.response_format == "json_object":
                return replace(self, response_format="text")
        if "temperature" in said and self.has_temperature:
            return replace(self, has_temperature=False)
        if "seed" in said and self.has_seed:
            return replace(self, has_seed=False)
        return None


def _ask_for_json(messages: list[ChatMessage], schema: dict[str, JsonValue]) -> list[ChatMessage]:
    """Say in words what cannot be said by a field, in the one system message that every chat template takes."""
    request = "Answer with one JSON object and nothing else. It must fit this JSON Schema:\n" + json.dumps(
        schema, ensure_ascii=False, separators=(",", ":")
    )
    if messages and messages[0].role == "system":
        return [ChatMessage("system", f"{messages[0].text}\n\n{request}"), *messages[1:]]
    return [ChatMessage("system", request), *messages]
