"""Referee's own work as traces in a project of their own, and the map of the services that did it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from sqlalchemy import func, select
from tests.traces.requests import START_NS, TRACE, make_request, make_span

from referee.core.own_work import OwnSpan, OwnWork, make_trace_id
from referee.foundation.access import get_project, list_projects
from referee.traces import TracesRoom
from referee.traces.own_work import keep_own_work
from referee.traces.tables import SpanRow
from referee.traces.trace_reading import read_critical_path

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)


def describe(number: int, ended_at: datetime) -> OwnWork:
    """Return a piece of work of two parts, the second of which failed."""
    begun_at = ended_at - timedelta(seconds=10)
    whole = OwnSpan(
        key="", parent_key=None, name=f"work {number}", service="referee",
        started_at=begun_at, finished_at=ended_at, attributes={"referee.state": "failed", "nothing": None},
    )  # fmt: skip
    part = OwnSpan(
        key="tool", parent_key="", name="bandit", service="bandit", error="failed: no reason",
        started_at=begun_at + timedelta(seconds=2), finished_at=ended_at - timedelta(seconds=1),
        linked_work_id="analysis:other",
    )  # fmt: skip
    return OwnWork(work_id=f"analysis:{number}", finished_at=ended_at, spans=[whole, part])


async def count_spans(room: TracesRoom, project_id: UUID) -> int:
    async with room.database.reading() as session:
        mine = select(func.count()).select_from(SpanRow).where(SpanRow.project_id == project_id)
        return await session.scalar(mine) or 0


async def test_work_is_kept_once_however_often_it_is_told(room: TracesRoom) -> None:
    works = [
        describe(number, NOW) for number in range(230)
    ]  # more than are asked for at once, at one instant
    works.append(describe(230, NOW + timedelta(seconds=1)))
    asked: list[datetime] = []

    async def source(after: datetime, limit: int) -> Sequence[OwnWork]:
        asked.append(after)
        return [work for work in works if work.finished_at >= after][:limit]

    await keep_own_work(room, {"analysis": source})
    await keep_own_work(room, {"analysis": source})
    own = (await get_project(room.database, "referee")).project_id
    assert await count_spans(room, own) == 2 * len(works)
    assert NOW + timedelta(seconds=1) - timedelta(minutes=5) in asked
    path = await read_critical_path(room.database, own, UUID(make_trace_id("analysis:7")))
    assert [(step.span.name, step.own_ns / 1e9) for step in path.steps] == [("work 7", 3.0), ("bandit", 7.0)]


async def test_a_source_that_fails_does_not_keep_the_others_from_being_told(room: TracesRoom) -> None:
    async def fail(after: datetime, limit: int) -> Sequence[OwnWork]:
        raise RuntimeError("no database")

    async def source(after: datetime, limit: int) -> Sequence[OwnWork]:
        return [describe(1, NOW)]

    assert await keep_own_work(room, {"broken": fail, "analysis": source}) == 1


async def test_one_setting_keeps_it_all_out(room: TracesRoom) -> None:
    async def source(after: datetime, limit: int) -> Sequence[OwnWork]:
        return [describe(1, NOW)]

    silent = replace(room, settings=room.settings.model_copy(update={"own_traces_project": ""}))
    assert await keep_own_work(silent, {"analysis": source}) == 0
    assert [one.slug for one in (await list_projects(room.database)).items] == ["default"]


async def test_the_map_shows_who_calls_whom_on_its_page_and_as_json(client: httpx.AsyncClient) -> None:
    hostile = "<script>alert(1)</script>"
    start_ns = int(datetime.now(UTC).timestamp()) * 1_000_000_000 - 60_000_000_000
    assert start_ns > START_NS
    for number, (service, parent, status) in enumerate(
        ((hostile, None, 1), ("db", 1, 1), ("db", 1, 2), ("db", 2, 1)), start=1
    ):
        span = make_span(number, parent=parent, start_ns=start_ns + number, duration_ns=number * 1_000_000)
        body = make_request([{**span, "status": (status, "no" if status == 2 else "")}], service=service)
        sent = await client.post(
            "/v1/traces", content=body, headers={"Content-Type": "application/x-protobuf"}
        )
        assert sent.status_code == 200
    found = (await client.get("/v1/service-map")).json()
    edges = [
        (one["caller"], one["service"], one["calls_count"], one["errors_count"]) for one in found["edges"]
    ]
    assert edges == [(hostile, "db", 2, 1), (None, hostile, 1, 0)]
    assert [one["service"] for one in found["services"]] == ["db", hostile]
    assert found["services"][0]["p95_ms"] == 2.95
    page = await client.get("/ui/traces/map")
    assert page.status_code == 200
    assert "<script>alert(1)" not in page.text
    assert page.text.count('class="service-call is-failing"') == 1
    assert TRACE.hex() not in page.text
    empty = await client.get("/ui/traces/map?window=1h", headers={"Accept": "text/html"})
    assert empty.status_code == 200
    assert (await client.get("/v1/service-map?window=9y")).status_code == 422
