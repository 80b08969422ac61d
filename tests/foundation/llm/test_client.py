"""The client of a language model, against a scripted server on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.llm_server import LlmServer, Response, Script, answer, failure, in_turn, serve_llm

from referee.core.clock import ManualClock
from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.foundation.llm import ChatMessage, LlmClient, LlmError, Purse, open_llm
from referee.foundation.settings import load_settings

KEY = "sk-planted-canary-0123456789"
MESSAGES = [ChatMessage("system", "You judge."), ChatMessage("user", "Is it met?")]
SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"met": {"type": "boolean"}},
    "required": ["met"],
    "additionalProperties": False,
}
GOOD = answer({"met": True})


class Waits(list[float]):
    """Takes the place of sleeping: keeps the seconds and goes on."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@asynccontextmanager
async def talk_to(
    script: Script | Response, waits: Waits | None = None, **options: Any
) -> AsyncIterator[tuple[LlmClient, LlmServer]]:
    with serve_llm(script if callable(script) else in_turn(script)) as server:
        options = {"purse": Purse(1_000_000), "timeout_s": 10.0, **options}
        async with LlmClient(
            server.url, "judge-1", KEY, wait=Waits() if waits is None else waits, **options
        ) as client:
            yield client, server


async def ask_and_fail(script: Script | Response, **options: Any) -> tuple[LlmError, LlmServer]:
    async with talk_to(script, **options) as (client, server):
        with pytest.raises(LlmError) as caught:
            await client.complete_json(MESSAGES, SCHEMA)
        return caught.value, server


async def test_an_answer_that_fits_is_returned_with_what_it_cost() -> None:
    async with talk_to(GOOD) as (client, server):
        reply = await client.complete_json(MESSAGES, SCHEMA, schema_name="verdict", max_tokens=50, seed=7)
    assert (reply.value, reply.text, reply.model) == ({"met": True}, '{"met": true}', "scripted-1")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.attempts_count) == (100, 20, 1)
    assert (reply.finish_reason, reply.duration_ms >= 0) == ("stop", True)
    assert client.purse.spent_tokens_count == 120
    request = server.requests[0]
    assert (request.path, request.headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert request.body == {
        "model": "judge-1",
        "messages": [
            {"role": "system", "content": "You judge."},
            {"role": "user", "content": "Is it met?"},
        ],
        "max_tokens": 50,
        "stream": False,
        "temperature": 0,
        "seed": 7,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA},
        },
    }


async def test_without_a_key_none_is_sent() -> None:
    with serve_llm(in_turn(GOOD)) as server:
        async with LlmClient(server.url, "judge-1", purse=Purse(10_000)) as client:
            await client.complete_json(MESSAGES, SCHEMA)
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("busy", "expected_waits"),
    [
        (failure(429, "slow down", Retry_After="7"), [7.0]),
        (failure(429, "slow down", Retry_After="Wed, 25 Nov 2026 10:00:09 GMT"), [9.0]),
        (failure(429, "slow down", Retry_After="Wed, 25 Nov 2026 09:00:00 GMT"), [0.0]),
        (failure(429, "slow down", Retry_After="soon"), [1.0]),
        (failure(429, "slow down", Retry_After="nan"), [1.0]),
        (failure(500, "oops"), [1.0]),
        (failure(503, "loading", Retry_After="2"), [2.0]),
        (failure(408, "late"), [1.0]),
        (failure(409, "conflict"), [1.0]),
    ],
)
async def test_a_busy_server_is_asked_again_after_the_wait_it_names(
    busy: Response, expected_waits: list[float]
) -> None:
    waits = Waits()
    clock = ManualClock(datetime(2026, 11, 25, 10, 0, 0, tzinfo=UTC))
    async with talk_to(in_turn(busy, GOOD), waits, clock=clock) as (client, _):
        reply = await client.complete_json(MESSAGES, SCHEMA)
    assert (reply.attempts_count, waits, client.purse.spent_tokens_count) == (2, expected_waits, 120)


async def test_waits_double_and_end_with_the_last_attempt() -> None:
    waits = Waits()
    error, server = await ask_and_fail(failure(500, "oops"), waits=waits, max_attempts_count=4)
    assert (error.kind, error.code, len(server.requests), waits) == (
        "unreachable", "llm.unreachable", 4, [1.0, 2.0, 4.0],
    )  # fmt: skip


