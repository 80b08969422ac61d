"""Referee's own traces reach another collector once, and one that is away or slow costs nothing but a look."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from pydantic import SecretStr
from sqlalchemy import func, select
from tests.traces.test_own_work import describe
from tests.web_site import open_web_app

from referee.core.own_work import OwnWork, WorkSource, make_span_id, make_trace_id
from referee.foundation.access import get_project
from referee.foundation.jobs import JobEngine, JobRow
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store import Database, open_database
from referee.traces.own_work_export import export_own_work, read_headers, register_own_work_export
from referee.traces.trace_reading import list_trace_spans

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)


def tell(works: Sequence[OwnWork]) -> WorkSource:
    """Return a source of these."""

    async def source(after: datetime, limit: int) -> Sequence[OwnWork]:
        return [work for work in works if work.finished_at >= after][:limit]

    return source


@dataclass
class Collector:
    """A receiver that answers as it is told, the last answer again and again."""

    statuses: list[int] = field(default_factory=lambda: [200])
    content: bytes = b""
    delay_s: float = 0.0
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    url: str = ""

    def ids(self) -> list[str]:
        """Trace and span of everything that came with a request that was answered with success."""
        return [
            f"{span.trace_id.hex()} {span.span_id.hex()}"
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        body = gzip.decompress(await reader.readexactly(length))
        self.heads.append(head)
        await asyncio.sleep(self.delay_s)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == 200:
            self.requests.append(ExportTraceServiceRequest.FromString(body))
        writer.write(
            f"HTTP/1.1 {status} x\r\nContent-Length: {len(self.content)}\r\nConnection: close\r\n\r\n".encode()
            + self.content
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def open_collector(collector: Collector) -> AsyncIterator[Collector]:
    """Serve it on a free port."""
    server = await asyncio.start_server(collector.answer, "127.0.0.1", 0)
    collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces"
    yield collector
    server.close()


def to(settings: Settings, url: str, **more: object) -> Settings:
    return settings.model_copy(update={"otlp_export_url": url, "otlp_export_timeout_s": 5.0, **more})


async def test_another_referee_takes_the_traces_as_they_are(
    database: Database, database_settings: Settings, other_settings: Settings
) -> None:
    async with open_web_app(other_settings) as app:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        sender = to(database_settings, f"http://127.0.0.1:{port}/v1/traces")
        done = await export_own_work(sender, database, {"analysis": tell([describe(7, NOW)])})
        receiver = await open_database(other_settings)
        project = await get_project(receiver, "default")
        spans = await list_trace_spans(
            receiver, project.project_id, UUID(make_trace_id("analysis:7")), cursor=None, limit=10
        )
        await receiver.close()
        server.should_exit = True
        await serving

    assert (done.spans_count, done.refused_count, done.problem) == (2, 0, "")
    whole, part = spans.items
    assert (whole.event.event_name, part.event.event_name) == ("work 7", "bandit")
    assert part.event.error == "failed: no reason"
    assert part.resource["attributes"] == {"service.name": "bandit"}


async def test_everything_is_sent_once_however_often_it_is_asked_for(
    database: Database, database_settings: Settings
) -> None:
    works = [describe(number, NOW) for number in range(230)]  # more than one request takes, at one instant
    async with open_collector(Collector()) as collector:
        sender = to(
            database_settings,
            collector.url,
            otlp_export_headers=SecretStr("authorization=Bearer%20x,tenant=a"),
        )
        for _ in range(3):
            await export_own_work(sender, database, {"analysis": tell(works)})
        late = describe(900, NOW - timedelta(minutes=2))  # its transaction was committed after the others
        await export_own_work(sender, database, {"analysis": tell([late, *works])})

    told = [*works, late]
    expected = {
        f"{make_trace_id(work.work_id)} {make_span_id(work.work_id, span.key)}"
        for work in told
        for span in work.spans
    }
    assert len(collector.ids()) == len(expected)
    assert set(collector.ids()) == expected
    assert all("authorization: bearer x" in head.lower() and "tenant: a" in head for head in collector.heads)


async def test_what_a_collector_missed_is_sent_when_it_is_back(
    database: Database, database_settings: Settings
) -> None:
    source = {"analysis": tell([describe(1, NOW)])}
    async with open_collector(Collector(statuses=[503, 429, 200])) as collector:
        sender = to(database_settings, collector.url)
        ends = [await export_own_work(sender, database, source) for _ in range(4)]

    assert [end.spans_count for end in ends] == [0, 0, 2, 0]
    assert ends[0].problem == "The collector takes no traces now. It answered 503."
    assert len(collector.requests) == 1


async def test_absent_and_slow_collectors_cost_no_more_than_the_timeout(
    database: Database, database_settings: Settings
) -> None:
    sources = {kind: tell([describe(number, NOW) for number in range(500)]) for kind in ("a", "b", "c")}
    absent = await export_own_work(to(database_settings, "http://127.0.0.1:9/v1/traces"), database, sources)
    async with open_collector(Collector(delay_s=5.0)) as collector:
        started = time.monotonic()
        slow = await export_own_work(
            to(database_settings, collector.url, otlp_export_timeout_s=0.3), database, sources
        )
        took_s = time.monotonic() - started

    assert absent.problem == "The collector takes no traces now. It cannot be reached (ConnectError)."
    assert slow.problem == "The collector takes no traces now. It did not answer within 0.3 s."
    assert took_s < 2.0
    assert len(collector.heads) == 1  # it was asked once, not for each kind and batch


async def test_what_is_refused_for_good_is_counted_and_not_sent_again(
    database: Database, database_settings: Settings
) -> None:
    partial = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=1))
    async with open_collector(Collector(statuses=[400])) as collector:
        sender = to(database_settings, collector.url)
        refused = await export_own_work(sender, database, {"a": tell([describe(1, NOW)])})
        again = await export_own_work(sender, database, {"a": tell([describe(1, NOW)])})
        collector.statuses, collector.content = [200], partial.SerializeToString()
        in_part = await export_own_work(sender, database, {"b": tell([describe(1, NOW)])})

    assert (refused.spans_count, refused.refused_count, again.refused_count) == (0, 2, 0)
    assert (in_part.spans_count, in_part.refused_count) == (1, 1)


async def test_what_is_older_than_a_day_is_left_out(database: Database, database_settings: Settings) -> None:
    old = describe(1, NOW - timedelta(hours=25))
    async with open_collector(Collector()) as collector:
        done = await export_own_work(
            to(database_settings, collector.url), database, {"a": tell([old, describe(2, NOW)])}
        )

    assert done.spans_count == 2


async def test_without_an_address_nothing_is_asked_for(
    database: Database, database_settings: Settings
) -> None:
    async def source(after: datetime, limit: int) -> Sequence[OwnWork]:
        raise AssertionError("nobody may ask")

    done = await export_own_work(database_settings, database, {"a": source})

    assert (done.spans_count, done.problem) == (0, "")


async def test_ticks_go_on_and_make_no_second_job_while_the_collector_hangs(
    database: Database, database_settings: Settings
) -> None:
    async with open_collector(Collector(delay_s=30.0)) as collector:
        settings = to(database_settings, collector.url, otlp_export_timeout_s=20.0)
        engine = JobEngine(settings, database)
        register_own_work_export(settings, database, engine, {"a": tell([describe(1, NOW)])})
        await engine.start(is_worker=True)
        try:
            project = await get_project(database, "default")
            results = []
            for minute in range(3):
                async with database.transaction() as session:
                    tick = await engine.submit(
                        session, kind="schedule.trace_export", project_id=project.project_id, key=None,
                        arguments={"scheduled_at": f"2026-01-01T00:0{minute}:00+00:00"}, title="tick",
                    )  # fmt: skip
                results.append((await engine.wait(tick.job_id, 20)).result)
            async with database.reading() as session:
                jobs_count = await session.scalar(
                    select(func.count()).where(JobRow.kind == "schedule.export_traces")
                )
        finally:
            await engine.stop()

    assert results == [{"is_asked": True}, {"is_asked": False}, {"is_asked": False}]
    assert jobs_count == 1


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/x/"}, "http://c:4318/x/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/own"}, "http://c:4318/own"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "REFEREE_OTLP_EXPORT_URL": "http://d/v1/traces"}, "http://d/v1/traces"),
        ({}, None),
    ],
)  # fmt: skip
def test_standard_variables_say_where_to(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert load_settings().otlp_export_url == expected


def test_headers_are_read_as_the_specification_says() -> None:
    assert read_headers("Authorization=Bearer%20a%2Cb, x-tenant = a=b ,nothing,=c") == {
        "authorization": "Bearer a,b",
        "x-tenant": "a=b",
    }
