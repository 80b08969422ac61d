"""Asking for text, and the pace at which requests are sent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.llm_server import answer, failure, in_turn, serve_llm

from referee.core.clock import ManualClock
from referee.foundation.llm import ChatMessage, LlmClient, LlmError, Purse, open_generator
from referee.foundation.llm.pacing import Pace
from referee.foundation.settings import load_settings

MESSAGES = [ChatMessage("user", "Write.")]


async def test_text_is_returned_as_it_is_and_no_form_is_asked_for() -> None:
    with serve_llm(in_turn(answer("some\ntext", finish_reason="length", usage=(7, 3)))) as server:
        async with LlmClient(server.url, "pico", purse=Purse(10_000)) as client:
            reply = await client.complete_text(MESSAGES, max_tokens=50, temperature=0.7, seed=3)

    assert (reply.text, reply.value, reply.finish_reason) == ("some\ntext", None, "length")
    assert (reply.prompt_tokens, reply.completion_tokens) == (7, 3)
    body = server.requests[0].body
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (50, 0.7, 3)
    assert "response_format" not in body


async def test_refused_temperature_is_left_out_for_good() -> None:
    script = in_turn(failure(400, "temperature is not supported"), answer("a"), answer("b"))
    with serve_llm(script) as server:
        async with LlmClient(server.url, "pico", purse=Purse(100_000)) as client:
            await client.complete_text(MESSAGES, temperature=0.7)
            await client.complete_text(MESSAGES, temperature=0.7)

    assert ["temperature" in request.body for request in server.requests] == [True, False, False]


async def test_error_names_the_settings_of_the_client() -> None:
    with serve_llm(in_turn(failure(401, "no"))) as server:
        client = open_generator(load_settings(generator_url=server.url))
        assert client is not None
        async with client:
            with pytest.raises(LlmError) as caught:
                await client.with_model("pico").complete_text(MESSAGES)

    assert caught.value.hint == "Check REFEREE_GENERATOR_API_KEY."


def test_no_generator_is_opened_without_its_address() -> None:
    assert open_generator(load_settings()) is None


class ClockThatWaits:
    """Moves its clock instead of sleeping."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.waits: list[float] = []

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))


async def test_burst_is_followed_by_even_gaps() -> None:
    time = ClockThatWaits()
    pace = Pace(30, wait=time.wait, clock=time.clock)
    for _ in range(6):
        await pace.wait_for_turn()

    assert time.waits == [2.0, 2.0, 2.0]


async def test_quiet_time_gives_the_burst_back_and_no_more() -> None:
    time = ClockThatWaits()
    pace = Pace(30, wait=time.wait, clock=time.clock)
    await pace.wait_for_turn()
    time.clock.advance(timedelta(hours=1))
    for _ in range(4):
        await pace.wait_for_turn()

    assert time.waits == [2.0]


async def test_one_a_minute_has_no_burst() -> None:
    time = ClockThatWaits()
    pace = Pace(1, wait=time.wait, clock=time.clock)
    await pace.wait_for_turn()
    await pace.wait_for_turn()

    assert time.waits == [60.0]


async def test_requests_of_all_models_share_one_pace() -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(round(seconds))

    with serve_llm(in_turn(answer("a"))) as server:
        async with LlmClient(
            server.url, "", purse=Purse(1_000_000), wait=wait, requests_per_minute=1
        ) as client:
            await asyncio.gather(
                *(client.with_model(name).complete_text(MESSAGES) for name in ("a", "b", "c"))
            )

    assert waits == [60, 120]
