"""OTLP over gRPC, spoken by a real channel to the port that the room opens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from sqlalchemy import text
from tests.traces.requests import make_request, make_span

from referee.core.errors import Conflict, NotFound
from referee.foundation.access import Principal, authenticate, create_key, find_local_principal, get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.traces import TracesRoom, list_events, writer
from referee.traces.otlp_grpc import keep_otlp_grpc
from referee.traces.updating import WRITERS_LOCK

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
A_WRITER_WAITS = """
    SELECT EXISTS (
        SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
        WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()
    )
"""


class Caller:
    """Calls ``Export`` as an exporter does, with bytes for a message."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._export = channel.unary_unary(EXPORT)

    async def send(self, body: bytes, key: str | None = None, *, is_gzip: bool = False) -> bytes:
        """Return the answer's bytes."""
        answer: bytes = await self._export(
            body,
            timeout=120,
            metadata=() if key is None else (("authorization", f"Bearer {key}"),),
            compression=grpc.Compression.Gzip if is_gzip else None,
        )
        return answer

    async def fail(self, body: bytes, key: str | None = None) -> grpc.aio.AioRpcError:
        """Return how the call failed."""
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.send(body, key)
        return failed.value


@pytest.fixture
def grpc_settings(database_settings: Settings) -> Settings:
    """Settings that open a free port for spans."""
    return database_settings.model_copy(update={"otlp_grpc_port": 0})


@pytest.fixture
async def caller(grpc_settings: Settings, room: TracesRoom, database: Database) -> AsyncIterator[Caller]:
    """A caller of a server on this machine."""
    async with (
        keep_otlp_grpc(
            grpc_settings,
            room,
            authenticate=lambda key: authenticate(database, key),
            find_local=lambda slug: find_local_principal(database, slug),
        ) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Caller(channel)


async def test_spans_over_grpc_are_there_when_the_call_returns(
    caller: Caller, database: Database, project_id: UUID
) -> None:
    assert await caller.send(make_request([make_span(1)])) == b""
    assert await caller.send(make_request([make_span(2, parent=1)]), is_gzip=True) == b""
    page = await list_events(database, project_id)
    assert sorted(event.event_name for event in page.events) == ["step", "step"]


async def test_what_cannot_be_kept_is_counted_and_its_neighbours_are_kept(
    caller: Caller, database: Database, project_id: UUID
) -> None:
    answer = ExportTraceServiceResponse()
    answer.ParseFromString(await caller.send(make_request([make_span(1), make_span(0)])))
    assert answer.partial_success.rejected_spans == 1
    assert "span id that is not 8 bytes" in answer.partial_success.error_message
    assert (await list_events(database, project_id)).total_count == 1


async def test_what_is_no_request_and_what_is_too_large_are_refused_for_good(caller: Caller) -> None:
    malformed, too_large = await caller.fail(b"\xff\xff"), await caller.fail(bytes(17 * 1024 * 1024))
    assert malformed.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert too_large.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" not in dict(too_large.trailing_metadata() or ())


async def test_a_full_queue_says_when_to_send_again(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUEUE_MAX_SPANS", 1)
    async with database.transaction() as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
        written = asyncio.create_task(caller.send(make_request([make_span(1)])))
        async with asyncio.timeout(30):
            while not (await session.execute(text(A_WRITER_WAITS))).scalar_one():
                await asyncio.sleep(0.02)
        # Of two that come while that one is with the database, one waits and the other finds no room.
        waiting = [asyncio.create_task(caller.send(make_request([make_span(one)]))) for one in (2, 3)]
        [ended], [left] = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=60)
        failed = ended.exception()
    assert isinstance(failed, grpc.aio.AioRpcError)
    assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = dict(failed.trailing_metadata() or ())["grpc-status-details-bin"]
    assert b"google.rpc.RetryInfo" in bytes(details)
    assert bytes(details).endswith(b"\x12\x04\x0a\x02\x08\x01")
    assert [await written, await left] == [b"", b""]


async def test_keys_hold_here_as_over_http(caller: Caller, database: Database) -> None:
    _, secret = await create_key(database, await get_project(database, "default"), "reader", ["read"])
    body = make_request([make_span(1)])
    assert (await caller.fail(body, "rfr_wrong")).code() is grpc.StatusCode.UNAUTHENTICATED
    assert (await caller.fail(body, secret)).code() is grpc.StatusCode.PERMISSION_DENIED


async def nobody(_: str) -> Principal:
    """Know no caller."""
    raise NotFound("test", "Nobody.")


async def test_a_port_that_is_taken_is_one_sentence(grpc_settings: Settings, room: TracesRoom) -> None:
    async with keep_otlp_grpc(grpc_settings, room, authenticate=nobody, find_local=nobody) as port:
        taken = grpc_settings.model_copy(update={"otlp_grpc_port": port})
        with pytest.raises(Conflict, match="OTLP/gRPC cannot listen"):
            async with keep_otlp_grpc(taken, room, authenticate=nobody, find_local=nobody):
                pass


async def test_without_a_port_there_is_no_server(database_settings: Settings, room: TracesRoom) -> None:
    async with keep_otlp_grpc(database_settings, room, authenticate=nobody, find_local=nobody) as port:
        assert port is None
