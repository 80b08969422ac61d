"""Hostile spans: refused one by one and counted, their neighbours kept, and never an error of the server."""

from __future__ import annotations

import gzip
import os
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from tests.traces.requests import START_NS, TRACE, make_request, make_span

from referee.core.findings import JsonValue
from referee.traces.mapping import map_span
from referee.traces.mapping.applying import _make_plan
from referee.traces.otlp.messages import read_attributes
from referee.traces.otlp.protobuf import _read_other, decode_protobuf

EXAMPLES = int(os.environ.get("REFEREE_TEST_EXAMPLES", "100"))
"""`REFEREE_TEST_EXAMPLES=20000 pytest …` is the long run."""
YEAR_NS = 365 * 86_400_000_000_000

_plain = st.one_of(
    st.text(max_size=40).map(lambda text: AnyValue(string_value=text)),
    st.text(min_size=100, max_size=300).map(lambda text: AnyValue(string_value=text * 80)),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: AnyValue(int_value=number)),
    st.integers(0, 40_000).map(lambda number: AnyValue(int_value=number)),
    st.floats().map(lambda number: AnyValue(double_value=number)),
    st.booleans().map(lambda flag: AnyValue(bool_value=flag)),
    st.binary(max_size=20).map(lambda data: AnyValue(bytes_value=data)),
    st.just(AnyValue()),
)


def _list_of(values: list[AnyValue]) -> AnyValue:
    whole = AnyValue()
    whole.array_value.values.extend(values)
    return whole


_values = _plain | st.lists(_plain, max_size=3).map(_list_of)


@hypothesis_settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.text(max_size=140), _values), max_size=6))
def test_attributes_cut_out_of_their_bytes_are_those_of_the_message(
    pairs: list[tuple[str, AnyValue]],
) -> None:
    raws = [KeyValue(key=key, value=value).SerializeToString() for key, value in pairs]
    expected = dict(_read_other(raw) for raw in raws)
    known: dict[bytes, tuple[str, JsonValue]] = {}
    for _ in ("read", "known from before"):
        assert orjson.dumps(read_attributes(raws, _read_other, known)) == orjson.dumps(expected)


@hypothesis_settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60), st.binary(max_size=3))
def test_damaged_bytes_are_read_as_the_message_reads_them_or_not_at_all(
    noise: bytes, place: int, patch: bytes
) -> None:
    sound = KeyValue(key="key", value=AnyValue(string_value="a text that is damaged")).SerializeToString()
    for raw in (noise, sound[:place], sound[:place] + patch + sound[place + len(patch) :]):
        try:
            expected = dict([_read_other(raw)])
        except Exception as error:  # whatever the message says, the short way must not say more
            with pytest.raises((type(error), UnicodeDecodeError)):
                read_attributes([raw], _read_other, {})
        else:
            assert read_attributes([raw], _read_other, {}) == expected


@hypothesis_settings(max_examples=EXAMPLES, deadline=None)
@given(st.permutations(("tool.name", "tool_call.function.name", "gen_ai.tool.name", "x", "llm.prompts.0.a")))
def test_a_plan_that_was_kept_says_what_a_new_one_says(names: list[str]) -> None:
    (span,) = decode_protobuf(make_request([_with(1, {name: name for name in names})])).spans
    first = map_span(span)
    _make_plan.cache_clear()
    assert map_span(span) == first == map_span(span)
    winner = next(name for name in names if name.startswith(("tool.", "tool_call")))
    assert first.metadata["tool_name"] == winner


def _with(number: int, attributes: dict[str, Any]) -> dict[str, Any]:
    return {**make_span(number), "attributes": attributes}


def _json_span(number: int, **members: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE.hex(),
        "spanId": f"{number:016x}",
        "name": f"n{number}",
        "startTimeUnixNano": START_NS,
        "endTimeUnixNano": START_NS + 1,
        **members,
    }


def _json_body(*spans: object) -> bytes:
    return orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]})


def _deep(levels: int) -> bytes:
    mark = orjson.dumps("MARK")
    value = b'{"arrayValue":{"values":[' * levels + b'{"stringValue":"x"}' + b"]}}" * levels
    return _json_body(_json_span(70, attributes=[{"key": "deep", "value": "MARK"}]), _json_span(71)).replace(
        mark, value
    )


def _deep_protobuf(levels: int) -> bytes:
    value = AnyValue(string_value="x").SerializeToString()
    for _ in range(levels):
        inner = b"\x0a" + _varint(len(value)) + value
        value = b"\x2a" + _varint(len(inner)) + inner
    pair = b"\x0a\x04deep\x12" + _varint(len(value)) + value
    return _add_attribute(make_request([make_span(80), make_span(81)]), (80).to_bytes(8, "big"), pair)


def _add_attribute(body: bytes, span_id: bytes, pair: bytes) -> bytes:
    """Return the request with one more attribute in a span, whatever is in it."""
    request = ExportTraceServiceRequest.FromString(body)
    of_scope = request.resource_spans[0].scope_spans[0]
    spans = [
        span.SerializeToString() + (b"\x4a" + _varint(len(pair)) + pair if span.span_id == span_id else b"")
        for span in of_scope.spans
    ]
    inner = b"".join(b"\x12" + _varint(len(span)) + span for span in spans)
    outer = b"\x12" + _varint(len(inner)) + inner
    return b"\x0a" + _varint(len(outer)) + outer


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def _text_pair(data: bytes) -> bytes:
    text = b"\x0a" + _varint(len(data)) + data
    return b"\x0a\x01k\x12" + _varint(len(text)) + text