async def test_a_server_that_stays_busy_is_rate_limited() -> None:
    error, _ = await ask_and_fail(failure(429, "quota for today"), max_attempts_count=2)
    assert (error.kind, error.message) == (
        "rate_limited",
        "The language model's server takes no more requests for now: quota for today.",
    )


async def test_a_server_that_wants_a_long_pause_is_given_up_at_once() -> None:
    waits = Waits()
    error, server = await ask_and_fail(failure(429, "slow", Retry_After="3600"), waits=waits)
    assert (error.kind, len(server.requests), waits) == ("rate_limited", 1, [])


async def test_nobody_listening_is_unreachable_and_costs_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        waits, purse = Waits(), Purse(10_000)
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        async with LlmClient(url, "judge-1", KEY, purse=purse, wait=waits, max_attempts_count=3) as client:
            with pytest.raises(LlmError) as caught:
                await client.complete_json(MESSAGES, SCHEMA)
    assert (caught.value.kind, waits) == ("unreachable", [1.0, 2.0])
    assert (purse.spent_tokens_count, purse.free_tokens_count) == (0, 10_000)


async def test_an_answer_whose_connection_breaks_is_asked_for_again_and_both_are_paid() -> None:
    async with talk_to(in_turn(replace(GOOD, is_cut=True), GOOD)) as (client, _):
        reply = await client.complete_json(MESSAGES, SCHEMA, max_tokens=500)
    assert (reply.value, reply.attempts_count) == ({"met": True}, 2)
    assert client.purse.spent_tokens_count > 120 + 500


