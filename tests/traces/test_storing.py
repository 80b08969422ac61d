"""Rows that meet what is stored already, in every way they can."""

from __future__ import annotations

import asyncio
from uuid import UUID

from sqlalchemy import func, select
from tests.traces.requests import TRACE, make_request, make_span

from referee.core.integrity import IntegrityProblem
from referee.traces import TracesRoom, create_events
from referee.traces.identity import compute_span_uid, format_uid
from referee.traces.ingesting import ingest_otlp
from referee.traces.integrity import check_spans
from referee.traces.tables import SpanRow


async def _count(room: TracesRoom) -> int:
    async with room.database.reading() as session:
        return await session.scalar(select(func.count()).select_from(SpanRow)) or 0


async def test_an_event_that_bears_the_uid_of_a_span_costs_its_neighbours_nothing(
    room: TracesRoom, project_id: UUID
) -> None:
    uid = format_uid(compute_span_uid(TRACE, (1).to_bytes(8, "big")))
    await create_events(room, project_id, [{"event_type": "tool", "event_id": uid, "event_name": "first"}])
    others = [make_span(number, parent=1) for number in range(2, 30)]
    requests = [make_request([make_span(1), *others[:20]]), make_request([make_span(1), *others])]
    answers = await asyncio.gather(*(ingest_otlp(room, project_id, body, is_json=False) for body in requests))
    assert [answer.count for answer in answers] == [0, 0]
    assert await _count(room) == 29
    async with room.database.reading() as session:
        row = await session.scalar(select(SpanRow).where(SpanRow.span_uid == UUID(uid)))
    assert row is not None
    assert row.event_name == "first"
    found = [item async for item in check_spans(room.database)]
    assert [item for item in found if isinstance(item, IntegrityProblem)] == []
