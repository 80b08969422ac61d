from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from tests.foundation.web.conftest import build_app, find_local_principal, serve

from referee.core.errors import Forbidden, InvalidInput, TooManyRequests
from referee.foundation.access import Principal
from referee.foundation.settings import load_settings
from referee.foundation.store import Database
from referee.foundation.web.live import LiveEvent, LiveHub, LiveStream, encode_event, publish

PRINCIPAL = Principal(UUID(int=1), "default", None, frozenset({"admin"}))
TOPICS = frozenset({"example:1"})


async def take(events: AsyncIterator[LiveEvent], count: int) -> list[LiveEvent]:
    async with asyncio.timeout(10):
        return [await anext(events) for _ in range(count)]


@pytest.fixture
async def hub(database: Database) -> AsyncIterator[LiveHub]:
    opened = LiveHub(database.conninfo)
    opened.register_topic("example")
    yield opened
    await opened.close()


async def test_an_event_is_heard_after_commit_and_never_before(hub: LiveHub, database: Database) -> None:
    async with hub.open_stream(TOPICS) as stream:
        events = stream.events(heartbeat_s=0.2)
        async with database.transaction() as session:
            await publish(session, "example:1", {"count": 12})
            before = await take(events, 2)
        after = await take(events, 1)
    assert [event.name for event in before] == ["ready", "heartbeat"]
    assert after == [LiveEvent("change", "example:1", {"count": 12})]


async def test_what_is_rolled_back_is_never_heard(hub: LiveHub, database: Database) -> None:
    async with hub.open_stream(TOPICS) as stream:
        with pytest.raises(RuntimeError):
            async with database.transaction() as session:
                await publish(session, "example:1")
                raise RuntimeError
        async with database.transaction() as session:
            await publish(session, "example:1", "second")
        events = await take(stream.events(), 2)
    assert [event.payload for event in events] == [None, "second"]


async def test_other_topics_are_not_heard(hub: LiveHub, database: Database) -> None:
    async with hub.open_stream(TOPICS) as stream:
        async with database.transaction() as session:
            await publish(session, "example:2")
            await publish(session, "example:1")
        events = await take(stream.events(), 2)
    assert [event.topic for event in events] == ["", "example:1"]


async def test_events_of_another_project_are_not_heard(hub: LiveHub, database: Database) -> None:
    async with hub.open_stream(TOPICS, UUID(int=1)) as stream:
        async with database.transaction() as session:
            await publish(session, "example:1", "theirs", project_id=UUID(int=2))
        async with database.transaction() as session:
            await publish(session, "example:1", "ours", project_id=UUID(int=1))
        events = await take(stream.events(), 2)
    assert [event.payload for event in events] == [None, "ours"]


async def test_every_process_hears_what_one_publishes(hub: LiveHub, database: Database) -> None:
    other = LiveHub(database.conninfo)
    async with hub.open_stream(TOPICS) as first, other.open_stream(TOPICS) as second:
        async with database.transaction() as session:
            await publish(session, "example:1")
        heard = [await take(stream.events(), 2) for stream in (first, second)]
    assert [[event.name for event in events] for events in heard] == [["ready", "change"]] * 2


async def test_a_payload_that_is_too_large_is_left_out(hub: LiveHub, database: Database) -> None:
    async with hub.open_stream(TOPICS) as stream:
        async with database.transaction() as session:
            await publish(session, "example:1", "x" * 10_000)
        events = await take(stream.events(), 2)
    assert events[1] == LiveEvent("change", "example:1", None)


async def test_a_lost_connection_to_the_database_ends_in_a_resync(hub: LiveHub, database: Database) -> None:
    async with hub.open_stream(TOPICS) as stream:
        async with await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                " AND datname = current_database()"
            )
        events = await take(stream.events(), 2)
        async with database.transaction() as session:
            await publish(session, "example:1")
        events += await take(stream.events(), 1)
    assert [event.name for event in events] == ["ready", "resync", "change"]


