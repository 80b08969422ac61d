"""Whatever a provider does, a question ends in an answer that fits or in an error that says why; nothing is guessed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from tests.llm_server import Request, Response, answer, failure, serve_llm

from referee.core.findings import JsonValue
from referee.foundation.llm import ChatMessage, LlmClient, LlmError, Purse

SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"grade": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["grade"],
    "additionalProperties": False,
}
GOOD = answer({"grade": 4})
FAULTS = [
    failure(429, "slow down", Retry_After="3"),
    failure(429, "come back tomorrow", Retry_After="86400"),
    failure(500, "oops"),
    failure(503, "loading"),
    failure(401, "bad key"),
    failure(400, "response_format is unknown"),
    failure(400, "the context is too long"),
    Response(status=302, headers={"location": "http://127.0.0.1:1/"}),
    Response(body=b""),
    Response(body=b"<html>"),
    Response(body=b"[" * 50_000),
    Response(body=b"\xff\xfe\x00"),
    Response(body=b"x" * 20_000),
    replace(GOOD, is_cut=True),
    answer(""),
    answer('{"grade": 4'),
    answer('{"grade": NaN}'),
    answer({"grade": 9}),
    answer({"grade": 4, "note": "more"}),
    answer([4]),
    answer({"grade": 4}, finish_reason="length"),
    answer("", finish_reason="content_filter"),
    answer("", refusal="No."),
    answer({"grade": 4}, usage=None),
    answer({"grade": 4}, usage=(-5, 10**9)),
]


async def wait_for_nothing(_: float) -> None:
    """Go on at once."""


@pytest.mark.parametrize("questions_count", [60, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_random_faults_end_in_a_fitting_answer_or_in_an_error(questions_count: int) -> None:
    chance = random.Random(39)
    outcomes: Counter[str] = Counter()

    def script(_: Request) -> Response:
        return chance.choice([GOOD, *FAULTS])

    with serve_llm(script) as server:
        for _ in range(questions_count):
            purse = Purse(100_000)
            async with LlmClient(
                server.url, "judge-1", purse=purse, wait=wait_for_nothing, max_response_bytes=10_000
            ) as client:
                try:
                    reply = await client.complete_json([ChatMessage("user", "Grade it.")], SCHEMA)
                except LlmError as error:
                    outcomes[error.kind] += 1
                else:
                    assert reply.value == {"grade": 4}
                    outcomes["answered"] += 1
            assert purse.free_tokens_count == max(0, purse.tokens_count - purse.spent_tokens_count)
    assert outcomes.total() == questions_count
    assert set(outcomes) >= {"answered", "refused", "rate_limited", "malformed"}
