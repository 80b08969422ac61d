"""From the body of an OTLP request to committed rows."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from uuid import UUID

import zstandard

from referee.core.errors import InvalidInput, PayloadTooLarge
from referee.core.ids import new_id
from referee.traces.arriving import build_session
from referee.traces.identity import format_uid
from referee.traces.mapping import MappedSpan
from referee.traces.otlp.json_form import decode_json
from referee.traces.otlp.protobuf import decode_protobuf
from referee.traces.otlp.spans import MAX_BODY_BYTES, ZSTD_LEVEL, DecodedRequest, Rejection, Resource
from referee.traces.room import TracesRoom
from referee.traces.rows import NewSpan, build_span, identify_resource, settle_content
from referee.traces.storing import Arrival, Batch

__all__ = ["MAX_BODY_BYTES", "decompress", "ingest_otlp", "tell_observers"]


async def ingest_otlp(
    room: TracesRoom, project_id: UUID, body: bytes, *, is_json: bool, encoding: str = ""
) -> Rejection:
    """Store the spans of a request. Returns what of it was refused; the rest is committed.

    Args:
        room: Where to.
        project_id: Whose spans.
        body: As it came.
        is_json: Whether it is JSON, not protobuf.
        encoding: Its content encoding: empty, ``gzip``, ``deflate`` or ``zstd``.

    Raises:
        InvalidInput: It is no OTLP request, or its compression is damaged.
        PayloadTooLarge: It is larger than ``MAX_BODY_BYTES`` once decompressed.
        TooManyRequests: More arrives than can be written; nothing was kept.
    """
    find_cost = await room.prices.load(project_id.hex)
    arrival, rejection = await asyncio.get_running_loop().run_in_executor(
        room.decoder, _prepare, project_id.hex, body, is_json, encoding, find_cost
    )
    if arrival.spans:
        await room.writer.write(arrival)
        await tell_observers(room, project_id, arrival)
    return rejection


def _prepare(
    project_id: str,
    body: bytes,
    is_json: bool,
    encoding: str,
    find_cost: Callable[[MappedSpan], float | None],
) -> tuple[Arrival, Rejection]:
    plain = decompress(body, encoding)
    request = decode_json(plain) if is_json else decode_protobuf(plain)
    return build_arrival(project_id, request, find_cost), request.rejection


def build_arrival(
    project_id: str, request: DecodedRequest, find_cost: Callable[[MappedSpan], float | None]
) -> Arrival:
    """Return the rows of a decoded request, with its body as it came."""
    batch_id = new_id().hex
    shared: dict[int, Resource] = {id(span.resource): span.resource for span in request.spans}
    resource_ids = {key: identify_resource(resource) for key, resource in shared.items()}
    spans: list[NewSpan] = []
    for decoded in request.spans:
        span = build_span(decoded, project_id, batch_id, resource_ids, find_cost)
        settle_content(span)
        spans.append(span)
    body = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(request.body)
    batch = Batch(batch_id, request.schema, len(spans), len(request.body), body)
    return Arrival(
        project_id,
        spans + _make_sessions(project_id, spans),
        batch,
        {resource_ids[key]: resource for key, resource in shared.items()},
    )


def _make_sessions(project_id: str, spans: list[NewSpan]) -> list[NewSpan]:
    """Return the events of sessions that spans ask the server to start."""
    made: dict[str, NewSpan] = {}
    for span in spans:
        if not span.mapped.is_session_made or span.session_id is not None:
            continue
        if span.session_uid not in made:
            made[span.session_uid] = build_session(
                project_id,
                {
                    "session_id": format_uid(span.session_uid),
                    "session_name": span.mapped.session_name or span.mapped.event_name,
                    "source": span.mapped.source,
                    "start_time": span.start_ns / 1e6,
                },
            )
    return list(made.values())


def decompress(body: bytes, encoding: str) -> bytes:
    """Return a body without its compression.

    Raises:
        InvalidInput: The compression is unknown or damaged.
        PayloadTooLarge: It grows beyond ``MAX_BODY_BYTES``.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    try:
        if name in ("gzip", "deflate"):
            engine = zlib.decompressobj(wbits=47)
            plain = engine.decompress(body, MAX_BODY_BYTES + 1)
            if not engine.eof and len(plain) <= MAX_BODY_BYTES:
                raise zlib.error("the end is missing")
        elif name == "zstd":
            reader = zstandard.ZstdDecompressor().stream_reader(body)
            plain = reader.read(MAX_BODY_BYTES + 1)
        else:
            raise InvalidInput(
                "traces.encoding_unknown",
                f"The content encoding {name[:40]!r} is not known.",
                "Send gzip, zstd, deflate or no compression.",
            )
    except (zlib.error, zstandard.ZstdError) as error:
        raise InvalidInput(
            "traces.compression_damaged",
            f"The body is not valid {name}.",
            "Send it again, or without compression.",
        ) from error
    if len(plain) > MAX_BODY_BYTES:
        raise PayloadTooLarge(
            "traces.body_too_large",
            f"The body has more than {MAX_BODY_BYTES:,} bytes once decompressed.",
            "Send fewer spans at once.",
            max_body_bytes=MAX_BODY_BYTES,
        )
    return plain


async def tell_observers(room: TracesRoom, project_id: UUID, arrival: Arrival) -> None:
    """Tell who watches of events that are committed.

    Of those that were there before too: what is sent again because an answer was lost may be what an
    observer never heard of.
    """
    await room.teller.tell(project_id, [span.shown_id for span in arrival.spans])
