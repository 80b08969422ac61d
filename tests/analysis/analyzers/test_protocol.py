"""Messages are read with limits, and what is not one is refused with a sentence."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.analysis.analyzers.protocol import (
    MAX_MESSAGE_BYTES,
    Chunk,
    ResultOffer,
    StatusUpdate,
    parse_envelope,
    read_data,
    render_envelope,
)
from referee.core.errors import InvalidInput
from referee.core.ids import new_id


def test_message_comes_back_as_it_was_sent() -> None:
    sent = StatusUpdate(request_id=new_id(), state="running", tool="bandit", message="läuft")
    text = render_envelope("status_update", sent, service="static", client_id="me", correlation_id="7")
    envelope = parse_envelope(text)
    assert read_data(envelope, StatusUpdate) == sent
    assert (envelope.type, envelope.service, envelope.client_id, envelope.correlation_id) == (
        "status_update",
        "static",
        "me",
        "7",
    )
    assert set(json.loads(text)) == {
        "type",
        "id",
        "timestamp",
        "service",
        "data",
        "client_id",
        "correlation_id",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "null",
        "{}",
        '{"type": "ping"}',
        '{"type": "", "id": "1", "timestamp": ""}',
        '{"type": "a b", "id": "1", "timestamp": ""}',
        '{"type": "ping", "id": "1", "timestamp": "", "data": []}',
        "[" * 100_000,
        '{"type": "ping", "id": "' + "x" * 200 + '", "timestamp": ""}',
    ],
)
def test_text_that_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_envelope(text)
    assert refusal.value.code == "analyzer.message_invalid"
    assert refusal.value.message


def test_message_over_the_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_envelope("[" * (MAX_MESSAGE_BYTES + 1))
    assert refusal.value.code == "analyzer.message_too_large"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offset", -1),
        ("length", 0),
        ("length", 1 << 30),
        ("crc32", -1),
        ("crc32", 1 << 32),
        ("transfer_id", "../x"),
    ],
)
def test_chunk_with_a_number_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    data = {"transfer_id": str(UUID(int=1)), "offset": 0, "length": 5, "crc32": 0, field: value}
    envelope = parse_envelope(json.dumps({"type": "result_chunk", "id": "1", "timestamp": "", "data": data}))
    with pytest.raises(InvalidInput, match=field):
        read_data(envelope, Chunk)


@pytest.mark.parametrize(
    ("field", "value"),
    [("sha256", "A" * 64), ("sha256", "0" * 63), ("total_bytes", -1), ("total_bytes", 1 << 41)],
)
def test_offer_with_a_number_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    ids = {"transfer_id": str(UUID(int=1)), "tool_run_id": str(UUID(int=2))}
    data = {**ids, "total_bytes": 5, "sha256": "0" * 64, field: value}
    message = {"type": "static_analysis_result", "id": "1", "timestamp": "", "data": data}
    with pytest.raises(InvalidInput, match=field):
        read_data(parse_envelope(json.dumps(message)), ResultOffer)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        parse_envelope(data)
    except InvalidInput as refusal:
        assert refusal.code == "analyzer.message_invalid"
