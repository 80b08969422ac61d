"""The file in which a tool's output travels: a header and the verbatim streams, each with its length before it.

::

    "RFRBUND1"  header length (4 bytes)  header (JSON)  { stream length (8 bytes)  stream }…

Numbers are big-endian. The analyzer writes one file for each tool run; the server reads it back
with a bound on every number, and takes nothing from it but the output: findings are read out of
it by the server's own parser. Streams stay in the file until they are asked for, so that a large
result is in memory one stream at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Annotated, BinaryIO, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from referee.analysis.running import ToolOutput
from referee.core.vocabulary import Outcome
from referee.foundation.sandbox.commands import CommandEnd, Isolation
from referee.tools.contract import RawOutput, StreamFile, ToolPlan

__all__ = [
    "HEAD_BYTES",
    "BundleInvalid",
    "FindFile",
    "compute_max_bundle_bytes",
    "count_header_bytes",
    "locate_streams",
    "read_bundle",
    "write_bundle",
]

FindFile: TypeAlias = Callable[[int, int], StreamFile | None]
"""By offset and length within the bundle."""

_MAGIC: Final = b"RFRBUND1"
_LENGTH_BYTES: Final = 8
"""Of the number before a stream."""
HEAD_BYTES: Final = len(_MAGIC) + 4
"""Before the header: what it is, and how long the header is."""
_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_STREAMS_COUNT: Final = 256
_STREAM_ALLOWANCES: Final = 8
"""Streams of the largest size that one result may hold together; a tool has two large ones at most."""
_PIECE_BYTES: Final = 1 << 20
_MAX_COUNT: Final = 1 << 48

_OF_THE_MACHINE: Final = ("root", "advisories_digest")
"""Details of a plan that differ between machines. Output tells of the analyzer's, so the parser must know those."""

_REFUSABLE: Final = (
    Outcome.not_applicable.value,
    Outcome.failed.value,
    Outcome.unavailable.value,
    Outcome.target_unreachable.value,
)
"""What may become of a tool that did not run."""

Number = Annotated[int, Field(ge=0, le=_MAX_COUNT)]
Sentence = Annotated[str, Field(max_length=4_000)]


class BundleInvalid(Exception):
    """The file is not a tool's output, or is larger than allowed; the text is one sentence."""


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _StreamHeader(_Form):
    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]*$")]
    size_bytes: Number
    total_bytes: Number


class _IsolationHeader(_Form):
    method: Literal["bubblewrap", "unprivileged_user", "limits_only"]
    has_own_network: bool
    has_read_only_system: bool
    has_own_processes: bool
    limits: Annotated[list[Annotated[str, Field(max_length=50)]], Field(max_length=50)]
    reason: Sentence


class _RawHeader(_Form):
    end: CommandEnd
    exit_code: Annotated[int, Field(ge=-(1 << 31), le=1 << 31)] | None
    duration_ms: Number
    cpu_ms: Number
    peak_memory_bytes: Number | None
    reason: Sentence
    command: Annotated[list[Annotated[str, Field(max_length=20_000)]], Field(max_length=10_000)]
    isolation: _IsolationHeader | None
    streams: Annotated[list[_StreamHeader], Field(max_length=_MAX_STREAMS_COUNT)]


class _Header(_Form):
    tool_run_id: str
    version: Annotated[str, Field(max_length=100)] | None
    outcome: str
    reason: Sentence
    app_lost: Sentence
    details: Annotated[dict[str, Sentence], Field(max_length=len(_OF_THE_MACHINE))]
    raw: _RawHeader | None


def compute_max_bundle_bytes(stream_max_bytes: int) -> int:
    """Return how large a result may be where one stream may have so many bytes."""
    return _STREAM_ALLOWANCES * stream_max_bytes + _MAX_HEADER_BYTES + 8 * _MAX_STREAMS_COUNT + 64