async def test_a_server_that_says_nothing_is_a_timeout_whose_cost_counts() -> None:
    error, server = await ask_and_fail(Response(is_silent=True), timeout_s=0.2, purse=Purse(100_000))
    assert (error.kind, len(server.requests)) == ("timeout", 1)
    assert error.message == "The language model gave no whole answer within 0.2 seconds."


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"met": true}\n```',
        'Sure! Here it is:\n{"met": true}\nAnything else?',
        '\n {"met": true} \n',
    ],
)
async def test_json_in_a_fence_or_between_sentences_is_read(text: str) -> None:
    async with talk_to(answer(text)) as (client, _):
        reply = await client.complete_json(MESSAGES, SCHEMA)
    assert (reply.value, reply.text, reply.attempts_count) == ({"met": True}, text, 1)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ('{"met": tr', "the answer is not JSON"),
        ("", "the answer is not JSON"),
        ('{"met": NaN}', "the answer is not JSON"),
        ("[" * 100_000, "the answer is not JSON"),
        ('{"met": "yes"}', 'met: "yes" is not of type "boolean"'),
        ('{"met": true, "note": "\\ud800"}', "characters that are not Unicode text"),
    ],
)
async def test_an_answer_that_does_not_fit_is_repaired_once(bad: str, complaint: str) -> None:
    async with talk_to(in_turn(answer(bad), GOOD)) as (client, server):
        reply = await client.complete_json(MESSAGES, SCHEMA)
    assert (reply.value, reply.attempts_count, reply.prompt_tokens) == ({"met": True}, 2, 200)
    said = server.requests[1].body["messages"]
    assert [message["role"] for message in said] == ["system", "user", "assistant", "user"]
    assert said[2]["content"] == bad[:20_000]
    assert complaint in said[3]["content"]


async def test_an_answer_that_does_not_fit_twice_is_malformed() -> None:
    error, server = await ask_and_fail(answer({"met": "maybe"}))
    assert (error.kind, len(server.requests)) == ("malformed", 2)


@pytest.mark.parametrize(
    "body", [b"<html>Welcome</html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": 1}]}']
)
async def test_an_answer_that_is_no_chat_completion_is_malformed(body: bytes) -> None:
    error, server = await ask_and_fail(Response(body=body))
    assert (error.kind, len(server.requests)) == ("malformed", 1)


async def test_a_cut_answer_is_asked_for_again_with_twice_the_tokens() -> None:
    cut = answer('{"met": tr', finish_reason="length")
    async with talk_to(in_turn(cut, GOOD)) as (client, server):
        reply = await client.complete_json(MESSAGES, SCHEMA, max_tokens=64)
    assert reply.value == {"met": True}
    assert [request.body["max_tokens"] for request in server.requests] == [64, 128]


async def test_an_answer_that_is_cut_twice_is_truncated_even_when_it_is_json() -> None:
    error, server = await ask_and_fail(answer({"met": True}, finish_reason="length"))
    assert (error.kind, len(server.requests)) == ("truncated", 2)


async def test_an_answer_cut_at_the_cap_is_not_asked_for_again() -> None:
    async with talk_to(answer("{", finish_reason="length")) as (client, server):
        with pytest.raises(LlmError, match="16,384 tokens"):
            await client.complete_json(MESSAGES, SCHEMA, max_tokens=1_000_000)
    assert len(server.requests) == 1


def knowing_only(*formats: str) -> Script:
    def script(request: Any) -> Response:
        wanted = request.body.get("response_format", {"type": "text"})["type"]
        if wanted in formats:
            return GOOD
        return failure(400, f"Invalid parameter: response_format of type {wanted} is not supported")

    return script


@pytest.mark.parametrize(
    ("script", "formats"),
    [
        (knowing_only("json_object"), ["json_schema", "json_object", "json_object"]),
        (knowing_only("text"), ["json_schema", "json_object", None, None]),
    ],
)
async def test_a_refused_format_falls_back_and_is_remembered(
    script: Script, formats: list[str | None]
) -> None:
    async with talk_to(script) as (client, server):
        first = await client.complete_json(MESSAGES, SCHEMA)
        second = await client.complete_json(MESSAGES, SCHEMA)
    asked = [request.body.get("response_format", {}).get("type") for request in server.requests]
    assert asked == formats
    assert (first.attempts_count, second.attempts_count) == (len(formats) - 1, 1)
    assert json.dumps(SCHEMA, separators=(",", ":")) in server.requests[-1].body["messages"][0]["content"]


async def test_other_refused_parts_are_left_out() -> None:
    def script(request: Any) -> Response:
        if "max_tokens" in request.body:
            return failure(400, "Unsupported parameter: use max_completion_tokens instead")
        if "temperature" in request.body:
            return failure(400, "temperature 0 is not supported with this model")
        return failure(400, "unknown field seed") if "seed" in request.body else GOOD

    async with talk_to(script) as (client, server):
        await client.complete_json(MESSAGES, SCHEMA, max_tokens=99, seed=1)
    last = server.requests[-1].body
    assert (last["max_completion_tokens"], "temperature" in last, "seed" in last) == (99, False, False)


async def test_a_refusal_of_anything_else_is_refused_in_the_servers_words() -> None:
    error, server = await ask_and_fail(failure(400, "context is too long"))
    assert (error.kind, len(server.requests)) == ("refused", 1)
    assert "context is too long" in error.message


async def test_a_server_that_refuses_every_format_is_refused() -> None:
    error, server = await ask_and_fail(failure(400, "response_format is not for you"))
    assert (error.kind, len(server.requests)) == ("refused", 3)


@pytest.mark.parametrize(
    "declined", [answer("", refusal="I cannot help with that."), answer("", finish_reason="content_filter")]
)
async def test_a_model_that_declines_is_refused(declined: Response) -> None:
    error, _ = await ask_and_fail(declined)
    assert error.kind == "refused"


async def test_a_redirect_is_never_followed() -> None:
    with serve_llm(in_turn(GOOD)) as elsewhere:
        moved = Response(status=307, headers={"location": f"{elsewhere.url}/chat/completions"})
        error, _ = await ask_and_fail(moved)
        assert (error.kind, elsewhere.requests) == ("refused", [])


async def test_a_huge_answer_is_not_read_to_its_end() -> None:
    huge = Response(body=b" " * (1 << 20), repeat=1024)
    error, _ = await ask_and_fail(huge, max_response_bytes=100_000)
    assert error.kind == "malformed"
    assert "100,000 bytes" in error.message


async def test_a_compressed_answer_is_not_taken() -> None:
    error, server = await ask_and_fail(Response(body=b"\x1f\x8b", headers={"content-encoding": "gzip"}))
    assert (error.kind, server.requests[0].headers["accept-encoding"]) == ("malformed", "identity")


async def test_the_key_is_in_no_error_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    error, _ = await ask_and_fail(failure(401, f"Incorrect API key provided: {KEY}."))
    chain = [error, error.__cause__, error.__context__]
    shown = " ".join([str(error), repr(error), repr(error.context), *map(repr, chain), caplog.text])
    assert (error.kind, "[hidden]" in error.message, KEY in shown) == ("refused", True, False)
    async with LlmClient("http://127.0.0.1:1/v1", "judge-1", KEY, purse=Purse(1)) as client:
        assert repr(client) == "LlmClient('http://127.0.0.1:1/v1/chat/completions', 'judge-1')"


async def test_what_does_not_fit_into_the_purse_is_not_sent() -> None:
    error, server = await ask_and_fail(GOOD, purse=Purse(500))
    assert (error.kind, server.requests) == ("over_budget", [])


async def test_a_purse_is_spent_by_what_was_used_and_ends_by_tokens() -> None:
    async with talk_to(GOOD, purse=Purse(1_000)) as (client, server):
        replies = [await client.complete_json(MESSAGES, SCHEMA, max_tokens=100) for _ in range(7)]
        with pytest.raises(LlmError) as caught:
            await client.complete_json(MESSAGES, SCHEMA, max_tokens=100)
    assert (caught.value.kind, len(replies), len(server.requests)) == ("over_budget", 7, 7)
    assert client.purse.spent_tokens_count == 840


async def test_a_purse_ends_by_requests() -> None:
    async with talk_to(GOOD, purse=Purse(1_000_000, calls_count=1)) as (client, _):
        await client.complete_json(MESSAGES, SCHEMA)
        with pytest.raises(LlmError, match="budget of 1 requests"):
            await client.complete_json(MESSAGES, SCHEMA)


async def test_each_full_purse_is_spent_by_itself_and_what_is_known_of_the_server_is_shared() -> None:
    async with talk_to(knowing_only("text"), purse=Purse(2_000)) as (client, server):
        first, second = client.with_full_purse(), client.with_full_purse()
        await first.complete_json(MESSAGES, SCHEMA, max_tokens=100)
        await second.complete_json(MESSAGES, SCHEMA, max_tokens=100)
    assert [one.purse.spent_tokens_count for one in (client, first, second)] == [0, 120, 120]
    assert len(server.requests) == 4


async def test_requests_on_their_way_cannot_overdraw_a_purse_together() -> None:
    async with talk_to(GOOD, purse=Purse(1_300)) as (client, _):
        asked = [client.complete_json(MESSAGES, SCHEMA, max_tokens=1_000) for _ in range(5)]
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, LlmError) for result in results) == 4
    assert (client.purse.spent_tokens_count, client.purse.free_tokens_count) == (120, 1_180)


async def test_a_server_that_does_not_count_is_counted_by_estimate() -> None:
    async with talk_to(answer({"met": True}, usage=None)) as (client, _):
        reply = await client.complete_json(MESSAGES, SCHEMA)
    assert reply.prompt_tokens > 50
    assert client.purse.spent_tokens_count == reply.prompt_tokens + reply.completion_tokens


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@host/v1",
        "http://host/v1?key=secret",
    ],
)
def test_an_address_that_is_not_plain_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        LlmClient(url, "judge-1", purse=Purse(1))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"Bearer {KEY}", f"{KEY}ä"])
def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        LlmClient("http://127.0.0.1:1/v1", "judge-1", key, purse=Purse(1))
    assert KEY not in f"{caught.value} {caught.value.context} {caught.value.__context__}"


async def test_settings_without_a_judge_open_no_client() -> None:
    assert open_llm(load_settings(judge_url="", judge_model="judge-1")) is None


async def test_settings_with_a_judge_open_a_client_with_its_budget() -> None:
    settings = load_settings(
        judge_url="http://127.0.0.1:8080/v1",
        judge_model="judge-1",
        judge_api_key=KEY,
        judge_max_tokens_count=5_000,
    )
    client = open_llm(settings)
    assert client is not None
    async with client:
        assert (client.model, client.purse.tokens_count) == ("judge-1", 5_000)
    assert KEY not in repr(settings)


@pytest.mark.parametrize(
    "values",
    [
        {"judge_url": "http://127.0.0.1:8080/v1"},
        {"judge_url": "ftp://127.0.0.1/v1", "judge_model": "judge-1"},
        {"judge_url": "http://user:secret@host/v1", "judge_model": "judge-1"},
    ],
)
def test_settings_that_name_no_usable_judge_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(**values)
    assert "secret" not in str(caught.value)