_SURROGATE = b'{"key":"half","value":{"stringValue":"\\ud800"}}'
_CASES: dict[str, tuple[bytes, dict[str, str], int, int, int]] = {
    # body, headers, status, spans refused, spans kept
    "no protobuf": (b"\xff\xff\xff", {}, 400, 0, 0),
    "no gzip": (b"plain", {"Content-Encoding": "gzip"}, 400, 0, 0),
    "cut gzip": (gzip.compress(make_request([make_span(1)]))[:-12], {"Content-Encoding": "gzip"}, 400, 0, 0),
    "unknown encoding": (make_request([make_span(1)]), {"Content-Encoding": "br"}, 400, 0, 0),
    "gzip bomb": (gzip.compress(bytes(17_000_000)), {"Content-Encoding": "gzip"}, 413, 0, 0),
    "too large": (bytes(17_000_000), {}, 413, 0, 0),
    "all zero and short ids": (
        make_request(
            [
                make_span(10, trace_id=bytes(16)),
                make_span(11, trace_id=b"short"),
                {**make_span(12), "span_id": bytes(8)},
                {**make_span(13), "span_id": b"1"},
                {**make_span(14), "parent_span_id": b"1"},
                make_span(15),
            ]
        ),
        {},
        200,
        5,
        1,
    ),
    "text that is not UTF-8": (
        _add_attribute(
            make_request([make_span(20), make_span(21)]), (20).to_bytes(8, "big"), _text_pair(b"\xff\xfe")
        ),
        {},
        200,
        1,
        1,
    ),
    "half a surrogate pair in bytes": (
        _add_attribute(
            make_request([make_span(22), make_span(23)]), (22).to_bytes(8, "big"), _text_pair(b"\xed\xa0\x80")
        ),
        {},
        200,
        1,
        1,
    ),
    "10,000 attributes": (
        make_request([_with(30, {f"a{number}": number for number in range(10_000)})]),
        {},
        200,
        0,
        1,
    ),
    "10 MB in one attribute": (make_request([make_span(31, huge="x" * 10_000_000)]), {}, 200, 0, 1),
    "NUL, NaN, 2^53+1": (
        make_request([make_span(32, name="a\x00b", nul="\x00", nan=float("nan"), big=2**53 + 1)]),
        {},
        200,
        0,
        1,
    ),
    "clocks of other years": (
        make_request(
            [
                make_span(40, start_ns=0),
                make_span(41, start_ns=START_NS + 80 * YEAR_NS),
                make_span(42, duration_ns=-5),
            ]
        ),
        {},
        200,
        0,
        3,
    ),
    "a time beyond 63 bits": (
        make_request([{**make_span(43), "end_time_unix_nano": 2**64 - 1}, make_span(44)]),
        {},
        200,
        1,
        1,
    ),
    "JSON that is none": (b"{", {"Content-Type": "application/json"}, 400, 0, 0),
    "JSON 100,000 deep": (b"[" * 100_000, {"Content-Type": "application/json"}, 400, 0, 0),
    "JSON ids of every bad kind": (
        _json_body(
            _json_span(1, traceId="zz" * 16),
            _json_span(2, spanId=7),
            _json_span(3, startTimeUnixNano="soon"),
            _json_span(4, startTimeUnixNano=-1),
            _json_span(5, attributes=7),
            "no span",
            _json_span(60),
        ),
        {"Content-Type": "application/json"},
        200,
        6,
        1,
    ),
    "JSON with half a surrogate pair": (
        _json_body(_json_span(61, attributes=["MARK"])).replace(b'"MARK"', _SURROGATE),
        {"Content-Type": "application/json"},
        200,
        0,
        1,
    ),
    "a JSON value 500 deep": (_deep(200), {"Content-Type": "application/json"}, 200, 0, 2),
    "a protobuf value 90 deep": (_deep_protobuf(90), {}, 200, 1, 1),
    "unknown media type": (b"x", {"Content-Type": "text/plain"}, 415, 0, 0),
}


async def _count(client: httpx.AsyncClient) -> int:
    answer = await client.post("/v1/events/export", json={"filters": [], "limit": 1})
    assert answer.status_code == 200
    return int(answer.json()["totalEvents"])


async def test_what_is_bad_is_refused_and_counted_and_its_neighbours_are_kept(
    client: httpx.AsyncClient,
) -> None:
    kept_count = 0
    for name, (body, headers, status, refused, kept) in _CASES.items():
        whole = {"Content-Type": "application/x-protobuf", **headers}
        answer = await client.post("/v1/traces", content=body, headers=whole)
        assert answer.status_code == status, f"{name}: {answer.status_code} {answer.text[:200]}"
        if status == 200:
            assert _count_refused(answer) == refused, name
        kept_count += kept
        assert await _count(client) == kept_count, name


def _count_refused(answer: httpx.Response) -> int:
    if answer.headers["content-type"].startswith("application/json"):
        return int(answer.json().get("partialSuccess", {}).get("rejectedSpans", 0))
    return int(ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans)