def write_bundle(file: BinaryIO, tool_run_id: UUID, output: ToolOutput) -> tuple[int, str]:
    """Write a tool's output.

    Returns:
        Size in bytes and SHA-256 of what was written.
    """
    streams = {} if output.raw is None else output.raw.streams
    header = json.dumps(_describe(tool_run_id, output), ensure_ascii=True).encode()
    digest = hashlib.sha256()
    total_bytes = 0

    def write(data: bytes | memoryview) -> None:
        nonlocal total_bytes
        file.write(data)
        digest.update(data)
        total_bytes += len(data)

    write(_MAGIC + len(header).to_bytes(4, "big"))
    write(header)
    for data in streams.values():
        write(len(data).to_bytes(8, "big"))
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_BYTES):
            write(view[start : start + _PIECE_BYTES])
    return total_bytes, digest.hexdigest()


def count_header_bytes(head: bytes) -> int | None:
    """Return how long the header is by the first ``HEAD_BYTES`` of a bundle; None when they cannot be its."""
    header_bytes = int.from_bytes(head[len(_MAGIC) :], "big")
    is_head = head[: len(_MAGIC)] == _MAGIC and header_bytes <= _MAX_HEADER_BYTES
    return header_bytes if is_head else None


def locate_streams(header: bytes, total_bytes: int) -> tuple[tuple[int, int], ...]:
    """Return offset and length of each stream by the header, none when that is not of a bundle of this size.

    What the header says is the sender's word; whoever reads the bundle checks it.
    """
    try:
        raw = _Header.model_validate_json(header).raw
    except ValidationError:
        return ()
    places, end = [], HEAD_BYTES + len(header)
    for stream in () if raw is None else raw.streams:
        places.append((end + _LENGTH_BYTES, stream.size_bytes))
        end += _LENGTH_BYTES + stream.size_bytes
    return tuple(places) if end == total_bytes else ()


def read_bundle(
    file: BinaryIO,
    tool_run_id: UUID,
    plan: ToolPlan,
    *,
    stream_max_bytes: int,
    find_file: FindFile = lambda offset, length: None,
) -> ToolOutput:
    """Return the output in a bundle.

    Args:
        file: Where it is read from; its streams are read when they are asked for, so it stays open until then.
        tool_run_id: Whose output it must be.
        plan: The plan to read it by, made here; from the file it takes only where the subject lay, as a
            prefix of names that the tool printed, and which advisories were there.
        stream_max_bytes: Bytes that one stream may have.
        find_file: Tells of streams that lie in files of their own.

    Raises:
        BundleInvalid: It is another tool run's, malformed, cut, or larger than allowed.
    """
    if _read_exactly(file, len(_MAGIC)) != _MAGIC:
        raise BundleInvalid("It does not begin as a tool's output does.")
    header = _read_header(file)
    if header.tool_run_id != str(tool_run_id):
        raise BundleInvalid("It is the output of another tool run.")
    output = (
        _read_refusal(header)
        if header.raw is None
        else ToolOutput(
            raw=_read_raw(file, header.raw, stream_max_bytes, find_file),
            plan=_move_plan(plan, header.details),
            version=header.version,
            app_lost=header.app_lost,
        )
    )
    if file.read(1):
        raise BundleInvalid("There are bytes after its end.")
    return output


class _KeptStreams(Mapping[str, bytes]):
    """Streams in a file, each read whenever it is asked for."""

    def __init__(self, file: BinaryIO, places: Mapping[str, tuple[int, int]], find_file: FindFile) -> None:
        self._file = file
        self._find_file = find_file
        self._places = places
        """Offset and length by name."""
        self._reading = threading.Lock()  # several threads may ask, and the file has one position

    def __getitem__(self, name: str) -> bytes:
        offset, length = self._places[name]
        with self._reading:
            self._file.seek(offset)
            return _read_exactly(self._file, length)

    def size_of(self, name: str) -> int:
        return self._places[name][1]

    def find_file(self, name: str) -> StreamFile | None:
        return self._find_file(*self._places[name])

    def read_pieces(self, name: str) -> Iterator[bytes]:
        offset, length = self._places[name]
        for start in range(offset, offset + length, _PIECE_BYTES):
            with self._reading:
                self._file.seek(start)
                piece = _read_exactly(self._file, min(_PIECE_BYTES, offset + length - start))
            yield piece

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _move_plan(plan: ToolPlan, details: Mapping[str, str]) -> ToolPlan:
    """Return a plan as it was on the machine where the tool ran."""
    moved = {name: details[name] for name in _OF_THE_MACHINE if name in details and name in plan.details}
    return replace(plan, details={**plan.details, **moved})


