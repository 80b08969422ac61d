"""A tool's output comes out of its file as it went in, and nothing else does."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.analysis.analyzers.bundles import (
    BundleInvalid,
    compute_max_bundle_bytes,
    read_bundle,
    write_bundle,
)
from referee.analysis.running import ToolOutput
from referee.core.vocabulary import Outcome
from referee.foundation.sandbox.commands import Isolation
from referee.tools.contract import PiecewiseStreams, RawOutput, ToolPlan

TOOL_RUN_ID = UUID(int=5)
PLAN = ToolPlan(parameters={"a": 1}, files=("x.py",))
LIMIT_BYTES = 10_000


def make_raw(**changes: Any) -> RawOutput:
    values: dict[str, Any] = {
        "streams": {"stdout": b"out", "report.json": b"{}"},
        "total_bytes": {"stdout": 9, "report.json": 2},
        "end": "exited",
        "exit_code": 1,
        "duration_ms": 12,
        "cpu_ms": 3,
        "peak_memory_bytes": None,
        "isolation": Isolation(
            method="bubblewrap",
            has_own_network=True,
            has_read_only_system=True,
            has_own_processes=True,
            limits=("cpu", "memory"),
            reason="",
        ),
        "reason": "",
        "command": ("bandit", "-r", "$SUBJECT"),
    }
    return RawOutput(**(values | changes))


def pack(output: ToolOutput, tool_run_id: UUID = TOOL_RUN_ID) -> bytes:
    file = io.BytesIO()
    size, _ = write_bundle(file, tool_run_id, output)
    assert size == len(file.getvalue())
    return file.getvalue()


def unpack(data: bytes) -> ToolOutput:
    return read_bundle(io.BytesIO(data), TOOL_RUN_ID, PLAN, stream_max_bytes=LIMIT_BYTES)


def change_header(data: bytes, **changes: object) -> bytes:
    length = int.from_bytes(data[8:12], "big")
    header = json.loads(data[12 : 12 + length]) | changes
    text = json.dumps(header).encode()
    return data[:8] + len(text).to_bytes(4, "big") + text + data[12 + length :]


def test_output_comes_back_with_the_plan_of_the_reader() -> None:
    output = ToolOutput(raw=make_raw(), plan=ToolPlan(parameters={}), version="1.9", app_lost="It fell.")
    assert unpack(pack(output)) == ToolOutput(raw=make_raw(), plan=PLAN, version="1.9", app_lost="It fell.")


def test_only_what_belongs_to_the_machine_is_taken_from_the_plan_of_the_writer() -> None:
    theirs = ToolPlan(parameters={}, details={"root": "/there/source", "groups": ["theirs"]})
    ours = ToolPlan(parameters={}, files=("x.py",), details={"root": "/here/source", "groups": ["ours"]})
    file = io.BytesIO(pack(ToolOutput(raw=make_raw(), plan=theirs)))
    output = read_bundle(file, TOOL_RUN_ID, ours, stream_max_bytes=LIMIT_BYTES)
    assert output.plan == ToolPlan(
        parameters={}, files=("x.py",), details={"root": "/there/source", "groups": ["ours"]}
    )
    assert unpack(pack(ToolOutput(raw=make_raw(), plan=theirs))).plan == PLAN


def test_refusal_comes_back() -> None:
    output = ToolOutput(outcome=Outcome.unavailable, reason="There is no nmap.", version=None)
    assert unpack(pack(output)) == output


@pytest.mark.parametrize(
    "outcome", [Outcome.succeeded, Outcome.cancelled, Outcome.timed_out, Outcome.skipped]
)
def test_tool_that_did_not_run_cannot_have_another_outcome(outcome: Outcome) -> None:
    with pytest.raises(BundleInvalid, match="cannot be"):
        unpack(pack(ToolOutput(outcome=outcome, reason="trust me")))


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,30}", fullmatch=True),
        st.binary(max_size=300),
        max_size=8,
    )
)
def test_any_streams_come_back_byte_for_byte(streams: dict[str, bytes]) -> None:
    totals = {name: len(data) for name, data in streams.items()}
    raw = make_raw(streams=streams, total_bytes=totals)
    assert unpack(pack(ToolOutput(raw=raw, plan=PLAN))).raw == raw


def test_streams_are_read_in_pieces_too() -> None:
    data = bytes(range(256)) * 9_000  # more than two pieces
    raw = make_raw(streams={"a": data, "b": b""}, total_bytes={"a": len(data) + 1, "b": 0})
    file = io.BytesIO(pack(ToolOutput(raw=raw, plan=PLAN)))
    read = read_bundle(file, TOOL_RUN_ID, PLAN, stream_max_bytes=len(data)).raw
    assert read is not None
    assert isinstance(read.streams, PiecewiseStreams)
    assert {name: b"".join(read.streams.read_pieces(name)) for name in read.streams} == raw.streams
    assert (read.size_of("a"), read.size_of("b")) == (len(data), 0)
    assert read.truncated == {"a"}


def test_every_shorter_file_is_refused() -> None:
    data = pack(ToolOutput(raw=make_raw(), plan=PLAN))
    for length in range(len(data)):
        with pytest.raises(BundleInvalid):
            unpack(data[:length])
    with pytest.raises(BundleInvalid, match="after its end"):
        unpack(data + b"x")


def test_output_of_another_tool_run_is_refused() -> None:
    with pytest.raises(BundleInvalid, match="another tool run"):
        unpack(pack(ToolOutput(raw=make_raw(), plan=PLAN), UUID(int=6)))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "", ".hidden", "a\0b", "x" * 201, "a b"])
def test_stream_with_a_name_that_could_be_a_path_is_refused(name: str) -> None:
    raw = make_raw(streams={name: b""}, total_bytes={})
    with pytest.raises(BundleInvalid, match="header cannot be understood"):
        unpack(pack(ToolOutput(raw=raw, plan=PLAN)))


def test_stream_over_the_limit_is_refused_by_name() -> None:
    raw = make_raw(streams={"stdout": bytes(LIMIT_BYTES + 1)}, total_bytes={})
    with pytest.raises(BundleInvalid, match=r"stdout has 10,001 bytes, and at most 10,000 are taken"):
        unpack(pack(ToolOutput(raw=raw, plan=PLAN)))


@pytest.mark.parametrize(
    "changes",
    [
        {"raw": {"end": "exploded"}},
        {"raw": 5},
        {"reason": "x" * 5_000},
        {"version": 3},
        {"details": {"root": "/" * 5_000}},
        {"details": {"a": "1", "b": "2", "c": "3"}},
        {"tool_run_id": None},
    ],
)
def test_header_of_another_form_is_refused(changes: dict[str, object]) -> None:
    data = pack(ToolOutput(raw=make_raw(), plan=PLAN))
    with pytest.raises(BundleInvalid):
        unpack(change_header(data, **changes))


def test_length_in_a_header_is_never_believed() -> None:
    data = pack(ToolOutput(raw=make_raw(), plan=PLAN))
    with pytest.raises(BundleInvalid, match="at most"):
        unpack(data[:8] + b"\xff\xff\xff\xff" + data[12:])


def test_two_streams_of_one_name_are_refused() -> None:
    data = pack(ToolOutput(raw=make_raw(), plan=PLAN))
    length = int.from_bytes(data[8:12], "big")
    raw = json.loads(data[12 : 12 + length])["raw"]
    raw["streams"][1]["name"] = "stdout"
    with pytest.raises(BundleInvalid, match="one name"):
        unpack(change_header(data, raw=raw))


def test_largest_bundle_leaves_room_for_a_large_report() -> None:
    assert compute_max_bundle_bytes(LIMIT_BYTES) > 2 * LIMIT_BYTES
