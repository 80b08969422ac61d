"""What deleting, retention and a newer mapping do to stored spans, and to the bodies they came in."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text, update
from tests.traces.requests import make_request, make_span

from referee.core.errors import InvalidInput, NotFound
from referee.core.integrity import IntegrityProblem
from referee.foundation.store import Database
from referee.traces import TracesRoom, get_event, list_events, update_event
from referee.traces.bodies import decode_body, empty_spans
from referee.traces.ingesting import ingest_otlp
from referee.traces.integrity import check_spans
from referee.traces.otlp.json_form import decode_json
from referee.traces.otlp.protobuf import decode_protobuf
from referee.traces.remapping import count_versions, remap_some
from referee.traces.retention import apply_retention, parse_days, preview_retention, set_retention
from referee.traces.sessions import delete_event, delete_session
from referee.traces.tables import SessionRow, SpanBatchRow, SpanRow

OTHER = bytes.fromhex("11111111111111111111111111111111")


async def read_bodies(database: Database) -> list[bytes]:
    """Return the kept bodies as they can be read."""
    async with database.reading() as session:
        bodies = await session.scalars(select(SpanBatchRow.body).order_by(SpanBatchRow.received_at))
        return [zstandard.ZstdDecompressor().decompress(body) for body in bodies]


async def list_problems(database: Database) -> list[IntegrityProblem]:
    """Return what is wrong with the sums."""
    return [found async for found in check_spans(database) if isinstance(found, IntegrityProblem)]


def make_json(*spans: dict[str, Any]) -> bytes:
    """Return a request in JSON."""
    return orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]})


async def test_text_of_a_deleted_session_is_gone_from_the_bodies(
    room: TracesRoom, database: Database, project_id: UUID
) -> None:
    shared = make_request(
        [
            make_span(1, note="secret one"),
            make_span(2, trace_id=OTHER, note="kept"),
            make_span(3, note="secret two"),
        ]
    )
    await ingest_otlp(room, project_id, shared, is_json=False)
    await ingest_otlp(room, project_id, make_request([make_span(4, note="secret three")]), is_json=False)
    session_id = (await list_events(database, project_id)).events[0].session_id
    for event in (await list_events(database, project_id)).events:
        if event.metadata.get("note") != "kept":
            session_id = event.session_id
    assert await delete_session(database, project_id, session_id) == 3
    (body,) = await read_bodies(database)
    assert b"secret" not in body
    (left,) = decode_protobuf(body).spans
    assert [left.position, left.attributes] == [1, {"note": "kept"}]
    assert await list_problems(database) == []


async def test_what_is_sent_again_does_not_keep_a_second_copy_of_the_text(
    room: TracesRoom, database: Database, project_id: UUID
) -> None:
    first = make_span(1, note="secret")
    await ingest_otlp(room, project_id, make_request([first]), is_json=False)
    again = make_request([first, make_span(2, trace_id=OTHER, note="kept")])
    await ingest_otlp(room, project_id, again, is_json=False)
    page = await list_events(database, project_id)
    secret = next(event for event in page.events if event.metadata["note"] == "secret")
    await delete_event(database, project_id, secret.event_id)
    (body,) = await read_bodies(database)
    assert b"secret" not in body
    assert b"kept" in body


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))))
def test_emptied_bodies_keep_the_others_where_they_were(case: tuple[int, set[int]]) -> None:
    count, kept = case
    spans = [make_span(number + 1, note=f"note {number}.") for number in range(count)]
    as_json = make_json(
        *(
            {
                "traceId": span["trace_id"].hex(),
                "spanId": span["span_id"].hex(),
                "startTimeUnixNano": str(span["start_time_unix_nano"]),
                "endTimeUnixNano": str(span["end_time_unix_nano"]),
                "attributes": [{"key": "note", "value": {"stringValue": span["attributes"]["note"]}}],
            }
            for span in spans
        )
    )
    for request in (decode_protobuf(make_request(spans)), decode_json(as_json)):
        written = empty_spans(request, kept)
        assert written is not None
        compressed = zstandard.ZstdCompressor().compress(written)
        again = decode_body(request.schema, compressed)
        assert again is not None
        assert {span.position: span.attributes["note"] for span in again.spans} == {
            position: f"note {position}." for position in kept
        }
        assert all((f"note {number}.".encode() in written) is (number in kept) for number in range(count))


async def test_retention_deletes_whole_sessions_that_nothing_was_added_to(
    room: TracesRoom, database: Database, project_id: UUID
) -> None:
    await ingest_otlp(
        room, project_id, make_request([make_span(1), make_span(2, trace_id=OTHER)]), is_json=False
    )
    old = UUID(bytes=OTHER)
    async with database.transaction() as session:
        await session.execute(
            update(SessionRow)
            .where(SessionRow.session_uid == old)
            .values(last_seen_at=text("now() - interval '40 days'"))
        )
    assert (await preview_retention(database, project_id, 30)).sessions_count == 1
    assert await apply_retention(database) == 0  # nobody decided anything
    await set_retention(database, project_id, 30)
    assert await apply_retention(database) == 1
    assert await apply_retention(database) == 0
    with pytest.raises(NotFound):
        await delete_session(database, project_id, str(old))
    assert (await list_events(database, project_id)).total_count == 1
    assert await list_problems(database) == []


@pytest.mark.parametrize("words", ["0", "-1", "1.5", "ten", "36501", "²", ""])
def test_days_that_cannot_be_meant_are_refused(words: str) -> None:
    with pytest.raises(InvalidInput):
        parse_days(words)


async def test_spans_of_an_older_mapping_are_read_again_with_all_sums(
    room: TracesRoom, database: Database, project_id: UUID
) -> None:
    tokens: dict[str, Any] = {"gen_ai__usage__input_tokens": 7, "gen_ai__usage__output_tokens": 3}
    await ingest_otlp(
        room,
        project_id,
        make_request(
            [
                make_span(1, name="agent", **tokens),
                make_span(2, parent=1, gen_ai__request__model="small", **tokens),
            ]
        ),
        is_json=False,
    )
    events = {event.event_name: event for event in (await list_events(database, project_id)).events}
    await update_event(database, project_id, events["step"].event_id, {"feedback": {"stars": 4}})
    await make_older(database)
    assert await list_problems(database) == []
    assert (await count_versions(database, project_id)).older_count == 2
    done = await remap_some(room, project_id, 10)
    assert [done.remapped_count, done.changed_count, done.is_finished] == [2, 1, True]
    model = await get_event(database, project_id, events["step"].event_id)
    assert [model.event_type, model.config, model.feedback] == ["model", {"model": "small"}, {"stars": 4}]
    assert [model.metadata["prompt_tokens"], "gen_ai.usage.input_tokens" in model.metadata] == [7, False]
    async with database.reading() as session:
        (sums,) = (await session.scalars(select(SessionRow))).all()
    assert [sums.events_count, sums.model_events_count, sums.total_tokens] == [2, 1, 10]
    assert await list_problems(database) == []
    again = await remap_some(room, project_id, 10)
    assert [again.bodies_count, again.remapped_count] == [0, 0]


async def make_older(database: Database) -> None:
    """Make the span ``step`` what a version without a rule for GenAI's attributes had made of it."""
    async with database.transaction() as session:
        await session.execute(update(SpanRow).values(mapping_version=0))
        await session.execute(
            update(SpanRow)
            .where(SpanRow.event_name == "step")
            .values(
                event_type="tool",
                model=None,
                prompt_tokens=None,
                completion_tokens=None,
                total_tokens=None,
                config_json={},
                metadata_json={
                    "gen_ai.request.model": "small",
                    "gen_ai.usage.input_tokens": 7,
                    "gen_ai.usage.output_tokens": 3,
                },
            )
        )
        await session.execute(update(SpanRow).where(SpanRow.event_name == "agent").values(is_counted=True))
        await session.execute(text("UPDATE sessions SET model_events_count = 0"))
        await session.execute(text("DELETE FROM span_hours WHERE event_type = 'model'"))
        await session.execute(
            text(
                "INSERT INTO span_hours SELECT project_id, div(start_ns, 3600000000000), event_type, event_name, '',"
                " 1, 0, 0, 0, 0, 0, 0, end_ns - start_ns, '{}' FROM spans WHERE event_name = 'step'"
            )
        )
        await session.execute(
            text(
                "UPDATE span_hours SET prompt_tokens = 7, completion_tokens = 3, total_tokens = 10"
                " WHERE event_name = 'agent'"
            )
        )