def _read_refusal(header: _Header) -> ToolOutput:
    if header.outcome not in _REFUSABLE:
        raise BundleInvalid(f"A tool that did not run cannot be {header.outcome[:40]!r}.")
    return ToolOutput(version=header.version, outcome=Outcome(header.outcome), reason=header.reason)


def _read_raw(file: BinaryIO, header: _RawHeader, stream_max_bytes: int, find_file: FindFile) -> RawOutput:
    names = [stream.name for stream in header.streams]
    if len(set(names)) != len(names):
        raise BundleInvalid("Two streams have one name.")
    largest = max(header.streams, key=lambda stream: stream.size_bytes, default=None)
    if largest is not None and largest.size_bytes > stream_max_bytes:
        raise BundleInvalid(
            f"Its stream {largest.name} has {largest.size_bytes:,} bytes, and at most {stream_max_bytes:,} are"
            " taken (REFEREE_RAW_OUTPUT_MAX_BYTES)."
        )
    places = {stream.name: _skip_stream(file, stream) for stream in header.streams}
    isolation = header.isolation
    return RawOutput(
        streams=_KeptStreams(file, places, find_file),
        total_bytes={stream.name: stream.total_bytes for stream in header.streams},
        end=header.end,
        exit_code=header.exit_code,
        duration_ms=header.duration_ms,
        cpu_ms=header.cpu_ms,
        peak_memory_bytes=header.peak_memory_bytes,
        isolation=None
        if isolation is None
        else Isolation(**{**isolation.model_dump(), "limits": tuple(isolation.limits)}),
        reason=header.reason,
        command=tuple(header.command),
    )


def _read_header(file: BinaryIO) -> _Header:
    length = int.from_bytes(_read_exactly(file, 4), "big")
    if length > _MAX_HEADER_BYTES:
        raise BundleInvalid(f"Its header has {length:,} bytes, and at most {_MAX_HEADER_BYTES:,} are taken.")
    try:
        return _Header.model_validate_json(_read_exactly(file, length))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleInvalid(f"Its header cannot be understood ({where}: {first['msg']}).") from error


def _skip_stream(file: BinaryIO, stream: _StreamHeader) -> tuple[int, int]:
    """Pass a stream over. Returns its offset and length."""
    length = int.from_bytes(_read_exactly(file, _LENGTH_BYTES), "big")
    if length != stream.size_bytes or stream.total_bytes < length:
        raise BundleInvalid(f"Its stream {stream.name} has another length than its header says.")
    offset = file.tell()
    if length:  # its last byte must be there
        file.seek(length - 1, os.SEEK_CUR)
        _read_exactly(file, 1)
    return offset, length


def _read_exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise BundleInvalid("It ends too early.")
    return data


def _describe(tool_run_id: UUID, output: ToolOutput) -> Mapping[str, object]:
    return {
        "tool_run_id": str(tool_run_id),
        "version": output.version,
        "outcome": output.outcome.value,
        "reason": output.reason[:4_000],
        "app_lost": output.app_lost[:4_000],
        "details": _list_details(output.plan),
        "raw": None if output.raw is None else _describe_raw(output.raw),
    }


def _list_details(plan: ToolPlan | None) -> Mapping[str, str]:
    details = {} if plan is None else plan.details
    return {name: str(details[name]) for name in _OF_THE_MACHINE if name in details}


def _describe_raw(raw: RawOutput) -> Mapping[str, object]:
    return {
        "end": raw.end,
        "exit_code": raw.exit_code,
        "duration_ms": raw.duration_ms,
        "cpu_ms": raw.cpu_ms,
        "peak_memory_bytes": raw.peak_memory_bytes,
        "reason": raw.reason[:4_000],
        "command": [argument[:20_000] for argument in raw.command[:10_000]],
        "isolation": None
        if raw.isolation is None
        else {**asdict(raw.isolation), "limits": list(raw.isolation.limits)},
        "streams": [
            {
                "name": name,
                "size_bytes": len(data),
                "total_bytes": max(raw.total_bytes.get(name, len(data)), len(data)),
            }
            for name, data in raw.streams.items()
        ],
    }