async def test_nothing_listens_when_no_page_is_open(hub: LiveHub, database: Database) -> None:
    async with hub.open_stream(TOPICS):
        pass
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    )
    async with asyncio.timeout(10), database.engine.connect() as connection:
        while await connection.scalar(text(query)):
            await asyncio.sleep(0.01)


async def test_an_odd_notification_is_left_and_the_next_one_heard(hub: LiveHub, database: Database) -> None:
    async with hub.open_stream(TOPICS) as stream:
        async with database.transaction() as session:
            for body in ("not json", "[]", "{}", '{"topic": 7}'):
                await session.execute(text("SELECT pg_notify('referee_live', :body)"), {"body": body})
            await publish(session, "example:1")
        events = await take(stream.events(), 2)
    assert [event.name for event in events] == ["ready", "change"]


async def test_a_slow_page_gets_the_newest_event_of_a_topic_once() -> None:
    stream = LiveStream(TOPICS)
    for number in range(1_000):
        stream.push(LiveEvent("change", "example:1", number))
    assert await take(stream.events(), 1) == [LiveEvent("change", "example:1", 999)]


async def test_a_page_that_falls_behind_is_told_to_fetch_everything() -> None:
    stream = LiveStream(TOPICS, max_waiting_count=3)
    for number in range(4):
        stream.push(LiveEvent("change", f"example:{number}"))
    stream.close()
    assert [event.name async for event in stream.events()] == ["resync"]


async def test_streams_are_limited_and_freed() -> None:
    hub = LiveHub(max_streams_count=1)
    async with hub.open_stream(TOPICS):
        with pytest.raises(TooManyRequests):
            await hub.open_stream(TOPICS).__aenter__()
    async with hub.open_stream(TOPICS):
        assert hub.streams_count == 1


async def test_only_registered_topics_that_may_be_read_are_heard() -> None:
    async def may_read(principal: Principal, rest: str) -> bool:
        return rest == "mine"

    hub = LiveHub()
    hub.register_topic("example", may_read)
    assert await hub.check_topics(PRINCIPAL, ["example:mine", ""]) == {"example:mine"}
    with pytest.raises(Forbidden):
        await hub.check_topics(PRINCIPAL, ["example:theirs"])
    with pytest.raises(InvalidInput, match="There is no topic"):
        await hub.check_topics(PRINCIPAL, ["other:1"])
    with pytest.raises(InvalidInput, match="1 to 20 topics"):
        await hub.check_topics(PRINCIPAL, [])


def test_events_are_written_in_the_form_of_server_sent_events() -> None:
    assert encode_event(LiveEvent("heartbeat")) == ": heartbeat\n\n"
    assert encode_event(LiveEvent("change", "a:1", "two\nlines")) == (
        'event: change\ndata: {"topic":"a:1","payload":"two\\nlines"}\n\n'
    )


@pytest.fixture
async def live_app(database_settings: object, database: Database) -> FastAPI:
    return build_app(
        load_settings(), live=LiveHub(database.conninfo), find_local_principal=find_local_principal
    )


async def test_a_stream_over_http_tells_a_change_and_is_closed_with_its_page(
    live_app: FastAPI, database: Database
) -> None:
    with serve(live_app) as address:
        async with httpx.AsyncClient(base_url=address, timeout=10) as client:
            async with client.stream("GET", "/ui/live", params={"topics": "example:1"}) as answer:
                lines = answer.aiter_lines()
                received = [await anext(lines) for _ in range(3)]
                async with database.transaction() as session:
                    await publish(session, "example:1", 7)
                received += [await anext(lines) for _ in range(2)]
            async with asyncio.timeout(10):
                while live_app.state.shell.live.streams_count:
                    await asyncio.sleep(0.01)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert received[0] == "event: ready"
    assert (received[3], json.loads(received[4].removeprefix("data: "))) == (
        "event: change",
        {"topic": "example:1", "payload": 7},
    )


async def test_a_topic_that_is_unknown_is_refused_over_http(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ui/live", params={"topics": "nothing"})
    assert (answer.status_code, answer.json()["code"]) == (422, "live.topic_unknown")
