"""OTLP requests into rows: once each, whole, and what is bad refused by itself."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
from typing import Any
from uuid import UUID

import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from tests.traces.requests import START_NS, TRACE, make_request, make_span

from referee.core.errors import InvalidInput, PayloadTooLarge, TooManyRequests
from referee.core.integrity import IntegrityProblem
from referee.traces import TracesRoom, create_events, list_events, parse_event_filters, update_event
from referee.traces.events import Event
from referee.traces.ingesting import MAX_BODY_BYTES, decompress, ingest_otlp
from referee.traces.integrity import check_spans
from referee.traces.otlp.json_form import decode_json
from referee.traces.otlp.protobuf import decode_protobuf
from referee.traces.sessions import delete_event, delete_session
from referee.traces.tables import SessionRow, SpanBatchRow, SpanHourRow, SpanRow
from referee.traces.writer import SpanWriter


async def _list_wrong_sums(room: TracesRoom) -> list[str]:
    found = [item async for item in check_spans(room.database)]
    return [item.message for item in found if isinstance(item, IntegrityProblem)]


async def _read(room: TracesRoom, project_id: UUID, **wanted: Any) -> list[Event]:
    filters = parse_event_filters(
        [{"field": key, "operator": "is", "value": value, "type": "string"} for key, value in wanted.items()]
    )
    return (await list_events(room.database, project_id, filters)).events


async def test_a_span_comes_back_whole(room: TracesRoom, project_id: UUID) -> None:
    span = make_span(
        1,
        name="call",
        honeyhive_event_type="model",
        honeyhive_inputs__question='{"a": [1, 2]}',
        honeyhive_outputs__result__0="x",
        honeyhive_metadata__run_id="r1",
        gen_ai__request__model="m-1",
        gen_ai__usage__input_tokens=3,
        gen_ai__usage__output_tokens=4,
        big=2**53 + 1,
        odd=float("nan"),
        test__unique_id="42",
    )
    rejection = await ingest_otlp(room, project_id, make_request([span]), is_json=False)
    assert rejection.count == 0
    (event,) = await _read(room, project_id, event_name="call")
    assert event.event_type == "model"
    assert event.inputs == {"question": {"a": [1, 2]}}
    assert event.outputs == {"result": ["x"]}
    assert event.config == {"model": "m-1"}
    assert event.metadata["run_id"] == "r1"
    assert event.metadata["big"] == 2**53 + 1
    assert event.metadata["odd"] == "NaN"
    assert event.metadata["test.unique_id"] == "42"
    assert event.metadata["total_tokens"] == 7
    assert event.metadata["trace_id"] == TRACE.hex()
    assert event.duration_ms == 2.0
    assert event.session_id == str(UUID(bytes=TRACE))
    assert event.parent_id == event.session_id


async def test_spans_sent_twice_are_there_once_and_counted_once(room: TracesRoom, project_id: UUID) -> None:
    spans = [make_span(number, parent=1 if number > 1 else None) for number in range(1, 8)]
    for body in (make_request(spans[3:]), make_request(spans), make_request([*spans, *spans])):
        await ingest_otlp(room, project_id, body, is_json=False)
    assert len(await _read(room, project_id)) == 7
    async with room.database.reading() as session:
        (row,) = (await session.scalars(select(SessionRow))).all()
        hours = (await session.scalars(select(SpanHourRow))).all()
        batches = (await session.scalars(select(SpanBatchRow))).all()
    assert row.events_count == 7
    assert sum(hour.spans_count for hour in hours) == 7
    assert sum(hour.traces_count for hour in hours) == 1
    assert [batch.spans_count for batch in batches] == [4, 3]  # each span stands in one body only


async def test_children_that_come_first_find_a_parent_that_names_itself(
    room: TracesRoom, project_id: UUID
) -> None:
    await ingest_otlp(room, project_id, make_request([make_span(2, parent=1, name="child")]), is_json=False)
    own = make_span(1, name="parent", honeyhive_event_id="chosen-id")
    await ingest_otlp(room, project_id, make_request([own]), is_json=False)
    (child,) = await _read(room, project_id, event_name="child")
    assert child.parent_id == "chosen-id"
    (parent,) = await _read(room, project_id, event_id="chosen-id")
    assert parent.event_name == "parent"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 1, 2)])
async def test_tokens_count_once_in_any_order_of_arrival(
    room: TracesRoom, project_id: UUID, order: tuple[int, ...]
) -> None:
    tokens = {1: 30, 2: None, 3: 30}
    parents = {1: None, 2: 1, 3: 2}
    for number in order:
        attributes: dict[str, Any] = (
            {} if tokens[number] is None else {"gen_ai__usage__total_tokens": tokens[number]}
        )
        span = make_span(number, parent=parents[number], **attributes)
        await ingest_otlp(room, project_id, make_request([span]), is_json=False)
    async with room.database.reading() as session:
        (row,) = (await session.scalars(select(SessionRow))).all()
        hours = (await session.scalars(select(SpanHourRow))).all()
    assert row.total_tokens == 30
    assert sum(hour.total_tokens for hour in hours) == 30


async def test_good_spans_of_a_bad_request_are_kept(room: TracesRoom, project_id: UUID) -> None:
    zero = make_span(1, trace_id=bytes(16))
    short = {**make_span(2), "span_id": b"\x01"}
    backwards = {**make_span(3, name="backwards"), "end_time_unix_nano": START_NS - 5}
    body = make_request([zero, short, backwards, make_span(4, name="MARKxx", text="value")])
    broken = body.replace(b"MARKxx", b"MAR\xff\xfex")
    rejection = await ingest_otlp(room, project_id, broken, is_json=False)
    assert rejection.count == 3
    assert len(rejection.reasons) == 3
    assert [event.event_name for event in await _read(room, project_id)] == ["backwards"]


async def test_the_request_is_kept_as_it_came(room: TracesRoom, project_id: UUID) -> None:
    body = make_request([make_span(1, text="a\x00b")])
    await ingest_otlp(room, project_id, gzip.compress(body), is_json=False, encoding="gzip")
    async with room.database.reading() as session:
        (batch,) = (await session.scalars(select(SpanBatchRow))).all()
        (row,) = (await session.scalars(select(SpanRow))).all()
    assert zstandard.ZstdDecompressor().decompress(batch.body) == body
    assert (row.batch_id, row.batch_position) == (batch.batch_id, 0)
    assert row.metadata_json["text"] == "a�b"


def test_json_says_the_same_as_protobuf() -> None:
    span = make_span(7, parent=3, name="same", flag=True, count=2**53 + 1, share=0.5)
    by_protobuf = decode_protobuf(make_request([span])).spans[0]
    raw = {
        "traceId": TRACE.hex().upper(),
        "spanId": "AAAAAAAAAAc=",
        "parentSpanId": (3).to_bytes(8, "big").hex(),
        "name": "same",
        "kind": None,
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": START_NS + 2_000_000,
        "attributes": [
            {"key": "flag", "value": {"boolValue": True}},
            {"key": "count", "value": {"intValue": str(2**53 + 1)}},
            {"key": "share", "value": {"double_value": 0.5}},
        ],
    }
    by_json = decode_json(orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [raw]}]}]})).spans[0]
    for name in ("trace_id", "span_id", "parent_span_id", "name", "start_ns", "end_ns", "attributes", "kind"):
        assert getattr(by_json, name) == getattr(by_protobuf, name)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"nonsense", b"\xff\xfe", b'{"resourceSpans": 1', b"[" * 100_000],
    ids=["empty", "list", "text", "bytes", "cut", "deep"],
)
def test_what_is_no_request_in_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_json(body)


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_make_the_decoder_fail_otherwise(noise: bytes, place: int) -> None:
    body = make_request([make_span(1), make_span(2, parent=1, a="b")])
    for candidate in (noise, body[:place], body[:place] + noise + body[place:]):
        with contextlib.suppress(InvalidInput):
            decode_protobuf(candidate)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resourceSpans",
                    "scopeSpans",
                    "spans",
                    "attributes",
                    "key",
                    "value",
                    "intValue",
                    "traceId",
                    "status",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(_JSON)
def test_no_json_makes_the_decoder_fail_otherwise(document: Any) -> None:
    span = {"traceId": TRACE.hex(), "spanId": "0" * 15 + "1"}
    for candidate in (
        document,
        {"resourceSpans": [{"scopeSpans": [{"spans": [document, {**span, "attributes": document}]}]}]},
        {
            "resourceSpans": [
                {"scopeSpans": [{"spans": [{**span, "events": [document], "status": document}]}]}
            ]
        },
    ):
        with contextlib.suppress(InvalidInput):
            decode_json(json.dumps(candidate).encode())


def test_compression_is_bounded_and_checked() -> None:
    with pytest.raises(PayloadTooLarge):
        decompress(gzip.compress(bytes(MAX_BODY_BYTES + 1)), "gzip")
    for body, encoding in ((b"no gzip", "gzip"), (gzip.compress(b"x" * 100)[:-10], "gzip"), (b"x", "br")):
        with pytest.raises(InvalidInput):
            decompress(body, encoding)
    assert decompress(zstandard.ZstdCompressor().compress(b"plain"), "zstd") == b"plain"


async def test_a_full_queue_refuses_and_keeps_nothing(
    room: TracesRoom, project_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("referee.traces.writer.QUEUE_MAX_SPANS", 10)
    spans = [make_span(number) for number in range(1, 31)]
    answers = await asyncio.gather(
        *(
            ingest_otlp(room, project_id, make_request(spans[start : start + 6]), is_json=False)
            for start in range(0, 30, 6)
        ),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, TooManyRequests)]
    assert refused
    assert len(await _read(room, project_id)) == 6 * (len(answers) - len(refused))


async def test_many_writers_of_the_same_spans_leave_each_once(room: TracesRoom, project_id: UUID) -> None:
    """Two processes' writers, overlapping requests in random order."""
    others = SpanWriter(room.database)
    second = TracesRoom(settings=room.settings, database=room.database, writer=others, prices=room.prices)
    chooser = random.Random(5)
    spans = [make_span(n, parent=n // 2 or None, gen_ai__usage__total_tokens=1) for n in range(1, 201)]
    bodies = [make_request(chooser.sample(spans, 60)) for _ in range(40)] + [make_request(spans)]
    await asyncio.gather(
        *(ingest_otlp(chooser.choice([room, second]), project_id, body, is_json=False) for body in bodies)
    )
    await others.close()
    async with room.database.reading() as session:
        (row,) = (await session.scalars(select(SessionRow))).all()
        stored = (await session.scalars(select(SpanRow))).all()
        hours = (await session.scalars(select(SpanHourRow))).all()
    assert len(stored) == row.events_count == 200
    counted = sum(1 for span in stored if span.is_counted)
    assert row.total_tokens == counted == sum(hour.total_tokens for hour in hours)
    assert counted == 100
    assert await _list_wrong_sums(room) == []
    assert sum(sum(map(int, map(str, hour.durations_json.values()))) for hour in hours) == 200


async def test_a_change_waits_for_its_span(room: TracesRoom, project_id: UUID) -> None:
    event_id = "0190ffff-0000-7000-8000-000000000001"
    assert not await update_event(room.database, project_id, event_id, {"metrics": {"score": 1}})
    assert not await update_event(room.database, project_id, event_id, {"feedback": {"good": True}})
    span = make_span(1, honeyhive_event_id=event_id, honeyhive_metrics__other=2)
    await ingest_otlp(room, project_id, make_request([span]), is_json=False)
    (event,) = await _read(room, project_id, event_id=event_id)
    assert event.metrics == {"other": 2, "score": 1}
    assert event.feedback == {"good": True}
    async with room.database.reading() as session:
        (row,) = (await session.scalars(select(SessionRow))).all()
    assert row.feedback_count == 1


async def test_an_event_sent_twice_at_once_gets_what_each_says(room: TracesRoom, project_id: UUID) -> None:
    def make(**metrics: float) -> dict[str, Any]:
        return {"event_type": "tool", "event_id": "same", "session_id": "s", "inputs": {}, "metrics": metrics}

    await create_events(room, project_id, [make(a=1), make(b=2)])
    await asyncio.gather(
        create_events(room, project_id, [make(c=3)]), create_events(room, project_id, [make(d=4)])
    )
    await asyncio.gather(
        *(
            create_events(room, project_id, [{**make(**{name: 1}), "event_id": "other"}])
            for name in ("e", "f", "g")
        )
    )
    (event,) = await _read(room, project_id, event_id="same")
    assert event.metrics == {"a": 1, "b": 2, "c": 3, "d": 4}
    (other,) = await _read(room, project_id, event_id="other")
    assert other.metrics == {"e": 1, "f": 1, "g": 1}
    assert await _list_wrong_sums(room) == []


async def test_sums_follow_what_a_change_says(room: TracesRoom, project_id: UUID) -> None:
    body: dict[str, Any] = {
        "event_type": "model",
        "event_id": "call",
        "session_id": "s",
        "inputs": {},
        "start_time": 1_000,
    }
    await create_events(room, project_id, [body])
    changes: dict[str, Any] = {
        "metadata": {"prompt_tokens": 3, "completion_tokens": 4},
        "config": {"model": "m-2"},
        "end_time": 3_000,
        "error": "broken",
        "feedback": {"good": False},
        "unforeseen": 5,
    }
    assert await update_event(room.database, project_id, "call", changes)
    assert await update_event(room.database, project_id, "call", {"error": "", "feedback": {"why": "x"}})
    (event,) = await _read(room, project_id, event_id="call")
    assert (event.total_tokens, event.model, event.duration_ms, event.error) == (7, "m-2", 2_000, None)
    assert event.metadata["unforeseen"] == 5
    async with room.database.reading() as session:
        (row,) = (await session.scalars(select(SessionRow))).all()
        hours = {hour.model: hour for hour in (await session.scalars(select(SpanHourRow))).all()}
    assert (row.total_tokens, row.errors_count, row.feedback_count) == (7, 0, 1)
    assert (hours[""].spans_count, hours["m-2"].spans_count, hours["m-2"].errors_count) == (0, 1, 0)
    assert hours["m-2"].duration_ns == 2_000_000_000
    assert await _list_wrong_sums(room) == []


async def test_deleting_takes_out_of_the_sums(room: TracesRoom, project_id: UUID) -> None:
    spans = [make_span(n, parent=1 if n > 1 else None, gen_ai__usage__total_tokens=5) for n in range(1, 5)]
    await ingest_otlp(room, project_id, make_request(spans), is_json=False)
    (leaf, *_) = [event for event in await _read(room, project_id) if event.span_id == f"{4:016x}"]
    await delete_event(room.database, project_id, leaf.event_id)
    async with room.database.reading() as session:
        (row,) = (await session.scalars(select(SessionRow))).all()
    assert (row.events_count, row.total_tokens) == (3, 10)
    assert await _list_wrong_sums(room) == []
    assert await delete_session(room.database, project_id, leaf.session_id) == 3
    assert await _read(room, project_id) == []
    assert await _list_wrong_sums(room) == []


async def test_a_wrong_sum_is_found(room: TracesRoom, project_id: UUID) -> None:
    await ingest_otlp(room, project_id, make_request([make_span(1)]), is_json=False)
    async with room.database.transaction() as session:
        await session.execute(update(SessionRow).values(events_count=2))
        await session.execute(update(SpanHourRow).values(spans_count=3))
    assert len(await _list_wrong_sums(room)) == 2
