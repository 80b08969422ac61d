"""A client of any server that speaks OpenAI's chat completions.

A caller asks a question with a JSON Schema and gets a value that fits it, or
an error that says why there is none. Never a guess: what cannot be read, was
cut or was refused is an error of its own kind. Or it asks for text, and gets
what the model said, with whether it was cut.

Not here: one request over the wire and its retries (``sending.py``), which
parts of a request a server takes (``dialect.py``), what may be spent (``budget.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from jsonschema_rs import Draft202012Validator

from referee.core.clock import Clock, SystemClock
from referee.core.findings import JsonValue
from referee.foundation.llm.budget import Purse
from referee.foundation.llm.dialect import Question
from referee.foundation.llm.errors import LlmError
from referee.foundation.llm.messages import ChatMessage, Completion, LlmReply, read_completion, read_value
from referee.foundation.llm.sending import Sender, Tally

__all__ = ["LlmClient"]

MAX_ANSWER_TOKENS: Final = 16_384
"""Most tokens one answer may have, also after it was asked for again with more; some servers refuse beyond."""
_REPAIR_CHARACTERS: Final = 20_000
"""Most of an unusable answer that is shown to the model again."""
_REFUSED_PART_STATUSES: Final = (400, 422)
_MAX_REFUSED_PARTS: Final = 8


class LlmClient:
    """Asks one model of one server, within one purse. For one event loop; close it when done.

    Args:
        base_url: Address of the API, to which ``/chat/completions`` is added: ``http://127.0.0.1:8080/v1``.
        model: Name of the model, as the server calls it.
        api_key: Sent as a bearer token; None sends none.
        purse: What may be spent.
        timeout_s: Seconds for one request, from connecting to the last byte.
        max_attempts_count: Times one request is sent when the server is busy, failing or not there.
        max_response_bytes: Bytes of an answer; more are not read.
        wait: Called with the seconds to wait before a retry.
        clock: For durations, and for a ``Retry-After`` that is a date.
        setting_prefix: Of the settings that errors tell people to check, such as ``judge``.
        requests_per_minute: Requests sent in a minute at most, retries included; None: no limit.

    Raises:
        InvalidInput: ``base_url`` is no plain http or https address, or the key cannot be one.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        *,
        purse: Purse,
        timeout_s: float = 120.0,
        max_attempts_count: int = 4,
        max_response_bytes: int = 4 << 20,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Clock | None = None,
        setting_prefix: str = "judge",
        requests_per_minute: float | None = None,
    ) -> None:
        self.model = model
        self.purse = purse
        self._clock = clock or SystemClock()
        self._sender = Sender(
            base_url,
            api_key,
            timeout_s=timeout_s,
            max_attempts_count=max_attempts_count,
            max_response_bytes=max_response_bytes,
            wait=wait,
            clock=self._clock,
            setting_prefix=setting_prefix,
            requests_per_minute=requests_per_minute,
        )

    def __repr__(self) -> str:
        return f"LlmClient({self._sender.url!r}, {self.model!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections. Idempotent."""
        await self._sender.close()

    def with_full_purse(self) -> LlmClient:
        """Return this client with a purse of its own, as large and not yet used.

        Connections and what is known of the server are shared; closing one closes both.
        """
        client = copy(self)
        client.purse = Purse(self.purse.tokens_count, self.purse.calls_count)
        return client

    def with_model(self, model: str) -> LlmClient:
        """Return this client asking another model, with a full purse of its own.

        Connections, the limit of requests per minute and what is known of the server are shared.
        """
        client = self.with_full_purse()
        client.model = model
        return client

    async def complete_text(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int = 2_048,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> LlmReply:
        """Ask, and return what the model said, of any form; ``value`` is None.

        An answer that was cut is returned as it is, with ``finish_reason`` ``length``.

        Args:
            messages: The conversation; the system message, if any, first.
            max_tokens: Tokens the answer may have.
            temperature: 0 for the likeliest words; left out for servers that refuse it.
            seed: For servers that can repeat an answer.

        Raises:
            LlmError: No answer; ``kind`` says why.
        """
        started_ns = self._clock.monotonic_ns()
        tally = Tally(self.purse)
        question = Question(
            model=self.model,
            messages=messages,
            schema=None,
            schema_name="",
            max_tokens=max_tokens,
            seed=seed,
            temperature=temperature,
        )
        completion = await self._ask(question, tally)
        return self._reply(completion, None, tally, started_ns)

    async def complete_json(
        self,
        messages: Sequence[ChatMessage],
        schema: dict[str, JsonValue],
        *,
        schema_name: str = "answer",
        max_tokens: int = 2_048,
        seed: int | None = None,
    ) -> LlmReply:
        """Ask, and return an answer whose JSON fits the schema.

        An answer that is not such JSON is asked for once more with what is wrong
        with it; one that was cut is asked for once more with twice the tokens.

        Args:
            messages: The conversation; the system message, if any, first.
            schema: JSON Schema (2020-12) of the answer, an object at its top.
            schema_name: Its name for the server: letters, digits, dashes, underscores.
            max_tokens: Tokens the answer may have at first.
            seed: For servers that can repeat an answer.

        Raises:
            LlmError: No answer that can be used; ``kind`` says why.
        """
        started_ns = self._clock.monotonic_ns()
        validator = Draft202012Validator(schema)
        tally = Tally(self.purse)
        question = Question(
            model=self.model,
            messages=messages,
            schema=schema,
            schema_name=schema_name,
            max_tokens=min(max_tokens, MAX_ANSWER_TOKENS),
            seed=seed,
        )
        is_repaired = is_enlarged = False
        while True:
            completion = await self._ask(question, tally)
            if completion.finish_reason == "length":
                if is_enlarged or question.max_tokens >= MAX_ANSWER_TOKENS:
                    raise _truncated(question.max_tokens)
                is_enlarged = True
                question = replace(question, max_tokens=min(2 * question.max_tokens, MAX_ANSWER_TOKENS))
                continue
            value, problem = read_value(completion.text, validator)
            if not problem:
                return self._reply(completion, value, tally, started_ns)
            if is_repaired:
                raise _malformed(problem)
            is_repaired = True
            question = replace(question, messages=(*messages, *_ask_for_repair(completion.text, problem)))

    def _reply(self, completion: Completion, value: JsonValue, tally: Tally, started_ns: int) -> LlmReply:
        return LlmReply(
            value=value,
            text=completion.text,
            model=completion.model or self.model,
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            attempts_count=tally.attempts_count,
            duration_ms=(self._clock.monotonic_ns() - started_ns) // 1_000_000,
            finish_reason=completion.finish_reason,
        )

    async def _ask(self, question: Question, tally: Tally) -> Completion:
        """Send a question in the server's dialect, learning the dialect from what it refuses."""
        for _ in range(_MAX_REFUSED_PARTS):
            answer = await self._sender.send(
                self._sender.dialect.render(question), question.max_tokens, tally
            )
            if answer.status not in _REFUSED_PART_STATUSES:
                break
            dialect = self._sender.dialect.without_refused_part(answer.body.decode("utf-8", errors="replace"))
            if dialect is None:
                break
            self._sender.dialect = dialect
        self._sender.require_success(answer)
        completion = read_completion(answer.body)
        tally.add(completion, answer.prompt_estimate)
        return completion


def _ask_for_repair(text: str, problem: str) -> tuple[ChatMessage, ChatMessage]:
    return (
        ChatMessage("assistant", text[:_REPAIR_CHARACTERS]),
        ChatMessage(
            "user",
            f"That cannot be used: {problem}. Answer again with the whole JSON object, corrected, and nothing else.",
        ),
    )


def _truncated(max_tokens: int) -> LlmError:
    return LlmError(
        "truncated",
        f"The language model's answer did not fit into {max_tokens:,} tokens.",
        "Ask for less at once, or use a model that says less.",
        max_tokens=max_tokens,
    )


def _malformed(problem: str) -> LlmError:
    return LlmError(
        "malformed",
        f"The language model's answer is not the JSON that was asked for, twice: {problem[:300]}.",
        "Use a model or a server that keeps to a JSON Schema.",
    )
